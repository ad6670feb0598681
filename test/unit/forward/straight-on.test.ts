import { once } from "node:events";
import { type AddressInfo, createServer, type Server, Socket } from "node:net";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Transfer, type TransferOptions } from "../../../host/forward/transfer.ts";
import { pipe } from "../../../host/io/pipe.ts";
import { Signal } from "../../../host/io/signal.ts";
import type { Sink, Source } from "../../../host/io/source.ts";
import { DialledSocket } from "../../../host/net/dialled-socket.ts";
import { TcpConnection } from "../../../host/net/tcp-socket.ts";

const OPTIONS: TransferOptions = { limit: undefined, atEnd: "propagate", idleTimeout: undefined };

let server: Server;
const open: { connection: TcpConnection; peer: Socket }[] = [];
beforeEach(async () => {
  server = createServer({ allowHalfOpen: true }).listen(0, "127.0.0.1");
  await once(server, "listening");
});
afterEach(() => {
  for (const { connection, peer } of open.splice(0)) {
    connection.abort();
    peer.destroy();
  }
  server.close();
});

/** A connection and its peer. @param kind a socket that is read into memory that is used again, or one of Node's own */
async function connected(kind: "dialled" | "plain") {
  const accepted = once(server, "connection");
  const socket = kind === "dialled" ? new DialledSocket(undefined) : new Socket({ allowHalfOpen: true });
  socket.connect({ host: "127.0.0.1", port: (server.address() as AddressInfo).port });
  await once(socket, "connect");
  const [peer] = (await accepted) as [Socket];
  peer.on("error", () => {});
  const one = { connection: new TcpConnection(socket), peer };
  open.push(one);
  return one;
}

function textOf(source: Source): string {
  return Buffer.from(source.read(source.available())).toString();
}

describe.each(["dialled", "plain"] as const)("bytes that arrive at a %s socket", (kind) => {
  it("go on in their order, whether they had to wait or not, and never more than there is room for", async () => {
    const { connection, peer } = await connected(kind);
    const { source, sink } = pipe(10);
    const transfer = new Transfer(connection.source, sink, OPTIONS);
    transfer.start();
    const text = Array.from({ length: 50 }, (_, i) => `${i},`).join("");
    let got = "";
    for (let at = 0; at < text.length; at += 7) {
      peer.write(text.slice(at, at + 7));
      await new Promise((resolve) => setImmediate(resolve));
      expect(source.available()).toBeLessThanOrEqual(10);
      if (at % 2 === 0) got += textOf(source);
    }
    await expect.poll(() => (got += textOf(source)).length).toBe(text.length);
    expect([got, transfer.transferred]).toEqual([text, text.length]);
  });

  it("are counted, and followed by the end", async () => {
    const { connection, peer } = await connected(kind);
    const { source, sink } = pipe(1000);
    const transfer = new Transfer(connection.source, sink, OPTIONS);
    transfer.start();
    peer.write("one");
    await expect.poll(() => source.available()).toBe(3);
    peer.end("two");
    await expect.poll(() => source.state().tag).toBe("ended");
    expect([textOf(source), transfer.transferred]).toEqual(["onetwo", 6]);
  });

  it("stay at the source behind a limit", async () => {
    const { connection, peer } = await connected(kind);
    const { source, sink } = pipe(1000);
    const transfer = new Transfer(connection.source, sink, { ...OPTIONS, limit: 4 });
    transfer.start();
    peer.write("onetwo");
    await expect.poll(() => connection.source.available()).toBe(2);
    expect([textOf(source), textOf(connection.source), transfer.outcome]).toEqual(["onet", "wo", { tag: "ok", val: "limit" }]);
  });

  it("are the next reader's once the transfer was cancelled", async () => {
    const { connection, peer } = await connected(kind);
    const { source, sink } = pipe(1000);
    const transfer = new Transfer(connection.source, sink, OPTIONS);
    transfer.start();
    peer.write("one");
    await expect.poll(() => transfer.transferred).toBe(3);
    transfer.cancel({ tag: "closed" });
    peer.write("two");
    await expect.poll(() => connection.source.available()).toBe(3);
    expect([textOf(source), textOf(connection.source), transfer.transferred]).toEqual(["one", "two", 3]);
  });

  it("do not hide that the sink has ended", async () => {
    const { connection, peer } = await connected(kind);
    const { source, sink } = pipe(1000);
    const transfer = new Transfer(connection.source, sink, OPTIONS);
    transfer.start();
    source.close();
    peer.write("one");
    await expect.poll(() => transfer.outcome).toEqual({ tag: "err", val: { tag: "closed" } });
    expect(transfer.transferred).toBe(0);
  });
});

it("bytes in memory that is used again are the sink's own where it keeps them", async () => {
  const [a, b] = [await connected("dialled"), await connected("dialled")];
  const [toA, toB] = [pipe(1000), pipe(1000)];
  new Transfer(a.connection.source, toA.sink, OPTIONS).start();
  new Transfer(b.connection.source, toB.sink, OPTIONS).start();
  a.peer.write("a".repeat(100));
  await expect.poll(() => toA.source.available()).toBe(100);
  b.peer.write("b".repeat(100));
  await expect.poll(() => toB.source.available()).toBe(100);
  expect([textOf(toA.source), textOf(toB.source)]).toEqual(["a".repeat(100), "b".repeat(100)]);
});

describe("a write that comes back", () => {
  /** A source of the kind that offers, and what reads from it. */
  function offering() {
    const { source, sink } = pipe(1000);
    return { source, arrive: (text: string) => source.changed.offer(Buffer.from(text)) || sink.write(Buffer.from(text)) };
  }

  function writing(onWrite: (text: string) => void): Sink {
    const state = { tag: "open" } as const;
    const write = (bytes: Uint8Array) => onWrite(Buffer.from(bytes).toString());
    return { changed: new Signal(), capacity: () => 100, pending: () => 0, state: () => state, write, end: () => {}, abort: () => {} };
  }

  it("with more bytes has them wait until it is done", () => {
    const from = offering();
    const order: string[] = [];
    const sink = writing((text) => {
      order.push(`<${text}`);
      if (text === "one") from.arrive("two");
      order.push(`${text}>`);
    });
    const transfer = new Transfer(from.source, sink, OPTIONS);
    transfer.start();
    from.arrive("one");
    expect(order).toEqual(["<one", "one>", "<two", "two>"]);
    expect(transfer.transferred).toBe(6);
  });

  it("with the end of the transfer leaves what comes next alone", () => {
    const from = offering();
    const got: string[] = [];
    const sink = writing((text) => {
      got.push(text);
      transfer.cancel({ tag: "closed" });
      from.arrive("two");
    });
    const transfer = new Transfer(from.source, sink, OPTIONS);
    transfer.start();
    from.arrive("one");
    expect([got, transfer.transferred, textOf(from.source)]).toEqual([["one"], 3, "two"]);
  });
});
