import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { makePki, type TestPki } from "../support/pki.ts";

// The package as a stranger gets it: packed, installed into an empty project, and used as docs/embedding.md says.

const root = join(import.meta.dirname, "../..");
const project = mkdtempSync(join(tmpdir(), "sallyport-package-"));
let pki: TestPki;

function run(command: string, args: string[], cwd: string): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    execFile(command, args, { cwd, maxBuffer: 64 << 20 }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code) || 1, stdout, stderr });
    });
  });
}

beforeAll(async () => {
  pki = await makePki({ leaf: { dns: ["localhost"], ip: ["127.0.0.1"] } });
  const packed = await run("npm", ["pack", "--pack-destination", project, "--json"], root);
  expect(packed.code, packed.stderr).toBe(0);
  // npm's own scripts may print before the JSON.
  const [{ filename }] = JSON.parse(packed.stdout.slice(packed.stdout.indexOf("[\n"))) as [{ filename: string }];
  writeFileSync(join(project, "package.json"), JSON.stringify({ name: "stranger", private: true, type: "module" }));
  const installed = await run("npm", ["install", "--no-audit", "--no-fund", join(project, filename)], project);
  expect(installed.code, installed.stderr).toBe(0);
  const readme = readFileSync(join(root, "README.md"), "utf8");
  writeFileSync(join(project, "hello.ts"), /`hello\.ts`.*?```ts\n(.*?)```/s.exec(readme)![1]!);
}, 600_000);
afterAll(() => rmSync(project, { recursive: true, force: true }));

async function page(use: (port: number) => Promise<void>): Promise<void> {
  const server = createServer({ key: pki.leaf.keyPem, cert: pki.chainPem }, (_, response) => response.end("a page"));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  try {
    await use(address.port);
  } finally {
    server.close();
  }
}

const sallyport = (...args: string[]) => run(join(project, "node_modules/.bin/sallyport"), args, project);

test("the installed command builds the README's guest and runs it, whatever Node is on the PATH", async () => {
  expect(await sallyport("build", "hello.ts")).toMatchObject({ code: 0 });
  writeFileSync(join(project, "ca.pem"), pki.root.pem);
  await page(async (port) => {
    const got = await sallyport("run", "hello.wasm", "--allow-net", `127.0.0.1:${port}`, "--ca", "ca.pem", "--", "127.0.0.1", String(port));
    expect(got).toMatchObject({ code: 0 });
    expect(got.stdout).toMatch(/a page$/);
    const fetched = await sallyport("get", "--cacert", "ca.pem", `https://127.0.0.1:${port}/`);
    expect(fetched).toMatchObject({ code: 0, stdout: "a page" });
  });
}, 300_000);

test("a guest transpiled with the documented flags runs with createImports", async () => {
  const node = process.execPath;
  const flags = await run(node, ["-e", 'import("sallyport/component").then((c) => console.log(c.asyncImports.join(" ")))'], project);
  expect(flags.code, flags.stderr).toBe(0);
  const jco = join(project, "node_modules/@bytecodealliance/jco/dist/jco.js");
  const options = ["--name", "hello", "--instantiation", "async", "--no-wasi-shim", "--async-mode", "jspi", "--async-exports", "run"];
  const transpiled = await run(
    node,
    [jco, "transpile", "hello.wasm", "-o", "transpiled", ...options, "--async-imports", ...flags.stdout.trim().split(" ")],
    project,
  );
  expect(transpiled.code, transpiled.stderr).toBe(0);
  writeFileSync(
    join(project, "embed.mjs"),
    `import { readFile } from "node:fs/promises";
     import { createImports } from "sallyport/host";
     import { instantiate } from "./transpiled/hello.js";
     const { imports, dispose } = createImports({
       args: ["hello", "127.0.0.1", process.argv[2]],
       grants: { allowNet: ["127.0.0.1:" + process.argv[2]] },
       tls: { anchors: [Buffer.from(process.argv[3], "base64")] },
       stdout: process.stdout,
     });
     const component = await instantiate(async (name) => WebAssembly.compile(await readFile("transpiled/" + name)), imports);
     await component.run.run();
     dispose();`,
  );
  await page(async (port) => {
    const got = await run(node, ["embed.mjs", String(port), Buffer.from(pki.root.der).toString("base64")], project);
    expect(got.stderr).toBe("");
    expect(got).toMatchObject({ code: 0 });
    expect(got.stdout).toMatch(/a page$/);
  });
}, 300_000);

test("the types of the package are there for those who embed it", async () => {
  writeFileSync(
    join(project, "typed.ts"),
    `import { createImports, type ImportsOptions } from "sallyport/host";
     const options: ImportsOptions = { args: ["x"], grants: { allowNet: ["example.com:443"] } };
     export const { imports } = createImports(options);
     import { createProxy, type ProxyOptions } from "sallyport/proxy";
     const proxied: ProxyOptions = { policy: { version: 1 }, audit: (record) => void record["event"] };
     export const socket: Promise<import("node:stream").Duplex> = createProxy(proxied).then((proxy) => proxy.connect("a.test:443"));
     // @ts-expect-error -- a proxy has a policy
     void createProxy({});
     // @ts-expect-error -- a grant is a list
     createImports({ grants: { allowNet: "example.com" } });`,
  );
  const tsc = join(root, "node_modules/.bin/tsc");
  const flags = [
    "--noEmit",
    "--strict",
    "--skipLibCheck",
    "--module",
    "nodenext",
    "--target",
    "es2024",
    "--types",
    "node",
    "--typeRoots",
    join(root, "node_modules/@types"),
  ];
  const checked = await run(tsc, [...flags, "typed.ts"], project);
  expect(checked.stdout).toBe("");
  expect(checked.code).toBe(0);
});

test("the types that it ships check a guest, and find what is wrong in one", async () => {
  const tsc = join(root, "node_modules/.bin/tsc");
  const documented = /`tsc (--noEmit [^`]+) hello\.ts`/.exec(readFileSync(join(root, "docs/guest.md"), "utf8"))![1]!.split(/\s+/);
  expect(await run(tsc, [...documented, "hello.ts"], project)).toMatchObject({ code: 0, stdout: "" });
  writeFileSync(
    join(project, "wrong.ts"),
    `import { connectTls } from "sallyport/guest/tls";
     import { ClientConnection } from "sallyport:tls/types@0.1.0";
     await connectTls("127.0.0.1", 443);`,
  );
  const checked = await run(tsc, [...documented, "wrong.ts"], project);
  expect(checked.code).not.toBe(0);
  expect(checked.stdout).toContain("ClientConnection");
  expect(checked.stdout).toContain("wrong.ts(3,");
});
