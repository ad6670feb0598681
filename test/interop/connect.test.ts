import { type ChildProcess, execFile, spawn } from "node:child_process";
import { generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import http from "node:http";
import https from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { bindingOf } from "../../src/tokens/index.ts";
import { encodeBase64url } from "../../src/wire/base64url.ts";
import { recordsOf } from "../support/gateway-instance.ts";
import { type Certified, EKU, makeCertificate, makePki, type TestPki } from "../support/pki.ts";
import { inRepository } from "./peers/process.ts";
import { type Fetch, makeSite, programs } from "./proxy/programs.ts";

/** `sallyport proxy` with client certificates and tokens; programs reach it by themselves or through `sallyport connect`. */
let folder: string;
let pki: TestPki;
let server: https.Server;
let port: number;
let plain: http.Server;
let plainPort: number;
/** What the plain server was sent. */
const received: { headers: http.IncomingHttpHeaders; body: string }[] = [];
let proxy: ChildProcess;
let proxyUrl: string;
let key: KeyObject;
let alice: Certified;
let count = 0;
const audit = () => recordsOf(join(folder, "audit.jsonl"));
const at = (name: string) => join(folder, name);

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "sallyport-connect-"));
  // Where a URL has an address, npm looks for localhost in the certificate.
  pki = await makePki({ leaf: { dns: ["localhost"], ip: ["127.0.0.1"] }, intermediates: 0 });
  alice = await makeCertificate({ cn: "alice", eku: [EKU.clientAuth] }, pki.root);
  const bob = await makeCertificate({ cn: "bob", eku: [EKU.clientAuth] }, pki.root);
  writeFileSync(at("root.pem"), pki.root.pem);
  for (const [name, { pem, keyPem }] of Object.entries({ gate: pki.leaf, alice, bob })) {
    writeFileSync(at(`${name}.pem`), pem);
    writeFileSync(at(`${name}.key`), keyPem, { mode: 0o600 });
  }
  const pair = generateKeyPairSync("ed25519");
  key = pair.privateKey;
  const publicKey = pair.publicKey.export({ format: "jwk" }).x!;
  writeFileSync(
    at("ring.json"),
    JSON.stringify({ format: "sallyport-keyring/1", keys: [{ issuer: "ops", algorithm: "Ed25519", publicKey }] }),
  );
  mkdirSync(at("site"));
  const site = makeSite(at("site"));
  server = https.createServer({ key: pki.leaf.keyPem, cert: pki.leaf.pem }, (request, response) => {
    const page = site.get(decodeURIComponent(request.url!.slice(1).split("?", 1)[0]!));
    if (request.url!.endsWith("/simple/thepage/")) response.setHeader("content-type", "text/html");
    response.statusCode = page === undefined ? 404 : 200;
    response.end(page === undefined ? undefined : Buffer.from(page));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  ({ port } = server.address() as AddressInfo);
  plain = http.createServer((request, response) => {
    let body = "";
    request.on("data", (chunk) => (body += String(chunk)));
    request.on("end", () => {
      received.push({ headers: request.headers, body });
      response.end(`plain ${request.method} ${request.url}`);
    });
  });
  await new Promise<void>((resolve) => plain.listen(0, "127.0.0.1", resolve));
  ({ port: plainPort } = plain.address() as AddressInfo);
  const policy = {
    version: 1,
    ports: [port, plainPort],
    allow_networks: ["127.0.0.0/8"],
    hosts: [{ match: ["127.0.0.1"], mode: "tunnel", groups: ["BEAM"] }],
  };
  writeFileSync(at("policy.json"), JSON.stringify(policy), { mode: 0o600 });
  const flags = `proxy --config ${at("policy.json")} --tls-listen 127.0.0.1:0 --identity gate=${at("gate.pem")},${at("gate.key")}`;
  const rest = `--tls-identity gate --client-ca ${at("root.pem")} --keyring ${at("ring.json")} --audit ${at("audit.jsonl")}`;
  proxy = spawn(process.execPath, [inRepository("host/cli/bin.mjs"), ...`${flags} ${rest}`.split(" ")], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let text = "";
  for await (const chunk of proxy.stdout!) {
    text += String(chunk);
    const url = /export https_proxy=(\S+)\n/.exec(text)?.[1];
    if (url === undefined) continue;
    proxyUrl = url;
    break;
  }
});
afterAll(async () => {
  // It writes to the folder until it has ended.
  const ended = once(proxy, "exit");
  proxy.kill("SIGTERM");
  await ended;
  server.close();
  plain.close();
  rmSync(folder, { recursive: true, force: true });
});

/** Signed by Node. */
function token(claims: Record<string, unknown> = {}): string {
  const exp = Math.floor(Date.now() / 1000) + 3600;
  const whole = { sub: "alice", groups: ["BEAM"], exp, iss: "ops", aud: "gate", cnf: encodeBase64url(bindingOf(alice.der)), ...claims };
  const payload = encodeBase64url(new TextEncoder().encode(JSON.stringify(whole)));
  return `cap:${payload}.${encodeBase64url(sign(null, new TextEncoder().encode(payload), key))}`;
}

function tokenFile(claims: Record<string, unknown> = {}): string {
  const file = at(`${++count}.token`);
  writeFileSync(file, `${token(claims)}\n`);
  return file;
}

interface Ran {
  code: number;
  output: string;
}

function run(command: string, args: string[]): Promise<Ran> {
  return new Promise((resolve) => {
    execFile(command, args, { env: { ...process.env, TMPDIR: folder, HOME: folder }, timeout: 25_000 }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code ?? 1), output: stdout + stderr });
    });
  });
}

