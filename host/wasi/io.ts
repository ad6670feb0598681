import { IoError } from "../io/error.ts";
import { InputStream } from "../io/input-stream.ts";
import { OutputStream } from "../io/output-stream.ts";
import { Pollable, poll } from "../io/poll.ts";

/** wasi:io, which is the same for every instance: each resource knows its own. */
export const ioImports = {
  "wasi:io/error": { Error: IoError },
  "wasi:io/poll": { Pollable, poll },
  "wasi:io/streams": { InputStream, OutputStream },
};
