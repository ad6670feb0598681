import { createServer, type AddressInfo } from "node:net";
import { connect, type ConnectionOptions } from "node:tls";
import { describe, expect, test } from "vitest";
import { type ClientHello, ClientHelloReader, parseClientHello } from "../../../src/wire/client-hello.ts";
import { latin1 } from "../../../src/wire/utf8.ts";
import { capturedHellos } from "../../support/captured-hellos.ts";
import * as build from "../../support/hello-bytes.ts";
import { expectWireError } from "../../support/wire-errors.ts";

const { helloBytes, records } = build;
const parse = (parts: build.HelloParts) => parseClientHello(helloBytes(parts));
const withExtension = (...added: [number, number[]][]) => helloBytes({ extensions: [...build.defaultExtensions(), ...added] });
const refuses = (parts: build.HelloParts, code: string, alert: number) => expectWireError(() => parse(parts), code, alert);
const refusesExtension = (type: number, data: number[], code: string, alert: number) =>
  refuses({ extensions: [[type, data]] }, code, alert);

/** The first bytes of a real client of Node's TLS library. */
async function nodeHello(options: ConnectionOptions): Promise<Uint8Array> {
  return await new Promise((resolve, reject) => {
    const server = createServer((socket) => {
      socket.on("error", () => {});
      const chunks: Buffer[] = [];
      socket.on("data", (chunk) => {
        chunks.push(Buffer.from(chunk));
        const bytes = Uint8Array.from(Buffer.concat(chunks));
        if (new ClientHelloReader().push(bytes) === "more") return;
        socket.destroy();
        server.close(() => resolve(bytes));
      });
    });
    server.on("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const port = (server.address() as AddressInfo).port;
      connect({ host: "127.0.0.1", port, ...options }).on("error", () => {});
    });
  });
}

function read(bytes: Uint8Array): ClientHello {
  const hello = new ClientHelloReader().push(bytes);
  if (hello === "more") throw new Error("the hello is not complete");
  return hello;
}

describe("hellos of real clients", () => {
  test("of node:tls: name in lower case, ALPN in order, versions, suites", async () => {
    const bytes = await nodeHello({ servername: "Example.COM", ALPNProtocols: ["h2", "http/1.1"], ciphers: "TLS_AES_128_GCM_SHA256" });
    const hello = read(bytes);
    expect(hello.serverName).toEqual({ tag: "dns", name: "example.com" });
    expect(hello.alpnIds.map(latin1)).toEqual(["h2", "http/1.1"]);
    expect(hello.protocolVersions).toContain(0x0304);
    expect(hello.cipherSuites).toContain(0x1301);
    expect(hello.cipherSuites).not.toContain(0x1302);
    expect(hello.groups).toContain(0x001d);
    expect(hello.groups).toEqual(expect.arrayContaining([...hello.keyShareGroups]));
    expect(hello.signatureSchemes).toContain(0x0403);
    expect(hello.encryptedClientHello).toBe(false);
    expect(hello.raw).toEqual(bytes.subarray(5));
  });

  test("of node:tls limited to TLS 1.2 without a name: the legacy version speaks", async () => {
    const hello = read(await nodeHello({ maxVersion: "TLSv1.2" }));
    expect(hello.serverName).toEqual({ tag: "none" });
    expect(hello.protocolVersions).toEqual([0x0303]);
    expect(hello.keyShareGroups).toEqual([]);
    expect(hello.alpnIds).toEqual([]);
  });

  test.each([
    ["openssl13", "openssl.example", 0x0304],
    ["openssl12", undefined, 0x0303],
    ["curl", "curl.example", 0x0304],
    ["curl12", "curl.example", 0x0303],
    ["python", "python.example", 0x0304],
    ["go", "go.example", 0x0304],
  ] as const)("of %s", (client, name, version) => {
    const hello = read(capturedHellos[client]);
    expect(hello.serverName).toEqual(name === undefined ? { tag: "none" } : { tag: "dns", name });
    expect(hello.protocolVersions[0]).toBe(version);
  });
});