/** Under `sallyport connect`. */
function connected(flags: string[], command: string[], who = "alice"): Promise<Ran> {
  const identity = `me=${at(`${who}.pem`)},${at(`${who}.key`)}`;
  const own = ["connect", "--proxy", proxyUrl, "--identity", identity, "--ca", at("root.pem"), ...flags];
  return run(process.execPath, [inRepository("host/cli/bin.mjs"), ...own, "--", ...command]);
}

const page = () => `https://127.0.0.1:${port}/page.txt`;
const curl = () => ["curl", "-sS", "--max-time", "10", "--cacert", at("root.pem"), page()];
/** What the proxy recorded last of who a client is: written a moment after the client's answer. */
const lastAuthentication = () => expect.poll(() => audit().findLast(({ event }) => event === "authentication"));

describe("sallyport connect", () => {
  test.each(Object.keys(programs).filter((name) => name !== "curl with h2"))("brings %s through", async (name) => {
    const program = programs[name]!;
    const scratch = at(`out-${++count}`);
    mkdirSync(scratch);
    const fetch: Fetch = { url: `https://127.0.0.1:${port}/${program.path}`, folder: scratch };
    const variables = Object.entries(program.env?.(fetch) ?? {}).map(([variable, value]) => `${variable}=${value}`);
    const { code, output } = await connected(
      ["--token", tokenFile(), "--trust", at("root.pem")],
      ["env", ...variables, ...(await program.command(fetch))],
    );
    expect(output).toContain("the page");
    expect(code).toBe(0);
    await lastAuthentication().toMatchObject({ decision: "allow", client_subject: "CN=alice", reason: "subject alice" });
  });

  test("brings plain HTTP through, with a body and without, and neither token goes further than it has to", async () => {
    const [url, file] = [`http://127.0.0.1:${plainPort}/x`, tokenFile()];
    const script = `curl -sS ${url} ${url}; curl -sS -d some-body ${url}`;
    expect((await connected(["--token", file], ["sh", "-c", script])).output).toBe("plain GET /xplain GET /xplain POST /x");
    expect(received.map(({ body }) => body)).toEqual(["", "", "some-body"]);
    for (const { headers } of received) expect(Object.keys(headers)).not.toContain("proxy-authorization");
  });

  test("takes its token from a command", async () => {
    const command = `cat ${tokenFile()}`;
    expect((await connected(["--token-command", command], curl())).output).toContain("the page");
  });

  test("passes the command's exit code on", async () => {
    expect((await connected(["--token", tokenFile()], ["sh", "-c", "exit 42"])).code).toBe(42);
  });

  test("lets nobody in without the session's token, who is on this machine or not", async () => {
    const script = `curl -sS -o /dev/null -w '%{http_connect}' --cacert ${at("root.pem")} -x "$(echo $https_proxy | sed 's/sallyport:[^@]*@/sallyport:wrong@/')" ${page()}`;
    const before = audit().length;
    expect((await connected(["--token", tokenFile()], ["sh", "-c", script])).output).toContain("407");
    expect(audit()).toHaveLength(before);
  });

  test("takes up a token that was renewed while it runs", async () => {
    const file = tokenFile({ aud: "elsewhere" });
    writeFileSync(`${file}.next`, token());
    const script = `${curl().join(" ")}; mv ${file}.next ${file}; for i in 1 2 3 4 5 6 7 8 9; do ${curl().join(" ")} && exit 0; sleep 0.5; done; exit 1`;
    const { code, output } = await connected(["--token", file], ["sh", "-c", script]);
    expect(output).toMatch(/response 502/);
    expect(code).toBe(0);
  });

  test.each([
    ["is for another audience", { aud: "elsewhere" }, "audience-mismatch"],
    ["is bound to another certificate", { cnf: encodeBase64url(new Uint8Array(32)) }, "binding-mismatch"],
    ["is bound to nothing", { cnf: null }, "unbound"],
  ])("says that the proxy does not take a token that %s", async (_, claims, reason) => {
    const { code, output } = await connected(["--token", tokenFile(claims)], curl());
    expect([code, output]).toEqual([56, expect.stringContaining("response 502")]);
    await lastAuthentication().toMatchObject({ decision: "deny", reason });
  });

  test("passes a refusal of the policy on", async () => {
    expect((await connected(["--token", tokenFile({ groups: [] })], curl())).output).toContain("response 403");
  });

  test("does not start with a token that has expired, or that is none", async () => {
    expect(await connected(["--token", tokenFile({ exp: 1_600_000_000 })], curl())).toMatchObject({
      code: 66,
      output: expect.stringContaining("expired"),
    });
    const none = at("none.token");
    writeFileSync(none, "a secret of another kind");
    const { code, output } = await connected(["--token", none], curl());
    expect([code, output]).toEqual([66, expect.not.stringContaining("secret of")]);
  });

  test("shows nothing to a proxy that it does not trust", async () => {
    const before = audit().filter(({ event }) => event === "authentication").length;
    const own = ["connect", "--proxy", proxyUrl, "--identity", `me=${at("alice.pem")},${at("alice.key")}`, "--token", tokenFile()];
    const { code, output } = await run(process.execPath, [inRepository("host/cli/bin.mjs"), ...own, "--", ...curl()]);
    expect([code, output]).toEqual([56, expect.stringContaining("response 502")]);
    expect(audit().filter(({ event }) => event === "authentication")).toHaveLength(before);
  });
});

