import { once } from "node:events";
import net from "node:net";
import tls from "node:tls";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { httpsServer, type TestServer, tcpServer, tlsServer } from "../../support/https-servers.ts";
import { makePki, type TestPki } from "../../support/pki.ts";
import { connectThrough, endingOf, startProxy, talk, type TestProxy, through, TOKEN } from "../../support/proxy.ts";

let pki: TestPki;
let server: TestServer;
let echo: TestServer;
/** Ends when its client does. */
let quiet: TestServer;
let proxy: TestProxy;

beforeAll(async () => {
  pki = await makePki({ leaf: { dns: ["a.test", "b.test", "tunnel.test"] } });
  server = await httpsServer(pki, (request, response) => {
    response.end(`${request.method} ${request.url} ${request.headers.host}`);
  });
  echo = await tcpServer((socket) => void socket.on("error", () => {}).pipe(socket));
  quiet = await tlsServer(pki, (socket) => void socket.resume());
  const names = ["a.test", "b.test", "denied.test", "untrusted.test", "tunnel.test", "raw.test", "elsewhere.test"];
  proxy = await startProxy({
    policy: {
      version: 1,
      ports: [server.port, echo.port, quiet.port],
      deny: ["denied.test"],
      allow_networks: ["127.0.0.0/8"],
      anchors: { test: "test.pem" },
      hosts: [
        { match: ["a.test", "b.test"], mode: "intercept", upstream: { anchors: ["test"] } },
        { match: ["untrusted.test"], mode: "intercept" },
        { match: ["tunnel.test"], mode: "tunnel" },
        { match: ["raw.test"], mode: "tunnel", opaque: true },
      ],
      ca: { permit: ["a.test", "b.test", "untrusted.test"] },
    },
    anchors: { test: pki.root.pem },
    permit: { names: ["a.test", "b.test", "untrusted.test"] },
    names: Object.fromEntries(names.map((name) => [name, ["127.0.0.1"]])),
  });
});
afterAll(async () => {
  await proxy[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
  await echo[Symbol.asyncDispose]();
  await quiet[Symbol.asyncDispose]();
  expect(proxy.stderr()).toBe("");
});

describe("CONNECT", () => {
  it("intercepts under a certificate for exactly the name that was asked for", async () => {
    const result = await through(proxy, `a.test:${server.port}`, { ca: proxy.ca });
    expect(result).toMatchObject({ connect: 200, ending: "end", alpn: "http/1.1", authorized: true });
    expect(result.text).toMatch(/^HTTP\/1\.1 200 OK[^]*GET \/ a\.test/);
    expect(result.certificate!.subjectaltname).toBe("DNS:a.test");
    const decision = await proxy.recorded(({ event, server_name }) => event === "client-hello" && server_name === "a.test");
    expect(decision).toMatchObject({ by: "component", decision: "intercept", route: "a.test", rule: "$.hosts[0]", reason: "host-listed" });
    const { connection } = decision;
    await proxy.recorded((record) => record.by === "host" && record.event === "end" && record.connection === connection);
    await proxy.recorded((record) => record.event === "ended" && record.connection === connection);
    expect(
      proxy
        .records()
        .filter((record) => record.connection === connection)
        .map(({ by, event }) => `${by} ${event}`),
    ).toEqual(
      expect.arrayContaining([
        "component connection",
        "host dial",
        "component client-hello",
        "component handshake",
        "component ended",
        "host end",
      ]),
    );
  });

  it("issues one certificate for a name, however often it is asked for", async () => {
    const [first, second] = [
      await through(proxy, `b.test:${server.port}`, { ca: proxy.ca, servername: "b.test" }),
      await through(proxy, `B.TEST:${server.port}`, { ca: proxy.ca, servername: "b.test" }),
    ];
    expect(second.certificate!.fingerprint256).toBe(first.certificate!.fingerprint256);
    expect(
      proxy.records().filter(({ by, event, names }) => by === "host" && event === "certificate" && String(names) === "b.test"),
    ).toHaveLength(1);
  });

  it("passes a tunnel on unread: the client sees the server's own certificate", async () => {
    const result = await through(proxy, `tunnel.test:${server.port}`, { ca: pki.root.pem, servername: "tunnel.test" });
    expect(result).toMatchObject({ connect: 200, ending: "end", authorized: true });
    expect(result.certificate!.fingerprint256).toBe(pki.leaf.x509.fingerprint256);
  });

  it("lets anything pass through an opaque tunnel, and its half-close", async () => {
    const { status, socket } = await connectThrough(proxy, `raw.test:${echo.port}`);
    expect(status).toBe(200);
    const chunks: Buffer[] = [];
    socket.on("data", (chunk: Buffer) => chunks.push(chunk));
    socket.resume().end("no TLS at all");
    await once(socket, "end");
    expect(Buffer.concat(chunks).toString()).toBe("no TLS at all");
  });

  it("refuses what is denied with 403 and the rule, before a name is looked up", async () => {
    const result = await through(proxy, `denied.test:${server.port}`, {});
    expect(result.connect).toBe(403);
    expect(result.text).toContain("deny-list ($.deny[0])");
    expect(proxy.said("connection").at(-1)).toMatchObject({ decision: "deny", rule: "$.deny[0]", target: `denied.test:${server.port}` });
    expect(proxy.records().some(({ host }) => host === "denied.test")).toBe(false);
  });

  it("refuses hosts that nothing is said about, and other ports of those that are", async () => {
    expect((await through(proxy, `elsewhere.test:${server.port}`, {})).connect).toBe(403);
    expect((await through(proxy, "a.test:22", {})).connect).toBe(403);
  });

  it("tells a client whose name does not resolve with 502", async () => {
    const other = await startProxy({
      policy: { version: 1, hosts: [{ match: ["tunnel.test"], mode: "tunnel" }] },
    });
    try {
      const result = await through(other, "tunnel.test:443", {});
      expect(result.connect).toBe(502);
      expect(result.text).toContain("name-unresolvable");
    } finally {
      await other[Symbol.asyncDispose]();
    }
  });

  it("gives a client that does not trust the authority nothing, and records that it refused", async () => {
    const result = await through(proxy, `a.test:${quiet.port}`, { ca: pki.root.pem });
    expect(result.text).toBe("");
    expect(result.ending).toMatch(/SELF_SIGNED|UNABLE_TO/);
    const record = await proxy.recorded(({ event, error }) => event === "handshake" && String(error).startsWith("client: "));
    expect(record).toMatchObject({ server_name: "a.test" });
  });

  it("answers requests with 502 and the reason where the server is not to be trusted", async () => {
    const result = await through(proxy, `untrusted.test:${server.port}`, { ca: proxy.ca, servername: "untrusted.test" });
    expect(result).toMatchObject({ connect: 200, ending: "end", authorized: true });
    expect(result.text).toMatch(/^HTTP\/1\.1 502 [^]*\n.*not acceptable: the peer's certificate was refused: [a-z, -]+\n?$/);
    expect(proxy.said("handshake").at(-1)).toMatchObject({ error: expect.stringContaining("upstream: certificate") });
  });
});

describe("the session token", () => {
  it("is asked for with 407, and the same connection goes on with it", async () => {
    const socket = net.connect(proxy.port, "127.0.0.1");
    socket.write(`CONNECT a.test:${server.port} HTTP/1.1\r\nHost: a.test\r\n\r\n`);
    const [first] = (await once(socket, "data")) as [Buffer];
    expect(first.toString()).toMatch(/^HTTP\/1\.1 407 [^]*Proxy-Authenticate: Basic/);
    const basic = Buffer.from(`anybody:${TOKEN}`).toString("base64");
    socket.write(`CONNECT a.test:${server.port} HTTP/1.1\r\nHost: a.test\r\nProxy-Authorization: Basic ${basic}\r\n\r\n`);
    const [second] = (await once(socket, "data")) as [Buffer];
    expect(second.toString()).toBe("HTTP/1.1 200 Connection Established\r\n\r\n");
    expect((await talk(socket, { ca: proxy.ca }, "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n")).text).toContain("200 OK");
  });

  it.each([
    ["a wrong one", `${TOKEN.slice(0, -1)}0`],
    ["a prefix", TOKEN.slice(0, 32)],
    ["one with more behind it", `${TOKEN}0`],
  ])("%s opens nothing", async (_, token) => {
    expect((await through(proxy, `a.test:${server.port}`, { token })).connect).toBe(407);
  });

  it.each(["Bearer", "Basic", "Basic !!!!", "Basic YQ==", `Digest ${TOKEN}`, "Basic Og==", TOKEN])("%s is no token", async (value) => {
    const { status, socket } = await connectThrough(proxy, `a.test:${server.port}`, {
      token: undefined,
      fields: `Proxy-Authorization: ${value}\r\n`,
    });
    socket.destroy();
    expect(status).toBe(407);
  });

  it("is not taken where two are shown", async () => {
    const { status, socket } = await connectThrough(proxy, `a.test:${server.port}`, { fields: `Proxy-Authorization: Bearer ${TOKEN}\r\n` });
    socket.destroy();
    expect(status).toBe(407);
  });

  it("stands in no record", () => {
    expect(JSON.stringify(proxy.records())).not.toContain(TOKEN.slice(0, 32));
  });
});

describe("what a tunnel begins with", () => {
  async function opening(host: string, bytes: string | Uint8Array): Promise<Buffer> {
    const { status, socket } = await connectThrough(proxy, `${host}:${server.port}`);
    expect(status).toBe(200);
    const chunks: Buffer[] = [];
    socket.on("data", (chunk: Buffer) => chunks.push(chunk));
    socket.resume().write(bytes);
    await once(socket, "end");
    socket.destroy();
    return Buffer.concat(chunks);
  }

  it("has to be TLS", async () => {
    expect((await opening("tunnel.test", "GET / HTTP/1.1\r\nHost: tunnel.test\r\n\r\n")).subarray(0, 3)).toEqual(Buffer.of(21, 3, 3));
    expect(proxy.said("client-hello").at(-1)).toMatchObject({ decision: "deny", reason: expect.stringMatching(/^not-tls: /) });
  });

  it("has to be a hello for the host that was asked for", async () => {
    const result = await through(proxy, `tunnel.test:${server.port}`, { servername: "a.test", ca: pki.root.pem });
    expect(result).toMatchObject({ connect: 200, text: "", ending: expect.stringMatching(/UNRECOGNIZED_NAME/) });
    expect(proxy.said("client-hello").at(-1)).toMatchObject({ decision: "deny", server_name: "a.test", reason: "server-name-mismatch" });
  });

  it("has to name a server", async () => {
    const result = await through(proxy, `tunnel.test:${server.port}`, { servername: "", ca: pki.root.pem });
    expect(result.text).toBe("");
    expect(proxy.said("client-hello").at(-1)).toMatchObject({ decision: "deny", reason: "no-server-name" });
  });
});

describe("an intercepted hello", () => {
  it.each([
    ["names another server than the CONNECT", "b.test", "server-name-mismatch"],
    ["names no server", "", "no-server-name"],
    ["names a server that is denied", "denied.test", "deny-list"],
  ])("that %s is refused, and no certificate issued", async (_, servername, reason) => {
    const before = proxy.records().filter(({ event }) => event === "certificate").length;
    const result = await through(proxy, `a.test:${server.port}`, { servername, ca: proxy.ca });
    expect(result).toMatchObject({ connect: 200, text: "" });
    expect(result.ending).toMatch(/ALERT|EPROTO|ERR_SSL/);
    expect(proxy.said("client-hello").at(-1)).toMatchObject({ decision: "deny", reason });
    expect(proxy.records().filter(({ event }) => event === "certificate")).toHaveLength(before);
  });

  it("that offers no protocol of the route's is refused with no_application_protocol", async () => {
    const result = await through(proxy, `a.test:${server.port}`, { ca: proxy.ca, ALPNProtocols: ["acme-tls/1"] });
    expect(result.ending).toMatch(/NO_APPLICATION_PROTOCOL/);
    expect(proxy.said("client-hello").at(-1)).toMatchObject({ decision: "deny", reason: "no-common-alpn" });
  });

  it("without ALPN gets none, and the server is offered none", async () => {
    const result = await through(proxy, `a.test:${server.port}`, { ca: proxy.ca, ALPNProtocols: [] });
    expect(result).toMatchObject({ alpn: false, ending: "end" });
    expect(proxy.said("handshake").at(-1)!.upstream_tls).not.toHaveProperty("alpn");
  });
});

describe("the end of a connection", () => {
  it("that the server ends is an end for the client", async () => {
    const { socket } = await connectThrough(proxy, `a.test:${server.port}`);
    const send = "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n";
    expect(await endingOf(socket, { ca: proxy.ca }, send)).toMatchObject({ ending: "close_notify" });
  });

  it("that the server cuts is no clean end for the client", async () => {
    const cutting = await tlsCutter(pki);
    const other = await startProxy({
      policy: {
        version: 1,
        ports: [cutting.port],
        allow_networks: ["127.0.0.0/8"],
        anchors: { test: "test.pem" },
        hosts: [{ match: ["a.test"], mode: "intercept", upstream: { anchors: ["test"] } }],
      },
      anchors: { test: pki.root.pem },
      permit: { names: ["a.test"] },
      names: { "a.test": ["127.0.0.1"] },
    });
    try {
      const cut = await connectThrough(other, `a.test:${cutting.port}`);
      expect(await endingOf(cut.socket, { ca: other.ca }, "x")).toEqual({ text: "part of it", ending: "cut" });
      await other.recorded(({ event, error }) => event === "ended" && error !== undefined);
    } finally {
      await other[Symbol.asyncDispose]();
      cutting.close();
    }
  });
});

/** A server whose TCP connection ends without close_notify. */
async function tlsCutter(of: TestPki): Promise<{ port: number; close(): void }> {
  const raw = net.createServer((socket) => {
    const secure = new tls.TLSSocket(socket, { isServer: true, key: of.leaf.keyPem, cert: of.chainPem });
    secure.on("error", () => {});
    secure.once("data", () => secure.write("part of it", () => setTimeout(() => socket.destroy(), 20)));
  });
  await new Promise<void>((resolve) => raw.listen(0, "127.0.0.1", resolve));
  return { port: (raw.address() as net.AddressInfo).port, close: () => raw.close() };
}
