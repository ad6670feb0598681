import { type AddressInfo, type Server, type Socket, connect, createServer } from "node:net";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { DialledSocket } from "../../../host/net/dialled-socket.ts";
import { TCP_BUFFER, TcpConnection, connectionOf } from "../../../host/net/tcp-socket.ts";
import type { Readiness, Signal } from "../../../host/io/signal.ts";
import { untilReady } from "../../../host/io/poll.ts";
import { bytes, text } from "../../support/host-instance.ts";

let server: Server;
/** The peer's socket and the connection under test. */
let peer: Socket;
let connection: TcpConnection;
let socket: Socket;

/** Connect `connection` to `peer`, over a socket of each kind that there is. */
async function open(isDialled: boolean): Promise<void> {
  server = createServer({ allowHalfOpen: true, pauseOnConnect: true }).listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const accepted = new Promise<Socket>((resolve) => server.once("connection", resolve));
  const to = { port: (server.address() as AddressInfo).port, host: "127.0.0.1" };
  socket = isDialled ? new DialledSocket(undefined).connect(to) : connect({ ...to, allowHalfOpen: true });
  await new Promise((resolve) => socket.once("connect", resolve));
  connection = new TcpConnection(socket);
  peer = await accepted;
  peer.on("error", () => {});
}
afterEach(() => {
  socket.destroy();
  peer.destroy();
  server.close();
});

const until = async (changed: Signal, ready: () => boolean) => {
  const it: Readiness = changed.when(ready);
  await untilReady(it);
};
const turn = () => new Promise((resolve) => setTimeout(resolve, 10));

describe.each([
  ["that came in", false],
  ["that we dialled", true],
])("a connection %s", (_, isDialled) => {
  beforeEach(() => open(isDialled));

  it("carries bytes both ways", async () => {
    connection.sink.write(bytes("ping"));
    peer.resume();
    expect(text(await new Promise<Buffer>((resolve) => peer.once("data", resolve)))).toBe("ping");
    peer.write("pong");
    await until(connection.source.changed, () => connection.source.available() === 4);
    expect(text(connection.source.read(10))).toBe("pong");
  });

  it("holds a bounded part of what a peer sends to a reader that is slow, and loses none of it", async () => {
    const total = 8 * 1024 * 1024;
    peer.write(Buffer.alloc(total, 7));
    let most = 0;
    for (let i = 0; i < 20; i++) {
      await turn();
      most = Math.max(most, connection.source.available());
    }
    expect(most).toBeGreaterThanOrEqual(TCP_BUFFER);
    // One more read of the system's may be under way when the limit is reached.
    expect(most).toBeLessThanOrEqual(TCP_BUFFER + 64 * 1024);
    let read = 0;
    while (read < total) {
      await until(connection.source.changed, () => connection.source.available() > 0 || connection.source.state().tag !== "open");
      read += connection.source.read(50_000).length;
    }
    expect(read).toBe(total);
  });

  it("permits a bounded amount to be written to a peer that does not read", async () => {
    let written = 0;
    for (let i = 0; i < 2000 && connection.sink.capacity() > 0; i++) {
      const chunk = Math.min(65_536, connection.sink.capacity());
      connection.sink.write(new Uint8Array(chunk));
      written += chunk;
      await new Promise(setImmediate);
    }
    expect(connection.sink.capacity()).toBe(0);
    expect(connection.sink.pending()).toBeLessThanOrEqual(TCP_BUFFER);
    let received = 0;
    peer.on("data", (chunk) => (received += chunk.length)).resume();
    await until(connection.sink.changed, () => connection.sink.pending() === 0);
    connection.sink.end();
    await new Promise((resolve) => peer.once("end", resolve));
    expect(received).toBe(written);
  });

  it("bounds single bytes by their number too", async () => {
    for (let i = 0; i < 5000 && connection.sink.capacity() > 0; i++) connection.sink.write(Uint8Array.of(1));
    expect(connection.sink.capacity()).toBe(0);
  });

  it("ends its sending half and still receives", async () => {
    connection.sink.end();
    expect(connection.sink.state()).toEqual({ tag: "closed" });
    peer.resume();
    await new Promise((resolve) => peer.once("end", resolve));
    peer.end("after your end");
    await until(connection.source.changed, () => connection.source.state().tag === "ended");
    expect(text(connection.source.read(100))).toBe("after your end");
  });

  it("sees the peer's end and still sends", async () => {
    peer.end();
    await until(connection.source.changed, () => connection.source.state().tag !== "open");
    expect(connection.source.state().tag).toBe("ended");
    expect(connection.sink.state()).toEqual({ tag: "open" });
    connection.sink.write(bytes("after your end"));
    connection.sink.end();
    peer.resume();
    expect(text(await new Promise<Buffer>((resolve) => peer.once("data", resolve)))).toBe("after your end");
  });

  it("fails in both directions on a reset, after what was received", async () => {
    peer.write("last words");
    await until(connection.source.changed, () => connection.source.available() > 0);
    peer.resetAndDestroy();
    await until(connection.source.changed, () => connection.source.state().tag !== "open");
    expect(connection.source.state()).toMatchObject({ tag: "failed", failure: { network: "connection-reset", tls: { tag: "transport" } } });
    expect(connection.sink.state().tag).toBe("failed");
    expect(text(connection.source.read(100))).toBe("last words");
    connection.sink.write(bytes("into the void"));
    connection.sink.end();
  });

  it("resets the peer when it is aborted", async () => {
    const error = new Promise<NodeJS.ErrnoException>((resolve) => peer.once("error", resolve));
    peer.resume();
    connection.sink.abort();
    expect((await error).code).toBe("ECONNRESET");
    expect(connection.source.state().tag).toBe("failed");
  });

  it("delivers what was written before both halves were given up, though the peer's bytes were not read", async () => {
    peer.write(Buffer.alloc(1_000_000));
    await until(connection.source.changed, () => connection.source.available() > 0);
    connection.sink.write(bytes("the answer"));
    connection.sink.end();
    connection.source.close();
    const chunks: Buffer[] = [];
    peer.on("data", (chunk: Buffer) => chunks.push(chunk)).resume();
    await new Promise((resolve) => peer.once("end", resolve));
    expect(text(Buffer.concat(chunks))).toBe("the answer");
    peer.end();
    await new Promise((resolve) => socket.once("close", resolve));
  });

  it("throws away what arrives after its reader is gone", async () => {
    connection.source.close();
    peer.end(Buffer.alloc(2_000_000));
    await until(connection.source.changed, () => connection.source.state().tag !== "open");
    expect(connection.source.available()).toBe(0);
  });

  it("sets TCP_NODELAY, so that two small writes do not wait for each other's acknowledgement", () => {
    const symbol = Object.getOwnPropertySymbols(socket).find((key) => key.description === "kSetNoDelay")!;
    expect(Reflect.get(socket, symbol)).toBe(true);
    expect(Reflect.get(peer, symbol)).toBe(false);
  });
});

