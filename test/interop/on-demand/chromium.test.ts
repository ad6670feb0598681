import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeAll, expect, test } from "vitest";
import { makePki, type TestPki } from "../../support/pki.ts";
import { write, writeIdentity } from "../client/servers.ts";
import { inRepository, type PeerProcess, Scene } from "../peers/process.ts";

/** A browser, without its window, that loads a page from `sallyport serve`. */
let pki: TestPki;
const scene = new Scene();

beforeAll(async () => {
  pki = await makePki({ leaf: { dns: ["server.test"] }, intermediates: 2 });
});
afterEach(() => scene.end());

async function serve(): Promise<{ port: number; process: PeerProcess }> {
  const site = join(scene.folder, "site");
  mkdirSync(site);
  writeFileSync(join(site, "page.html"), "<!doctype html><title>t</title><p id=p>before</p><script src=script.js></script>");
  writeFileSync(join(site, "script.js"), 'document.getElementById("p").textContent = `after ${location.protocol}`;');
  const files = writeIdentity(scene, "server", pki.leaf, pki.intermediates);
  const program = inRepository("host/cli/bin.mjs");
  const identity = `one=${files.chain},${files.key}`;
  const server = scene.start(process.execPath, [program, "serve", site, "-v", "--identity", identity, "--listen", "127.0.0.1:0"]);
  const [, port] = await server.waitFor(/^listening on https:\/\/127\.0\.0\.1:(\d+)$/m);
  return { port: Number(port), process: server };
}

/** Load a page. @returns the document after its scripts ran */
async function load(url: string, trusts: TestPki | undefined): Promise<string> {
  const home = join(scene.folder, "home");
  const database = join(home, ".pki/nssdb");
  mkdirSync(database, { recursive: true });
  execFileSync("certutil", ["-d", `sql:${database}`, "-N", "--empty-password"]);
  if (trusts !== undefined)
    execFileSync("certutil", ["-d", `sql:${database}`, "-A", "-t", "C,,", "-n", "test", "-i", write(scene, "ca.pem", trusts.root.pem)]);
  const quiet = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run", "--disable-quic"];
  const flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", `--user-data-dir=${join(home, "profile")}`];
  flags.push("--host-resolver-rules=MAP server.test 127.0.0.1", "--virtual-time-budget=3000", "--dump-dom");
  const env = { HOME: home, XDG_CONFIG_HOME: home, XDG_CACHE_HOME: home };
  const browser = scene.start("chromium", [...flags, ...quiet, url], { env });
  await browser.exited();
  return browser.stdout;
}

test("Chromium loads a page and its script, and the log says X25519MLKEM768", async () => {
  const { port, process: server } = await serve();
  expect(await load(`https://server.test:${port}/page.html`, pki)).toContain("after https:");
  await server.waitFor(/server\.test TLSv1\.3 TLS_\S+ "http\/1\.1" X25519MLKEM768 full - "GET \/page\.html" 200/);
  await server.waitFor(/"GET \/script\.js" 200/);
});

test("Chromium that does not trust the authority shows no page and asks for none", async () => {
  const { port, process: server } = await serve();
  expect(await load(`https://server.test:${port}/page.html`, undefined)).not.toContain("after https:");
  await server.waitFor(/the peer refused: (certificate_unknown|unknown_ca)/);
  expect(server.stdout).not.toContain("GET /page.html");
});
