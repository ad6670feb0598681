import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type BuiltGuest, buildGuest } from "../support/guest-run.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** The hostile guest with everything that the host of a proxy offers. */
export async function gatewayGuest(): Promise<BuiltGuest> {
  const packages = mkdtempSync(join(tmpdir(), "sallyport-wit-"));
  try {
    cpSync(join(root, "wit/gateway"), join(packages, "sallyport-gateway"), { recursive: true });
    cpSync(join(root, "wit/policy"), join(packages, "sallyport-policy"), { recursive: true });
    return await buildGuest({
      entry: "test/hostile/guests/gateway.ts",
      wit: "test/hostile/guests/gateway.wit",
      world: "gateway-attack",
      witDeps: [join(root, "wit/deps"), join(root, "wit/tls.wit"), packages],
    });
  } finally {
    rmSync(packages, { recursive: true });
  }
}
