import { relay, type Relayer, type Stop } from "sallyport:tls/forward@0.1.0";
import type { Error as WitTlsError } from "sallyport:tls/types@0.1.0";
import type { Pollable } from "wasi:io/poll@0.2.12";
import type { InputStream } from "wasi:io/streams@0.2.12";
import { numberOfU64, u64 } from "../../src/bindings/integers.ts";
import { optional } from "../../src/bindings/option.ts";
import type { Nanoseconds, Scope } from "../../src/reactor/index.ts";
import type { Reader, Writer } from "../../src/streams/index.ts";
import { describeReason } from "../../src/tls/index.ts";

/** Both directions of one side. */
export interface Side {
  readonly reader: Reader;
  readonly writer: Writer;
}

/** How long, and who is told. */
export interface RelayOptions {
  /** Without a byte in either direction. */
  readonly idle: Nanoseconds;
  readonly scope: Scope;
  /** Told of the bytes, also when the relay throws. */
  readonly tally: { fromClient: number; toClient: number };
}

/** Resolves once the pollable is ready, and owns it from its call on. @throws the reason of the scope */
export type Wait = (pollable: Pollable, scope: Scope) => Promise<void>;

/** How a relay ended. */
export interface Relayed {
  readonly fromClient: number;
  readonly toClient: number;
  /** `undefined`: both directions came to an end of their own. */
  readonly error: string | undefined;
}

/**
 * Have the host move all bytes between two sides, until both directions have ended. What was read from a side already has to
 * have been written to the other.
 *
 * @param wait for the end: a program of many waits in another way than one of few
 * @throws the reason of `scope`
 */
export async function relayWaiting(wait: Wait, client: Side, server: Side, options: RelayOptions): Promise<Relayed> {
  const streams = [released(client.reader), client.writer.release(), released(server.reader), server.writer.release()] as const;
  const relayer: Relayer = relay(...streams, { atEnd: "propagate", idleTimeout: u64(options.idle) });
  try {
    await wait(relayer.subscribe(), options.scope);
    const [fromClient, toClient] = moved(relayer);
    return { fromClient, toClient, error: faultOf(optional(relayer.outcome())) };
  } finally {
    const [fromClient, toClient] = moved(relayer);
    options.tally.fromClient += fromClient;
    options.tally.toClient += toClient;
    relayer[Symbol.dispose]();
  }
}

function released(reader: Reader): InputStream {
  const { stream, buffered } = reader.release();
  if (buffered.length > 0) throw new Error("bytes that were read are not part of what is relayed");
  return stream;
}

function moved(relayer: Relayer): [number, number] {
  const [fromClient, toClient] = relayer.transferred();
  return [numberOfU64(fromClient), numberOfU64(toClient)];
}

/** Nothing came from either side for as long as was allowed. */
export const IDLE = "idle for too long";

/** How both directions stopped. */
export type Outcome = { tag: "ok"; val: [Stop, Stop] } | { tag: "err"; val: WitTlsError };

/** What was wrong with it; `undefined`: both directions came to an end of their own. */
export function faultOf(outcome: Outcome | undefined): string | undefined {
  if (outcome?.tag === "err") return outcome.val.tag === "timeout" ? IDLE : describeReason(outcome.val);
  const cut = outcome?.val.findIndex((stop) => stop === "truncated") ?? -1;
  return cut < 0 ? undefined : `the ${cut === 0 ? "client" : "server"} ended without close_notify`;
}
