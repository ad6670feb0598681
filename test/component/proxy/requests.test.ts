import { once } from "node:events";
import http from "node:http";
import https from "node:https";
import net, { type AddressInfo } from "node:net";
import tls from "node:tls";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type TestServer, tlsServer } from "../../support/https-servers.ts";
import { makePki, type TestPki } from "../../support/pki.ts";
import { connectThrough, startProxy, talk, type TestProxy, through, TOKEN } from "../../support/proxy.ts";

let pki: TestPki;
let server: https.Server;
let port: number;
let plain: http.Server;
let plainPort: number;
let odd: TestServer;
let proxy: TestProxy;
/** What the servers were asked. */
const asked: { method: string; url: string; headers: http.IncomingHttpHeaders; body: string; socket: unknown }[] = [];

function answer(request: http.IncomingMessage, response: http.ServerResponse): void {
  const chunks: Buffer[] = [];
  request.on("data", (chunk: Buffer) => chunks.push(chunk));
  request.on("end", () => {
    const body = Buffer.concat(chunks).toString();
    asked.push({ method: request.method!, url: request.url!, headers: request.headers, body, socket: request.socket });
    if (request.url!.startsWith("/ok/chunked")) {
      response.writeHead(200, { trailer: "x-sum" });
      response.write("one ");
      response.write("two");
      response.addTrailers({ "x-sum": "3" });
      response.end();
    } else if (request.url === "/ok/status-204") response.writeHead(204).end();
    else response.end(`${request.method} ${request.url} ${body}`);
  });
}

