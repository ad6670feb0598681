import { runProgram } from "../../src/fetch/main.ts";
import { wasiTls } from "./wasi-tls.ts";

/**
 * The same program as `https-get`, for any host that has `wasi:tls`. `wasi:cli/exit` is not imported: its
 * `exit-with-code` is unstable and missing from stock hosts, so that every failure is exit code 1 here.
 */
export const run = {
  run: () => runProgram({ name: "https-get", binding: wasiTls }),
};
