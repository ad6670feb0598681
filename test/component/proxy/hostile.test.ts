import { once } from "node:events";
import net from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { helloBytes, keyShare, serverName, supportedVersions, groups, schemes } from "../../support/hello-bytes.ts";
import { httpsServer, type TestServer } from "../../support/https-servers.ts";
import { makePki, type TestPki } from "../../support/pki.ts";
import { connectThrough, startProxy, type TestProxy, through, TOKEN } from "../../support/proxy.ts";

let pki: TestPki;
let server: TestServer;
let proxy: TestProxy;

beforeAll(async () => {
  pki = await makePki({ leaf: { dns: ["a.test", "t.test"] } });
  server = await httpsServer(pki, (_, response) => void response.end("fine"));
  proxy = await startProxy({
    policy: {
      version: 1,
      ports: [server.port],
      allow_networks: ["127.0.0.0/8"],
      anchors: { test: "test.pem" },
      hosts: [
        { match: ["a.test"], mode: "intercept", upstream: { anchors: ["test"] } },
        { match: ["t.test", "rebind.test"], mode: "tunnel" },
        { match: ["10.1.2.3", "metadata.test", "private.test", "mixed.test", "mapped.test", "nat64.test"], mode: "tunnel" },
      ],
      timeouts: { head_seconds: 1, handshake_seconds: 1, idle_seconds: 2 },
      limits: { head_bytes: 4096, connections: 20 },
    },
    anchors: { test: pki.root.pem },
    permit: { names: ["a.test"] },
    names: {
      "a.test": ["127.0.0.1"],
      "t.test": ["127.0.0.1"],
      "metadata.test": ["169.254.169.254"],
      "private.test": ["192.168.1.1"],
      "mixed.test": ["93.184.216.34", "10.0.0.1"],
      "mapped.test": ["::ffff:10.0.0.1"],
      "nat64.test": ["64:ff9b::a9fe:a9fe"],
    },
  });
});
afterAll(async () => {
  await proxy[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
  expect(proxy.stderr()).toBe("");
});

/** Send bytes and read to the end, or until it has been silent for a while. */
async function say(bytes: string | Uint8Array): Promise<string> {
  const socket = net.connect(proxy.port, "127.0.0.1");
  const chunks: Buffer[] = [];
  socket.on("error", () => {});
  socket.on("data", (chunk: Buffer) => chunks.push(chunk));
  socket.end(bytes);
  await once(socket, "close");
  return Buffer.concat(chunks).toString("latin1");
}

async function stillServes(): Promise<void> {
  expect((await through(proxy, `a.test:${server.port}`, { ca: proxy.ca })).text).toContain("fine");
}

describe("200 malformed CONNECT heads", () => {
  const auth = `Proxy-Authorization: Bearer ${TOKEN}\r\n`;
  const host = `a.test:${0}`;
  const targets = [
    "",
    " ",
    ":",
    ":443",
    "a.test",
    "a.test:",
    "a.test:0",
    "a.test:65536",
    "a.test:-1",
    "a.test:99999999999",
    "a.test:443:443",
    "a.test:443/",
    "a.test:443?x",
    "a.test:443#x",
    "user@a.test:443",
    "user:pass@a.test:443",
    "https://a.test:443",
    "/a.test:443",
    "*.test:443",
    "a..test:443",
    ".a.test:443",
    "-a.test:443",
    "a-.test:443",
    "a_b.test:443",
    "a test:443",
    "a\ttest:443",
    "a\0test:443",
    "[::1:443",
    "::1:443",
    "[::1]443",
    "[a.test]:443",
    "[::g]:443",
    "[127.0.0.1]:443",
    "0x7f.1:443",
    "2130706433:443",
    "0177.0.0.1:443",
    "127.1:443",
    "1.2.3:443",
    "1.2.3.4.5:443",
    "999.1.1.1:443",
    "%61.test:443",
    "a.test%00:443",
    "a.test:4%34",
    "\u00fc.test:443",
    "a\u3002test:443",
    `${"a".repeat(64)}.test:443`,
    `${"a.".repeat(130)}test:443`,
    `${"a".repeat(3000)}:443`,
    "xn--zzzzzz--:443",
    "a.test:443\u0000",
    "a.test:４４３",
  ];
  const lines = (target: string) => [
    `CONNECT ${target} HTTP/1.1\r\nHost: ${host}\r\n${auth}\r\n`,
    `CONNECT ${target} HTTP/1.0\r\n${auth}\r\n`,
    `CONNECT ${target}\r\n\r\n`,
  ];
  const others = [
    "\0",
    "\r\n\r\n\r\n",
    "GET",
    "CONNECT",
    "CONNECT a.test:443 HTTP/1.1",
    "CONNECT a.test:443 HTTP/1.1\n\n",
    "CONNECT a.test:443 HTTP/9.9\r\n\r\n",
    "connect a.test:443 HTTP/1.1\r\nHost: a.test\r\n\r\n",
    "CONNECT  a.test:443 HTTP/1.1\r\nHost: a\r\n\r\n",
    "CONNECT\ta.test:443 HTTP/1.1\r\nHost: a\r\n\r\n",
    "CONNECT a.test:443 HTTP/1.1 x\r\nHost: a\r\n\r\n",
    "CONNECT a.test:443 HTTP/1.1\r\n Host: a\r\n\r\n",
    "CONNECT a.test:443 HTTP/1.1\r\nHost\r\n\r\n",
    "CONNECT a.test:443 HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "CONNECT a.test:443 HTTP/1.1\r\nHost: a\0\r\n\r\n",
    "CONNECT a.test:443 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
    "CONNECT a.test:443 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "CONNECT a.test:443 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n",
    "\x16\x03\x01\x00\x05hello",
    "\x05\x01\x00",
    "\x04\x01\x01\xbb\x7f\x00\x00\x01\x00",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    `CONNECT a.test:443 HTTP/1.1\r\n${"X: y\r\n".repeat(200)}\r\n`,
    `CONNECT a.test:443 HTTP/1.1\r\nX: ${"y".repeat(5000)}\r\n\r\n`,
    "TRACE http://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: a.test\r\n\r\n",
    "\xff\xfe\xfd",
    "\r\r\r\r\n",
    " CONNECT a.test:443 HTTP/1.1\r\n\r\n",
    "CONNECT a.test:443 HTTP/1.1\rHost: a\r\r",
    "GET / HTTP/1.1\r\n\r\n",
    "GET / HTTP/0.9\r\n\r\n",
    "GET /\r\n",
    "CONNECT a.test:443 HTTP/1.1\r\n: x\r\n\r\n",
    "CONNECT a.test:443 HTTP/1.1\r\nX y: z\r\n\r\n",
    "CONNECT a.test:443 HTTP/1.1\r\nX: y\r\n\tz\r\n\r\n",
    "{}",
    "<html>",
    "QUIT\r\n",
    "HELP\n",
    "EHLO x\r\n",
    "USER x\r\n",
    "SSH-2.0-x\r\n",
    "CONNECT \r\n\r\n",
    "CONNECT HTTP/1.1\r\n\r\n",
    "CONNECT a.test:443HTTP/1.1\r\n\r\n",
  ];
  const heads = [...targets.flatMap(lines), ...others];

  it("open nothing, and disturb nobody", async () => {
    expect(heads.length).toBeGreaterThanOrEqual(200 - 2);
    const opened: string[] = [];
    for (let at = 0; at < heads.length; at += 10) {
      const answers = await Promise.all(heads.slice(at, at + 10).map((head) => say(Buffer.from(head, "utf8"))));
      for (const [index, answer] of answers.entries())
        if (!/^(?:HTTP\/1\.1 [45]\d\d [^]*)?$/.test(answer))
          opened.push(`${JSON.stringify(heads[at + index]).slice(0, 80)}: ${answer.slice(0, 40)}`);
    }
    expect(opened).toEqual([]);
    expect(proxy.records().filter(({ event }) => event === "dial")).toEqual([]);
    await stillServes();
  });
});

describe("a client that takes its time", () => {
  it.each([
    ["before its request", ""],
    ["within its request", "CONNECT a.test:443 HT"],
  ])("%s is let go", async (_, bytes) => {
    const socket = net.connect(proxy.port, "127.0.0.1");
    socket.write(bytes);
    socket.resume();
    await once(socket, "close");
    await stillServes();
  });

  it.each(["a.test", "t.test"])("within its client hello to %s is let go, and recorded", async (host) => {
    const { status, socket } = await connectThrough(proxy, `${host}:${server.port}`);
    expect(status).toBe(200);
    socket.resume().write(Buffer.of(0x16, 0x03, 0x01, 0x02, 0x00, 0x01));
    await once(socket, "close");
    const { connection } = proxy.said("connection").at(-1)!;
    const ended = await proxy.recorded((record) => record.event === "ended" && record.connection === connection);
    expect(ended.error).toMatch(/too long/);
  });

  it("and drips its hello byte by byte is let go all the same", async () => {
    const { socket } = await connectThrough(proxy, `t.test:${server.port}`);
    const drip = setInterval(() => socket.write(Buffer.of(0x16)), 50);
    socket.resume();
    await once(socket, "close");
    clearInterval(drip);
  });

  it("in an idle tunnel is let go", async () => {
    const { socket } = await connectThrough(proxy, `t.test:${server.port}`);
    socket.resume().write(record(helloBytes({ extensions: named("t.test") })));
    await once(socket, "close");
    await stillServes();
  });

  it("takes no more places than there are", async () => {
    const idle = Array.from({ length: 20 }, () => net.connect(proxy.port, "127.0.0.1"));
    await Promise.all(idle.map((socket) => once(socket, "connect")));
    await expect.poll(async () => (await say(`CONNECT a.test:443 HTTP/1.1\r\nHost: a.test\r\n\r\n`)).slice(0, 12)).toBe("HTTP/1.1 503");
    for (const socket of idle) socket.destroy();
    await expect.poll(async () => (await through(proxy, `a.test:${server.port}`, { ca: proxy.ca })).text).toContain("fine");
  });
});

describe("clients that leave", () => {
  it("at any moment leave nothing behind", async () => {
    await stillServes();
    const cuts = [0, 1, 5, 20, 60];
    for (let round = 0; round < 4; round++) {
      await Promise.all(
        cuts.map(async (delay, index) => {
          const host = index % 2 === 0 ? "a.test" : "t.test";
          const socket = net.connect(proxy.port, "127.0.0.1").on("error", () => {});
          const auth = `Proxy-Authorization: Bearer ${TOKEN}\r\n`;
          socket.write(`CONNECT ${host}:${server.port} HTTP/1.1\r\nHost: ${host}\r\n${auth}\r\n`);
          socket.write(record(helloBytes({ extensions: named(host) })));
          await new Promise((resolve) => setTimeout(resolve, delay));
          if (round % 2 === 0) socket.destroy();
          else socket.resetAndDestroy();
        }),
      );
    }
    await stillServes();
    // What a listener and the waits of an idle proxy need, and nothing of any client.
    await expect.poll(() => proxy.handles(), { timeout: 10_000 }).toBeLessThan(20);
  });
});

describe("a hostile client hello", () => {
  const ip = "127.0.0.1";
  it.each([
    ["a NUL in its name", named("a.test\0.evil"), "invalid-server-name"],
    ["a control byte in its name", named("a.test\x01"), "invalid-server-name"],
    ["a line end in its name", named("a.test\r\nx"), "invalid-server-name"],
    ["a name of 254 bytes", named(`${"a".repeat(60)}.`.repeat(5).slice(0, 249) + ".test"), "invalid-server-name"],
    ["a wildcard", named("*.test"), "invalid-server-name"],
    ["an address", named(ip), "invalid-server-name"],
    ["a trailing dot", named("a.test."), "invalid-server-name"],
    ["an empty label", named("a..test"), "invalid-server-name"],
    ["a slash", named("a.test/x"), "invalid-server-name"],
    ["an underscore", named("a_b.test"), "invalid-server-name"],
    ["bytes outside ASCII", named("\u00fc.test"), "invalid-server-name"],
    ["false punycode", named("xn--a\u002d\u002dzzzz.test"), "malformed-a-label"],
    ["another name", named("other.test"), "not-listed"],
    [
      "an encrypted inner hello",
      [...named("a.test"), [0xfe0d, [0, 0, 1, 0, 1, 0, 0, 0, 0, 0]] as [number, number[]]],
      "encrypted-client-hello",
    ],
  ])("with %s gets an alert and no certificate", async (_, extensions, reason) => {
    for (const host of ["a.test", "t.test"]) {
      const before = proxy.records().filter(({ event }) => event === "certificate").length;
      const { socket } = await connectThrough(proxy, `${host}:${server.port}`);
      const chunks: Buffer[] = [];
      socket.on("data", (chunk: Buffer) => chunks.push(chunk));
      socket.resume().write(record(helloBytes({ extensions })));
      await once(socket, "close");
      expect(Buffer.concat(chunks)[0]).toBe(0x15);
      const denial = proxy.said("client-hello").at(-1)!;
      expect(denial).toMatchObject({ decision: "deny", target: `${host}:${server.port}` });
      if (host === "a.test" || reason !== "encrypted-client-hello") expect(denial.reason).toBe(reason);
      expect(proxy.records().filter(({ event }) => event === "certificate")).toHaveLength(before);
    }
  });

  it.each([
    ["longer than any", Buffer.concat([Buffer.of(0x16, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff), Buffer.alloc(16_380, 1)])],
    ["in records of a byte each, without end", Buffer.concat(Array.from({ length: 70_000 }, () => Buffer.of(0x16, 3, 1, 0, 1, 1)))],
    ["of another message", Buffer.of(0x16, 3, 1, 0, 4, 2, 0, 0, 0)],
    ["in a record that is too long", Buffer.of(0x16, 3, 1, 0xff, 0xff, 1)],
    ["of SSL 2", Buffer.of(0x80, 0x2e, 1, 3, 1, 0, 0x15, 0, 0, 0, 0x10)],
  ])("(%s) is refused", async (_, bytes) => {
    for (const host of ["a.test", "t.test"]) {
      const { socket } = await connectThrough(proxy, `${host}:${server.port}`);
      const chunks: Buffer[] = [];
      socket.on("error", () => {});
      socket.on("data", (chunk: Buffer) => chunks.push(chunk));
      socket.resume().write(bytes);
      await once(socket, "close");
      expect([0x15, undefined]).toContain(Buffer.concat(chunks)[0]);
    }
    await stillServes();
  });
});

describe("where the host never connects", () => {
  it.each([
    ["10.1.2.3", "private"],
    ["private.test", "private"],
    ["metadata.test", "metadata"],
    ["mixed.test", "private"],
    ["mapped.test", "private"],
    ["nat64.test", "metadata"],
  ])("%s is refused, whatever the policy says", async (host, refusal) => {
    const { connect, text } = await through(proxy, `${host}:${server.port}`, {});
    expect([connect, text]).toEqual([403, expect.stringContaining(refusal)]);
    expect(proxy.records().findLast(({ event }) => event === "dial-refused")).toMatchObject({ by: "host", host, reason: refusal });
  });
});

function named(name: string): [number, number[]][] {
  return [serverName(name), supportedVersions(0x0304), groups(0x001d), schemes(0x0403), keyShare(0x001d)];
}

function record(message: Uint8Array): Buffer {
  return Buffer.concat([Buffer.of(0x16, 3, 1, message.length >> 8, message.length & 0xff), message]);
}
