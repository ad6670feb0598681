import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { randomBytes } from "node:crypto";
import tls from "node:tls";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type BuiltGuest, buildGuest } from "../support/guest-run.ts";
import { exchange, type HttpsServer, runHttpsServer, startHttpsServer } from "../support/https-server.ts";
import { makePki, type TestPki } from "../support/pki.ts";

let guest: BuiltGuest;
let pki: TestPki;
let site: string;
let folder: string;
let server: HttpsServer;
const large = randomBytes(5_000_000);

beforeAll(async () => {
  guest = await buildGuest({ entry: "guest/https-serve/main.ts", wit: "wit/samples", world: "https-serve" });
  pki = await makePki({ leaf: { dns: ["a.test", "b.test"] } });
  folder = mkdtempSync(join(tmpdir(), "sallyport-test-"));
  site = join(folder, "site");
  const file = (path: string, content: string | Uint8Array) => {
    mkdirSync(join(site, path, ".."), { recursive: true });
    writeFileSync(join(site, path), content);
  };
  file("index.html", "<h1>home</h1>\n");
  file("page.txt", "0123456789");
  file("with space é.txt", "found\n");
  file("%41.txt", "decoded once\n");
  file("empty", "");
  file("sub/index.html", "sub\n");
  file("bare/file.json", "{}");
  file("large.bin", large);
  file(".secret", "SECRET");
  file("sub/.git/config", "SECRET");
  writeFileSync(join(folder, "secret.txt"), "SECRET");
  symlinkSync("../secret.txt", join(site, "link-out.txt"));
  symlinkSync("/etc", join(site, "etc"));
  symlinkSync("page.txt", join(site, "link-in.txt"));
  server = await startHttpsServer(guest.code, site, { main: pki });
});
afterAll(async () => {
  server?.close();
  await guest?.remove();
  rmSync(folder, { recursive: true, force: true });
});

const trusting = () => ({ servername: "a.test", ca: pki.root.pem });

/** One request, and the connection's end. */
async function send(request: string, to: HttpsServer = server) {
  const { text, bytes, ending } = await exchange(to.port, trusting(), request);
  const end = text.indexOf("\r\n\r\n") + 4;
  return { status: Number(text.slice(9, 12)), head: text.slice(0, end), text: text.slice(end), body: bytes.subarray(end), ending };
}

const get = (path: string, fields = "", method = "GET") =>
  send(`${method} ${path} HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n${fields}\r\n`);

