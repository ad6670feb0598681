import { exitWithCode } from "wasi:cli/exit@0.2.12";
import { runProgram } from "../../src/fetch/main.ts";
import { sallyportTls } from "./sallyport-tls.ts";

/** Fetches pages over TLS; see `--help`. Every decision about TLS is taken here, every key stays with the host. */
export const run = {
  run: () => runProgram({ name: "https-get", binding: sallyportTls, exit: exitWithCode }),
};
