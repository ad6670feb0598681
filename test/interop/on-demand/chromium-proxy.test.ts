import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import http2 from "node:http2";
import https from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { recordsOf } from "../../support/gateway-instance.ts";
import { makePki, type TestPki } from "../../support/pki.ts";
import { type IssuedChain, issuedChains } from "../peers/issued-chains.ts";
import { inRepository, type PeerProcess, Scene } from "../peers/process.ts";

/** A browser, without its window, through `sallyport proxy`: a page with thirty resources in each of the ways. */
const RESOURCES = 30;

let folder: string;
let pki: TestPki;
let server: http2.Http2SecureServer;
let port: number;
const asked: string[] = [];
const scene = new Scene();

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "sallyport-chromium-"));
  pki = await makePki({ leaf: { dns: ["web.test", "tunnel.test"] } });
  writeFileSync(join(folder, "root.pem"), pki.root.pem);
  const scripts = Array.from({ length: RESOURCES }, (_, index) => `<script src="/${index}.js"></script>`).join("");
  const page = `<!doctype html><title>t</title><p id=p>before</p><script>window.count = 0</script>${scripts}<script>document.getElementById("p").textContent = "loaded " + window.count</script>`;
  server = http2.createSecureServer({ key: pki.leaf.keyPem, cert: pki.chainPem, allowHTTP1: true }, (request, response) => {
    asked.push(`${request.httpVersion} ${request.url}`);
    const isScript = request.url.endsWith(".js");
    response.setHeader("content-type", isScript ? "text/javascript" : "text/html");
    response.end(isScript ? "window.count++;" : page);
  });
  server.on("sessionError", () => {});
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  ({ port } = server.address() as AddressInfo);
});
afterEach(() => scene.end());
afterAll(() => {
  server.close();
  rmSync(folder, { recursive: true, force: true });
});

interface Proxy {
  url: string;
  root: string;
  records(): Record<string, unknown>[];
}

/** Names lead to the server of these tests by fronts, so that none is looked up; Chromium sends false ECH to everybody. */
async function startProxy(further = port): Promise<Proxy> {
  const front = { server_name: "web.test", address: `127.0.0.1:${port}` };
  const upstream = { anchors: ["test"] };
  const policy = {
    version: 1,
    ports: [443, port, further],
    allow_networks: ["127.0.0.0/8"],
    anchors: { test: join(folder, "root.pem") },
    deny: ["denied.test"],
    ech: "outer",
    hosts: [
      { match: ["=web.test"], mode: "front", front, upstream },
      { match: ["=ruled.test"], mode: "front", front, upstream, requests: { default: "allow" } },
      { match: ["127.0.0.1"], mode: "tunnel" },
    ],
  };
  const [config, audit] = [join(scene.folder, "policy.json"), join(scene.folder, "audit.jsonl")];
  writeFileSync(config, JSON.stringify(policy), { mode: 0o600 });
  const program = inRepository("host/cli/bin.mjs");
  // A browser asks its user for a proxy's password, and there is none here.
  const running = scene.start(process.execPath, [program, "proxy", "--config", config, "--audit", audit, "--no-auth"]);
  const [, at] = await running.waitFor(/export https_proxy=http:\/\/(127\.0\.0\.1:\d+)\n/);
  const [, root] = await running.waitFor(/export NODE_EXTRA_CA_CERTS=(\S+)\n/);
  return { url: at!, root: root!, records: () => recordsOf(audit) };
}

/** Load a page. @param trusts PEM @returns the document after its scripts ran */
async function load(url: string, proxy: string | undefined, trusts: string | undefined, flags: string[] = []): Promise<string> {
  const home = join(scene.folder, "home");
  const database = join(home, ".pki/nssdb");
  mkdirSync(database, { recursive: true });
  execFileSync("certutil", ["-d", `sql:${database}`, "-N", "--empty-password"]);
  if (trusts !== undefined) {
    const file = join(scene.folder, "trusted.pem");
    writeFileSync(file, trusts);
    execFileSync("certutil", ["-d", `sql:${database}`, "-A", "-t", "C,,", "-n", "test", "-i", file]);
  }
  const quiet = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run", "--disable-quic"];
  const headless = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", `--user-data-dir=${join(home, "profile")}`];
  const through = proxy === undefined ? [] : [`--proxy-server=http://${proxy}`, "--proxy-bypass-list=<-loopback>"];
  const env = { HOME: home, XDG_CONFIG_HOME: home, XDG_CACHE_HOME: home };
  const all = [...headless, ...quiet, ...through, ...flags, "--virtual-time-budget=5000", "--dump-dom", url];
  const browser: PeerProcess = scene.start("chromium", all, { env });
  await browser.exited();
  return browser.stdout;
}

const said = (proxy: Proxy, event: string) => proxy.records().filter((record) => record.by === "component" && record.event === event);

