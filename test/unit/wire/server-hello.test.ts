import { type AddressInfo, connect as connectTcp, createServer as createTcpServer } from "node:net";
import { connect, createServer, type TlsOptions } from "node:tls";
import { describe, expect, test } from "vitest";
import { ClientHelloReader } from "../../../src/wire/client-hello.ts";
import { HandshakeReader, handshakeType } from "../../../src/wire/handshake.ts";
import { contentType, RecordReader } from "../../../src/wire/record.ts";
import { sameHello } from "../../../src/wire/same-hello.ts";
import { parseServerHello, serverKeyExchangeGroup } from "../../../src/wire/server-hello.ts";
import * as build from "../../support/hello-bytes.ts";
import { makePki } from "../../support/pki.ts";
import { expectWireError } from "../../support/wire-errors.ts";

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");

/** What both sides of a real handshake sent, and what the client negotiated. */
async function handshake(options: TlsOptions) {
  const pki = await makePki();
  const server = createServer({ key: pki.leaf.keyPem, cert: pki.chainPem, ...options });
  server.on("secureConnection", (socket) => socket.on("error", () => {}).end());
  const sent = { client: [] as Buffer[], server: [] as Buffer[] };
  const tap = createTcpServer((inner) => {
    const outer = connectTcp((server.address() as AddressInfo).port, "127.0.0.1");
    inner.on("data", (chunk) => sent.client.push(Buffer.from(chunk))).pipe(outer);
    outer.on("data", (chunk) => sent.server.push(Buffer.from(chunk))).pipe(inner);
    for (const socket of [inner, outer]) socket.on("error", () => {});
  });
  for (const listener of [server, tap]) await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
  const result = await new Promise<{ version: string | null; cipher: string }>((resolve, reject) => {
    const socket = connect({ port: (tap.address() as AddressInfo).port, host: "127.0.0.1", servername: "localhost", ca: pki.root.pem });
    socket.on("error", reject).on("secureConnect", () => {
      resolve({ version: socket.getProtocol(), cipher: socket.getCipher().standardName });
      socket.destroy();
    });
  });
  for (const listener of [server, tap]) await new Promise((resolve) => listener.close(resolve));
  return { ...result, client: Uint8Array.from(Buffer.concat(sent.client)), server: Uint8Array.from(Buffer.concat(sent.server)) };
}

/** The plaintext handshake messages of a stream. */
function messages(stream: Uint8Array) {
  const records = new RecordReader();
  const reader = new HandshakeReader();
  const found: { type: number; bytes: Uint8Array }[] = [];
  records.push(stream);
  for (let record = records.next(); record !== undefined; record = records.next()) {
    if (record.contentType === contentType.applicationData) break;
    if (record.contentType === contentType.changeCipherSpec && found.some(({ type }) => type === handshakeType.serverHelloDone)) break;
    reader.push(record);
    for (let next = reader.next(); next !== undefined; next = reader.next()) found.push(next);
  }
  return found;
}

describe("servers of node:tls", () => {
  test("TLS 1.3: version, suite and group", async () => {
    const run = await handshake({ minVersion: "TLSv1.3", ecdhCurve: "X25519", ciphers: "TLS_AES_256_GCM_SHA384" });
    const [first] = messages(run.server);
    expect(run).toMatchObject({ version: "TLSv1.3", cipher: "TLS_AES_256_GCM_SHA384" });
    expect(parseServerHello(first!.bytes)).toMatchObject({
      version: 0x0304,
      cipherSuite: 0x1302,
      group: 0x001d,
      isHelloRetryRequest: false,
    });
  });

  test("TLS 1.3 with a retry: the request names the group, and the second hello is the same", async () => {
    const run = await handshake({ minVersion: "TLSv1.3", ecdhCurve: "P-384" });
    const found = messages(run.server);
    expect(found.map(({ bytes }) => parseServerHello(bytes)).map(({ group, isHelloRetryRequest }) => [group, isHelloRetryRequest])).toEqual(
      [
        [0x0018, true],
        [0x0018, false],
      ],
    );
    const records = new RecordReader();
    records.push(run.client);
    const first = new ClientHelloReader().push(records.next()!.bytes);
    let second = records.next()!;
    if (second.contentType === contentType.changeCipherSpec) second = records.next()!;
    const again = new ClientHelloReader().push(second.bytes);
    if (first === "more" || again === "more") throw new Error("a hello is not complete");
    expect(hex(first.raw)).not.toBe(hex(again.raw));
    expect(again.keyShareGroups).toEqual([0x0018]);
    expect(sameHello(first, again)).toBeUndefined();
  });

  test("TLS 1.2: the curve is in the key exchange", async () => {
    const run = await handshake({ maxVersion: "TLSv1.2", ecdhCurve: "P-256", ciphers: "ECDHE-ECDSA-AES128-GCM-SHA256" });
    const found = messages(run.server);
    const serverHello = parseServerHello(found.find(({ type }) => type === handshakeType.serverHello)!.bytes);
    expect(serverHello).toMatchObject({ version: 0x0303, cipherSuite: 0xc02b, group: undefined, isHelloRetryRequest: false });
    expect(serverKeyExchangeGroup(found.find(({ type }) => type === handshakeType.serverKeyExchange)!.bytes)).toBe(0x0017);
  });
});

