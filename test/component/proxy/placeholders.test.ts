import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import http from "node:http";
import https from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { recordsOf } from "../../support/gateway-instance.ts";
import { makePki, type TestPki } from "../../support/pki.ts";

const program = fileURLToPath(new URL("../../../host/cli/bin.mjs", import.meta.url));
const SECRET = "gho_the-real-one-5f1c";

let folder: string;
let pki: TestPki;
let server: https.Server;
let plain: http.Server;
let port: number;
let plainPort: number;
/** Everything that the servers were sent in heads. */
let seen: string[] = [];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "sallyport-test-"));
  pki = await makePki({ leaf: { dns: ["api.test", "other.test"] } });
  writeFileSync(join(folder, "root.pem"), pki.root.pem);
  const answer = (request: http.IncomingMessage, response: http.ServerResponse) => {
    seen.push([request.url, ...request.rawHeaders].join("\n"));
    response.end(String(request.headers.authorization ?? "none"));
  };
  server = https.createServer({ key: pki.leaf.keyPem, cert: pki.chainPem }, answer);
  plain = http.createServer(answer);
  for (const it of [server, plain]) await new Promise<void>((resolve) => it.listen(0, "127.0.0.1", resolve));
  port = (server.address() as AddressInfo).port;
  plainPort = (plain.address() as AddressInfo).port;
});
beforeEach(() => void (seen = []));
afterAll(() => {
  server.closeAllConnections();
  server.close();
  plain.close();
  rmSync(folder, { recursive: true, force: true });
});

let runs = 0;

/** Run a script in a child of `sallyport exec`; its GH_TOKEN is a placeholder. */
async function exec(script: string, more: { hosts?: object[]; env?: Record<string, string>; source?: string } = {}) {
  const audit = join(folder, `audit-${++runs}.jsonl`);
  const file = join(folder, `policy-${runs}.json`);
  const at = (name: string, serverName = name) => ({
    match: [`=${name}`],
    mode: "front",
    front: { server_name: serverName, address: `127.0.0.1:${port}` },
  });
  const requests = { default: "allow", secrets: [{ name: "gh", header: "authorization" }] };
  const hosts = more.hosts ?? [
    { ...at("api.test"), requests: { ...requests, rules: [{ action: "allow", paths: ["/none/**"], secrets: undefined }] } },
    { ...at("other.test"), requests },
    { ...at("behind.test", "other.test"), requests },
    { ...at("not-listed.test", "api.test"), requests: { default: "allow" } },
    { ...at("unread.test", "api.test") },
    { match: ["127.0.0.1:*"], mode: "tunnel", opaque: true },
  ];
  const policy = { version: 1, allow_networks: ["127.0.0.0/8"], hosts, secrets: { gh: { env: ["GH_TOKEN", "GITHUB_TOKEN"] } } };
  writeFileSync(file, JSON.stringify(policy), { mode: 0o600 });
  const secret = ["--secret", `gh=${more.source ?? "env:THE_SECRET"}`, "--secret-for", `gh=api.test:${port}`];
  const args = ["exec", "-q", "--config", file, "--audit", audit, "--ca", join(folder, "root.pem"), ...secret];
  const child = spawn(process.execPath, [program, ...args, "--", process.execPath, "-e", script], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, TMPDIR: folder, THE_SECRET: SECRET, ...more.env },
  });
  const texts = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const) child[name].on("data", (chunk) => (texts[name] += String(chunk)));
  const code = await new Promise((resolve) => child.once("close", resolve));
  const records = recordsOf(audit);
  const host = records.filter(({ by, event }) => by === "host" && /secret|placeholder/.test(String(event)));
  return { code, ...texts, host, everything: JSON.stringify([texts, records]) };
}

/** A script that asks and prints `status body`. */
const ask = (url: string, headers = "{}") =>
  `fetch(${url}, { headers: ${headers} }).then(async (r) => console.log(r.status, await r.text()), (e) => console.log("failed"))`;
const TOKEN = "process.env.GH_TOKEN";

