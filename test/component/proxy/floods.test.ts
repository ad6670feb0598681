import { once } from "node:events";
import net from "node:net";
import { Duplex } from "node:stream";
import tls from "node:tls";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { KeyPair } from "../../../host/identity/private-identity.ts";
import { groups, helloBytes, schemes, serverName, supportedVersions, vector } from "../../support/hello-bytes.ts";
import { HostileTls13 } from "../../support/hostile-tls13.ts";
import { httpsServer, tcpServer, type TestServer, tlsServer } from "../../support/https-servers.ts";
import { makePki, type TestPki } from "../../support/pki.ts";
import { connectThrough, startProxy, type TestProxy, through, TOKEN } from "../../support/proxy.ts";
import { SealedRecords } from "../../support/sealed-records.ts";

/** Peers that give too much, or too slowly, at each phase: they lose what is theirs, it is recorded, and nobody else notices. */
let pki: TestPki;
let server: TestServer;
/** Answers with a head and no more. */
let stalling: TestServer;
let proxy: TestProxy;

beforeAll(async () => {
  pki = await makePki({ leaf: { dns: ["a.test", "ruled.test"] }, intermediates: 0 });
  server = await httpsServer(pki, (request, response) => {
    request.resume();
    request.on("end", () => response.end("fine"));
  });
  stalling = await tlsServer(pki, (socket) => {
    socket.once("data", () => socket.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"));
  });
  proxy = await startProxy({
    policy: {
      version: 1,
      ports: [server.port, stalling.port],
      allow_networks: ["127.0.0.0/8"],
      anchors: { test: "test.pem" },
      hosts: [
        { match: ["a.test"], mode: "intercept", upstream: { anchors: ["test"] } },
        { match: ["ruled.test"], mode: "intercept", upstream: { anchors: ["test"] }, requests: { default: "allow" } },
      ],
      timeouts: { head_seconds: 1, handshake_seconds: 1, idle_seconds: 1 },
      limits: { head_bytes: 4096, connections: 60, leaf_cache: 8 },
    },
    anchors: { test: pki.root.pem },
    permit: { names: ["a.test", "ruled.test"] },
    names: { "a.test": ["127.0.0.1"], "ruled.test": ["127.0.0.1"], "sub.a.test": ["127.0.0.1"] },
  });
});
afterAll(async () => {
  await proxy[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
  await stalling[Symbol.asyncDispose]();
  expect(proxy.stderr()).toBe("");
});

async function stillServes(): Promise<void> {
  expect((await through(proxy, `a.test:${server.port}`, { ca: proxy.ca })).text).toContain("fine");
}

/** However it ends. */
const closed = (socket: net.Socket) => new Promise<void>((resolve) => socket.on("error", () => {}).once("close", () => resolve()));
/** Its number in the records. */
async function numberOf({ localPort }: net.Socket): Promise<unknown> {
  return (await proxy.recorded(({ event, client }) => event === "connection" && client === `127.0.0.1:${localPort}`)).connection;
}
/** The record of the end of the connection that was decided on last. */
async function lastEnd(): Promise<Record<string, unknown>> {
  const { connection } = proxy.said("connection").at(-1)!;
  return await proxy.recorded((record) => record.event === "ended" && record.by === "component" && record.connection === connection);
}

async function intercepted(host: string, port = server.port): Promise<{ connection: tls.TLSSocket; socket: net.Socket }> {
  const { socket } = await connectThrough(proxy, `${host}:${port}`);
  const connection = tls.connect({ socket, servername: host, ca: proxy.ca, ALPNProtocols: ["http/1.1"] });
  await once(connection, "secureConnect");
  return { connection, socket };
}

/** A share that a server can go on with. */
const X25519_SHARE: [number, number[]] = [
  51,
  vector(2, [
    0,
    0x1d,
    ...vector(
      2,
      Array.from({ length: 32 }, (_, index) => index + 1),
    ),
  ]),
];

const hello = (host: string) => {
  const extensions = [serverName(host), supportedVersions(0x0304), groups(0x001d), schemes(0x0403), X25519_SHARE];
  const message = helloBytes({ extensions });
  return Buffer.concat([Buffer.of(0x16, 3, 1, message.length >> 8, message.length & 0xff), message]);
};

describe("a client that takes its time", () => {
  it.each([
    ["over its request head", "GET / HTTP/1.1\r\nHost: ruled.test\r\nX-"],
    ["over its body", "POST / HTTP/1.1\r\nHost: ruled.test\r\nContent-Length: 10\r\n\r\nab"],
    ["within a chunk", "POST / HTTP/1.1\r\nHost: ruled.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"],
    ["over its next request", "GET / HTTP/1.1\r\nHost: ruled.test\r\n\r\n"],
  ])("%s, in an interception, is let go, and recorded", async (_, text) => {
    const { connection, socket } = await intercepted("ruled.test");
    const number = await numberOf(socket);
    const gone = closed(connection);
    connection.resume().write(text);
    await stillServes();
    await gone;
    await proxy.recorded((record) => record.event === "ended" && record.by === "component" && record.connection === number);
  });

  it("over the second flight of its handshake is let go, and that is recorded as its doing", async () => {
    const { socket } = await connectThrough(proxy, `a.test:${server.port}`);
    const gone = closed(socket);
    socket.resume().write(hello("a.test"));
    const connection = await numberOf(socket);
    await gone;
    const failed = await proxy.recorded((record) => record.event === "handshake" && record.connection === connection);
    expect(failed).toMatchObject({ error: expect.stringMatching(/^client: /) });
    await stillServes();
  });

  it("over reading holds no more than a window, and ends by the idle time", async () => {
    await using endless = await tlsServer(pki, (socket) => {
      const chunk = Buffer.alloc(65_536);
      const more = () => {
        while (socket.write(chunk));
      };
      socket.on("drain", more);
      more();
    });
    await using other = await startProxy({
      policy: {
        version: 1,
        ports: [endless.port],
        allow_networks: ["127.0.0.0/8"],
        anchors: { test: "test.pem" },
        hosts: [{ match: ["a.test"], mode: "intercept", upstream: { anchors: ["test"] } }],
        timeouts: { idle_seconds: 1 },
      },
      anchors: { test: pki.root.pem },
      permit: { names: ["a.test"] },
      names: { "a.test": ["127.0.0.1"] },
    });
    const { socket } = await connectThrough(other, `a.test:${endless.port}`);
    const connection = tls.connect({ socket, servername: "a.test", ca: other.ca });
    connection.on("error", () => {});
    await once(connection, "secureConnect");
    connection.pause();
    socket.pause();
    const ended = await other.recorded(({ event }) => event === "ended");
    expect(ended).toMatchObject({ error: "idle for too long" });
    // What the kernel's buffers and the host's windows take, and no more.
    expect(Number(ended.bytes_to_client)).toBeLessThan(32 * 1024 * 1024);
    connection.destroy();
  });
});

describe("a client of another entrance that takes its time", () => {
  it.each([
    ["before its hello", Buffer.alloc(0)],
    ["within its hello", hello("a.test").subarray(0, 40)],
    ["over the second flight of its handshake", hello("a.test")],
  ])("%s, where TLS is taken as it comes, is let go, and recorded", async (_, bytes) => {
    await using other = await startProxy({
      direct: true,
      policy: {
        version: 1,
        allow_networks: ["127.0.0.0/8"],
        hosts: [{ match: ["a.test"], mode: "front", front: { server_name: "a.test", address: `127.0.0.1:${server.port}` } }],
        timeouts: { handshake_seconds: 1 },
      },
      permit: { names: ["a.test"] },
    });
    const socket = net.connect(other.directPort, "127.0.0.1");
    const gone = closed(socket);
    socket.resume().write(bytes);
    await gone;
    await other.recorded(({ event, by, error }) => event === "ended" && by === "component" && error !== undefined);
  });

  it("over the TLS to the proxy itself is let go, and recorded", async () => {
    const identity = KeyPair.parsePem(new TextEncoder().encode(`${pki.leaf.keyPem}\n${pki.leaf.pem}`), undefined, "host").forWorker();
    await using other = await startProxy({
      policy: { version: 1, timeouts: { handshake_seconds: 1, head_seconds: 1 } },
      tls: { identities: { gate: identity } },
      args: ["--tls-listen", "127.0.0.1:0", "--tls-identity", "gate"],
    });
    for (const bytes of [Buffer.alloc(0), hello("a.test").subarray(0, 40), hello("a.test")]) {
      const before = other.said("ended").length;
      const socket = net.connect(other.tlsPort, "127.0.0.1");
      const gone = closed(socket);
      socket.resume().write(bytes);
      await gone;
      await expect.poll(() => other.said("ended").length).toBe(before + 1);
      expect(other.said("ended").at(-1)).toMatchObject({ error: expect.stringMatching(/./) });
    }
  });
});

describe("a server that takes its time", () => {
  it("over the rest of its response is cut off, and the client sees a cut", async () => {
    const { text, ending } = await through(proxy, `ruled.test:${stalling.port}`, {
      ca: proxy.ca,
      servername: "ruled.test",
      send: "GET / HTTP/1.1\r\nHost: ruled.test\r\n\r\n",
    });
    expect([text, ending]).toEqual([expect.stringMatching(/abc$/), expect.anything()]);
    expect(proxy.said("request").at(-1)).toMatchObject({ error: expect.stringContaining("timeout") });
  });
});

describe("a flood", () => {
  it("of handshakes that are never finished takes no place for longer than the limit, and each is recorded", async () => {
    const before = proxy.said("handshake").length;
    const rounds = 3;
    for (let round = 0; round < rounds; round++) {
      const sockets = await Promise.all(
        Array.from({ length: 40 }, async () => {
          const { status, socket } = await connectThrough(proxy, `a.test:${server.port}`);
          expect(status).toBe(200);
          const gone = closed(socket);
          socket.resume().write(hello("a.test"));
          return { gone };
        }),
      );
      await stillServes();
      await Promise.all(sockets.map(({ gone }) => gone));
    }
    await expect
      .poll(
        () =>
          proxy
            .said("handshake")
            .slice(before)
            .filter(({ error }) => String(error).startsWith("client: ")).length,
      )
      .toBe(40 * rounds);
    expect(proxy.records().filter(({ event }) => event === "certificate").length).toBeLessThanOrEqual(2);
    await stillServes();
  }, 60_000);

  it("of names fills no more than the cache, and does not keep what was issued", async () => {
    const before = proxy.records().filter(({ event }) => event === "certificate").length;
    const handles = proxy.handles();
    for (let at = 0; at < 60; at += 20)
      await Promise.all(
        Array.from({ length: 20 }, async (_, index) => {
          const host = `n${at + index}.a.test`;
          const { socket } = await connectThrough(proxy, `${host}:${server.port}`);
          socket.on("error", () => {});
          socket.resume().write(hello(host));
          await once(socket, "data");
          socket.destroy();
        }),
      );
    expect(proxy.records().filter(({ event }) => event === "certificate").length - before).toBe(60);
    await stillServes();
    // The cache's eight, and what an idle proxy holds.
    await expect.poll(() => proxy.handles(), { timeout: 10_000 }).toBeLessThan(handles + 30);
  }, 60_000);

  it("of key updates from a server is survived, and the client is served or cut", async () => {
    await using hostile = await tcpServer((socket) => {
      let text = Buffer.alloc(0);
      const begin = (chunk: Buffer) => {
        text = Buffer.concat([text, chunk]);
        if (text.length < 5 || text.length < 5 + text.readUInt16BE(3)) return;
        socket.off("data", begin).resume();
        const tls13 = new HostileTls13(pki);
        socket.write(tls13.flight(text.subarray(5, 5 + text.readUInt16BE(3))));
        const updates = Array.from({ length: 5000 }, () => tls13.keyUpdate());
        socket.write(Buffer.concat(updates));
        socket.write(tls13.seal(23, Buffer.from("after it all")));
      };
      socket.on("data", begin);
    });
    await using other = await startProxy({
      policy: {
        version: 1,
        ports: [hostile.port, server.port],
        allow_networks: ["127.0.0.0/8"],
        anchors: { test: "test.pem" },
        hosts: [{ match: ["a.test"], mode: "intercept", upstream: { anchors: ["test"] } }],
        timeouts: { idle_seconds: 1 },
      },
      anchors: { test: pki.root.pem },
      permit: { names: ["a.test"] },
      names: { "a.test": ["127.0.0.1"] },
    });
    const flooded = through(other, `a.test:${hostile.port}`, { ca: other.ca });
    expect((await through(other, `a.test:${server.port}`, { ca: other.ca })).text).toContain("fine");
    const { text } = await flooded;
    expect(["", "after it all"]).toContain(text);
    const ended = await other.recorded(({ event, by }) => event === "ended" && by === "component");
    expect(Number(ended.bytes_to_client)).toBeLessThanOrEqual(200);
    await expect.poll(() => other.handles(), { timeout: 10_000 }).toBeLessThan(30);
  });

  it("of key updates from a client that takes no answer moves nothing, holds up nobody, and ends by the idle time", async () => {
    const { socket } = await connectThrough(proxy, `a.test:${server.port}`);
    const gone = closed(socket);
    const number = await numberOf(socket);
    // node:tls has the handshake and then nothing more: what follows on its socket is sealed here.
    const duplex = new Duplex({
      read: () => {},
      write: (chunk, _, done) => void socket.write(chunk as Buffer, () => done()),
    });
    const feed = (chunk: Buffer) => void duplex.push(chunk);
    socket.on("data", feed).resume();
    const connection = tls.connect({ socket: duplex, servername: "a.test", ca: proxy.ca, ciphers: "TLS_AES_128_GCM_SHA256" });
    connection.on("error", () => {});
    let secret = "";
    connection.on("keylog", (line: Buffer) => {
      secret = /^CLIENT_TRAFFIC_SECRET_0 \S+ ([0-9a-f]{64})/.exec(line.toString())?.[1] ?? secret;
    });
    await once(connection, "secureConnect");
    socket.off("data", feed).pause();
    const records = new SealedRecords(Buffer.from(secret, "hex"));
    for (let round = 0; round < 20; round++) {
      socket.write(Buffer.concat(Array.from({ length: 1000 }, () => records.keyUpdate())));
      if (round % 5 === 0) await stillServes();
    }
    const ended = await proxy.recorded((record) => record.event === "ended" && record.by === "component" && record.connection === number);
    expect(ended).toMatchObject({ bytes_from_client: 0, bytes_to_client: 0, error: expect.stringMatching(/./) });
    await stillServes();
    socket.destroy();
    await gone;
  });

  it("of key updates is otherwise nothing to a client: what it says after some is heard", async () => {
    const { socket } = await connectThrough(proxy, `a.test:${server.port}`);
    const duplex = new Duplex({
      read: () => {},
      write: (chunk, _, done) => void socket.write(chunk as Buffer, () => done()),
    });
    socket.on("data", (chunk: Buffer) => void duplex.push(chunk)).resume();
    const connection = tls.connect({ socket: duplex, servername: "a.test", ca: proxy.ca, ciphers: "TLS_AES_128_GCM_SHA256" });
    let secret = "";
    connection.on("keylog", (line: Buffer) => {
      secret = /^CLIENT_TRAFFIC_SECRET_0 \S+ ([0-9a-f]{64})/.exec(line.toString())?.[1] ?? secret;
    });
    await once(connection, "secureConnect");
    const records = new SealedRecords(Buffer.from(secret, "hex"));
    socket.write(Buffer.concat([records.keyUpdate(), records.keyUpdate()]));
    socket.write(records.seal(23, Buffer.from("GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n")));
    const [answer] = (await once(connection, "data")) as [Buffer];
    expect(answer.toString()).toMatch(/^HTTP\/1\.1 200 OK/);
    socket.destroy();
  });

  it("of requests in one go is answered one by one, and no more is read than is answered", async () => {
    const { connection } = await intercepted("ruled.test");
    const count = 300;
    let text = "";
    connection.on("data", (chunk) => (text += String(chunk)));
    connection.on("error", () => {});
    const gone = closed(connection);
    const last = "GET / HTTP/1.1\r\nHost: ruled.test\r\nConnection: close\r\n\r\n";
    connection.write(`${"GET / HTTP/1.1\r\nHost: ruled.test\r\n\r\n".repeat(count - 1)}${last}`);
    await stillServes();
    await gone;
    expect(text.match(/HTTP\/1\.1 200 OK/g)).toHaveLength(count);
  });

  it("of connections is refused with 503 where there is no place, and recorded for those that were there", async () => {
    const idle = Array.from({ length: 60 }, () => net.connect(proxy.port, "127.0.0.1").on("error", () => {}));
    await Promise.all(idle.map((socket) => once(socket, "connect")));
    const answer = async () => {
      const socket = net.connect(proxy.port, "127.0.0.1").on("error", () => {});
      socket.write(`CONNECT a.test:${server.port} HTTP/1.1\r\nHost: a.test\r\nProxy-Authorization: Bearer ${TOKEN}\r\n\r\n`);
      const [bytes] = (await once(socket, "data").catch(() => [""])) as [Buffer | string];
      socket.destroy();
      return String(bytes).slice(0, 12);
    };
    await expect.poll(answer).toBe("HTTP/1.1 503");
    for (const socket of idle) socket.destroy();
    await expect.poll(answer).toBe("HTTP/1.1 200");
  });

  it.each([true, false])(
    "of connections leaves so many records a second, and counts those that it resets (strict: %s)",
    async (strictAudit) => {
      await using other = await startProxy({
        policy: { version: 1, hosts: [{ match: ["a.test"], mode: "intercept" }] },
        permit: { names: ["a.test"] },
        gateway: { rates: { connections: 10 } },
        strictAudit,
      });
      const sockets = Array.from({ length: 100 }, () => net.connect(other.port, "127.0.0.1"));
      let resets = 0;
      for (const socket of sockets) socket.on("error", () => resets++).resume();
      const happened = (event: string) => other.records().filter((record) => record.by === "host" && record.event === event);
      const untaken = () =>
        happened("over-limit").reduce((sum, { limit, count }) => sum + (limit === "connections" ? Number(count) : 0), 0);
      await expect.poll(() => happened("accepted").length + untaken(), { timeout: 10_000 }).toBe(100);
      expect(untaken()).toBeGreaterThan(0);
      expect(happened("over-limit")).toContainEqual(expect.objectContaining({ limit: "connections", most: 10 }));
      await expect.poll(() => resets).toBe(untaken());
      for (const socket of sockets) socket.destroy();
      await expect.poll(() => happened("end").length, { timeout: 10_000 }).toBe(happened("accepted").length);
      // Who comes in another second is served.
      const { status, socket } = await connectThrough(other, "b.test:443");
      expect(status).toBe(403);
      socket.destroy();
    },
    30_000,
  );
});

it("a refused head is recorded with why, whatever it was", async () => {
  const heads = ["CONNECT a.test:99999 HTTP/1.1\r\nHost: a\r\n\r\n", "GARBAGE\r\n\r\n", "CONNECT a\0.test:443 HTTP/1.1\r\nHost: a\r\n\r\n"];
  // Connections of the tests before may only now be told.
  await stillServes();
  const before = proxy.said("connection").length;
  for (const head of heads) {
    const socket = net.connect(proxy.port, "127.0.0.1").on("error", () => {});
    socket.resume().end(head);
    await closed(socket);
  }
  const records = proxy.said("connection").slice(before);
  expect(records).toHaveLength(heads.length);
  for (const record of records) {
    expect(record).toMatchObject({ decision: "deny", rule: "built-in:requests", client: expect.stringContaining("127.0.0.1") });
    expect(record.reason).toMatch(/./);
  }
  expect(await lastEnd()).toBeDefined();
});
