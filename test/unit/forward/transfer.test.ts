import { once } from "node:events";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Transfer } from "../../../host/forward/transfer.ts";
import { Signal } from "../../../host/io/signal.ts";
import type { Sink } from "../../../host/io/source.ts";
import { DialledSocket } from "../../../host/net/dialled-socket.ts";
import { TcpConnection } from "../../../host/net/tcp-socket.ts";

let server: Server;
let peer: Socket;
let connection: TcpConnection;

beforeEach(async () => {
  server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const accepted = once(server, "connection");
  const socket = new DialledSocket(undefined).connect({ host: "127.0.0.1", port: (server.address() as AddressInfo).port });
  await once(socket, "connect");
  connection = new TcpConnection(socket);
  [peer] = (await accepted) as [Socket];
});
afterEach(() => {
  connection.abort();
  peer.destroy();
  server.close();
});

/** A sink that uses lent bytes at once, and after `onUse` has no room until it is told. */
function absorbing(onUse: () => void) {
  let text = "";
  const it = { room: 1024, taken: () => text };
  const sink: Sink = {
    changed: new Signal(),
    capacity: () => it.room,
    pending: () => 0,
    state: () => ({ tag: "open" }),
    write: (bytes) => void (text += Buffer.from(bytes).toString()),
    absorb: (bytes) => {
      text += Buffer.from(bytes).toString();
      it.room = 0;
      onUse();
      return true;
    },
    end: () => {},
    abort: () => {},
  };
  return Object.assign(it, { sink });
}

async function received(length: number): Promise<string> {
  await expect.poll(() => connection.source.available()).toBe(length);
  return Buffer.from(connection.source.read(length)).toString();
}

const OPTIONS = { limit: undefined, atEnd: "leave", idleTimeout: undefined } as const;

describe("a transfer of bytes that are lent", () => {
  it("holds a source whose sink has no room, and goes on when there is some", async () => {
    const to = absorbing(() => {});
    new Transfer(connection.source, to.sink, OPTIONS).start();
    peer.write("one");
    await expect.poll(() => to.taken()).toBe("one");
    peer.write("two");
    to.room = 1024;
    to.sink.changed.notify();
    await expect.poll(() => to.taken()).toBe("onetwo");
  });

  it("that is ended by who was lent them leaves the source to its next reader, not held", async () => {
    const to = absorbing(() => transfer.cancel({ tag: "closed" }));
    const transfer = new Transfer(connection.source, to.sink, OPTIONS);
    transfer.start();
    peer.write("one");
    await expect.poll(() => transfer.outcome).toEqual({ tag: "err", val: { tag: "closed" } });
    expect(transfer.transferred).toBe(3);
    peer.write("two");
    expect(await received(3)).toBe("two");
  });

  it("that is ended by who was lent them takes nothing more", async () => {
    const to = absorbing(() => {
      to.room = 1024;
      transfer.cancel({ tag: "closed" });
      connection.source.push(Buffer.from("more"));
    });
    const transfer = new Transfer(connection.source, to.sink, OPTIONS);
    transfer.start();
    peer.write("one");
    expect(await received(4)).toBe("more");
    expect(to.taken()).toBe("one");
    expect(transfer.transferred).toBe(3);
  });

  it("that is given up while its source is held sees the peer's end all the same", async () => {
    const to = absorbing(() => {});
    const transfer = new Transfer(connection.source, to.sink, OPTIONS);
    transfer.start();
    peer.write("one");
    await expect.poll(() => to.taken()).toBe("one");
    peer.end("two");
    transfer.drop();
    await expect.poll(() => connection.source.state().tag).toBe("ended");
    expect(to.taken()).toBe("one");
  });
});