describe("ClientHelloReader", () => {
  test("reads the same hello from any segments and any records", () => {
    const whole = read(capturedHellos.curl);
    for (const recordSize of [1, 2, 3, 50, 511, 512]) {
      const stream = records(whole.raw, recordSize);
      for (const segment of [1, 4, 6, 100, stream.length]) {
        const reader = new ClientHelloReader();
        let hello: ClientHello | "more" = "more";
        for (let at = 0; at < stream.length; at += segment) {
          expect(hello).toBe("more");
          hello = reader.push(stream.slice(at, at + segment));
        }
        expect(hello).toEqual(whole);
        expect(reader.received()).toEqual(stream);
      }
    }
  });

  test("keeps what followed the hello in a record of its own", () => {
    const reader = new ClientHelloReader();
    const stream = Uint8Array.from([...capturedHellos.go, 20, 3, 3, 0, 1, 1]);
    expect(reader.push(stream)).not.toBe("more");
    expect(reader.received()).toEqual(stream);
  });

  test("asks for more before the last byte", () => {
    expect(new ClientHelloReader().push(capturedHellos.go.slice(0, -1))).toBe("more");
    expect(new ClientHelloReader().push(new Uint8Array(0))).toBe("more");
  });

  const refusesBytes = (bytes: Uint8Array, code: string, alert: number) =>
    expectWireError(() => new ClientHelloReader().push(bytes), code, alert);

  test("refuses plain HTTP and SSL 2.0", () => {
    refusesBytes(Uint8Array.from(build.ascii("GET / HTTP/1.1\r\n")), "not-tls", 10);
    refusesBytes(Uint8Array.of(0x80, 0x2e, 0x01, 0x03, 0x01), "not-tls", 70);
  });

  test("refuses a record that is no handshake", () => {
    refusesBytes(Uint8Array.of(21, 3, 3, 0, 2, 2, 40), "unexpected-record", 10);
    refusesBytes(Uint8Array.of(20, 3, 3, 0, 1, 1), "unexpected-record", 10);
  });

  test("refuses an empty handshake record", () => refusesBytes(Uint8Array.of(22, 3, 1, 0, 0), "unexpected-record", 10));
  test("refuses a record past 16 KiB", () => refusesBytes(Uint8Array.of(22, 3, 1, 0x40, 0x01), "record-overflow", 22));
  test("refuses another message by its first byte", () => refusesBytes(Uint8Array.of(22, 3, 1, 0, 1, 2), "unexpected-message", 10));
  test("refuses a message past 64 KiB by its header", () => {
    refusesBytes(Uint8Array.of(22, 3, 1, 0, 4, 1, 1, 0, 1), "message-too-long", 47);
  });

  test("refuses another record type inside the hello", () => {
    const hello = helloBytes();
    refusesBytes(Uint8Array.from([...records(hello.subarray(0, 20)), 20, 3, 3, 0, 1, 1]), "unexpected-record", 10);
  });

  test("refuses bytes after the hello in its record", () => {
    refusesBytes(records(Uint8Array.from([...helloBytes(), 1])), "unexpected-message", 10);
  });

  test("refuses a hello of 64 KiB in records of one byte: the headers outweigh it", () => {
    const hello = helloBytes({ extensions: [...build.defaultExtensions(), [21, Array<number>(65_000).fill(0)]] });
    const reader = new ClientHelloReader();
    expectWireError(
      () => {
        const stream = records(hello, 1);
        for (let at = 0; at < stream.length; at += 997) reader.push(stream.subarray(at, at + 997));
      },
      "message-too-long",
      47,
    );
    expect(reader.received().length).toBeLessThan(0x4_0000 + 1000);
    expect(read(records(hello, 1000)).raw).toEqual(hello);
  });
});

