// The clients of the proxy, in a process of their own.
import net from "node:net";
import tls from "node:tls";
import type { ClientOrder, Way } from "./orders.ts";

const held: net.Socket[] = [];
let asking: { stop(): Promise<number> } | undefined;

process.on("message", (order: ClientOrder) => {
  void carryOut(order).then(
    (answer) => process.send!({ answer }),
    (error: Error) => process.send!({ error: error.stack ?? error.message }),
  );
});
process.on("disconnect", () => process.exit());

async function carryOut(order: ClientOrder): Promise<unknown> {
  switch (order.tag) {
    case "open-lanes":
      return await openLanes(order);
    case "requests":
      return await requests(order);
    case "close-lanes":
      return await closeLanes();
    case "download":
      return await download(order);
    case "connections":
      return await connections(order);
    case "hold":
      for (let i = 0; i < order.count; i += 25) {
        const batch = Array.from({ length: Math.min(25, order.count - i) }, () => connected(order.way));
        held.push(...(await Promise.all(batch)));
      }
      return undefined;
    case "hold-slow":
      return await holdSlow(order);
    case "hold-asking":
      asking = askOn(order.way);
      return undefined;
    case "let-go": {
      for (const socket of held.splice(0)) socket.destroy();
      const refusals = await asking?.stop();
      asking = undefined;
      return refusals;
    }
  }
}

/** CONNECT and TLS. */
async function connected(way: Way): Promise<tls.TLSSocket> {
  const socket = await tunnel(way);
  const { host, ca } = way;
  // Inside a tunnel the server itself is talked to.
  const names = net.isIP(host) === 0 ? { servername: host } : { rejectUnauthorized: false };
  const secure = tls.connect({ socket, ca, ALPNProtocols: ["http/1.1"], ...names });
  await new Promise<void>((resolve, reject) => secure.once("secureConnect", resolve).once("error", reject));
  secure.on("error", () => {});
  return secure;
}

function tunnel({ port, authorization, host, hostPort }: Way): Promise<net.Socket> {
  return new Promise((resolve, reject) => {
    const socket = net.connect({ port, host: "127.0.0.1", noDelay: true });
    socket.once("error", reject);
    socket.write(`CONNECT ${host}:${hostPort} HTTP/1.1\r\nHost: ${host}:${hostPort}\r\nProxy-Authorization: ${authorization}\r\n\r\n`);
    let head = "";
    const onData = (bytes: Buffer) => {
      head += bytes.toString("latin1");
      if (!head.includes("\r\n\r\n")) return;
      socket.off("data", onData);
      if (head.startsWith("HTTP/1.1 200 ")) resolve(socket);
      else reject(new Error(`the proxy answered ${head}`));
    };
    socket.on("data", onData);
  });
}

/** As a browser or a program with an HTTP library sends it. */
function request(way: Way, path: string, close = false): string {
  return [
    `GET ${path} HTTP/1.1`,
    `Host: ${way.host}`,
    "User-Agent: bench/1.0 (a client of the proxy)",
    "Accept: text/html,application/xhtml+xml,application/json;q=0.9,*/*;q=0.8",
    "Accept-Language: en-US,en;q=0.5",
    "Accept-Encoding: gzip, deflate, br",
    "Cookie: session=0123456789abcdef0123456789abcdef; theme=dark",
    `Connection: ${close ? "close" : "keep-alive"}`,
    "\r\n",
  ].join("\r\n");
}

const lanes: { socket: tls.TLSSocket; answers: Answers }[] = [];

async function openLanes({ way, lanes: count, path }: ClientOrder & { tag: "open-lanes" }): Promise<void> {
  await Promise.all(
    Array.from({ length: count }, async () => {
      const socket = await connected(way);
      const answers = new Answers(socket);
      socket.write(request(way, path));
      await answers.next();
      lanes.push({ socket, answers });
    }),
  );
}

async function requests({ way, count, path }: ClientOrder & { tag: "requests" }): Promise<number[]> {
  const times: number[] = [];
  await Promise.all(
    lanes.map(async ({ socket, answers }, lane) => {
      for (let i = lane; i < count; i += lanes.length) {
        const start = performance.now();
        socket.write(request(way, path));
        await answers.next();
        times.push(performance.now() - start);
      }
    }),
  );
  return times;
}

