import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { makePki, type TestPki } from "../support/pki.ts";

// What README tells a newcomer to do, done.

const root = join(import.meta.dirname, "../..");
const readme = readFileSync(join(root, "README.md"), "utf8");
const folder = mkdtempSync(join(tmpdir(), "sallyport-readme-"));
let pki: TestPki;

beforeAll(async () => {
  pki = await makePki({ leaf: { dns: ["localhost"], ip: ["127.0.0.1"] } });
  writeFileSync(join(folder, "hello.ts"), sourceIn(readme, "hello.ts"));
  writeFileSync(join(folder, "health.ts"), sourceIn(readFileSync(join(root, "docs/guest.md"), "utf8"), "health.ts"));
  writeFileSync(join(folder, "ca.pem"), pki.root.pem);
  for (const name of ["hello.ts", "health.ts"]) expect(await sallyport("build", name)).toMatchObject({ code: 0, stderr: "" });
}, 120_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function sourceIn(document: string, name: string): string {
  const [, source] = new RegExp(`\`${name}\`.*?\`\`\`ts\\n(.*?)\`\`\``, "s").exec(document) ?? [];
  if (source === undefined) throw new Error(`there is no ${name}`);
  return source;
}

function sallyport(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [join(root, "host/cli/bin.mjs"), ...args], { cwd: folder }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr });
    });
  });
}

async function page(): Promise<{ port: number; close: () => void }> {
  const server = createServer({ key: pki.leaf.keyPem, cert: pki.chainPem }, (_, response) => response.end("a page"));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return { port: address.port, close: () => server.close() };
}

test("the guest of the README gets a page", async () => {
  const { port, close } = await page();
  const run = await sallyport(
    "run",
    "hello.wasm",
    "--allow-net",
    `localhost:${port}`,
    "--allow-net",
    `127.0.0.1:${port}`,
    "--ca",
    "ca.pem",
    "--",
    "127.0.0.1",
    String(port),
  );
  close();
  expect(run).toMatchObject({ code: 0, stderr: "" });
  expect(run.stdout).toMatch(/^HTTP\/1\.1 200 OK[^]*a page$/);
});

test("without the grant it reaches nothing, and the host names the flag", async () => {
  const { port, close } = await page();
  const run = await sallyport("run", "hello.wasm", "--ca", "ca.pem", "--", "127.0.0.1", String(port));
  close();
  expect(run.code).not.toBe(0);
  expect(run.stderr).toContain(`--allow-net 127.0.0.1:${port}`);
});

test("a server that is not what it says is refused", async () => {
  const { port, close } = await page();
  const run = await sallyport("run", "hello.wasm", "--allow-net", `127.0.0.1:${port}`, "--", "127.0.0.1", String(port));
  close();
  expect(run).toMatchObject({ code: 1, stdout: "" });
  expect(run.stderr).toContain("hello: not for me: ");
});

test("the guest of docs/guest.md tells the key and the expiry, and refuses a key that is not the pinned one", async () => {
  const { port, close } = await page();
  const health = (...pin: string[]) =>
    sallyport("run", "health.wasm", "--allow-net", `127.0.0.1:${port}`, "--ca", "ca.pem", "--", "127.0.0.1", String(port), ...pin);
  const first = await health();
  expect(first).toMatchObject({ code: 0, stderr: "" });
  const [, pin] = /^key {5}(sha256\/\/[^\n]{44})\nexpires 20[0-9T:.-]+Z\nHTTP\/1\.1 200 OK\n$/.exec(first.stdout) ?? [];
  expect(pin, first.stdout).toBeDefined();
  expect(await health(pin!)).toMatchObject({ code: 0, stdout: first.stdout });
  expect(await health("sha256//AAAA")).toMatchObject({ code: 1, stdout: "", stderr: "health: the key is not the pinned one\n" });
  close();
});

test("every document that README names is there", () => {
  const named = [...readme.matchAll(/\]\(([^)#:]+)\)/g)].map(([, path]) => path!);
  expect(named.length).toBeGreaterThan(5);
  for (const path of named) expect(() => readFileSync(join(root, path)), path).not.toThrow();
});