/** Another connection that we dialled, to the same server. */
async function another(): Promise<{ connection: TcpConnection; peer: Socket; close(): void }> {
  const accepted = new Promise<Socket>((resolve) => server.once("connection", resolve));
  const socket = new DialledSocket(undefined).connect({ port: (server.address() as AddressInfo).port, host: "127.0.0.1" });
  await new Promise((resolve) => socket.once("connect", resolve));
  const peer = await accepted;
  const close = () => {
    socket.destroy();
    peer.destroy();
  };
  return { connection: new TcpConnection(socket), peer, close };
}

/** What `peer` gets out before `reader`, which does not read, makes it wait; the reader sees nothing of it. */
function flood(peer: Socket, pattern: number, count: number): void {
  for (let i = 0; i < count; i++) peer.write(Buffer.alloc(64 * 1024, pattern));
}

describe("bytes in memory that is used again", () => {
  beforeEach(() => open(true));

  it.each([
    ["small", 100],
    ["large", 64 * 1024],
  ])("stay what they were while others are read, if they are kept: %s ones", async (_, size) => {
    const others = [await another(), await another()];
    const all = [{ connection, peer }, ...others];
    const received = all.map(() => [] as Uint8Array[]);
    for (let round = 0; round < 40; round++) {
      for (const [index, one] of all.entries()) one.peer.write(Buffer.alloc(size, round * all.length + index));
      await Promise.all(
        all.map(async ({ connection: { source } }, index) => {
          for (let got = 0; got < size;) {
            await until(source.changed, () => source.available() > 0);
            const chunk = source.readChunk(size - got);
            got += chunk.length;
            received[index]!.push(chunk);
          }
        }),
      );
    }
    for (const [index, chunks] of received.entries()) {
      const whole = Buffer.concat(chunks);
      const sent = Buffer.concat(Array.from({ length: 40 }, (_, round) => Buffer.alloc(size, round * all.length + index)));
      expect(whole.equals(sent)).toBe(true);
    }
    for (const one of others) one.close();
  });

  it("are lent once, whole and in order, and taken only if they were used", async () => {
    const { source } = connection;
    const lent: string[] = [];
    const seen: string[] = [];
    let uses = false;
    source.changed.listen(() => {
      if (source.available() === 0) return;
      const took = source.lend(100, (bytes) => {
        (uses ? lent : seen).push(text(bytes));
        return uses;
      });
      expect(took).toBe(uses);
      expect(source.lend(1, () => true)).toBe(false);
    });
    peer.write("refused");
    await until(source.changed, () => source.available() > 0);
    await turn();
    expect([seen, text(source.read(100))]).toEqual([["refused"], "refused"]);
    uses = true;
    peer.write("used");
    await turn();
    expect([lent, source.available()]).toEqual([["used"], 0]);
  });

  it("are not lent past bytes that came before and wait, nor in part", async () => {
    const { source } = connection;
    peer.write("first");
    await until(source.changed, () => source.available() > 0);
    await turn();
    let lent = 0;
    source.changed.listen(() => void (lent += Number(source.lend(1000, () => true))));
    peer.write("second");
    await until(source.changed, () => source.available() > 5);
    await turn();
    expect([lent, text(source.read(100))]).toEqual([0, "firstsecond"]);
    const part: boolean[] = [];
    source.changed.listen(() => void part.push(source.lend(4, () => true)));
    peer.write("12345");
    await turn();
    expect([part[0], lent]).toEqual([false, 1]);
  });

  it("do not come while the source is held, and all come afterwards", async () => {
    const { source } = connection;
    source.hold(true);
    flood(peer, 1, 4);
    await turn();
    expect(source.available()).toBe(0);
    source.hold(false);
    let got = 0;
    while (got < 4 * 64 * 1024) {
      await until(source.changed, () => source.available() > 0);
      got += source.readChunk(Infinity).length;
    }
    expect(got).toBe(4 * 64 * 1024);
  });

  it("are thrown away by a source that is given up while it is held, and the end is seen", async () => {
    connection.source.hold(true);
    flood(peer, 1, 20);
    peer.end();
    await turn();
    connection.source.close();
    await until(connection.source.changed, () => connection.source.state().tag !== "open");
    expect(connection.source.available()).toBe(0);
  });

  it("are gone when the source is given up while they are lent", async () => {
    const { source } = connection;
    source.changed.listen(() => {
      if (source.available() > 0) source.lend(100, () => (source.close(), false));
    });
    peer.write("bytes");
    await turn();
    expect(source.available()).toBe(0);
  });

  it("are not what another connection reads next when a reader fails over them", () => {
    const memory = bytes("mine");
    const stop = connection.source.changed.listen(() => {
      throw new Error("a reader failed");
    });
    expect(() => connection.source.arrive(memory)).toThrow("a reader failed");
    stop();
    memory.set(bytes("hers"));
    expect(text(connection.source.read(10))).toBe("mine");
  });

  it("are handed over with the socket that is taken out", async () => {
    peer.write("first");
    await until(connection.source.changed, () => connection.source.available() > 0);
    expect(text(connection.detach()!.buffered)).toBe("first");
  });
});

