import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Ended, mustRun, repositoryFile, runProgram } from "../support/example-run.ts";
import { httpsServer, type TestServer } from "../support/https-servers.ts";
import { makePki } from "../support/pki.ts";

/** docs/examples/proxy-in-process: programs that reach a proxy in their own process. */

const work = mkdtempSync(join(tmpdir(), "sallyport-examples-"));
let server: TestServer;

beforeAll(async () => {
  for (const file of ["package.json", "request.js", "fetch.js"])
    copyFileSync(repositoryFile(`docs/examples/proxy-in-process/${file}`), join(work, file));
  await mustRun("npm", ["install", "--no-audit", "--no-fund", "--ignore-scripts"], { cwd: work });
  mkdirSync(join(work, "node_modules"), { recursive: true });
  symlinkSync(repositoryFile("."), join(work, "node_modules/sallyport"));
  const pki = await makePki({ leaf: { dns: ["a.test"] } });
  server = await httpsServer(pki, (request, response) => response.end(`this is ${request.url}`));
  writeFileSync(join(work, "root.pem"), pki.root.pem);
  const front = { server_name: "a.test", address: `127.0.0.1:${server.port}` };
  const policy = {
    version: 1,
    allow_networks: ["127.0.0.0/8"],
    anchors: { test: "root.pem" },
    hosts: [{ match: ["=a.test"], mode: "front", front, upstream: { anchors: ["test"] } }],
  };
  writeFileSync(join(work, "policy.json"), JSON.stringify(policy), { mode: 0o600 });
}, 300_000);
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  rmSync(work, { recursive: true, force: true });
});

describe.each(["request.js", "fetch.js"])("%s", (program) => {
  const ask = (url: string): Promise<Ended> => runProgram(process.execPath, [program, "policy.json", url], { cwd: work });

  it("gets a page through the proxy", async () => {
    expect(await ask("https://a.test/page")).toEqual({ code: 0, stdout: "200 this is /page\nin-process front a.test:443\n", stderr: "" });
  }, 60_000);

  it("says why it gets none where the policy does not allow it", async () => {
    const { code, stdout } = await ask("https://b.test/");
    expect(code).toBe(0);
    expect(stdout).toMatch(/^ERR_SALLYPORT_PROXY_REFUSED the policy does not allow b\.test:443: [^]*in-process deny b\.test:443\n$/);
  }, 60_000);
});