async function closeLanes(): Promise<void> {
  await Promise.all(
    lanes.splice(0).map(async ({ socket }) => {
      socket.end();
      await closed(socket);
    }),
  );
}

/** Cuts what comes into answers; all have a length. */
class Answers {
  private left = 0;
  private text = "";
  private wake: { resolve: () => void; reject: (error: Error) => void } | undefined;

  constructor(socket: tls.TLSSocket) {
    socket.on("data", (bytes: Buffer) => this.take(bytes));
    socket.on("close", () => this.wake?.reject(new Error("the connection ended before the answer did")));
  }

  next(): Promise<void> {
    return new Promise((resolve, reject) => (this.wake = { resolve, reject }));
  }

  private take(bytes: Buffer): void {
    if (this.left === 0) {
      this.text += bytes.toString("latin1");
      const end = this.text.indexOf("\r\n\r\n");
      if (end < 0) return;
      if (!this.text.startsWith("HTTP/1.1 200 ")) return this.wake?.reject(new Error(`answered ${this.text.slice(0, 200)}`));
      this.left = Number(/\r\ncontent-length: (\d+)/i.exec(this.text)![1]) - (this.text.length - end - 4);
      this.text = "";
    } else this.left -= bytes.length;
    if (this.left > 0) return;
    const { wake } = this;
    this.wake = undefined;
    wake?.resolve();
  }
}

async function download({ way, bytes }: ClientOrder & { tag: "download" }): Promise<number> {
  const socket = await connected(way);
  const start = performance.now();
  const answers = new Answers(socket);
  socket.write(request(way, `/bytes/${bytes}`));
  await answers.next();
  const taken = performance.now() - start;
  socket.end();
  await closed(socket);
  return taken;
}

async function connections({ way, count, atOnce, firstNumber }: ClientOrder & { tag: "connections" }): Promise<number[]> {
  const times: number[] = [];
  await Promise.all(
    Array.from({ length: atOnce }, async (_, lane) => {
      for (let i = lane; i < count; i += atOnce) {
        const own = { ...way, host: way.host.replace("#", String(firstNumber + i)) };
        const start = performance.now();
        const socket = await connected(own);
        socket.write(request(own, "/items/1", true));
        await new Promise<void>((resolve, reject) =>
          socket.once("data", () => resolve()).once("close", () => reject(new Error("no answer"))),
        );
        times.push(performance.now() - start);
        socket.end();
        await closed(socket);
      }
    }),
  );
  return times;
}

/** A third each of half a head, half a hello, and an answer that nobody reads. */
async function holdSlow({ way, count, bytes }: ClientOrder & { tag: "hold-slow" }): Promise<void> {
  for (let i = 0; i < count; i++) {
    const half = net.connect({ port: way.port, host: "127.0.0.1" });
    half.write("CONNECT ");
    const hello = await tunnel(way);
    hello.write(Buffer.from([22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3]));
    const unread = await connected(way);
    unread.pause();
    unread.write(request(way, `/items/bytes/${bytes}`));
    for (const socket of [half, hello, unread]) socket.on("error", () => {});
    held.push(half, hello, unread);
  }
}

/** @returns what ends it: how often it was refused by then */
function askOn(way: Way): { stop(): Promise<number> } {
  const over = new AbortController();
  const run = async () => {
    let refusals = 0;
    while (!over.signal.aborted) {
      const socket = net.connect({ port: way.port, host: "127.0.0.1", noDelay: true });
      socket.on("error", () => {});
      socket.write(`CONNECT ${way.host}:443 HTTP/1.1\r\nHost: ${way.host}:443\r\nProxy-Authorization: ${way.authorization}\r\n\r\n`);
      const answer = await new Promise<string>((resolve) => {
        socket.once("data", (bytes: Buffer) => resolve(bytes.toString("latin1"))).once("close", () => resolve(""));
      });
      socket.destroy();
      if (!answer.startsWith("HTTP/1.1 403 ")) throw new Error(`it should have been refused: ${JSON.stringify(answer)}`);
      refusals++;
    }
    return refusals;
  };
  const running = run();
  running.catch(() => {});
  return {
    stop: () => {
      over.abort();
      return running;
    },
  };
}

function closed(socket: tls.TLSSocket): Promise<void> {
  socket.resume();
  return new Promise((resolve) => (socket.closed ? resolve() : void socket.once("close", () => resolve())));
}
