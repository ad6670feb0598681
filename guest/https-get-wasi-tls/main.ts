import { exitWithCode } from "wasi:cli/exit@0.2.12";
import { runProgram } from "../../src/fetch/main.ts";
import { wasiTls } from "./wasi-tls.ts";

/** The same program as `https-get`, for any host that has `wasi:tls`. */
export const run = {
  run: () => runProgram({ name: "https-get", binding: wasiTls, exit: exitWithCode }),
};
