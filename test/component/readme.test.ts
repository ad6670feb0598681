import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
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
  const guest = /`hello\.ts`.*?```ts\n(.*?)```/s.exec(readme)?.[1];
  if (guest === undefined) throw new Error("README has no hello.ts");
  writeFileSync(join(folder, "hello.ts"), guest);
  writeFileSync(join(folder, "ca.pem"), pki.root.pem);
  mkdirSync(join(folder, "node_modules"));
  symlinkSync(root, join(folder, "node_modules/sallyport"));
  expect(await sallyport("build", "hello.ts")).toMatchObject({ code: 0 });
}, 120_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

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
  expect(run.code).not.toBe(0);
  expect(run.stdout).toBe("");
});

test("every document that README names is there", () => {
  const named = [...readme.matchAll(/\]\(([^)#:]+)\)/g)].map(([, path]) => path!);
  expect(named.length).toBeGreaterThan(5);
  for (const path of named) expect(() => readFileSync(join(root, path)), path).not.toThrow();
});
