// Puts the declarations of the modules `wasi:…` and `sallyport:…` where the package ships them (`sallyport/guest-types`).
import { cpSync, rmSync } from "node:fs";
import { fileURLToPath } from "node:url";

const target = fileURLToPath(new URL("../dist/guest-types", import.meta.url));
rmSync(target, { recursive: true, force: true });
cpSync(fileURLToPath(new URL("../.generated/guest", import.meta.url)), target, { recursive: true });
