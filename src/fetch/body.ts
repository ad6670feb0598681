import type { Scope } from "../reactor/cancel.ts";
import type { Channel, Forwarded } from "./binding.ts";
import { exitCodes, FetchError } from "./exit-code.ts";
import type { Answer } from "./exchange.ts";
import type { Sink } from "./sink.ts";

/** What a body is told of on its way. */
export interface BodyWatch {
  /** So many bytes of the body have been moved. */
  moved(bytes: number): Promise<void>;
  /** Whether anybody looks at the steps between. */
  readonly live: boolean;
}

/**
 * Move the body of an answer from its connection to `sink`. Large stretches are moved by the host where it can do that.
 *
 * @returns its length in bytes, once it is complete
 * @throws {FetchError} `truncated`, `write` @throws {HttpError} @throws {StreamFailure}
 */
export async function moveBody(channel: Channel, answer: Answer, sink: Sink, watch: BodyWatch, scope: Scope): Promise<number> {
  const { parser, framing } = answer;
  let total = 0;
  for (;;) {
    const part = parser.next();
    if (part?.tag === "end") return total;
    if (part?.tag === "body") {
      await sink.write(part.bytes, scope);
      total += part.bytes.length;
      await watch.moved(total);
      continue;
    }
    const stream = channel.forward !== undefined && parser.bodyLeft >= WORTH_FORWARDING ? sink.lend() : undefined;
    if (stream !== undefined) {
      const before = total;
      const forwarded = await channel.forward!(stream, {
        limit: parser.bodyLeft === Infinity ? undefined : parser.bodyLeft,
        onProgress: watch.live ? (bytes) => watch.moved(before + bytes) : undefined,
        scope,
      });
      sink.giveBack(forwarded.sink);
      parser.skipBody(forwarded.bytes);
      total += forwarded.bytes;
      await watch.moved(total);
      await settle(forwarded, answer, sink, scope);
      continue;
    }
    const bytes = await channel.reader.read(undefined, scope);
    if (bytes !== undefined) {
      parser.push(bytes);
      continue;
    }
    if (framing.tag === "close" && !channel.endedAuthenticated) throw cut();
    parser.close();
  }
}

async function settle({ stop }: Forwarded, { parser, framing }: Answer, sink: Sink, scope: Scope): Promise<void> {
  if (stop === "limit") return;
  if (stop === "ended") return parser.close();
  if (stop === "cut") {
    if (framing.tag === "close") throw cut();
    return parser.close();
  }
  // A sink that broke says so again; otherwise it was the source.
  await sink.finish(scope);
  throw stop.failed;
}

function cut(): FetchError {
  return new FetchError(exitCodes.truncated, "the connection ended without saying so; the body may be incomplete, so try again");
}

/** Bytes below which a read by the guest is cheaper than handing both streams over and taking them back. */
const WORTH_FORWARDING = 128 * 1024;
