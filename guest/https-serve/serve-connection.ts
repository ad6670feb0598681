import { type Scope, timeout } from "../../src/reactor/index.ts";
import type { Nanoseconds } from "../../src/reactor/index.ts";
import type { TcpConnection } from "../../src/net/tcp-connection.ts";
import type { TlsConnection } from "../../src/tls/index.ts";
import { accessLine, type RequestRecord } from "./access-log.ts";
import { acceptClient, type HandshakePolicy } from "./handshake.ts";
import type { LineLog } from "./line-log.ts";
import { RequestReader } from "./request-reader.ts";
import { AnswerCut, canGoOn, Responder } from "./requests.ts";
import { ResponseWriter } from "./response-writer.ts";
import type { Site } from "./site.ts";

/** AlertDescription (RFC 8446, section 6). */
const INTERNAL_ERROR = 80;

/** How many bytes a client may still send after its last response. */
const LINGER_BYTES = 1024 * 1024;

/** What all connections of a server share. */
export interface Service {
  readonly policy: HandshakePolicy;
  readonly site: Site;
  /** `undefined`: no access log. */
  readonly accessLog: LineLog | undefined;
  readonly timeouts: { readonly idle: Nanoseconds; readonly header: Nanoseconds };
  /** Cancelled when no further request is to be waited for. */
  readonly stopping: Scope;
  /** Told of each request that was answered. */
  readonly onAnswered: () => void;
}

/**
 * Serve one client from its handshake to its end.
 *
 * @param tcp owned from here on
 * @throws whatever ended the connection early; it is closed by then, and nothing else is touched
 */
export async function serveConnection(tcp: TcpConnection, service: Service): Promise<void> {
  const { connection: accepted, record, identity } = await acceptClient(tcp, service.policy);
  using connection = accepted;
  using writer = new ResponseWriter(connection.writer.release(), service.timeouts.idle);
  const reader = new RequestReader(connection.reader, service.timeouts);
  const responder = new Responder(service.site, writer, record, identity);
  const log = async (line: RequestRecord) => {
    service.onAnswered();
    await service.accessLog?.write(accessLine(record, line));
  };
  try {
    for (;;) {
      const incoming = await reader.next(service.stopping);
      if (incoming.tag === "end") break;
      if (incoming.tag === "refused") {
        await log(await responder.refuse(incoming.status));
        break;
      }
      const isLast = !canGoOn(incoming.head, incoming.framing) || service.stopping.reason !== undefined;
      await log(await responder.answer(incoming.head, isLast));
      if (isLast) break;
    }
  } catch (error) {
    // Never a clean end of what is not complete.
    connection.abort(INTERNAL_ERROR);
    if (error instanceof AnswerCut) await service.accessLog?.write(accessLine(record, error.record));
    throw error;
  }
  await hangUp(connection, service.timeouts.idle);
}

/**
 * Say that this was all, behind what is still on its way, then listen until the client ends as well: a client that still
 * sends while its connection is closed may lose the response that it has not read.
 *
 * @param patience how long a client that takes its bytes slowly, or never ends, has for all of that
 */
async function hangUp(connection: TlsConnection, patience: Nanoseconds): Promise<void> {
  try {
    connection.endpoint.closeOutput();
    await timeout(patience, async (scope) => {
      for (let left = LINGER_BYTES; left > 0;) {
        const bytes = await connection.reader.read(undefined, scope);
        if (bytes === undefined) break;
        left -= bytes.length;
      }
      await connection.drained(scope);
    });
  } catch {
    // However the client leaves now, it was served.
  }
}
