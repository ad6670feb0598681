import { Cancelled, MILLISECOND, Scope, sleep, spawn, TimedOut } from "../../src/reactor/index.ts";
import type { TcpListener } from "../../src/net/listen.ts";
import { SocketError } from "../../src/net/socket-error.ts";
import type { TcpConnection } from "../../src/net/tcp-connection.ts";
import { StreamClosed, StreamFailure } from "../../src/streams/index.ts";
import { TlsError } from "../../src/tls/index.ts";
import { HandshakeFailed } from "./handshake.ts";
import { AnswerCut } from "./requests.ts";
import { type Service, serveConnection } from "./serve-connection.ts";
import { Slots } from "./slots.ts";

/** So many accepts in a row may fail before the server gives up. */
const MAX_ACCEPT_FAILURES = 100;
const ACCEPT_PAUSE = BigInt(100) * MILLISECOND;

/** Bounds and observers of a server. */
export interface ServerOptions {
  /** Connections at a time. Further ones wait in the listener's backlog. */
  readonly maxConnections: number;
  /** Requests after which to end. */
  readonly once: number;
  /**
   * Told how a connection ended early, in one line without a line feed; not of handshakes, which have a report of their own.
   * `expected`: it was the client's or the network's doing.
   */
  readonly onConnectionError: (message: string, expected: boolean) => void;
}

/**
 * Serve every client of `listener`, each by itself: what one does ends its own connection at most. Returns after
 * `options.once` requests, when the last connection has ended.
 *
 * @param listener borrowed; closed when this returns
 * @throws {SocketError} when nothing can be accepted any more
 */
export async function serve(
  listener: TcpListener,
  service: Omit<Service, "stopping" | "onAnswered">,
  options: ServerOptions,
): Promise<void> {
  const stopping = new Scope();
  const slots = new Slots(options.maxConnections);
  let answered = 0;
  const shared: Service = {
    ...service,
    stopping,
    onAnswered: () => {
      if (++answered === options.once) stopping.cancel();
    },
  };
  try {
    for (;;) {
      await slots.untilFree(stopping);
      const tcp = await accept(listener, stopping, options);
      slots.take();
      spawn(
        () => serveConnection(tcp, shared).finally(() => slots.give()),
        (error) => {
          if (!(error instanceof HandshakeFailed)) options.onConnectionError(messageOf(error), isExpected(error));
        },
      );
    }
  } catch (error) {
    if (!(error instanceof Cancelled)) throw error;
  } finally {
    listener[Symbol.dispose]();
  }
  await slots.untilAllFree();
}

async function accept(listener: TcpListener, stopping: Scope, options: ServerOptions): Promise<TcpConnection> {
  for (let failures = 1; ; failures++) {
    try {
      return await listener.accept(stopping);
    } catch (error) {
      // A client that left while it waited, or no room for another one just now.
      if (!(error instanceof SocketError) || failures >= MAX_ACCEPT_FAILURES) throw error;
      options.onConnectionError(error.message, true);
      await sleep(ACCEPT_PAUSE, stopping);
    }
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** What clients and the network do, as against a mistake in here. */
function isExpected(error: unknown): boolean {
  return [TlsError, StreamFailure, StreamClosed, SocketError, AnswerCut, TimedOut, Cancelled].some((kind) => error instanceof kind);
}
