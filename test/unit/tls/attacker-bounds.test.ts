import { randomBytes } from "node:crypto";
import { beforeAll, describe, expect, test } from "vitest";
import { Transfer } from "../../../host/forward/transfer.ts";
import { TlsConnection } from "../../../host/tls/connection.ts";
import { HostileTls13 } from "../../support/hostile-tls13.ts";
import { makePki, type TestPki } from "../../support/pki.ts";
import { anchors, established, target, tlsHost } from "../../support/tls-over-tcp.ts";

/** What a peer can make a connection hold, and what it can make it lose. */

let pki: TestPki;
beforeAll(async () => {
  pki = await makePki({ leaf: { dns: ["server.test"] } });
});

const turn = () => new Promise((resolve) => setImmediate(resolve));

async function establishedClient(configure: (connection: TlsConnection) => void = () => {}): Promise<[TlsConnection, HostileTls13]> {
  const connection = new TlsConnection(
    tlsHost({ anchors: anchors(pki.root) }),
    { role: "client", points: new Set() },
    target("server.test"),
  );
  configure(connection);
  connection.start();
  const server = new HostileTls13(pki);
  connection.publicOutput.write(
    server.flight(
      connection.publicInput
        .read(1 << 20)
        .slice()
        .subarray(5),
    ),
  );
  await established(connection);
  return [connection, server];
}

describe("a peer that is cut off while nobody reads", () => {
  test.each([200_000, 262_144, 270_000, 300_000, 400_000])("has every byte read once, and then the truncation: %d", async (length) => {
    const [connection, server] = await establishedClient();
    const data = randomBytes(length);
    const records: Uint8Array[] = [];
    for (let at = 0; at < length; at += 16_000) records.push(server.seal(23, data.subarray(at, at + 16_000)));
    const wire = Buffer.concat(records);
    for (let at = 0; at < wire.length;) {
      const room = connection.publicOutput.capacity();
      if (room === 0) break;
      connection.publicOutput.write(wire.subarray(at, at + room));
      at += room;
      await turn();
    }
    connection.publicOutput.end();
    for (let i = 0; i < 10; i++) await turn();
    const read: Uint8Array[] = [];
    for (let i = 0; i < 200; i++) {
      const chunk = connection.privateInput.read(10_000);
      if (chunk.length > 0) read.push(chunk.slice());
      else if (connection.privateInput.state().tag !== "open") break;
      else await turn();
    }
    const all = Buffer.concat(read);
    expect(all.length).toBe(length);
    expect(all.equals(data)).toBe(true);
    expect(connection.privateInput.state()).toMatchObject({ tag: "failed" });
  });
});

describe("a connection that is not started", () => {
  test("holds a window of single bytes in little more than their number", () => {
    const connection = new TlsConnection(tlsHost(), { role: "server", points: new Set() });
    const before = process.memoryUsage().heapUsed;
    while (connection.publicOutput.capacity() > 0) connection.publicOutput.write(Uint8Array.of(7));
    // An object for each of 262,144 bytes takes 60 MB.
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(30e6);
    connection.terminate();
  });
});

describe("a peer that has its key updates answered and takes no answer", () => {
  test("is not read any more once a megabyte came to nothing, and is when it takes them", async () => {
    const [connection, server] = await establishedClient();
    let written = 0;
    let stopped = 0;
    while (stopped < 3 && written < 4e6) {
      const updates = Buffer.concat(Array.from({ length: 200 }, () => server.keyUpdate()));
      for (let at = 0; at < updates.length;) {
        const room = connection.publicOutput.capacity();
        if (room === 0) {
          await turn();
          stopped++;
          if (stopped === 3) break;
          continue;
        }
        const chunk = updates.subarray(at, at + room);
        connection.publicOutput.write(chunk);
        at += chunk.length;
        written += chunk.length;
      }
      await turn();
    }
    expect(stopped).toBe(3);
    // The two windows, and what may come to nothing.
    expect(written).toBeLessThan(2e6);
    let taken = 0;
    for (let i = 0; i < 100; i++) {
      taken += connection.publicInput.read(1 << 20).length;
      await turn();
    }
    expect(connection.publicOutput.capacity()).toBeGreaterThan(200_000);
    expect(taken).toBeGreaterThan(1e6);
  });

  test("data goes on being read while the answers are not taken", async () => {
    const [connection, server] = await establishedClient();
    const data = new Uint8Array(1000);
    let read = 0;
    for (let i = 0; i < 4000; i++) {
      if (i < 12) connection.privateOutput.write(new Uint8Array(Math.min(connection.privateOutput.capacity(), 40_000)));
      connection.publicOutput.write(server.seal(23, data));
      read += connection.privateInput.read(1 << 20).length;
      if (i % 50 === 0) await turn();
    }
    await turn();
    read += connection.privateInput.read(1 << 20).length;
    expect(connection.publicInput.available()).toBeGreaterThanOrEqual(256 * 1024);
    expect(read).toBe(4_000_000);
  });
});

test("thousands of connections that are forwarded one into the next all end with the first", async () => {
  const host = tlsHost({ maxConnections: 2000 });
  const chain = Array.from({ length: 2000 }, () => new TlsConnection(host, { role: "server", points: new Set() }));
  for (const [index, connection] of chain.entries()) {
    const next = chain[index + 1];
    const options = { limit: undefined, atEnd: "abort" as const, idleTimeout: undefined };
    if (next !== undefined) new Transfer(connection.privateInput, next.publicOutput, options).start();
  }
  chain[0]!.terminate();
  await expect.poll(() => host.connections).toBe(0);
  expect(chain.at(-1)!.outcome).toEqual({ tag: "err", val: { tag: "transport" } });
});
