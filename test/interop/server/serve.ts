import { createServer } from "node:net";
import type { TlsConnection } from "../../../host/tls/connection.ts";
import type { Point } from "../../../host/tls/phase.ts";
import type { TlsHost } from "../../../host/tls/tls-host.ts";
import { established, listening, readAll, serverFor, tlsHost, writeAll } from "../../support/tls-over-tcp.ts";
import { LIMIT, type Scene } from "../peers/process.ts";

/** A TCP server whose connections are the engine's. */
export interface Served {
  port: number;
  /** The next accepted connection. */
  next(): Promise<TlsConnection>;
}

/** @param configure is called before a connection starts */
export async function serve(
  scene: Scene,
  points: Point[],
  configure: (connection: TlsConnection) => void,
  host: TlsHost = tlsHost(),
): Promise<Served> {
  const accepted: TlsConnection[] = [];
  const waiting: ((connection: TlsConnection) => void)[] = [];
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    scene.onEnd(() => socket.destroy());
    const connection = serverFor(socket, points, host);
    configure(connection);
    connection.start();
    const waiter = waiting.shift();
    if (waiter === undefined) accepted.push(connection);
    else waiter(connection);
  });
  scene.onEnd(() => server.close());
  return {
    port: await listening(server),
    next: () =>
      new Promise((resolve, reject) => {
        const connection = accepted.shift();
        if (connection !== undefined) {
          resolve(connection);
          return;
        }
        const timer = setTimeout(() => reject(new Error("no client came")), LIMIT);
        waiting.push((late) => {
          clearTimeout(timer);
          resolve(late);
        });
      }),
  };
}

/** Answer one request, an HTTP one or lines that end with CLOSE, with its text backwards, and end. @returns the request */
export async function answerOnce(connection: TlsConnection): Promise<string> {
  await established(connection);
  const request = await readRequest(connection);
  const isHttp = request.startsWith("GET /");
  const text = isHttp ? request.slice(5, request.indexOf(" ", 5)) : request.slice(0, request.indexOf("\n"));
  const body = `${Array.from(text).toReversed().join("")}\n`;
  const head = isHttp ? `HTTP/1.1 200 OK\r\ncontent-length: ${body.length}\r\nconnection: close\r\n\r\n` : "";
  await writeAll(connection.privateOutput, Buffer.from(head + body));
  connection.closeOutput();
  return request;
}

async function readRequest(connection: TlsConnection): Promise<string> {
  const source = connection.privateInput;
  let text = "";
  while (!/\r\n\r\n$|CLOSE\n$/.test(text)) {
    const chunk = source.read(65_536);
    text += Buffer.from(chunk).toString("latin1");
    if (chunk.length > 0) continue;
    if (source.state().tag !== "open") return text + (await readAll(source));
    await new Promise<void>((resolve) => {
      const stop = source.changed.listen(() => {
        stop();
        resolve();
      });
    });
  }
  return text;
}
