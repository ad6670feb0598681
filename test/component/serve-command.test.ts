import { type ChildProcess, spawn } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { exchange } from "../support/https-server.ts";
import { makePki, type PkiFiles, type TestPki, writePki } from "../support/pki.ts";

const program = fileURLToPath(new URL("../../host/cli/bin.mjs", import.meta.url));

let folder: string;
let site: string;
let pki: TestPki;
let files: PkiFiles;
let clients: TestPki;
let clientFiles: PkiFiles;
const started: ChildProcess[] = [];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "sallyport-test-"));
  site = join(folder, "site");
  mkdirSync(site);
  writeFileSync(join(site, "index.html"), "page");
  pki = await makePki({ leaf: { dns: ["a.test"] } });
  files = writePki(join(folder, "pki"), pki);
  clients = await makePki({ leaf: { cn: "Alice", dns: [] } });
  clientFiles = writePki(join(folder, "clients"), clients);
});
afterEach(() => {
  for (const child of started.splice(0)) child.kill("SIGKILL");
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function serve(...args: string[]) {
  const env = { ...process.env, TMPDIR: folder };
  const child = spawn(process.execPath, [program, "serve", ...args], { stdio: ["ignore", "pipe", "pipe"], env });
  started.push(child);
  const texts = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const) child[name]!.on("data", (chunk) => (texts[name] += String(chunk)));
  const ended = new Promise<{ code: number | null; stdout: string; stderr: string }>((resolve) => {
    child.once("close", (code) => resolve({ code, ...texts }));
  });
  const listening = async (): Promise<number> => {
    let over = false;
    void ended.then(() => (over = true));
    for (;;) {
      const match = /listening on https:\/\/127\.0\.0\.1:(\d+)\n/.exec(texts.stdout);
      if (match !== null) return Number(match[1]);
      if (over) throw new Error(`it does not listen: ${texts.stderr}`);
      await Promise.race([ended, new Promise((resolve) => child.stdout!.once("data", resolve))]);
    }
  };
  return { child, ended, listening, texts };
}

const anywhere = ["--listen", "127.0.0.1:0"];
const request = "GET / HTTP/1.0\r\n\r\n";

describe("sallyport serve", () => {
  it("serves a folder with an identity from files, and ends when it is told to", async () => {
    const run = serve(site, ...anywhere, "--identity", `main=${files.chain},${files.key}`);
    const port = await run.listening();
    const { text, ending } = await exchange(port, { servername: "a.test", ca: pki.root.pem }, request);
    expect(text).toMatch(/^HTTP\/1\.1 200 OK\r\n[^]*page$/);
    expect(ending).toBe("end");
    run.child.kill("SIGTERM");
    const { code, stdout, stderr } = await run.ended;
    expect({ code, stderr }).toEqual({ code: 143, stderr: "" });
    expect(stdout).toContain('"GET /" 200 4\n');
  });

  it("makes an authority for trying out, and removes its file at the end", async () => {
    const run = serve(site, ...anywhere, "--self-signed", "localhost", "--self-signed", "127.0.0.1", "--once", "2", "--quiet");
    const port = await run.listening();
    const file = /an authority for this run only: (\S+)\n/.exec(run.texts.stderr)![1]!;
    const ca = readFileSync(file, "utf8");
    expect(ca).not.toContain("PRIVATE KEY");
    expect(await exchange(port, { servername: "localhost", ca }, request)).toMatchObject({ ending: "end" });
    expect((await exchange(port, { host: "127.0.0.1", ca }, request)).text).toMatch(/page$/);
    expect((await run.ended).code).toBe(0);
    expect(existsSync(file)).toBe(false);
  });

  it("asks for client certificates of an authority whose folder the component does not see", async () => {
    const run = serve(
      site,
      ...anywhere,
      "--identity",
      `main=${files.chain},${files.key}`,
      "--client-auth",
      "required",
      "--client-ca",
      clientFiles.ca,
      "--once",
      "1",
    );
    const port = await run.listening();
    const options = { servername: "a.test", ca: pki.root.pem };
    expect((await exchange(port, options, request)).ending).toMatch(/CERTIFICATE_REQUIRED/);
    const alice = { key: clients.leaf.keyPem, cert: clients.chainPem };
    expect((await exchange(port, { ...options, ...alice }, request)).text).toMatch(/page$/);
    expect((await run.ended).stdout).toContain('"CN=Alice" "GET /" 200 4\n');
  });

  it.each([
    ["without a folder", () => [], 64, "serve takes the folder to serve"],
    ["with two folders", () => [site, site], 64, "serve takes one folder"],
    ["without an identity", () => [site], 64, "serve needs --identity"],
    [
      "with both kinds of identity",
      () => [site, "--identity", `a=${files.chain},${files.key}`, "--self-signed", "a.test"],
      64,
      "in place of",
    ],
    ["with an unknown flag", () => [site, "--indentity", "x"], 64, "did you mean --identity?"],
    ["with what is no identity", () => [site, "--identity", "x"], 64, "name=cert.pem,key.pem"],
    ["with what is no name", () => [site, "--self-signed", "a b"], 64, "--self-signed"],
    ["with a folder that is not there", () => [join(folder, "no"), "--self-signed", "a.test"], 66, "there is no such folder"],
    ["with a file for a folder", () => [join(site, "index.html"), "--self-signed", "a.test"], 66, "there is no such folder"],
    ["with a key that is not there", () => [site, "--identity", `a=${files.chain},${folder}/no`], 66, "cannot be read"],
    ["with a key of another certificate", () => [site, "--identity", `a=${clientFiles.chain},${files.key}`], 66, "does not belong"],
    ["with authorities that are not there", () => [site, "--self-signed", "a.test", "--client-ca", `${folder}/no`], 66, "cannot read"],
    ["at an address that is none", () => [site, "--self-signed", "a.test", "--listen", "nowhere"], 64, "--listen"],
    ["with a time that is none", () => [site, "--self-signed", "a.test", "--idle-timeout", "long"], 2, "--idle-timeout takes seconds"],
    ["with a limit that is none", () => [site, "--self-signed", "a.test", "--memory", "much"], 64, "--memory"],
  ])("does not start %s, and says why", async (_, args, code, message) => {
    const outcome = await serve(...args()).ended;
    expect(outcome).toMatchObject({ code, stdout: "" });
    expect(outcome.stderr).toContain(message);
  });

  it("makes nothing and announces nothing before it knows where to listen", async () => {
    const { stderr } = await serve(site, "--self-signed", "localhost", "--listen", "127.0.0.1").ended;
    expect(stderr).toMatch(/^sallyport: --listen "127\.0\.0\.1" is not understood/);
    expect(stderr).not.toContain("authority");
  });

  it("names the address that it cannot have", async () => {
    const port = await serve(site, "--self-signed", "a.test", ...anywhere).listening();
    const second = await serve(site, "--self-signed", "a.test", "--listen", `127.0.0.1:${port}`).ended;
    expect(second).toMatchObject({ code: 1, stdout: "" });
    expect(second.stderr).toContain(`https-serve: listen on 127.0.0.1:${port}: address-in-use\n`);
  });

  it("does not start with a key that others can read", async () => {
    const open = join(folder, "open.pem");
    writeFileSync(open, pki.leaf.keyPem);
    chmodSync(open, 0o644);
    const { code, stderr } = await serve(site, "--identity", `a=${files.chain},${open}`).ended;
    expect(code).toBe(66);
    expect(stderr).toContain("chmod 600");
  });
});