describe("detaching the socket", () => {
  beforeEach(() => open(false));

  it("hands over the socket with what was read from it, in order", async () => {
    peer.write("first ");
    await until(connection.source.changed, () => connection.source.available() > 0);
    const detached = connection.detach()!;
    expect(detached.socket).toBe(socket);
    expect(text(detached.buffered)).toBe("first ");
    expect([connection.source.state().tag, connection.sink.state().tag, connection.source.available()]).toEqual(["ended", "closed", 0]);
    peer.end("second");
    detached.socket.unshift(detached.buffered);
    expect(text(Buffer.concat(await detached.socket.toArray()))).toBe("first second");
  });
  it("is possible once", () => {
    expect(connection.detach()).toBeDefined();
    expect(connection.detach()).toBeUndefined();
  });
  it("is refused after an end was seen", async () => {
    peer.end();
    await until(connection.source.changed, () => connection.source.state().tag !== "open");
    expect(connection.detach()).toBeUndefined();
  });
  it("is refused while written bytes wait", () => {
    while (connection.sink.capacity() > 0 && connection.sink.pending() === 0) connection.sink.write(new Uint8Array(TCP_BUFFER));
    expect(connection.detach()).toBeUndefined();
  });
  it("is refused after the reader is gone or the connection was cut", () => {
    connection.source.close();
    expect(connection.detach()).toBeUndefined();
    connection.abort();
    expect(connection.detach()).toBeUndefined();
  });
  it("is found by both halves together only", () => {
    const other = new TcpConnection(socket);
    expect(connectionOf(connection.source, connection.sink)).toBe(connection);
    expect(connectionOf(connection.source, other.sink)).toBeUndefined();
  });
});
