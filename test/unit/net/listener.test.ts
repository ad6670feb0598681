import { BoundSocket, type Socket, connect } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { untilReady } from "../../../host/io/poll.ts";
import { Listener } from "../../../host/net/listener.ts";

const open: { close(): void }[] = [];
afterEach(() => open.splice(0).forEach((it) => it.close()));

async function listener(backlog: number, options: { port?: number; reusePort?: boolean } = {}): Promise<Listener> {
  const made = new Listener(new BoundSocket({ host: "127.0.0.1", ...options }), backlog);
  open.push(made);
  await untilReady(made.changed.when(() => made.state().tag !== "starting"));
  return made;
}

function client(to: Listener): Socket {
  const socket = connect(to.address()!.port, "127.0.0.1");
  socket.on("error", () => {});
  open.push({ close: () => socket.destroy() });
  return socket;
}

describe("a listener", () => {
  it("hands out connections in the order in which they came", async () => {
    const server = await listener(10);
    const clients: Socket[] = [];
    for (let i = 1; i <= 3; i++) {
      clients.push(client(server));
      await untilReady(server.changed.when(() => server.waiting === i));
    }
    for (const one of clients) expect(server.accept()!.remotePort).toBe(one.localPort);
    expect(server.accept()).toBeUndefined();
  });

  it("resets the connections that do not fit its queue", async () => {
    const server = await listener(2);
    const first = [client(server), client(server)];
    await untilReady(server.changed.when(() => server.waiting === 2));
    const late = client(server);
    await new Promise((resolve) => late.once("close", resolve));
    expect(first.map((socket) => socket.destroyed)).toEqual([false, false]);
    expect(server.waiting).toBe(2);
  });

  it("reads nothing from a connection that waits", async () => {
    const server = await listener(2);
    client(server).write("early");
    await untilReady(server.changed.when(() => server.waiting === 1));
    await new Promise((resolve) => setTimeout(resolve, 10));
    const socket = server.accept()!;
    expect(socket.bytesRead).toBe(0);
    expect(String(await new Promise<Buffer>((resolve) => socket.once("data", resolve).resume()))).toBe("early");
    socket.destroy();
  });

  it("resets what waits when it is closed, and refuses afterwards", async () => {
    const server = await listener(2);
    const one = client(server);
    await untilReady(server.changed.when(() => server.waiting === 1));
    const { port } = server.address()!;
    const closed = new Promise((resolve) => one.once("close", resolve));
    server.close();
    await closed;
    const late = connect(port, "127.0.0.1");
    expect(await new Promise<NodeJS.ErrnoException>((resolve) => late.once("error", resolve))).toMatchObject({ code: "ECONNREFUSED" });
  });

  it("shares its port where that was asked for, and only there", async () => {
    const first = await listener(2, { reusePort: true });
    const { port } = first.address()!;
    expect((await listener(2, { port, reusePort: true })).state().tag).toBe("listening");
    expect(() => new BoundSocket({ host: "127.0.0.1", port })).toThrow(/EADDRINUSE/);
  });
});
