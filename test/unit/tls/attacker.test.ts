import { Duplex } from "node:stream";
import tls from "node:tls";
import { beforeAll, describe, expect, test } from "vitest";
import { TlsConnection } from "../../../host/tls/connection.ts";
import type { Point } from "../../../host/tls/phase.ts";
import type { TlsHost } from "../../../host/tls/tls-host.ts";
import { HostileTls13, record } from "../../support/hostile-tls13.ts";
import { makePki, type TestPki } from "../../support/pki.ts";
import { anchors, established, keyPair, outcomeOf, suspended, target, tlsHost, until } from "../../support/tls-over-tcp.ts";

/** Peers that break the protocol on purpose, over memory: the test is the network. */

let pki: TestPki;
let mallory: TestPki;
let clientPki: TestPki;
beforeAll(async () => {
  pki = await makePki({ leaf: { dns: ["server.test"] } });
  mallory = await makePki({ leaf: { dns: ["server.test"] } });
  clientPki = await makePki({ leaf: { cn: "client", eku: ["1.3.6.1.5.5.7.3.2"] } });
});

function client(host: TlsHost, points: Point[] = []): TlsConnection {
  return new TlsConnection(host, { role: "client", points: new Set(points) }, target("server.test"));
}

/** What is on its way to the network. */
function sent(connection: TlsConnection): Uint8Array {
  return connection.publicInput.read(1 << 20).slice();
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

describe("a server that nobody trusts", () => {
  test("leaves no session behind that would stand in for a certificate the next time", async () => {
    const host = tlsHost({ anchors: anchors(pki.root) });
    const first = client(host);
    first.start();
    const server = new HostileTls13(mallory);
    const flight = server.flight(sent(first).subarray(5));
    const ticket = server.ticket();
    // Behind its Finished, before it has ours: nothing but manners keeps a server from that.
    first.publicOutput.write(Buffer.concat([flight, ticket.record]));
    expect(await outcomeOf(first)).toMatchObject({ tag: "err", val: { tag: "certificate" } });

    const second = client(host);
    second.start();
    const hello = sent(second).subarray(5);
    second.publicOutput.write(new HostileTls13(mallory).flight(hello, ticket.psk));
    await until(second, () => second.pointsPassed);
    expect(second.phase.tag).toBe("ended");
  });

  test("a server that is trusted is resumed", async () => {
    const host = tlsHost({ anchors: anchors(pki.root) });
    const first = client(host);
    first.start();
    const server = new HostileTls13(pki);
    const flight = server.flight(sent(first).subarray(5));
    const ticket = server.ticket();
    first.publicOutput.write(Buffer.concat([flight, ticket.record]));
    await established(first);
    const second = client(host);
    second.start();
    second.publicOutput.write(new HostileTls13(pki).flight(sent(second).subarray(5), ticket.psk));
    await established(second);
    expect(second.info()?.sessionReused).toBe(true);
  });
});

describe("a server of TLS 1.2 that breaks off before it was judged", () => {
  test.each([
    ["a record that is no TLS message", record(22, Uint8Array.of(99, 0, 0, 0))],
    ["a fatal alert", Uint8Array.of(21, 3, 3, 0, 2, 2, 80)],
    ["an early change of cipher and garbage", Buffer.concat([record(20, Uint8Array.of(1)), record(22, new Uint8Array(40))])],
  ])("gets no client certificate and no Finished: %s", async (_, rest) => {
    const connection = client(tlsHost({ anchors: anchors(pki.root) }));
    connection.settings.identities = [keyPair(clientPki)];
    connection.settings.maximumVersion = 0x0303;
    connection.start();
    const flight = await firstFlightOf(mallory, sent(connection), { maxVersion: "TLSv1.2", requestCert: true });
    // As from a socket: what node:tls tells in its next tick comes before our microtask.
    setImmediate(() => connection.publicOutput.write(Buffer.concat([flight, rest])));
    await outcomeOf(connection);
    await turn();
    expect(recordTypes(sent(connection)).filter((type) => type !== 21)).toEqual([]);
  });
});

test("an alert that comes with a server's flight is told as the alert, whoever carries the bytes", async () => {
  const connection = client(tlsHost({ anchors: anchors(pki.root) }));
  connection.settings.maximumVersion = 0x0303;
  connection.start();
  const flight = await firstFlightOf(pki, sent(connection), {});
  await Promise.resolve();
  connection.publicOutput.write(Buffer.concat([flight, Uint8Array.of(21, 3, 3, 0, 2, 2, 80)]));
  expect(await outcomeOf(connection)).toEqual({ tag: "err", val: { tag: "alert-received", val: 80 } });
});

describe("a server of TLS 1.3 that goes on before it was judged", () => {
  test.each([
    ["garbage under its key", (server: HostileTls13) => server.seal(22, Uint8Array.of(99, 0, 0, 0))],
    ["a record that does not open", () => record(23, new Uint8Array(40))],
    ["a fatal alert", (server: HostileTls13) => server.seal(21, Uint8Array.of(2, 80))],
    ["data", (server: HostileTls13) => server.seal(23, Buffer.from("data"))],
    ["close_notify", (server: HostileTls13) => server.seal(21, Uint8Array.of(1, 0))],
    [
      "a request for a certificate",
      (server: HostileTls13) => server.seal(22, Buffer.from("0d00000b00000800 0d00040002 0403".replaceAll(" ", ""), "hex")),
    ],
    ["updates of its key", (server: HostileTls13) => Buffer.concat(Array.from({ length: 50 }, () => server.keyUpdate()))],
    ["a plaintext alert", () => record(21, Uint8Array.of(2, 80))],
  ])("gets no flight and no more than one alert: %s", async (_, rest) => {
    const connection = client(tlsHost({ anchors: anchors(pki.root) }));
    connection.settings.identities = [keyPair(clientPki)];
    connection.start();
    const server = new HostileTls13(mallory);
    const flight = server.flight(sent(connection).subarray(5));
    setImmediate(() => connection.publicOutput.write(Buffer.concat([flight, rest(server)])));
    expect(await outcomeOf(connection)).toMatchObject({ tag: "err" });
    await turn();
    const output = sent(connection);
    expect(connection.privateInput.available()).toBe(0);
    expect(recordTypes(output).filter((type) => type !== 20).length).toBeLessThanOrEqual(1);
    if (output.length > 0) expect(server.open(output).contentType).toBe(21);
  });
});

describe("a client that sends its second hello before it was asked for one", () => {
  const hellos = async (alter: (second: Buffer) => void) => {
    const asks = retrying();
    const wire = new Wire();
    const peer = tls.connect({ socket: wire, servername: "server.test", ca: pki.root.pem, ecdhCurve: "X25519:P-384" });
    peer.on("error", () => {});
    const chunks: Uint8Array[] = [];
    wire.written = (bytes) => {
      chunks.push(bytes);
      asks.publicOutput.write(bytes);
    };
    for (let i = 0; i < 5; i++) await turn();
    wire.flush();
    wire.push(sent(asks));
    wire.written = (bytes) => chunks.push(bytes);
    for (let i = 0; i < 5; i++) await turn();
    peer.destroy();
    asks.terminate();
    const second = Buffer.concat(chunks.slice(1));
    alter(second);
    return Buffer.concat([chunks[0]!, second]);
  };

  test("is refused with alert 47 if that has another server name", async () => {
    const both = await hellos((second) => second.write("serves.test", second.indexOf("server.test"), "latin1"));
    const connection = retrying();
    connection.publicOutput.write(both);
    for (let i = 0; i < 5; i++) await turn();
    expect(connection.outcome).toEqual({ tag: "err", val: { tag: "alert-sent", val: 47 } });
  });

  test("is answered if it is the same", async () => {
    const both = await hellos(() => {});
    const connection = retrying();
    connection.publicOutput.write(both);
    for (let i = 0; i < 5; i++) await turn();
    expect(connection.outcome).toBeUndefined();
    expect(recordTypes(sent(connection))).toContain(23);
  });

  function retrying(): TlsConnection {
    const connection = new TlsConnection(tlsHost(), { role: "server", points: new Set() });
    connection.settings.identities = [keyPair(pki)];
    connection.settings.groups = [0x18];
    connection.start();
    return connection;
  }
});

describe("a client of TLS 1.2 that breaks off before it was judged", () => {
  test.each(["optional", "required"] as const)("sees no Finished and is never taken for one without a certificate: %s", async (mode) => {
    const connection = new TlsConnection(tlsHost(), { role: "server", points: new Set<Point>(["done"]) });
    connection.settings.identities = [keyPair(pki)];
    connection.settings.clientCertificate = mode;
    connection.settings.anchors = anchors(pki.root);
    connection.settings.maximumVersion = 0x0303;
    connection.start();
    const wire = new Wire();
    const peer = tls.connect({
      socket: wire,
      servername: "server.test",
      ca: pki.root.pem,
      key: clientPki.leaf.keyPem,
      cert: clientPki.chainPem,
    });
    peer.on("error", () => {});
    for (let i = 0; i < 5; i++) await turn();
    wire.written = (bytes) => connection.publicOutput.write(bytes);
    wire.flush();
    await turn();
    const chunks: Uint8Array[] = [];
    wire.written = (bytes) => chunks.push(bytes);
    wire.push(sent(connection));
    for (let i = 0; i < 5; i++) await turn();
    let wasDone = false;
    connection.changed.listen(() => (wasDone ||= connection.canSuspend));
    // As from a guest, whose turn is a microtask: what node:tls tells in its next tick comes after ours.
    await Promise.resolve();
    connection.publicOutput.write(Buffer.concat([...chunks, record(22, new Uint8Array(40))]));
    expect(await outcomeOf(connection)).toMatchObject({ tag: "err" });
    await turn();
    expect(recordTypes(sent(connection)).filter((type) => type !== 21)).toEqual([]);
    expect(wasDone).toBe(false);
    peer.destroy();
  });
});

describe("a server that has let its client in over TLS 1.3", () => {
  test("never seals an alert under a number that a ticket had", async () => {
    const host = tlsHost();
    const connection = new TlsConnection(host, { role: "server", points: new Set<Point>(["done"]) });
    connection.settings.identities = [keyPair(pki)];
    connection.settings.clientCertificate = "required";
    connection.settings.anchors = anchors(clientPki.root);
    connection.start();
    const transport = new Wire();
    const peer = tls.connect({
      socket: transport,
      servername: "server.test",
      ca: pki.root.pem,
      key: clientPki.leaf.keyPem,
      cert: clientPki.chainPem,
      minVersion: "TLSv1.3",
    });
    const errors: string[] = [];
    peer.on("error", (error: NodeJS.ErrnoException) => errors.push(error.code ?? error.message));
    connection.publicInput.changed.listen(() => transport.push(sent(connection)));
    transport.written = (bytes) => connection.publicOutput.write(bytes);
    transport.push(sent(connection));
    transport.flush();
    expect(await suspended(connection)).toBe("done");
    await turn();
    connection.abort(42);
    await turn();
    await turn();
    expect(errors.filter((code) => /BAD_RECORD_MAC|DECRYPTION/.test(code))).toEqual([]);
    peer.destroy();
  });
});

/** What a server of node:tls answers to a hello, up to where it waits. */
async function firstFlightOf(identity: TestPki, hello: Uint8Array, options: tls.TLSSocketOptions): Promise<Uint8Array> {
  const wire = new Wire();
  const chunks: Uint8Array[] = [];
  wire.written = (bytes) => chunks.push(bytes);
  const server = new tls.TLSSocket(wire, {
    isServer: true,
    secureContext: tls.createSecureContext({ key: identity.leaf.keyPem, cert: identity.chainPem, maxVersion: "TLSv1.2" }),
    ...options,
  });
  server.on("error", () => {});
  wire.push(hello);
  for (let i = 0; i < 5; i++) await turn();
  server.destroy();
  return Buffer.concat(chunks);
}

/** A transport whose other end is the test. */
class Wire extends Duplex {
  written: ((bytes: Uint8Array) => void) | undefined;
  #early: Uint8Array[] = [];

  override _read(): void {}

  override _write(chunk: Uint8Array, _encoding: string, done: () => void): void {
    if (this.written === undefined) this.#early.push(chunk);
    else this.written(chunk.slice());
    done();
  }

  flush(): void {
    for (const chunk of this.#early.splice(0)) this.written?.(chunk);
  }
}

function recordTypes(bytes: Uint8Array): number[] {
  const types: number[] = [];
  for (let at = 0; at < bytes.length; at += 5 + ((bytes[at + 3]! << 8) | bytes[at + 4]!)) types.push(bytes[at]!);
  return types;
}
