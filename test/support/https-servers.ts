import { once } from "node:events";
import { createServer as createHttpsServer, type Server as HttpsServer, type ServerOptions } from "node:https";
import type { IncomingMessage, ServerResponse } from "node:http";
import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer, type TLSSocket, type TlsOptions } from "node:tls";
import type { TestPki } from "./pki.ts";

/** A server on loopback that a test talks to. */
export interface TestServer extends AsyncDisposable {
  port: number;
  /** `https://localhost:PORT` */
  origin: string;
  /** How many TCP connections it has accepted. */
  connections(): number;
}

/** node:https with the PKI's leaf. */
export async function httpsServer(
  pki: TestPki,
  answer: (request: IncomingMessage, response: ServerResponse) => void,
  options: ServerOptions = {},
  onHandshakeError: (error: Error) => void = () => {},
): Promise<TestServer> {
  const server = createHttpsServer({ key: pki.leaf.keyPem, cert: pki.chainPem, ...options }, answer);
  server.on("tlsClientError", onHandshakeError);
  return await listening(server);
}

/** TLS, and then whatever `serve` does. */
export async function tlsServer(pki: TestPki, serve: (socket: TLSSocket) => void, options: TlsOptions = {}): Promise<TestServer> {
  const server = createTlsServer({ key: pki.leaf.keyPem, cert: pki.chainPem, ...options }, (socket) => {
    socket.on("error", () => {});
    serve(socket);
  });
  return await listening(server);
}

/** TCP without TLS. */
export async function tcpServer(serve: (socket: Socket) => void): Promise<TestServer> {
  const server = createTcpServer((socket) => {
    socket.on("error", () => {});
    serve(socket);
  });
  return await listening(server);
}

/** Sends the same bytes to every request head, then ends as told: by close_notify, by FIN alone, or not at all. */
export function rawAnswer(text: string, end: "close_notify" | "cut" | "open" = "close_notify"): (socket: TLSSocket) => void {
  return (socket) => {
    let seen = "";
    socket.on("data", (bytes: Buffer) => {
      seen += bytes.toString("latin1");
      if (!seen.includes("\r\n\r\n")) return;
      seen = "";
      socket.write(Buffer.from(text, "latin1"), () => {
        if (end === "close_notify") socket.end();
        // Closes TCP without a word of TLS.
        if (end === "cut") socket.destroy();
      });
    });
  };
}

async function listening(server: Server | HttpsServer): Promise<TestServer> {
  let accepted = 0;
  const open = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    accepted++;
    open.add(socket);
    socket.on("close", () => open.delete(socket));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    port,
    origin: `https://localhost:${port}`,
    connections: () => accepted,
    [Symbol.asyncDispose]: async () => {
      for (const socket of open) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
