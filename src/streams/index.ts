export { onStreamFailure, StreamClosed, streamError, StreamFailure } from "./failure.ts";
export { pump } from "./pump.ts";
export { MAX_READ, Reader, TooLong, UnexpectedEnd } from "./reader.ts";
export { Writer } from "./writer.ts";
