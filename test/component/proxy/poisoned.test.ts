import { once } from "node:events";
import tls from "node:tls";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type TestServer, tlsServer } from "../../support/https-servers.ts";
import { makePki, type TestPki } from "../../support/pki.ts";
import { connectThrough, startProxy, type TestProxy, TOKEN } from "../../support/proxy.ts";

const POISON = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";

/** What a server answers to a request for such a path, all in one piece. */
const answers: Record<string, string> = {
  "/two-answers": `HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok${POISON}`,
  "/no-content-and-more": `HTTP/1.1 204 No Content\r\nContent-Length: ${POISON.length}\r\n\r\n${POISON}`,
  "/not-modified-and-more": `HTTP/1.1 304 Not Modified\r\nContent-Length: ${POISON.length}\r\n\r\n${POISON}`,
  "/head": `HTTP/1.1 200 OK\r\nContent-Length: ${POISON.length}\r\n\r\n${POISON}`,
  "/chunks-and-more": `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n${POISON}`,
  "/both": "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
  "/chunked-in-1.0": "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
  "/chunked-not-last": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
  "/two-lengths": "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
  "/space-before-colon": "HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok",
  "/folded": "HTTP/1.1 200 OK\r\nX-A: 1\r\n b\r\nContent-Length: 2\r\n\r\nok",
  "/bare-line-feed": "HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
  "/bare-carriage-return": "HTTP/1.1 200 OK\r\nX-A: 1\rContent-Length: 9\r\nContent-Length: 2\r\n\r\nok",
  "/nul": "HTTP/1.1 200 OK\r\nX-A: \0\r\nContent-Length: 2\r\n\r\nok",
  "/switched-unasked": `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n${POISON}`,
  "/interim-without-end": "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n".repeat(2000),
  "/fields-without-end": `HTTP/1.1 200 OK\r\n${"X-A: 1\r\n".repeat(5000)}Content-Length: 2\r\n\r\nok`,
  "/line-without-end": `HTTP/1.1 200 OK\r\nX-A: ${"1".repeat(200_000)}\r\nContent-Length: 2\r\n\r\nok`,
};

let pki: TestPki;
let server: TestServer;
let proxy: TestProxy;
beforeAll(async () => {
  pki = await makePki({ leaf: { dns: ["a.test"] } });
  server = await tlsServer(pki, (socket) => {
    let seen = "";
    socket.on("data", (bytes: Buffer) => {
      seen += bytes.toString("latin1");
      for (let end = seen.indexOf("\r\n\r\n"); end >= 0; end = seen.indexOf("\r\n\r\n")) {
        const path = /^\S+ (\S+)/.exec(seen)![1]!;
        seen = seen.slice(end + 4);
        socket.write(answers[path] ?? `HTTP/1.1 200 OK\r\nContent-Length: ${path.length}\r\n\r\n${path}`, "latin1");
      }
    });
  });
  proxy = await startProxy({
    policy: {
      version: 1,
      ports: [server.port],
      allow_networks: ["127.0.0.0/8"],
      anchors: { test: "test.pem" },
      hosts: [{ match: ["a.test"], mode: "intercept", upstream: { anchors: ["test"] }, requests: { default: "allow" } }],
      timeouts: { idle_seconds: 5 },
    },
    anchors: { test: pki.root.pem },
    permit: { names: ["a.test"] },
    names: { "a.test": ["127.0.0.1"] },
  });
});
afterAll(async () => {
  await proxy[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
  expect(proxy.stderr()).toBe("");
});

/** Ask for this, and once that has been answered, or cut, for something harmless; both answers in one text. */
async function askTwice(first: string, method = "GET"): Promise<{ first: string; second: string }> {
  const { socket: outer } = await connectThrough(proxy, `a.test:${server.port}`, { token: TOKEN });
  const socket = tls.connect({ socket: outer, servername: "a.test", ca: proxy.ca });
  await once(socket, "secureConnect");
  let text = "";
  let over = false;
  socket.on("data", (data: Buffer) => (text += data.toString("latin1"))).on("error", () => {});
  socket.once("close", () => (over = true));
  socket.write(`${method} ${first} HTTP/1.1\r\nHost: a.test\r\n\r\n`);
  await expect.poll(() => over || text.includes("\r\n\r\n"), { timeout: 10_000 }).toBe(true);
  // What came too much is with the host by now, or never comes.
  await new Promise((resolve) => setTimeout(resolve, 50));
  const got = text;
  text = "";
  if (!over) {
    socket.write("GET /harmless HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n");
    await expect.poll(() => over, { timeout: 10_000 }).toBe(true);
  }
  socket.destroy();
  return { first: got, second: text };
}

describe("bytes that a server sends on top of its answer", () => {
  it.each<[string, string]>([
    ["/two-answers", "GET"],
    ["/no-content-and-more", "GET"],
    ["/not-modified-and-more", "GET"],
    ["/head", "HEAD"],
    ["/chunks-and-more", "GET"],
  ])("(%s, %s) never become the answer to another request, nor a part of this one", async (path, method) => {
    const { first, second } = await askTwice(path, method);
    expect(first).toMatch(/^HTTP\/1\.1 (?:200|204|304) /);
    expect(first + second).not.toContain("poison");
    // The next one is answered by the server, or not at all.
    if (second !== "") expect(second).toMatch(/\r\n\r\n\/harmless$/);
  });
});

describe("an answer that two readers would understand differently", () => {
  const odd = Object.keys(answers).slice(Object.keys(answers).indexOf("/both"));
  it.each(odd)("(%s) is passed on to nobody", async (path) => {
    const { first, second } = await askTwice(path);
    expect(first.replaceAll(/HTTP\/1\.1 103 [^]*?\r\n\r\n/g, "")).toMatch(/^(?:HTTP\/1\.1 502 |$)/);
    expect(first + second).not.toContain("poison");
    expect(first.match(/ 103 /g)?.length ?? 0).toBeLessThan(20);
  });

  it("leaves the proxy as it was for others", async () => {
    expect((await askTwice("/fine")).second).toMatch(/\/harmless$/);
  });
});