describe("exec with a placeholder", () => {
  it("lets a tool that sends its token itself just work, and has no secret in its environment", async () => {
    const script = `console.log(${TOKEN}, ${TOKEN} === process.env.GITHUB_TOKEN, JSON.stringify(process.env).includes("${SECRET.slice(4)}"));
      ${ask('"https://api.test/user"', `{ authorization: "Bearer " + ${TOKEN} }`)}`;
    const run = await exec(script, { env: { GH_TOKEN: "the user's own" } });
    expect(run.stdout).toMatch(/^sallyport_placeholder_[0-9a-f]{48} true false\n200 Bearer gho_the-real-one-5f1c\n$/);
    expect(run.host).toMatchObject([{ event: "secret", secret: "gh", server_name: "api.test", field: "authorization", placeholder: true }]);
    expect(JSON.stringify(run.host)).not.toContain(SECRET);
  });

  it("fills it in as the password of Basic authentication, as git sends it", async () => {
    const run = await exec(ask('"https://api.test/"', `{ authorization: "Basic " + btoa("x-access-token:" + ${TOKEN}) }`));
    expect(run.stdout).toBe(`200 Basic ${Buffer.from(`x-access-token:${SECRET}`).toString("base64")}\n`);
  });

  it("leaves requests alone that do not have it", async () => {
    expect((await exec(ask('"https://api.test/"', '{ authorization: "Bearer mine" }'))).stdout).toBe("200 Bearer mine\n");
    expect((await exec(ask('"https://api.test/"'))).stdout).toBe("200 none\n");
  });

  it("waits for a secret that a program has still to print", async () => {
    const slow = join(folder, "slow.sh");
    writeFileSync(slow, `#!/bin/sh\nsleep 1\necho ${SECRET}\n`, { mode: 0o700 });
    const run = await exec(ask('"https://api.test/"', `{ authorization: ${TOKEN} }`), { source: `command:${slow}` });
    expect(run.stdout).toBe(`200 ${SECRET}\n`);
    expect(run.host).toHaveLength(1);
  });

  it.each([
    ["another field", ask('"https://api.test/"', `{ "x-copy": ${TOKEN} }`), "misplaced", "x-copy"],
    ["the query", ask(`"https://api.test/?t=" + ${TOKEN}`), "misplaced", undefined],
    ["the path", ask(`"https://api.test/" + ${TOKEN}`), "misplaced", undefined],
    ["another field too", ask('"https://api.test/"', `{ authorization: "Bearer " + ${TOKEN}, cookie: ${TOKEN} }`), "misplaced", "cookie"],
    [
      "a placeholder of another run",
      ask('"https://api.test/"', `{ authorization: ${TOKEN}.replace(/.$/, "x") }`),
      "misplaced",
      "authorization",
    ],
    [
      "a host that the policy does not list for it",
      ask('"https://not-listed.test/"', `{ authorization: ${TOKEN} }`),
      "misplaced",
      "authorization",
    ],
  ])("refuses %s with 403, and records it", async (_, script, reason, field) => {
    const run = await exec(script);
    expect(run.stdout).toMatch(/^403 /);
    expect(run.host).toMatchObject([{ event: "placeholder-refused", reason, ...(field === undefined ? { place: "target" } : { field }) }]);
    expect(run.host[0]).toMatchObject({ connection: 1 });
    expect(seen).toEqual([]);
    expect(run.everything).not.toContain(SECRET);
  });

  it.each([
    ["a host that it was not granted for", "other.test"],
    ["a host behind one that it was not granted for", "behind.test"],
  ])("refuses %s, whatever the policy says, and records it", async (_, name) => {
    const run = await exec(ask(`"https://${name}/"`, `{ authorization: "Bearer " + ${TOKEN} }`));
    expect(run.stdout).toMatch(/^502 .*wrong-server: it was not given for this server and port \(--secret-for\)/);
    expect(run.host).toMatchObject([{ event: "placeholder-refused", secret: "gh", reason: "wrong-server", field: "authorization" }]);
    expect(seen).toEqual([]);
  });

  it("refuses it in plain HTTP, and records it", async () => {
    const script = `const proxy = new URL(process.env.http_proxy);
      const lines = ["GET http://127.0.0.1:${plainPort}/ HTTP/1.1", "Host: 127.0.0.1:${plainPort}", "Authorization: Bearer " + ${TOKEN},
        "Proxy-Authorization: Basic " + btoa(proxy.username + ":" + proxy.password), "Connection: close", "", ""];
      require("node:net").connect(proxy.port, proxy.hostname, function () { this.write(lines.join("\\r\\n")) })
        .on("data", (bytes) => console.log(String(bytes).slice(9, 12)))`;
    const run = await exec(script);
    expect(run.stdout).toBe("403\n");
    expect(run.host).toMatchObject([{ event: "placeholder-refused", secret: "gh", reason: "misplaced", host: "127.0.0.1" }]);
    expect(seen).toEqual([]);
  });

  it("is worth nothing where nobody looks: the server gets the placeholder", async () => {
    const run = await exec(ask('"https://unread.test/"', `{ authorization: ${TOKEN} }`));
    expect(run.stdout).toMatch(/^200 sallyport_placeholder_/);
    expect(run.everything).not.toContain(SECRET);
  });

  it("takes the variable away that a secret comes from", async () => {
    const run = await exec("console.log(process.env.THE_SECRET)");
    expect(run.stdout).toBe("undefined\n");
  });

  it("does not start for a secret that no rule has a place for", async () => {
    const run = spawn(process.execPath, [program, "policy", "check", join(folder, "nowhere.json")], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    writeFileSync(join(folder, "nowhere.json"), JSON.stringify({ version: 1, secrets: { gh: { env: ["GH_TOKEN"] } } }), { mode: 0o600 });
    let said = "";
    run.stderr.on("data", (chunk) => (said += String(chunk)));
    expect(await new Promise((resolve) => run.once("close", resolve))).not.toBe(0);
    expect(said).toContain("$.secrets.gh");
  });
});