describe("curl straight to the proxy", () => {
  const direct = (certificate: string | undefined, credentials: string | undefined) => {
    const shown = certificate === undefined ? [] : ["--proxy-cert", at(`${certificate}.pem`), "--proxy-key", at(`${certificate}.key`)];
    const user = credentials === undefined ? [] : ["--proxy-user", `any:${credentials}`];
    return run("curl", [...curl().slice(1), "-x", proxyUrl, "--proxy-cacert", at("root.pem"), ...shown, ...user]);
  };

  test("gets the page with the right certificate and token", async () => {
    expect((await direct("alice", token())).output).toContain("the page");
  });

  test("gets nothing with somebody else's token, and the record says whose certificate it was", async () => {
    expect((await direct("bob", token())).output).toContain("407");
    await lastAuthentication().toMatchObject({ decision: "deny", reason: "binding-mismatch", client_subject: "CN=bob" });
  });

  test("gets nothing without a token, or without a certificate", async () => {
    expect((await direct("alice", undefined)).output).toContain("407");
    const { code, output } = await direct(undefined, token());
    expect([code, output]).not.toEqual([0, expect.anything()]);
    expect(output).not.toContain("the page");
  });

  test("is refused within a second after its subject was revoked, and let in again after that was taken back", async () => {
    const revocations = at("ring.revocations.json");
    writeFileSync(
      `${revocations}.new`,
      JSON.stringify({ format: "sallyport-revocations/1", revoked: [{ issuer: "ops", subject: "alice" }] }),
    );
    const before = audit().length;
    renameSync(`${revocations}.new`, revocations);
    await untilRecorded(before, ({ event, reason }) => event === "policy" && reason === "read-again");
    expect((await direct("alice", token())).output).toContain("407");
    await lastAuthentication().toMatchObject({ decision: "deny", reason: "revoked" });
    const after = audit().length;
    writeFileSync(`${revocations}.new`, JSON.stringify({ format: "sallyport-revocations/1", revoked: [] }));
    renameSync(`${revocations}.new`, revocations);
    await untilRecorded(after, ({ event, reason }) => event === "policy" && reason === "read-again");
    expect((await direct("alice", token())).output).toContain("the page");
  });
});

async function untilRecorded(from: number, matches: (record: Record<string, unknown>) => boolean): Promise<void> {
  while (!audit().slice(from).some(matches)) await new Promise((resolve) => setTimeout(resolve, 20));
}