describe("https-serve answers", () => {
  it("a file with its type, its length and its bytes, moved by the host", async () => {
    const { status, head, body, ending } = await get("/large.bin");
    expect({ status, ending, whole: body.equals(large) }).toEqual({ status: 200, ending: "end", whole: true });
    expect(head).toContain("Content-Type: application/octet-stream\r\n");
    expect(head).toContain("Content-Length: 5000000\r\n");
  });

  it.each([
    ["/", "<h1>home</h1>\n", "text/html"],
    ["/index.html?query=/../..", "<h1>home</h1>\n", "text/html"],
    ["/sub/", "sub\n", "text/html"],
    ["/bare/file.json", "{}", "application/json"],
    ["/with%20space%20%c3%a9.txt", "found\n", "text/plain"],
    ["/%2541.txt", "decoded once\n", "text/plain"],
    ["/link-in.txt", "0123456789", "text/plain"],
    ["/empty", "", "application/octet-stream"],
    ["https://a.test/page.txt", "0123456789", "text/plain"],
  ])("%s", async (path, content, type) => {
    const { status, head, text, ending } = await get(path);
    expect({ status, text, ending }).toEqual({ status: 200, text: content, ending: "end" });
    expect(head).toContain(`Content-Type: ${type}`);
  });

  it("HEAD as GET but without the body", async () => {
    const { status, head, text } = await get("/page.txt", "Range: bytes=0-1\r\n", "HEAD");
    expect({ status, text }).toEqual({ status: 200, text: "" });
    expect(head).toContain("Content-Length: 10\r\n");
  });

  it("the name of a folder with where it is", async () => {
    const { status, head } = await get("/sub?x=1");
    expect(status).toBe(301);
    expect(head).toContain("Location: /sub/?x=1\r\n");
  });

  it("requests sent ahead in their order, on one connection", async () => {
    const request = (path: string, close = "") => `GET ${path} HTTP/1.1\r\nHost: a.test\r\n${close}\r\n`;
    const { text } = await send(
      request("/page.txt") + request("/nothing") + request("/bare/file.json") + request("/sub/", "Connection: close\r\n"),
    );
    expect(text.match(/^(0123456789|404 There is nothing here\.|\{\}|sub)/gm)).toEqual([
      "0123456789",
      "404 There is nothing here.",
      "{}",
      "sub",
    ]);
  });

  it("a range, the end of a file and an unchanged file with no more than was asked for", async () => {
    expect(await get("/page.txt", "Range: bytes=2-4\r\n")).toMatchObject({ status: 206, text: "234" });
    expect(await get("/page.txt", "Range: bytes=-3\r\n")).toMatchObject({ status: 206, text: "789" });
    expect(await get("/page.txt", "Range: bytes=99-\r\n")).toMatchObject({ status: 416, text: "" });
    const tag = /ETag: (.*)\r\n/.exec((await get("/page.txt")).head)![1]!;
    expect(await get("/page.txt", `If-None-Match: ${tag}\r\n`)).toMatchObject({ status: 304, text: "" });
    expect(await get("/page.txt", 'If-None-Match: "other"\r\n')).toMatchObject({ status: 200, text: "0123456789" });
  });

  it("a client of HTTP/1.0 and then ends the connection", async () => {
    expect(await send("GET /page.txt HTTP/1.0\r\n\r\n")).toMatchObject({ status: 200, text: "0123456789", ending: "end" });
  });

  it("a client that has ended its own direction already", async () => {
    const received = await new Promise<string>((resolve, reject) => {
      const options = { port: server.port, host: "127.0.0.1", allowHalfOpen: true, ...trusting() };
      const socket = tls.connect(options);
      let text = "";
      socket.once("secureConnect", () => socket.end("GET /page.txt HTTP/1.1\r\nHost: a.test\r\n\r\n"));
      socket.on("data", (chunk) => (text += String(chunk)));
      socket.on("end", () => resolve(text));
      socket.on("error", reject);
    });
    expect(received).toMatch(/^HTTP\/1\.1 200 OK\r\n[^]*0123456789$/);
  });

  it("and tells of each request what was negotiated, with nothing that a client could forge a line with", async () => {
    await get('/no"such?a%0a=\\');
    const line = await server.said("stdout", /^.*no\\22such.*$/m);
    expect(line[0]).toMatch(
      /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ 127\.0\.0\.1:\d+ a\.test TLSv1\.3 TLS_\w+ "http\/1\.1" \S+ full - "GET \/no\\22such\?a%0a=\\\\" 404 \d+$/,
    );
  });
});

describe("https-serve does not show", () => {
  it.each([
    ["/../secret.txt", 400],
    ["/sub/../../secret.txt", 400],
    ["/%2e%2e/secret.txt", 400],
    ["/..%2fsecret.txt", 400],
    ["/..%5csecret.txt", 400],
    ["/%252e%252e/secret.txt", 404],
    ["/./page.txt", 400],
    ["/page.txt%00.html", 400],
    ["/page.txt%0d%0aX:", 400],
    ["/%ff", 400],
    ["/%", 400],
    ["/%4", 400],
    ["/%c0%ae%c0%ae/secret.txt", 400],
    ["/.secret", 404],
    ["/%2esecret", 404],
    ["/sub/.git/config", 404],
    ["//etc/passwd", 404],
    ["//secret.txt", 404],
    ["/link-out.txt", 404],
    ["/etc/passwd", 404],
    ["/bare", 404],
    ["/bare/", 404],
    ["/page.txt/", 404],
    ["/page.txt/x", 404],
    [`/${"x".repeat(300)}`, 404],
    ["/nothing", 404],
  ])("%s", async (path, expected) => {
    const { status, text } = await get(path);
    expect(status).toBe(expected);
    expect(text).toMatch(new RegExp(`^${expected} [A-Z]`));
    expect(text).not.toContain("SECRET");
  });
});