describe("parseClientHello", () => {
  test("keeps GREASE and the client's order", () => {
    const hello = parse({
      suites: [0x0a0a, 0x1302, 0x1301],
      extensions: [
        [0x1a1a, []],
        build.supportedVersions(0x2a2a, 0x0304, 0x0303),
        build.groups(0x3a3a, 0x11ec, 0x001d),
        build.keyShare(0x3a3a, 0x11ec),
        [0xfe0d, [0, 1]],
      ],
    });
    expect(hello.cipherSuites).toEqual([0x0a0a, 0x1302, 0x1301]);
    expect(hello.protocolVersions).toEqual([0x2a2a, 0x0304, 0x0303]);
    expect(hello.groups).toEqual([0x3a3a, 0x11ec, 0x001d]);
    expect(hello.keyShareGroups).toEqual([0x3a3a, 0x11ec]);
    expect(hello.encryptedClientHello).toBe(true);
    expect(hello.extensions[0]).toEqual({ type: 0x1a1a, data: new Uint8Array(0) });
  });

  test("takes a hello without extensions", () => {
    const hello = parse({ noExtensions: true, legacyVersion: 0x0302 });
    expect(hello.protocolVersions).toEqual([0x0302]);
    expect(hello.extensions).toEqual([]);
  });

  test("lets the legacy version speak for TLS 1.2 at most", () => {
    expect(parse({ legacyVersion: 0x0304, extensions: [] }).protocolVersions).toEqual([0x0303]);
  });

  test("sees pre-shared keys and early data", () => {
    const hello = parseClientHello(withExtension([42, []], build.preSharedKey()));
    expect([hello.hasPreSharedKey, hello.hasEarlyData]).toEqual([true, true]);
    expect(parse({}).hasPreSharedKey).toBe(false);
  });

  test("takes an empty list of key shares, which asks for a retry", () => {
    expect(parse({ extensions: [build.keyShare()] }).keyShareGroups).toEqual([]);
  });

  test.each([
    ["an IPv4 literal", "127.0.0.1"],
    ["an IPv6 literal", "::1"],
    ["a trailing dot", "example.com."],
    ["an underscore", "a_b.example"],
    ["a NUL", "a.example\0.b.example"],
    ["a non-ASCII byte", "b\u00fccher.example"],
    ["254 characters", `${"a".repeat(63)}.`.repeat(3) + "b".repeat(62)],
  ])("keeps a server name with %s as bytes", (_, name) => {
    expect(parse({ extensions: [build.serverName(name)] }).serverName).toEqual({
      tag: "invalid",
      bytes: Uint8Array.from(build.ascii(name)),
    });
  });

  test("refuses every hello that is cut short or has a byte too many", () => {
    const hello = helloBytes();
    for (let end = 0; end < hello.length; end++) expectWireError(() => parseClientHello(hello.subarray(0, end)), "malformed-message", 50);
    expectWireError(() => parseClientHello(Uint8Array.from([...hello, 0])), "malformed-message", 50);
    refuses({ trailing: [0] }, "malformed-message", 50);
    refuses({ noExtensions: true, trailing: [0] }, "malformed-message", 50);
  });

  test("refuses another message", () => refuses({ type: 2 }, "unexpected-message", 10));
  test("refuses another protocol family", () => refuses({ legacyVersion: 0xfefd }, "unsupported-version", 70));
  test("refuses a session id past 32 bytes", () => refuses({ sessionId: Array<number>(33).fill(1) }, "malformed-message", 50));
  test("refuses an empty list of suites", () => refuses({ suites: [] }, "malformed-message", 50));
  test("refuses an empty list of compression methods", () => refuses({ compression: [] }, "malformed-message", 50));
  test("refuses compression methods without null", () => refuses({ compression: [1] }, "illegal-parameter", 47));
  test("refuses compression beside null in TLS 1.3 and takes it in TLS 1.2", () => {
    refuses({ compression: [1, 0] }, "illegal-parameter", 47);
    expect(parse({ compression: [1, 0], extensions: [] }).compressionMethods).toEqual(Uint8Array.of(1, 0));
  });
  test("refuses an odd number of suite bytes", () => {
    const hello = helloBytes({ suites: [0x1301] });
    hello[4 + 2 + 32 + 1 + 1] = 3;
    expectWireError(() => parseClientHello(hello), "malformed-message", 50);
  });

  test("refuses an extension that appears twice, known or not", () => {
    refuses({ extensions: [build.alpn("h2"), build.alpn("h2")] }, "illegal-parameter", 47);
    refuses(
      {
        extensions: [
          [9999, []],
          [9999, []],
        ],
      },
      "illegal-parameter",
      47,
    );
  });
  test("refuses a group that has two keys", () => refuses({ extensions: [build.keyShare(29, 29)] }, "illegal-parameter", 47));
  test("refuses an empty key", () => refusesExtension(51, [0, 4, 0, 29, 0, 0], "malformed-message", 50));
  test("refuses pre_shared_key that is not the last", () => {
    refuses({ extensions: [build.preSharedKey(), build.alpn("h2")] }, "illegal-parameter", 47);
  });
  test("refuses pre_shared_key without binders", () => refusesExtension(41, [0, 7, 0, 1, 1, 0, 0, 0, 0], "malformed-message", 50));
  test("refuses early_data with content", () => refusesExtension(42, [0], "malformed-message", 50));

  test("refuses malformed server names", () => {
    refusesExtension(0, [], "malformed-message", 50);
    refusesExtension(0, [0, 0], "malformed-message", 50);
    refusesExtension(0, [0, 3, 0, 0, 0], "malformed-message", 50);
    refusesExtension(0, [0, 4, 1, 0, 1, 97], "malformed-message", 50);
    refusesExtension(0, [0, 4, 0, 0, 2, 97], "malformed-message", 50);
    refusesExtension(0, [0, 4, 0, 0, 1, 97, 0], "malformed-message", 50);
    refusesExtension(0, [0, 8, 0, 0, 1, 97, 0, 0, 1, 98], "illegal-parameter", 47);
  });

  test("refuses malformed ALPN", () => {
    refusesExtension(16, [0, 0], "malformed-message", 50);
    refusesExtension(16, [0, 1, 0], "malformed-message", 50);
    refusesExtension(16, [0, 3, 1, 97, 0], "malformed-message", 50);
    refusesExtension(16, [0, 3, 3, 97, 98], "malformed-message", 50);
    refusesExtension(16, [0, 2, 1, 97, 0], "malformed-message", 50);
  });

  test("refuses lists that are empty or odd", () => {
    for (const type of [10, 13]) {
      refusesExtension(type, [0, 0], "malformed-message", 50);
      refusesExtension(type, [0, 3, 0, 29, 0], "malformed-message", 50);
      refusesExtension(type, [0, 2, 0, 29, 0], "malformed-message", 50);
    }
    refusesExtension(43, [0], "malformed-message", 50);
    refusesExtension(43, [3, 3, 4, 3], "malformed-message", 50);
    refusesExtension(43, [2, 3, 4, 3], "malformed-message", 50);
  });
});