beforeAll(async () => {
  pki = await makePki({ leaf: { dns: ["a.test", "ws.test", "odd.test", "other.test"] } });
  server = https.createServer({ key: pki.leaf.keyPem, cert: pki.chainPem }, answer);
  server.on("upgrade", (request, socket) => {
    socket.write(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${request.headers.upgrade}\r\n\r\n`);
    socket.pipe(socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  ({ port } = server.address() as AddressInfo);
  plain = http.createServer(answer);
  plain.listen(0, "127.0.0.1");
  await once(plain, "listening");
  plainPort = (plain.address() as AddressInfo).port;
  odd = await tlsServer(pki, (socket) => {
    socket.once("data", (bytes: Buffer) => {
      const path = /^\S+ (\S+)/.exec(bytes.toString())![1]!;
      if (path === "/ok/both")
        socket.write("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
      if (path === "/ok/cut") socket.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", () => socket.end());
      if (path === "/ok/nothing") socket.end();
      if (path === "/ok/early") socket.end("HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
      if (path === "/ok/garbage") socket.end("SSH-2.0-OpenSSH\r\n");
    });
  });
  const rules = (extra: object[] = []) => ({
    default: "deny",
    rules: [
      { action: "allow", paths: ["/ok/**"], methods: ["GET", "POST", "HEAD", "PUT"] },
      { action: "deny", paths: ["/ok/admin/**"] },
      ...extra,
    ],
    set_headers: [{ name: "x-set", value: "by the policy" }],
    remove_headers: ["x-secret"],
  });
  const upstream = { anchors: ["test"] };
  proxy = await startProxy({
    policy: {
      version: 1,
      ports: [port, plainPort, odd.port],
      allow_networks: ["127.0.0.0/8"],
      anchors: { test: "test.pem" },
      hosts: [
        { match: ["a.test"], mode: "intercept", upstream, requests: rules() },
        {
          match: ["ws.test"],
          mode: "intercept",
          upstream,
          requests: rules([{ action: "allow", paths: ["/ws"], upgrades: ["websocket"] }]),
        },
        { match: ["odd.test"], mode: "intercept", upstream, requests: rules() },
        { match: ["plain.test"], mode: "tunnel", opaque: true },
      ],
      limits: { head_bytes: 8192 },
    },
    anchors: { test: pki.root.pem },
    permit: { names: ["a.test", "ws.test", "odd.test"] },
    names: Object.fromEntries(["a.test", "ws.test", "odd.test", "plain.test"].map((name) => [name, ["127.0.0.1"]])),
  });
});
afterAll(async () => {
  await proxy[Symbol.asyncDispose]();
  server.close();
  plain.close();
  server.closeAllConnections();
  plain.closeAllConnections();
  await odd[Symbol.asyncDispose]();
  expect(proxy.stderr()).toBe("");
});

/** Send bytes within an interception and read to the end. */
async function raw(send: string, host = "a.test", at = port): Promise<string> {
  const result = await through(proxy, `${host}:${at}`, { ca: proxy.ca, servername: host, send });
  return result.text;
}

const get = (path: string, fields = "", host = "a.test") => `GET ${path} HTTP/1.1\r\nHost: ${host}\r\n${fields}\r\n`;
const last = "Connection: close\r\n";

describe("a request with a rule", () => {
  it("goes on with the edits of the policy, and without what is for one hop only", async () => {
    expect(await raw(get("/ok/1?q=1", `X-Secret: s\r\nX-Set: mine\r\nX-Other: o\r\nTE: trailers\r\nKeep-Alive: 5\r\n${last}`))).toContain(
      "GET /ok/1?q=1",
    );
    const { headers } = asked.at(-1)!;
    expect(headers).toMatchObject({ host: "a.test", "x-set": "by the policy", "x-other": "o" });
    expect(headers).not.toHaveProperty("x-secret");
    expect(headers).not.toHaveProperty("keep-alive");
  });

  it("is refused where no rule allows it, and the connection goes on", async () => {
    const before = asked.length;
    const text = await raw(get("/no") + get("/ok/after", last));
    expect(text).toMatch(/^HTTP\/1\.1 403 [^]*default-rule[^]*HTTP\/1\.1 200 OK[^]*GET \/ok\/after/);
    expect(asked.slice(before).map(({ url }) => url)).toEqual(["/ok/after"]);
    expect(proxy.said("request").find(({ path, decision }) => path === "/no" && decision === "deny")).toMatchObject({
      method: "GET",
      reason: "default-rule",
    });
  });

  it.each([
    ["/ok/admin/x", "rules[1]"],
    ["/ok/../ok/admin/x", "rules[1]"],
    ["/ok//admin/x", "rules[1]"],
    ["/ok/%61dmin/x", "rules[1]"],
    ["/OK/ADMIN/x", "rules[1]"],
    ["/ok/admin%2fx", "built-in:requests"],
    ["/ok/\\admin", "built-in:requests"],
  ])("%s does not get past", async (path, rule) => {
    const before = asked.length;
    expect(await raw(get(path, last))).toMatch(/^HTTP\/1\.1 40[03] /);
    expect(asked).toHaveLength(before);
    expect(JSON.stringify(proxy.said("request").slice(-2))).toContain(rule);
  });

  it("keeps both connections for the next ones", async () => {
    const before = asked.length;
    const text = await raw(get("/ok/1") + get("/ok/2") + get("/ok/3", last));
    expect(text.match(/HTTP\/1\.1 200 OK/g)).toHaveLength(3);
    expect(new Set(asked.slice(before).map(({ socket }) => socket)).size).toBe(1);
  });

  it("has its body moved, by length and in chunks, and its response in chunks with trailers", async () => {
    const post = (path: string, rest: string) => `POST ${path} HTTP/1.1\r\nHost: a.test\r\n${rest}`;
    const text = await raw(
      post("/ok/length", "Content-Length: 5\r\n\r\nhello") +
        post("/ok/in-chunks", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1\r\n!\r\n0\r\nX-T: 1\r\n\r\n") +
        get("/ok/chunked", last),
    );
    expect(asked.slice(-3).map(({ body }) => body)).toEqual(["hello", "hello!", ""]);
    expect(text).toMatch(/one [^]*two[^]*x-sum: 3/i);
  });

  it("with Expect: 100-continue is told to go on by the server", async () => {
    const { socket } = await connectThrough(proxy, `a.test:${port}`);
    const connection = tls.connect({ socket, servername: "a.test", ca: proxy.ca });
    connection.write(`POST /ok/expect HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 4\r\n${last}\r\n`);
    const [interim] = (await once(connection, "data")) as [Buffer];
    expect(interim.toString()).toMatch(/^HTTP\/1\.1 100 Continue\r\n\r\n$/);
    connection.write("body");
    const [final] = (await once(connection, "data")) as [Buffer];
    expect(final.toString()).toMatch(/^HTTP\/1\.1 200 OK/);
    connection.destroy();
    expect(asked.at(-1)!.body).toBe("body");
  });

  it("has responses without a body where there is none", async () => {
    const text = await raw(`HEAD /ok/head HTTP/1.1\r\nHost: a.test\r\n\r\n${get("/ok/status-204")}${get("/ok/end", last)}`);
    expect(text.match(/HTTP\/1\.1 20[04]/g)).toHaveLength(3);
  });

  it("for another host than the connection is refused", async () => {
    expect(await raw(get("/ok/1", last, "other.test"))).toMatch(/^HTTP\/1\.1 403 [^]*host-mismatch/);
    expect(await raw(get("/ok/1", last, `a.test:${port + 1}`))).toMatch(/^HTTP\/1\.1 403 [^]*host-mismatch/);
    expect(await raw(`GET https://other.test/ok/1 HTTP/1.1\r\nHost: other.test\r\n${last}\r\n`)).toMatch(/^HTTP\/1\.1 403 /);
  });

  it("is refused in HTTP/1.0, and h2 is not offered", async () => {
    expect(await raw("GET /ok/1 HTTP/1.0\r\nHost: a.test\r\n\r\n")).toMatch(/^HTTP\/1\.1 505 /);
    const result = await through(proxy, `a.test:${port}`, { ca: proxy.ca, ALPNProtocols: ["h2", "http/1.1"], send: get("/ok/1", last) });
    expect(result.alpn).toBe("http/1.1");
  });
});

describe("a request that two parsers might read differently", () => {
  it.each([
    ["both lengths", "POST /ok/x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"],
    ["two lengths", "POST /ok/x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcd"],
    ["a list of lengths", "POST /ok/x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4, 5\r\n\r\nabcd"],
    ["a signed length", "POST /ok/x HTTP/1.1\r\nHost: a.test\r\nContent-Length: +4\r\n\r\nabcd"],
    ["a coding that is no chunked", "POST /ok/x HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"],
    ["two codings", "POST /ok/x HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"],
    ["a folded field", "GET /ok/x HTTP/1.1\r\nHost: a.test\r\nX-A: 1\r\n folded\r\n\r\n"],
    ["a space before the colon", "GET /ok/x HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding : chunked\r\n\r\n"],
    ["a bare line feed", "GET /ok/x HTTP/1.1\nHost: a.test\r\n\r\n"],
    ["a bare carriage return", "GET /ok/x HTTP/1.1\r\nHost: a.test\r\nX-A: 1\rX-B: 2\r\n\r\n"],
    ["a NUL", "GET /ok/x HTTP/1.1\r\nHost: a.test\r\nX-A: 1\0\r\n\r\n"],
    ["no Host", "GET /ok/x HTTP/1.1\r\nX-A: 1\r\n\r\n"],
    ["two Hosts", "GET /ok/x HTTP/1.1\r\nHost: a.test\r\nHost: b.test\r\n\r\n"],
    ["an absolute target that is not its Host", "GET https://a.test/ok/x HTTP/1.1\r\nHost: b.test\r\n\r\n"],
    ["another version", "GET /ok/x HTTP/2.0\r\nHost: a.test\r\n\r\n"],
    ["two spaces", "GET  /ok/x HTTP/1.1\r\nHost: a.test\r\n\r\n"],
  ])("(%s) is answered with 400, and nothing of it goes on", async (_, send) => {
    const before = asked.length;
    const text = await raw(`${send}${get("/ok/smuggled", last)}`);
    expect(text).toMatch(/^HTTP\/1\.1 400 /);
    expect(text.match(/HTTP\/1\.1/g)).toHaveLength(1);
    expect(asked).toHaveLength(before);
    expect(proxy.said("request").at(-1)).toMatchObject({ decision: "deny", rule: "built-in:requests", status: 400 });
  });

  it.each([
    ["a chunk size that is none", "zz\r\nab\r\n0\r\n\r\n"],
    ["a chunk that is longer than it says", "2\r\nabcd\r\n0\r\n\r\n"],
    ["a chunk size with a bare line feed", "2\nab\r\n0\r\n\r\n"],
    ["Content-Length among the trailers", "2\r\nab\r\n0\r\nContent-Length: 3\r\n\r\n"],
  ])("(%s) ends both connections", async (_, body) => {
    const before = asked.length;
    const text = await raw(`POST /ok/x HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n${body}${get("/ok/smuggled", last)}`);
    expect(text).not.toContain("200 OK");
    expect(asked.slice(before).map(({ url }) => url)).not.toContain("/ok/smuggled");
  });

  it("(a head that is too large) is answered with 431", async () => {
    expect(await raw(get("/ok/x", `X-A: ${"a".repeat(9000)}\r\n`))).toMatch(/^HTTP\/1\.1 431 /);
  });
});

describe("a response that is none", () => {
  it("whose length is unclear becomes a 502", async () => {
    expect(await raw(get("/ok/both", "", "odd.test"), "odd.test", odd.port)).toMatch(/^HTTP\/1\.1 502 [^]*framing/);
    expect(await raw(get("/ok/garbage", "", "odd.test"), "odd.test", odd.port)).toMatch(/^HTTP\/1\.1 502 /);
    expect(await raw(get("/ok/nothing", "", "odd.test"), "odd.test", odd.port)).toMatch(/^HTTP\/1\.1 502 [^]*truncated/);
  });

  it("that is cut short is cut for the client too", async () => {
    const result = await through(proxy, `odd.test:${odd.port}`, {
      ca: proxy.ca,
      servername: "odd.test",
      send: get("/ok/cut", "", "odd.test"),
    });
    expect(result.text).toMatch(/abc$/);
    expect(proxy.said("request").at(-1)).toMatchObject({ path: "/ok/cut", error: expect.stringContaining("truncated") });
  });

  it("that comes before the whole request reaches the client, and ends the connection", async () => {
    const send = `POST /ok/early HTTP/1.1\r\nHost: odd.test\r\nContent-Length: 1000\r\n\r\nabc`;
    expect(await raw(send, "odd.test", odd.port)).toMatch(/^HTTP\/1\.1 413 /);
  });
});

describe("an upgrade", () => {
  const upgrade = (path: string, fields: string, host = "ws.test") =>
    `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n${fields}\r\n`;
  const opening = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

  it("to a WebSocket passes where a rule says so, and what follows is passed on unread", async () => {
    const { socket } = await connectThrough(proxy, `ws.test:${port}`);
    const connection = tls.connect({ socket, servername: "ws.test", ca: proxy.ca });
    connection.write(`${upgrade("/ws", opening)}early`);
    let text = "";
    connection.on("data", (chunk) => (text += String(chunk)));
    while (!text.includes("early")) await once(connection, "data");
    connection.write(" and late");
    while (!text.includes("late")) await once(connection, "data");
    expect(text).toMatch(/^HTTP\/1\.1 101 [^]*early and late$/);
    connection.destroy();
  });

  it("is refused where no rule says so", async () => {
    expect(await raw(upgrade("/ok/x", opening + last), "ws.test")).toMatch(/^HTTP\/1\.1 403 [^]*upgrade-not-allowed/);
    expect(await raw(upgrade("/ws", opening + last, "a.test"))).toMatch(/^HTTP\/1\.1 403 /);
  });

  it.each([
    ["without a key", "Sec-WebSocket-Version: 13\r\n"],
    ["with a key of another length", "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: YWJj\r\n"],
    ["of another version", "Sec-WebSocket-Version: 8\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"],
    ["with a body", `${opening}Content-Length: 1\r\n`],
  ])("%s is refused before the server hears of it", async (_, fields) => {
    const before = asked.length;
    expect(await raw(upgrade("/ws", fields), "ws.test")).toMatch(/^HTTP\/1\.1 400 /);
    expect(asked).toHaveLength(before);
  });

  it("to HTTP/2 in the clear is passed over", async () => {
    const fields = `Connection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n`;
    expect(await raw(get("/ok/h2c", fields))).toMatch(/^HTTP\/1\.1 200 OK/);
    expect(asked.at(-1)!.headers).not.toHaveProperty("upgrade");
    expect(asked.at(-1)!.headers).not.toHaveProperty("http2-settings");
  });
});

describe("plain HTTP", () => {
  async function ask(send: string): Promise<string> {
    const socket = net.connect(proxy.port, "127.0.0.1");
    const chunks: Buffer[] = [];
    socket.on("data", (chunk: Buffer) => chunks.push(chunk));
    socket.write(send);
    await once(socket, "close");
    return Buffer.concat(chunks).toString();
  }
  const auth = `Proxy-Authorization: Bearer ${TOKEN}\r\n`;

  it("is forwarded by the same policy, and the token stays here", async () => {
    const text = await ask(
      `GET http://plain.test:${plainPort}/one HTTP/1.1\r\nHost: plain.test:${plainPort}\r\n${auth}\r\n` +
        `GET http://plain.test:${plainPort}/two HTTP/1.1\r\nHost: plain.test:${plainPort}\r\n${auth}Proxy-Connection: keep-alive\r\n${last}\r\n`,
    );
    expect(text.match(/HTTP\/1\.1 200 OK/g)).toHaveLength(2);
    expect(asked.at(-1)).toMatchObject({ url: "/two", headers: { host: `plain.test:${plainPort}` } });
    expect(asked.at(-1)!.headers).not.toHaveProperty("proxy-authorization");
    expect(asked.at(-1)!.headers).not.toHaveProperty("proxy-connection");
  });

  it("wants the token in each request", async () => {
    expect(await ask(`GET http://plain.test:${plainPort}/ HTTP/1.1\r\nHost: plain.test:${plainPort}\r\n${last}\r\n`)).toMatch(
      /^HTTP\/1\.1 407 /,
    );
  });

  it("is refused for hosts that the policy has nothing for", async () => {
    expect(await ask(`GET http://elsewhere.test/ HTTP/1.1\r\nHost: elsewhere.test\r\n${auth}${last}\r\n`)).toMatch(/^HTTP\/1\.1 403 /);
  });

  it.each([
    ["a path alone", "GET / HTTP/1.1\r\nHost: plain.test\r\n", 400],
    ["https", "GET https://plain.test/ HTTP/1.1\r\nHost: plain.test\r\n", 400],
    ["another scheme", "GET ftp://plain.test/ HTTP/1.1\r\nHost: plain.test\r\n", 400],
    ["user information", "GET http://user:pass@plain.test/ HTTP/1.1\r\nHost: plain.test\r\n", 400],
  ])("with %s is no request for a proxy", async (_, head, status) => {
    expect(await ask(`${head}${auth}${last}\r\n`)).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
  });
});

describe("talk", () => {
  it("after a 502 the proxy still serves others", async () => {
    const { socket } = await connectThrough(proxy, `a.test:${port}`);
    expect((await talk(socket, { ca: proxy.ca }, get("/ok/still", last))).text).toContain("GET /ok/still");
  });
});
