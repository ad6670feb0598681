import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { encodePem, parsePem } from "../../../src/wire/pem.ts";
import { httpsServer, type TestServer } from "../../support/https-servers.ts";
import { makePki, type TestPki } from "../../support/pki.ts";
import { startProxy, type TestProxy } from "../../support/proxy.ts";
import { inRepository } from "../peers/process.ts";

/**
 * Data that a client sends before the handshake (RFC 8446, section 2.3) may be replayed by anybody: none of it may reach a guest,
 * whatever the client takes for allowed. Sessions of ours allow none, so that OpenSSL sends none unless the session is forged.
 */
const folder = mkdtempSync(join(tmpdir(), "sallyport-early-"));
const EARLY = "GET /early HTTP/1.1\r\nHost: a.test\r\n\r\n";
let pki: TestPki;

beforeAll(async () => {
  pki = await makePki({ leaf: { dns: ["a.test", "ruled.test"] }, intermediates: 0 });
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe.each([[[]], [["--no-attach"]]])("https-serve %j", (flags) => {
  let served: Awaited<ReturnType<typeof serving>>;
  beforeAll(async () => {
    served = await serving(flags);
  });
  afterAll(() => served.stop());
  const way = () => ["-connect", `127.0.0.1:${served.port}`, "-servername", "a.test", "-CAfile", file("root.pem", pki.root.pem)];

  test("allows none in its sessions", async () => {
    const session = await sessionFrom(way());
    const { output } = await client(way(), { session, early: EARLY, ask: "/first" });
    expect(output).toContain("Early data was not sent");
    expect(output).toContain("Reused, TLSv1.3");
  });

  test("takes none from a client that sends some with a session of ours, which goes on and is answered once", async () => {
    const session = forged(await sessionFrom(way()), 16_384);
    const before = served.requests().length;
    const { output } = await client(way(), { session, early: EARLY, ask: "/page.txt" });
    expect(output).toContain("Early data was rejected");
    expect(output).toContain("Reused, TLSv1.3");
    expect(output).toContain("HTTP/1.1 200 OK");
    await expect.poll(() => served.requests().slice(before)).toEqual(["GET /page.txt"]);
  });

  test("takes none with a session of somebody else's either", async () => {
    const other = await serving(flags);
    const theirs = await sessionFrom(["-connect", `127.0.0.1:${other.port}`, "-servername", "a.test"]).finally(() => other.stop());
    const session = forged(theirs, 16_384);
    const before = served.requests().length;
    const { output } = await client(way(), { session, early: EARLY, ask: "/page.txt" });
    expect(output).toContain("Early data was rejected");
    expect(output).toContain("New, TLSv1.3");
    await expect.poll(() => served.requests().slice(before)).toEqual(["GET /page.txt"]);
  });

  test("ends the handshake of a client that sends more than is passed over, and goes on for others", async () => {
    const session = forged(await sessionFrom(way()), 1_000_000);
    const before = served.requests().length;
    const { output } = await client(way(), { session, early: EARLY.repeat(5000), ask: "/page.txt" });
    expect(output).toMatch(/alert|write:errno|reset|unexpected eof/i);
    await client(way(), { ask: "/page.txt" });
    await expect.poll(() => served.requests().slice(before)).toEqual(["GET /page.txt"]);
  });
});

describe("the proxy", () => {
  let upstream: TestServer;
  let proxy: TestProxy;
  let tunnelled: Awaited<ReturnType<typeof opensslServer>>;
  const asked: string[] = [];
  beforeAll(async () => {
    upstream = await httpsServer(pki, (request, response) => {
      asked.push(`${request.method} ${request.url}`);
      response.end("fine");
    });
    tunnelled = await opensslServer();
    proxy = await startProxy({
      policy: {
        version: 1,
        ports: [443],
        allow_networks: ["127.0.0.0/8"],
        anchors: { test: "test.pem" },
        hosts: [
          { match: [`b.test:${tunnelled.port}`], mode: "tunnel" },
          fronted("a.test", {}),
          fronted("ruled.test", { requests: { default: "allow" } }),
        ],
      },
      anchors: { test: pki.root.pem },
      permit: { names: ["a.test", "ruled.test"] },
      names: { "b.test": ["127.0.0.1"] },
      auth: false,
      direct: true,
    });
  });
  afterAll(async () => {
    await proxy[Symbol.asyncDispose]();
    await upstream[Symbol.asyncDispose]();
    await tunnelled.stop();
    expect(proxy.stderr()).toBe("");
  });
  const fronted = (host: string, more: object) => ({
    match: [`=${host}`],
    mode: "front",
    front: { server_name: "a.test", address: `127.0.0.1:${upstream.port}` },
    upstream: { anchors: ["test"] },
    ...more,
  });
  const trusted = () => ["-CAfile", file("proxy-ca.pem", proxy.ca)];
  const through = (host: string) => ["-proxy", `127.0.0.1:${proxy.port}`, "-connect", `${host}:443`, "-servername", host, ...trusted()];
  const direct = (host: string) => ["-connect", `127.0.0.1:${proxy.directPort}`, "-servername", host, ...trusted()];

  test.each([
    ["bytes that it moves", () => through("a.test")],
    ["requests that it reads", () => through("ruled.test")],
    ["TLS as it comes", () => direct("a.test")],
  ])("takes none where it intercepts, of %s, and the client goes on", async (_, way) => {
    asked.length = 0;
    const session = forged(await sessionFrom(way()), 16_384);
    const before = asked.length;
    const { output } = await client(way(), { session, early: EARLY, ask: "/asked" });
    expect(output).toContain("Early data was rejected");
    expect(output).toContain("HTTP/1.1 200 OK");
    expect(asked.slice(before)).toEqual(["GET /asked"]);
    expect(JSON.stringify(proxy.records())).not.toContain("/early");
  });

  test("ends an interception with more than is passed over, records that as the client's doing, and serves others", async () => {
    const session = forged(await sessionFrom(through("a.test")), 1_000_000);
    asked.length = 0;
    const failures = () => proxy.said("handshake").filter(({ error }) => String(error).startsWith("client: "));
    const before = failures().length;
    await client(through("a.test"), { session, early: EARLY.repeat(5000), ask: "/asked" });
    await expect.poll(() => failures().length).toBe(before + 1);
    expect(asked).toEqual([]);
    expect((await client(through("a.test"), { ask: "/other" })).output).toContain("HTTP/1.1 200 OK");
  });

  test("passes what belongs to a server that takes some on through a tunnel, once and unread", async () => {
    const way = ["-proxy", `127.0.0.1:${proxy.port}`, "-connect", `b.test:${tunnelled.port}`, "-servername", "b.test"];
    const session = await sessionFrom(way);
    const { output } = await client(way, { session, early: EARLY, ask: "/asked", until: () => tunnelled.output().includes("GET /asked") });
    expect(output).toContain("Early data was accepted");
    await expect.poll(() => tunnelled.output().split("GET /early").length - 1).toBe(1);
    expect(JSON.stringify(proxy.records())).not.toContain("/early");
  });
});

/** An openssl that takes early data, and prints what it is sent. */
async function opensslServer() {
  const port = await freePort();
  const args = ["s_server", "-accept", `127.0.0.1:${port}`, "-tls1_3", "-early_data", "-max_early_data", "16384"];
  const child = spawn("openssl", [...args, "-cert", file("leaf.pem", pki.chainPem), "-key", file("leaf.key", pki.leaf.keyPem)]);
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (output += String(chunk)));
  await vi.waitUntil(() => output.includes("ACCEPT"), { timeout: 10_000 });
  return { port, output: () => output, stop: () => ended(child) };
}

/** `sallyport serve` of one page. */
async function serving(flags: readonly string[]) {
  const site = mkdtempSync(join(folder, "site-"));
  writeFileSync(join(site, "page.txt"), "a page");
  const identity = `site=${file("leaf.pem", pki.chainPem)},${file("leaf.key", pki.leaf.keyPem)}`;
  const args = [inRepository("host/cli/bin.mjs"), "serve", site, "--identity", identity, "--listen", "127.0.0.1:0", ...flags];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (output += String(chunk)));
  await vi.waitUntil(() => output.includes("listening on"), { timeout: 20_000 });
  return {
    port: Number(/listening on https:\/\/127\.0\.0\.1:(\d+)/.exec(output)![1]),
    requests: () => Array.from(output.matchAll(/"((?:GET|POST) [^"]*)"/g), ([, request]) => request),
    stop: () => ended(child),
  };
}