const serverHello = (parts: { version?: number; compression?: number; sessionId?: number[]; extensions?: [number, number[]][] } = {}) =>
  Uint8Array.from([
    2,
    ...build.vector(3, [
      ...build.u16(parts.version ?? 0x0303),
      ...Array<number>(32).fill(9),
      ...build.vector(1, parts.sessionId ?? [1, 2]),
      ...build.u16(0x1301),
      parts.compression ?? 0,
      ...(parts.extensions === undefined
        ? []
        : build.vector(
            2,
            parts.extensions.flatMap(([type, data]) => [...build.u16(type), ...build.vector(2, data)]),
          )),
    ]),
  ]);

describe("parseServerHello", () => {
  test("passes over extensions that it does not know", () => {
    const hello = parseServerHello(
      serverHello({
        extensions: [
          [9999, [1]],
          [43, [3, 4]],
          [0x1a1a, []],
        ],
      }),
    );
    expect(hello).toMatchObject({
      version: 0x0304,
      cipherSuite: 0x1301,
      group: undefined,
      isHelloRetryRequest: false,
      sessionId: Uint8Array.of(1, 2),
    });
  });
  test("refuses compression", () => expectWireError(() => parseServerHello(serverHello({ compression: 1 })), "illegal-parameter", 47));
  test("refuses an extension that appears twice", () => {
    expectWireError(
      () =>
        parseServerHello(
          serverHello({
            extensions: [
              [5, []],
              [5, []],
            ],
          }),
        ),
      "illegal-parameter",
      47,
    );
  });
  test("refuses another family of versions", () => {
    expectWireError(() => parseServerHello(serverHello({ version: 0x0200 })), "unsupported-version", 70);
  });
  test("refuses a session id past 32 bytes", () => {
    expectWireError(() => parseServerHello(serverHello({ sessionId: Array<number>(33).fill(1) })), "malformed-message", 50);
  });
  test("refuses malformed versions and key shares", () => {
    for (const extension of [
      [43, [3]],
      [43, [3, 4, 0]],
      [51, [0, 29]],
      [51, [0, 29, 0, 0]],
      [51, [0, 29, 0, 1, 1, 1]],
    ] as [number, number[]][]) {
      expectWireError(() => parseServerHello(serverHello({ extensions: [extension] })), "malformed-message", 50);
    }
  });
  test("refuses every message that is cut short", () => {
    const whole = serverHello({ extensions: [[43, [3, 4]]] });
    for (let end = 0; end < whole.length; end++) expectWireError(() => parseServerHello(whole.subarray(0, end)), "malformed-message", 50);
  });
  test("refuses another message", () => expectWireError(() => parseServerHello(build.helloBytes()), "unexpected-message", 10));
});

describe("serverKeyExchangeGroup", () => {
  const exchange = (...body: number[]) => Uint8Array.from([12, ...build.vector(3, body)]);
  test("is undefined for a curve that is not named", () => expect(serverKeyExchangeGroup(exchange(1, 0, 23, 1, 4))).toBeUndefined());
  test("refuses a missing or cut public key", () => {
    for (const body of [[], [3], [3, 0], [3, 0, 23], [3, 0, 23, 0], [3, 0, 23, 2, 4]]) {
      expectWireError(() => serverKeyExchangeGroup(exchange(...body)), "malformed-message", 50);
    }
  });
  test("refuses another message", () => expectWireError(() => serverKeyExchangeGroup(serverHello()), "unexpected-message", 10));
});
