import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import http2 from "node:http2";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { recordsOf } from "../../support/gateway-instance.ts";
import { makePki, type TestPki } from "../../support/pki.ts";
import { inRepository } from "../peers/process.ts";
import { type Fetch, makeSite, programs } from "./programs.ts";

/** Programs that nobody here wrote under `sallyport exec`, each intercepted, tunnelled, refused, and not trusting the proxy. */
let folder: string;
let pki: TestPki;
let root: string;
let port: number;
let server: http2.Http2SecureServer;
let count = 0;
const asked: string[] = [];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "sallyport-interop-"));
  pki = await makePki({
    // npm goes to an address through a proxy as if it were called localhost.
    leaf: { dns: ["web.test", "localhost"], ip: ["127.0.0.1"] },
  });
  root = join(folder, "root.pem");
  writeFileSync(root, pki.root.pem);
  const made = join(folder, "site");
  mkdirSync(made);
  const site = makeSite(made);
  server = http2.createSecureServer({ key: pki.leaf.keyPem, cert: pki.chainPem, allowHTTP1: true }, (request, response) => {
    asked.push(`HTTP/${request.httpVersion} ${request.url}`);
    const page = site.get(decodeURIComponent(request.url.slice(1).split("?", 1)[0]!));
    if (request.url.endsWith("/simple/thepage/")) response.setHeader("content-type", "text/html");
    response.statusCode = page === undefined ? 404 : 200;
    response.end(Buffer.from(page ?? []));
  });
  server.on("sessionError", () => {});
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  ({ port } = server.address() as AddressInfo);
});
afterAll(() => {
  server.close();
  rmSync(folder, { recursive: true, force: true });
});

interface Ran {
  code: number;
  output: string;
  records: Record<string, unknown>[];
}

/** Run a program under `sallyport exec`. */
async function run(name: string, base: string, options: { ca?: string } = {}): Promise<Ran> {
  const scratch = join(folder, String(++count));
  mkdirSync(scratch);
  const front = { server_name: "web.test", address: `127.0.0.1:${port}` };
  const policy = {
    version: 1,
    ports: [443, port],
    allow_networks: ["127.0.0.0/8"],
    anchors: { test: root },
    deny: ["denied.test"],
    hosts: [
      { match: ["=web.test"], mode: "front", front, upstream: { anchors: ["test"] } },
      {
        match: ["=ruled.test"],
        mode: "front",
        front,
        upstream: { anchors: ["test"] },
        requests: { default: "allow", rules: [{ action: "deny", paths: ["/no/**"] }] },
      },
      { match: ["127.0.0.1"], mode: "tunnel" },
    ],
  };
  const config = join(scratch, "policy.json");
  const audit = join(scratch, "audit.jsonl");
  writeFileSync(config, JSON.stringify(policy), { mode: 0o600 });
  mkdirSync(join(scratch, "out"));
  const program = programs[name]!;
  const fetch: Fetch = { url: `${base}/${program.path}`, ca: options.ca, folder: join(scratch, "out") };
  const variables = Object.entries(program.env?.(fetch) ?? {}).map(([key, value]) => `${key}=${value}`);
  const command = await program.command(fetch);
  const args = [inRepository("host/cli/bin.mjs"), "exec", "--config", config, "--audit", audit, "--", "env", ...variables, ...command];
  const env = { ...process.env, TMPDIR: folder, HOME: scratch };
  return await new Promise((resolve) => {
    execFile(process.execPath, args, { env, timeout: 25_000 }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code ?? 1), output: stdout + stderr, records: recordsOf(audit) });
    });
  });
}

const said = ({ records }: Ran, event: string) => records.filter((record) => record.by === "component" && record.event === event);

describe.each(Object.keys(programs))("%s", (name) => {
  test("is intercepted, under the certificate of this run", async () => {
    const before = asked.length;
    const ran = await run(name, "https://web.test");
    expect(ran.output).toContain("the page");
    expect(ran.code).toBe(0);
    expect(said(ran, "client-hello")[0]).toMatchObject({ decision: "front", server_name: "web.test" });
    expect(said(ran, "handshake").every(({ error }) => error === undefined)).toBe(true);
    if (name === "curl with h2") {
      expect(ran.output).toContain("HTTP/2");
      expect(asked.at(-1)).toBe("HTTP/2.0 /page.txt");
    } else if (/^(?:curl|python)/.test(name)) expect(asked.slice(before)).toEqual(["HTTP/1.1 /page.txt"]);
  });

  test("has its requests decided on one by one", async () => {
    const ran = await run(name, "https://ruled.test");
    expect(ran.output).toContain("the page");
    expect(said(ran, "request").filter(({ decision }) => decision === "allow").length).toBeGreaterThan(0);
    const refused = await run(name, "https://ruled.test/no");
    expect(refused.code).not.toBe(0);
    expect(said(refused, "request")).toContainEqual(expect.objectContaining({ decision: "deny", rule: "$.hosts[1].requests.rules[0]" }));
  });

  test("is tunnelled, and sees the server's own certificate", async () => {
    const ran = await run(name, `https://127.0.0.1:${port}`, { ca: root });
    expect(ran.output).toContain("the page");
    expect(said(ran, "connection")[0]).toMatchObject({ decision: "tunnel" });
    expect(ran.records.some(({ event }) => event === "certificate")).toBe(false);
  });

  test("is refused where the policy says so", async () => {
    const before = asked.length;
    const ran = await run(name, "https://denied.test");
    expect(ran.code).not.toBe(0);
    expect(said(ran, "connection")[0]).toMatchObject({ decision: "deny", rule: "$.deny[0]" });
    expect(asked).toHaveLength(before);
  });

  test("gets nothing where it does not trust the authority, and that is recorded", async () => {
    const before = asked.length;
    const ran = await run(name, "https://web.test", { ca: root });
    expect(ran.code).not.toBe(0);
    expect(ran.output).not.toContain("the page");
    expect(asked).toHaveLength(before);
    expect(said(ran, "handshake")).toContainEqual(expect.objectContaining({ error: expect.stringMatching(/^client: /) }));
  });
});

test("the bundle has the system's roots beside the one of this run", async () => {
  const config = join(folder, "bundle.json");
  writeFileSync(config, JSON.stringify({ version: 1, hosts: [{ match: ["web.test"], mode: "intercept" }] }), { mode: 0o600 });
  const args = [inRepository("host/cli/bin.mjs"), "exec", "-q", "--config", config, "--", "sh", "-c", 'cat "$SSL_CERT_FILE"'];
  const bundle = await new Promise<string>((resolve, reject) =>
    execFile(process.execPath, args, { maxBuffer: 2 ** 24 }, (error, stdout) => (error === null ? resolve(stdout) : reject(error))),
  );
  expect(bundle.match(/BEGIN CERTIFICATE/g)!.length).toBeGreaterThan(1);
  expect(bundle).not.toContain("PRIVATE KEY");
});