function ended(child: ReturnType<typeof spawn>): Promise<void> {
  return new Promise((resolve) => {
    child.once("close", () => resolve());
    child.kill();
  });
}

/** A session that a server gives. @returns its PEM */
async function sessionFrom(way: readonly string[]): Promise<string> {
  const path = join(folder, "session.pem");
  rmSync(path, { force: true });
  const isWritten = () => existsSync(path) && readFileSync(path, "utf8").includes("-----END");
  await client([...way, "-sess_out", path], { ask: "/session", until: isWritten });
  return readFileSync(path, "utf8");
}

interface Asking {
  session?: string;
  early?: string;
  /** The path of the request that follows the handshake. */
  ask: string;
  /** When it is enough; otherwise the server ends the connection. */
  until?: (output: string) => boolean;
}

/** openssl s_client: a handshake, with early data or without, then one request. */
async function client(way: readonly string[], { session, early, ask, until }: Asking): Promise<{ output: string }> {
  const args = ["s_client", "-tls1_3", ...(until === undefined ? ["-ign_eof"] : []), ...way];
  if (session !== undefined) args.push("-sess_in", file("session-in.pem", session));
  if (early !== undefined) args.push("-early_data", file("early", early));
  const child = spawn("openssl", args);
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (output += String(chunk)));
  child.stdin.on("error", () => {});
  let isOver = false;
  child.once("close", () => (isOver = true));
  try {
    // Said when the handshake is done.
    await vi.waitUntil(() => isOver || /Early data was (?:not sent|rejected|accepted)/.test(output), { timeout: 10_000 });
    const host = args[args.indexOf("-servername") + 1];
    child.stdin.write(`GET ${ask} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
    if (until !== undefined) {
      await vi.waitUntil(() => isOver || until(output), { timeout: 10_000 });
      // It ends with close_notify: what breaks off takes its session with it.
      child.stdin.end();
    }
    await vi.waitUntil(() => isOver, { timeout: 10_000 });
  } finally {
    child.kill();
  }
  return { output };
}

/** The same session, of which the client believes that so many bytes may go before its handshake: `max_early_data`, [15]. */
function forged(session: string, most: number): string {
  const bytes = Buffer.from(parsePem(session)[0]!.bytes);
  const contents = elementAt(bytes, 0);
  const elements: Buffer[] = [];
  for (let at = contents.from; at < contents.to; at = elementAt(bytes, at).to) elements.push(bytes.subarray(at, elementAt(bytes, at).to));
  const digits = most.toString(16);
  const number = Buffer.from(digits.padStart(digits.length + (digits.length % 2), "0"), "hex");
  const forgedMember = Buffer.concat([Buffer.from([0xaf, number.length + 2, 0x02, number.length]), number]);
  // In the order of the tags, of which [15] and later come last.
  const later = elements.findIndex((element) => element[0]! > 0xaf);
  elements.splice(later < 0 ? elements.length : later, 0, forgedMember);
  const body = Buffer.concat(elements);
  return encodePem("SSL SESSION PARAMETERS", Buffer.concat([Buffer.from([0x30, 0x82, body.length >> 8, body.length & 0xff]), body]));
}

/** Where the contents of a DER element are. */
function elementAt(bytes: Buffer, at: number): { from: number; to: number } {
  const short = bytes[at + 1]!;
  const size = short < 0x80 ? 0 : short & 0x7f;
  const length = size === 0 ? short : bytes.readUIntBE(at + 2, size);
  return { from: at + 2 + size, to: at + 2 + size + length };
}

function file(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text, { mode: 0o600 });
  return path;
}

async function freePort(): Promise<number> {
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve));
  const address = taken.address();
  await new Promise((resolve) => taken.close(resolve));
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}
