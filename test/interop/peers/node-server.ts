/**
 * A peer that is Node's own https: `node node-server.ts FILE`, the options being the JSON object in the file. In a process of its own,
 * so that it shares no context, session or event loop with what is tested. What happens is told as one JSON object a line.
 */
import { readFileSync } from "node:fs";
import http from "node:http";
import https from "node:https";
import type { AddressInfo, Socket } from "node:net";
import type { TLSSocket, TlsOptions } from "node:tls";

/** What the file may hold. */
export interface NodeServerOptions {
  /** Everything that Node's https takes. */
  tls: TlsOptions;
  behave?: "truncate" | "close-at-hello";
  /** No TLS at all. */
  plain?: boolean;
}

const options = JSON.parse(readFileSync(process.argv[2]!, "utf8")) as NodeServerOptions;
const raw = new Map<number, Socket>();

function reverse(request: http.IncomingMessage, response: http.ServerResponse): void {
  const body = Array.from((request.url ?? "").slice(1))
    .toReversed()
    .join("");
  if (options.behave !== "truncate") {
    response.end(body);
    return;
  }
  response.writeHead(200, { "content-length": body.length + 1000 });
  response.write(body, () => raw.get(request.socket.remotePort!)?.destroy());
}

function makeServer(): http.Server | https.Server {
  if (options.plain === true) return http.createServer(reverse);
  const server = https.createServer({ ...options.tls, ...(options.behave === "close-at-hello" ? { SNICallback: hangUp } : {}) }, reverse);
  server.on("secureConnection", (socket: TLSSocket) =>
    say({
      event: "handshake",
      version: socket.getProtocol(),
      alpn: socket.alpnProtocol,
      reused: socket.isSessionReused(),
      peer: socket.getPeerX509Certificate()?.subject,
    }),
  );
  server.on("tlsClientError", (error: Error) => {
    const alert = /SSL alert number (\d+)/.exec(error.message);
    say({ event: "error", error: error.message, ...(alert === null ? {} : { alert: Number(alert[1]) }) });
  });
  return server;
}

function hangUp(): void {
  for (const socket of raw.values()) socket.destroy();
}

function say(event: object): void {
  process.stdout.write(`${JSON.stringify(event)}\n`);
}

const server = makeServer();
server.on("connection", (socket: Socket) => void raw.set(socket.remotePort!, socket));
server.listen(0, "127.0.0.1", () => say({ event: "listening", port: (server.address() as AddressInfo).port }));
