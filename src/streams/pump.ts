import { numberOfU64, u64 } from "../bindings/integers.ts";
import type { Scope } from "../reactor/cancel.ts";
import { streamError } from "./failure.ts";
import { MAX_READ, type Reader } from "./reader.ts";
import type { Writer } from "./writer.ts";

/**
 * Move everything from `source` to `sink` by splice, so that no byte enters the guest, then flush. For hosts without
 * `sallyport:tls/forward`, which needs no turn of the guest per burst. Neither side is closed.
 *
 * @param limit the most bytes to move; default: to the end of the source
 * @returns bytes moved
 * @throws {StreamClosed} when the sink takes no more @throws {StreamFailure} when either side fails
 */
export async function pump(source: Reader, sink: Writer, limit: number = Number.MAX_SAFE_INTEGER, scope?: Scope): Promise<number> {
  let moved = 0;
  while (moved < limit && source.buffered > 0) {
    const bytes = source.tryRead(limit - moved)!;
    await sink.write(bytes, scope);
    moved += bytes.length;
  }
  while (moved < limit) {
    if (sink.permit() === 0) {
      await sink.writable(scope);
      continue;
    }
    const count = splice(source, sink, Math.min(limit - moved, MAX_READ));
    if (count === undefined) break;
    if (count === 0) await source.readable(scope);
    moved += count;
  }
  await sink.flush(scope);
  return moved;
}

/** Bytes spliced; `undefined` when the source is at its end. */
function splice(source: Reader, sink: Writer, max: number): number | undefined {
  try {
    return numberOfU64(sink.stream.splice(source.stream, u64(max)));
  } catch (thrown) {
    const error = streamError(thrown);
    if (error !== "closed") throw error;
    // A splice does not say which side is closed. A closed sink says so again; this throws then.
    sink.permit();
    return undefined;
  }
}
