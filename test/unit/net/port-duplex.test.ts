import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { MessageChannel } from "node:worker_threads";
import { describe, expect, it } from "vitest";
import { InProcessListener, isInProcess } from "../../../host/net/in-process.ts";
import { PortDuplex } from "../../../host/net/port-duplex.ts";
import { parseIpAddress } from "../../../src/wire/ip-address.ts";
import { HostInstance, witError } from "../../support/host-instance.ts";

function pair(): [PortDuplex, PortDuplex] {
  const { port1, port2 } = new MessageChannel();
  const ends: [PortDuplex, PortDuplex] = [new PortDuplex(port1, { allowHalfOpen: true }), new PortDuplex(port2, { allowHalfOpen: true })];
  for (const end of ends) end.on("error", () => {});
  return ends;
}

async function all(stream: PortDuplex): Promise<Buffer> {
  const chunks: Buffer[] = [];
  // Not by iteration, which destroys a stream at the end of one direction.
  stream.on("data", (chunk: Buffer) => chunks.push(chunk));
  await once(stream, "end");
  return Buffer.concat(chunks);
}

async function errorOf(stream: PortDuplex): Promise<string | undefined> {
  const [error] = stream.errored === null ? ((await once(stream, "close").catch((cause: unknown) => [cause])) as [unknown?]) : [];
  return ((stream.errored ?? error) as NodeJS.ErrnoException | undefined)?.code;
}

describe("a connection between two threads", () => {
  it("carries bytes whole and in order, each direction by itself", async () => {
    const [a, b] = pair();
    const [forth, back] = [randomBytes(3_000_000), randomBytes(700_000)];
    for (let at = 0; at < forth.length; at += 77_777) a.write(forth.subarray(at, at + 77_777));
    a.end();
    b.end(back);
    expect(Buffer.compare(await all(b), forth)).toBe(0);
    expect(Buffer.compare(await all(a), back)).toBe(0);
    expect([a.bytesWritten, a.bytesRead, b.bytesWritten, b.bytesRead]).toEqual([3_000_000, 700_000, 700_000, 3_000_000]);
    await expect.poll(() => [a.destroyed, b.destroyed]).toEqual([true, true]);
  });

  it("goes on in the other direction after one has ended", async () => {
    const [a, b] = pair();
    a.end("done");
    expect(String(await once(b, "data"))).toBe("done");
    await once(b, "end");
    b.write("still here");
    expect(String(await once(a, "data"))).toBe("still here");
    b.end();
    await once(a.resume(), "close");
  });

  it("stops the writer where nobody reads, and lets it go on when somebody does", async () => {
    const [a, b] = pair();
    const chunk = randomBytes(64 * 1024);
    let written = 0;
    const write = () => a.write(chunk, () => (written += chunk.length));
    for (let i = 0; i < 64; i++) write();
    await new Promise((resolve) => setTimeout(resolve, 100));
    // The window, and what the reader's own buffer holds.
    expect(written).toBeLessThanOrEqual(768 * 1024);
    a.end();
    expect((await all(b)).length).toBe(64 * chunk.length);
    expect(written).toBe(64 * chunk.length);
    b.destroy();
  });

  it("does not change what the writer's buffer shares with others", async () => {
    const [a, b] = pair();
    const shared = Buffer.from("one two");
    a.write(shared.subarray(0, 3));
    expect(String(await once(b, "data"))).toBe("one");
    expect(shared.toString()).toBe("one two");
    a.destroy();
  });

  it("resets the side whose other side goes away, whatever it was doing", async () => {
    const [a, b] = pair();
    b.destroy(new Error("given up"));
    expect(await errorOf(a)).toBe("ECONNRESET");
    const [c, d] = pair();
    for (let i = 0; i < 64; i++) c.write(randomBytes(64 * 1024));
    d.resetAndDestroy();
    expect(await errorOf(c)).toBe("ECONNRESET");
    const [e, f] = pair();
    for (let i = 0; i < 64; i++) f.write(randomBytes(64 * 1024));
    f.destroy();
    expect(await errorOf(e.resume())).toBe("ECONNRESET");
  });

  it("still gives what was said before the other side went, and fails what is written afterwards", async () => {
    const [a, b] = pair();
    b.end("bye");
    b.resume();
    await once(b, "finish");
    b.destroy();
    expect(String(await once(a, "data"))).toBe("bye");
    await once(a, "end");
    await new Promise((resolve) => setTimeout(resolve, 50));
    a.write("anybody?");
    expect(await errorOf(a)).toBe("EPIPE");
  });

  it("is an end where the other side is just dropped, as with a socket", async () => {
    const [a, b] = pair();
    b.destroy();
    a.resume();
    await once(a, "end");
    expect(a.errored).toBeNull();
  });
});

describe("a listener in the process", () => {
  it("gives the connections in the order in which they came, and resets those that are left", async () => {
    const listener = new InProcessListener();
    const clients = Array.from({ length: 3 }, () => {
      const { port1, port2 } = new MessageChannel();
      listener.connect(port1);
      return new PortDuplex(port2).on("error", () => {});
    });
    expect(listener.waiting).toBe(3);
    expect([listener.accept()?.remotePort, listener.accept()?.remotePort]).toEqual([1, 2]);
    listener.close();
    expect(await errorOf(clients[2]!)).toBe("ECONNRESET");
    const { port1, port2 } = new MessageChannel();
    listener.connect(port1);
    expect(await errorOf(new PortDuplex(port2))).toBe("ECONNRESET");
    for (const client of clients) client.destroy();
  });

  it("lets no more wait than a system would", async () => {
    const listener = new InProcessListener();
    for (let i = 0; i < 600; i++) listener.connect(new MessageChannel().port1);
    expect(listener.waiting).toBe(511);
    listener.close();
  });

  it("is at an address of its own, which has to be granted", async () => {
    expect(isInProcess(parseIpAddress("100::"), 1)).toBe(true);
    expect([
      isInProcess(parseIpAddress("100::1"), 1),
      isInProcess(parseIpAddress("100::"), 2),
      isInProcess(parseIpAddress("::1"), 1),
    ]).toEqual([false, false, false]);
    const at = { tag: "ipv6" as const, val: { port: 1, flowInfo: 0, address: [0x100, 0, 0, 0, 0, 0, 0, 0], scopeId: 0 } };
    const bind = async (options: ConstructorParameters<typeof HostInstance>[0]) => {
      const instance = new HostInstance(options);
      const sockets: Record<string, object> = instance.host.imports;
      const { createTcpSocket } = sockets["wasi:sockets/tcp-create-socket"] as {
        createTcpSocket(family: "ipv6"): { startBind(network: unknown, at: unknown): void };
      };
      const { instanceNetwork } = sockets["wasi:sockets/instance-network"] as { instanceNetwork(): unknown };
      const result = await witError(() => createTcpSocket("ipv6").startBind(instanceNetwork(), at));
      instance.dispose();
      return result;
    };
    expect(await bind({ inProcess: true })).toBe("access-denied");
    expect(await bind({ inProcess: true, grants: { listen: ["[100::]:1"] } })).toBe("no error");
    expect(await bind({ grants: { listen: ["[100::]:1"] } })).not.toBe("no error");
  });
});