describe("https-serve refuses", () => {
  it.each([
    ["what is no request", "HELLO\r\n\r\n"],
    ["a request without Host", "GET / HTTP/1.1\r\n\r\n"],
    ["two Hosts", "GET / HTTP/1.1\r\nHost: a.test\r\nHost: a.test\r\n\r\n"],
    ["a space in the target", "GET /a b HTTP/1.1\r\nHost: a.test\r\n\r\n"],
    ["a later version", "GET / HTTP/2.0\r\nHost: a.test\r\n\r\n"],
    ["a folded field", "GET / HTTP/1.1\r\nHost: a.test\r\nX: a\r\n b\r\n\r\n"],
    ["a space before the colon", "GET / HTTP/1.1\r\nHost : a.test\r\n\r\n"],
    ["two lengths", "GET / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"],
    ["a length beside chunks", "GET / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"],
    ["a NUL in a field", "GET / HTTP/1.1\r\nHost: a.test\r\nX: \0\r\n\r\n"],
  ])("%s, with 400 and the end of the connection", async (_, request) => {
    expect(await send(`${request}GET / HTTP/1.1\r\nHost: a.test\r\n\r\n`)).toMatchObject({ status: 400, ending: "end" });
  });

  it("a target that is too long, and a head that is too large, each by its name", async () => {
    expect(await get(`/${"x".repeat(10_000)}`)).toMatchObject({ status: 414 });
    expect(await get("/", `X: ${"x".repeat(10_000)}\r\n`)).toMatchObject({ status: 431 });
    expect(await get("/", "X: y\r\n".repeat(200))).toMatchObject({ status: 431 });
    expect(await get("/", `X: ${"x".repeat(7000)}\r\n`.repeat(6))).toMatchObject({ status: 431 });
  });

  it("other methods than GET and HEAD", async () => {
    const { status, head } = await get("/page.txt", "", "POST");
    expect(status).toBe(405);
    expect(head).toContain("Allow: GET, HEAD\r\n");
    expect(await get("/page.txt", "", "BREW")).toMatchObject({ status: 501 });
    expect(await send("OPTIONS * HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n")).toMatchObject({ status: 405 });
  });

  it("to take the body of a request for another request", async () => {
    const smuggled = "GET /page.txt HTTP/1.1\r\nHost: a.test\r\n\r\n";
    const { status, text, ending } = await send(
      `GET /sub/ HTTP/1.1\r\nHost: a.test\r\nContent-Length: ${smuggled.length}\r\n\r\n${smuggled}`,
    );
    expect({ status, text, ending }).toEqual({ status: 200, text: "sub\n", ending: "end" });
  });

  it("a request for a server name that the connection was not opened for, and takes one that the certificate covers", async () => {
    const asking = (host: string) => send(`GET /page.txt HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
    expect(await asking("c.test")).toMatchObject({ status: 421 });
    expect(await asking("127.0.0.1")).toMatchObject({ status: 421 });
    expect(await asking("b.test")).toMatchObject({ status: 200 });
  });

  it("a head that does not come in time, and waits no longer for a request than it is told to", async () => {
    const impatient = await startHttpsServer(guest.code, site, { main: pki }, ["--header-timeout", "0.2", "--idle-timeout", "0.4"]);
    expect(await send("GET / HTTP/1.1\r\nHost: a", impatient)).toMatchObject({ status: 408, ending: "end" });
    expect(await exchange(impatient.port, trusting(), "")).toMatchObject({ text: "", ending: "end" });
    expect(impatient.stdout()).toMatch(/ - 408 \d+\n$/);
    impatient.close();
  });
});

describe("https-serve keeps clients apart", () => {
  it("two hundred at once, each with its own answer", async () => {
    const answers = await Promise.all(Array.from({ length: 200 }, (_, i) => get(`/page.txt?${i}`, `Range: bytes=${i % 10}-${i % 10}\r\n`)));
    expect(answers.map(({ text }) => text)).toEqual(Array.from({ length: 200 }, (_, i) => String(i % 10)));
  });

  it("when others reset, say nothing, speak plain HTTP or take no byte of a body", async () => {
    const base = server.handles();
    const silent = connect(server.port, "127.0.0.1");
    const plain = new Promise((resolve) => {
      const socket = connect(server.port, "127.0.0.1", () => socket.write("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"));
      socket
        .on("data", () => {})
        .on("close", resolve)
        .on("error", () => {});
    });
    const stalled = tls.connect({ port: server.port, host: "127.0.0.1", ...trusting() });
    stalled.pause().write("GET /large.bin HTTP/1.1\r\nHost: a.test\r\n\r\n");
    const reset = connect(server.port, "127.0.0.1", () => reset.resetAndDestroy());
    const cut = tls.connect({ port: server.port, host: "127.0.0.1", ...trusting() }, () => {
      cut.write("GET /large.bin HTTP/1.1\r\nHost: a.test\r\n\r\n");
      cut.once("data", () => cut.destroy());
    });
    const gone = Promise.all([reset, cut].map((socket) => new Promise((resolve) => socket.once("close", resolve))));
    for (const socket of [silent, stalled, reset, cut]) socket.on("error", () => {});
    await Promise.all([plain, gone]);
    expect(await get("/page.txt")).toMatchObject({ status: 200, text: "0123456789" });
    silent.destroy();
    stalled.destroy();
    // Whatever it held for them is given back.
    await expect.poll(() => server.handles(), { timeout: 10_000 }).toBeLessThanOrEqual(base);
  });

  it("and lets no more in than it is told to: the next one waits until one has left", async () => {
    const small = await startHttpsServer(guest.code, site, { main: pki }, ["--max-connections", "2"]);
    const open = () =>
      new Promise<tls.TLSSocket>((resolve) => {
        const socket = tls.connect({ port: small.port, host: "127.0.0.1", ...trusting() }, () => resolve(socket));
      });
    const [first] = [await open(), await open()];
    let entered = false;
    const third = send("GET /page.txt HTTP/1.0\r\n\r\n", small).then((answer) => {
      entered = true;
      return answer;
    });
    // Nothing that the third could be waiting for but a place: a round trip on the first shows that the server is not busy.
    first.write("GET /sub/ HTTP/1.1\r\nHost: a.test\r\n\r\n");
    await new Promise((resolve) => first.once("data", resolve));
    expect(entered).toBe(false);
    first.end();
    expect(await third).toMatchObject({ status: 200, text: "0123456789" });
    small.close();
  });

  it("and cuts an answer that it cannot finish, so that nobody takes it for whole", async () => {
    const file = join(site, "shrinking.bin");
    writeFileSync(file, Buffer.alloc(30_000_000));
    const socket = tls.connect({ port: server.port, host: "127.0.0.1", ...trusting() });
    let received = 0;
    socket.on("error", () => {}).write("GET /shrinking.bin HTTP/1.1\r\nHost: a.test\r\n\r\n");
    await new Promise<void>((resolve) => {
      socket.once("data", (chunk: Buffer) => {
        received += chunk.length;
        socket.pause();
        resolve();
      });
    });
    writeFileSync(file, "");
    socket.on("data", (chunk: Buffer) => (received += chunk.length)).resume();
    await new Promise((resolve) => socket.once("close", resolve));
    expect(received).toBeLessThan(30_000_000);
    const [line, bytes] = await server.said("stdout", /"GET \/shrinking\.bin" 200 (\d+) cut\n/);
    expect(Number(bytes), line).toBeLessThan(30_000_000);
    expect(await get("/page.txt")).toMatchObject({ status: 200 });
  });
});

describe("https-serve ends", () => {
  it("after as many requests as it was told, when the last connection is over, and holds nothing", async () => {
    const brief = await startHttpsServer(guest.code, site, { main: pki }, ["--once", "3"]);
    const waiting = exchange(brief.port, trusting(), "GET /page.txt HTTP/1.1\r\nHost: a.test\r\n\r\n");
    await brief.said("stdout", /GET \/page\.txt/);
    const [last] = await Promise.all([
      send("GET /sub/ HTTP/1.1\r\nHost: a.test\r\n\r\nGET /empty HTTP/1.1\r\nHost: a.test\r\n\r\n", brief),
      waiting,
    ]);
    expect(last).toMatchObject({ ending: "end" });
    expect(await brief.ended).toEqual({ tag: "exit", code: 0, handles: 0 });
    expect(brief.stdout().match(/" 200 /g)).toHaveLength(3);
  });

  it.each([
    ["an unknown flag", ["--port", "1"], 2, "unknown flag --port"],
    ["a flag without its value", ["--listen"], 2, "--listen takes a value"],
    ["no address", ["--listen", "nowhere"], 2, "--listen: an address looks like"],
    ["a number that is none", ["--once", "0"], 2, "--once takes a whole number"],
    ["a time that is none", ["--idle-timeout", "-1"], 2, "--idle-timeout takes seconds"],
    ["two folders", ["/site", "/site"], 2, "one folder can be served"],
    ["client certificates that nobody vouches for", ["--client-auth", "required"], 2, "needs --client-ca"],
    ["an authority for nothing", ["--client-ca", "/site/page.txt"], 2, "does nothing without --client-auth"],
    ["an identity that was not granted", ["--identity", "other"], 1, 'the identity "other" was not granted'],
    ["a folder that was not granted", ["/elsewhere"], 1, "is in no granted folder"],
    ["a file of authorities that has none", ["--client-auth", "optional", "--client-ca", "/site/page.txt"], 1, "holds no certificate"],
    [
      "a file of authorities that is not there",
      ["--client-auth", "optional", "--client-ca", "/site/no.pem"],
      1,
      "cannot be read: no-entry",
    ],
    ["a port that was not granted", ["--listen", "127.0.0.1:1"], 1, "access-denied"],
  ])("at once for %s, and says why", async (_, args, code, message) => {
    const run = runHttpsServer(guest.code, site, { main: pki }, args);
    expect(await run.ended).toMatchObject({ tag: "exit", code });
    expect(run.stderr()).toContain(message);
    expect(run.stdout()).toBe("");
  });

  it("at once without any folder or identity", async () => {
    const noFolder = runHttpsServer(guest.code, undefined, { main: pki }, []);
    expect(await noFolder.ended).toMatchObject({ tag: "exit", code: 1 });
    expect(noFolder.stderr()).toContain("no folder was granted");
    const noIdentity = runHttpsServer(guest.code, site, {}, []);
    expect(await noIdentity.ended).toMatchObject({ tag: "exit", code: 1 });
    expect(noIdentity.stderr()).toContain("no identity was granted");
  });

  it("with its usage when that is asked for", async () => {
    const run = runHttpsServer(guest.code, undefined, {}, ["--help"]);
    expect(await run.ended).toMatchObject({ tag: "exit", code: 0, handles: 0 });
    expect(run.stdout()).toContain("usage: https-serve [FOLDER]");
  });
});
