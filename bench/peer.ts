// The other side of every measurement, in a process of its own: plain node:tls, the same for both subjects.
import { createServer as createHttpsServer } from "node:https";
import type { Server } from "node:net";
import { connect, type ConnectionOptions, createServer, type TLSSocket } from "node:tls";

/** What a peer is told, one at a time; it answers each with a message. */
export type Order =
  /** Serve `bytes` to every connection. Answers the port. */
  | { tag: "source"; key: string; cert: string; bytes: number }
  /** Answer every HTTPS request with a few bytes. Answers the port. */
  | { tag: "pages"; key: string; cert: string }
  /** Connect and read to the end. Answers milliseconds. */
  | { tag: "download"; port: number; ca: string }
  /** Connect and send `bytes`, then wait for the end. Answers milliseconds. */
  | { tag: "upload"; port: number; ca: string; bytes: number }
  /** Make `count` connections, `atOnce` at a time, each read to its end. Answers milliseconds. */
  | { tag: "connections"; port: number; ca: string; count: number; atOnce: number }
  /** Make `count` connections and keep them open. Answers when all are done. */
  | { tag: "hold"; port: number; ca: string; count: number }
  /** End what `hold` keeps. */
  | { tag: "let-go" };

const BLOCK = Buffer.alloc(64 * 1024, "sallyport");
const held: TLSSocket[] = [];

process.on("message", (order: Order) => {
  void carryOut(order).then(
    (answer) => process.send!({ answer }),
    (error: Error) => process.send!({ error: error.message }),
  );
});

async function carryOut(order: Order): Promise<number> {
  const start = performance.now();
  switch (order.tag) {
    case "source":
      return await source(order);
    case "pages":
      return await listening(createHttpsServer(order, (_request, response) => void response.end("a page\n")));
    case "download":
      await read(open(order));
      break;
    case "upload": {
      const socket = open(order);
      socket.once("secureConnect", () => send(socket, order.bytes));
      await read(socket);
      break;
    }
    case "connections":
      await Promise.all(
        Array.from({ length: order.atOnce }, async (_, lane) => {
          for (let i = lane; i < order.count; i += order.atOnce) await read(open(order));
        }),
      );
      break;
    case "hold":
      for (let i = 0; i < order.count; i += 50) {
        const batch = Array.from({ length: Math.min(50, order.count - i) }, () => open(order));
        await Promise.all(
          batch.map((socket) => new Promise((resolve, reject) => socket.once("secureConnect", resolve).once("error", reject))),
        );
        held.push(...batch);
      }
      break;
    case "let-go":
      for (const socket of held.splice(0)) socket.end();
      break;
  }
  return performance.now() - start;
}

function source({ key, cert, bytes }: Order & { tag: "source" }): Promise<number> {
  const server = createServer({ key, cert }, (socket) => {
    socket.on("error", () => {});
    socket.resume();
    send(socket, bytes);
  });
  return listening(server);
}

function listening(server: Server): Promise<number> {
  return new Promise((resolve) =>
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      resolve(typeof address === "object" && address !== null ? address.port : 0);
    }),
  );
}

function send(socket: TLSSocket, bytes: number): void {
  let left = bytes;
  const more = () => {
    while (left > 0) {
      const block = left < BLOCK.length ? BLOCK.subarray(0, left) : BLOCK;
      left -= block.length;
      if (!socket.write(block)) {
        socket.once("drain", more);
        return;
      }
    }
    socket.end();
  };
  more();
}

function open({ port, ca }: { port: number; ca: string }): TLSSocket {
  return connect({ port, ca, host: "127.0.0.1", servername: "bench.test" } satisfies ConnectionOptions);
}

function read(socket: TLSSocket): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.resume();
    socket.on("end", resolve);
    socket.on("error", reject);
  });
}