describe("Chromium loads a page with thirty resources", () => {
  test("intercepted, over h2", async () => {
    asked.length = 0;
    const proxy = await startProxy();
    expect(await load("https://web.test/", proxy.url, readFileSync(proxy.root, "utf8"))).toContain(`loaded ${RESOURCES}`);
    for (let index = 0; index < RESOURCES; index++) expect(asked).toContain(`2.0 /${index}.js`);
    const handshakes = said(proxy, "handshake").filter(({ server_name: name }) => name === "web.test");
    expect(handshakes.length).toBeGreaterThan(0);
    expect(handshakes[0]).toMatchObject({ client_tls: { alpn: "h2" }, upstream_tls: { alpn: "h2" } });
  });

  test("request by request, over HTTP/1.1", async () => {
    asked.length = 0;
    const proxy = await startProxy();
    expect(await load("https://ruled.test/", proxy.url, readFileSync(proxy.root, "utf8"))).toContain(`loaded ${RESOURCES}`);
    const paths = said(proxy, "request").map(({ path, decision }) => `${String(decision)} ${String(path)}`);
    for (let index = 0; index < RESOURCES; index++) expect(paths).toContain(`allow /${index}.js`);
    expect(asked.every((line) => line.startsWith("1.1 "))).toBe(true);
  });

  test("tunnelled, under the server's own certificate", async () => {
    const local = await makePki({ leaf: { ip: ["127.0.0.1"] } });
    const own = https.createServer({ key: local.leaf.keyPem, cert: local.chainPem }, (request, response) => {
      const isScript = request.url!.endsWith(".js");
      response.setHeader("content-type", isScript ? "text/javascript" : "text/html");
      const scripts = Array.from({ length: RESOURCES }, (_, index) => `<script src="/${index}.js"></script>`).join("");
      response.end(isScript ? "window.n = (window.n ?? 0) + 1" : `${scripts}<p id=p></p><script>p.textContent = "loaded " + n</script>`);
    });
    await new Promise<void>((resolve) => own.listen(0, "127.0.0.1", resolve));
    const at = (own.address() as AddressInfo).port;
    try {
      const proxy = await startProxy(at);
      const out = await load(`https://127.0.0.1:${at}/`, proxy.url, local.root.pem);
      expect(out).toContain(`loaded ${RESOURCES}`);
      expect(said(proxy, "connection").some(({ decision }) => decision === "tunnel")).toBe(true);
      expect(proxy.records().some(({ event }) => event === "certificate")).toBe(false);
    } finally {
      own.closeAllConnections();
      own.close();
    }
  });
});

describe("Chromium gets nothing", () => {
  test("where the policy says so", async () => {
    asked.length = 0;
    const proxy = await startProxy();
    expect(await load("https://denied.test/", proxy.url, readFileSync(proxy.root, "utf8"))).not.toContain("loaded");
    expect(said(proxy, "connection")).toContainEqual(expect.objectContaining({ decision: "deny", rule: "$.deny[0]" }));
    expect(asked).toEqual([]);
  });

  test("where it does not trust the authority, and that is recorded", async () => {
    asked.length = 0;
    const proxy = await startProxy();
    expect(await load("https://web.test/", proxy.url, undefined)).not.toContain("loaded");
    expect(asked).toEqual([]);
    expect(said(proxy, "handshake")).toContainEqual(expect.objectContaining({ error: expect.stringMatching(/^client: /) }));
  });
});

describe("Chromium's verifier", () => {
  let chains: IssuedChain[];
  beforeAll(async () => {
    chains = await issuedChains(join(folder, "chains"));
  });

  /** Serve under a chain and have Chromium look at it; names lead here by its own rules, and addresses by their proxy-less port. */
  async function looks({ root, intermediate, leaf, name }: IssuedChain, key: string): Promise<string> {
    const one = https.createServer({ key, cert: leaf + intermediate }, (_, response) => void response.end("<p>taken</p>"));
    const refusals = new Set<string>();
    one.on("tlsClientError", (error: NodeJS.ErrnoException) => refusals.add(error.code ?? error.message));
    await new Promise<void>((resolve) => one.listen(0, "127.0.0.1", resolve));
    try {
      const { port: own } = one.address() as AddressInfo;
      const host = name.includes(":") ? `[${name}]` : name;
      const rules = `--host-resolver-rules=MAP * 127.0.0.1:${own}`;
      const page = await load(`https://${host}:${own}/`, undefined, root, [rules]);
      return [page, ...refusals].join(" ");
    } finally {
      one.closeAllConnections();
      one.close();
    }
  }

  test("accepts leaves of the authority, and refuses those outside of its constraints, addresses too", async () => {
    expect(chains.length).toBeGreaterThan(20);
    // A browser a chain is what this costs: a few of each kind stand for all, which other verifiers look at one by one.
    const within = chains.filter(({ isWithin, name }) => isWithin && ["example.com", "10.1.2.3"].includes(name)).slice(0, 3);
    const outside = chains.filter(
      ({ isWithin, name }) => !isWithin && ["evil.test", "notexample.com", "11.0.0.1", "127.0.0.1", "10.1.2.3"].includes(name),
    );
    expect([within.length, outside.length]).toEqual([3, expect.any(Number)]);
    for (const chain of within) {
      expect(await looks(chain, chain.key), chain.title).toContain("taken");
      await scene.end();
    }
    for (const chain of outside.slice(0, 6)) {
      const seen = await looks(chain, chain.key);
      expect(seen, chain.title).not.toContain("taken");
      expect(seen, chain.title).toMatch(/ALERT_(?:CERTIFICATE_UNKNOWN|BAD_CERTIFICATE|UNKNOWN_CA)/);
      await scene.end();
    }
  }, 120_000);
});
