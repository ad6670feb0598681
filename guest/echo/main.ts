import { getStdout } from "wasi:cli/stdout@0.2.12";
export const run = {
  run() {
    const o = getStdout();
    o.blockingWriteAndFlush(new Uint8Array([104, 105, 10]));
  },
};
