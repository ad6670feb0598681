import { createHash } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TLSSocket } from "node:tls";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type Ended, repositoryFile, runProgram } from "../support/example-run.ts";
import { makePki, type TestPki } from "../support/pki.ts";
import { python, pythonPackage } from "../support/python-packages.ts";

/** docs/examples/guest-python: a guest whose language, engine and bindings are none of ours, under `sallyport run`. */

const work = mkdtempSync(join(tmpdir(), "sallyport-guest-python-"));
const component = join(work, "page.wasm");
const body = "a line of the page\n".repeat(150_000);
let pki: TestPki;
let server: Server | undefined;
let established: number;

beforeAll(async () => {
  const componentize = await pythonPackage("componentize-py==0.25.1");
  const args = ["-d", repositoryFile("wit"), "-d", "page.wit", "-w", "example:page/page", "componentize", "page", "-o", component];
  const cwd = repositoryFile("docs/examples/guest-python");
  await python([join(componentize, "bin/componentize-py"), ...args], { packages: [componentize], cwd });
  pki = await makePki({ leaf: { dns: ["localhost"], ip: ["127.0.0.1"] } });
  writeFileSync(join(work, "ca.pem"), pki.root.pem);
}, 300_000);
afterEach(async () => {
  server?.closeAllConnections();
  await new Promise((resolve) => (server === undefined ? resolve(undefined) : server.close(resolve)));
  server = undefined;
});
afterAll(() => rmSync(work, { recursive: true, force: true }));

/** Serve the page; `cut` ends the connection in the middle of it, with no close_notify. */
async function serve({ identity = pki, cut = false } = {}): Promise<number> {
  established = 0;
  server = createServer({ key: identity.leaf.keyPem, cert: identity.chainPem }, (_, response) => {
    if (!cut) return response.end(body);
    response.write(body.slice(0, 1000));
    setTimeout(() => (response.socket as TLSSocket).destroy(), 50);
  });
  server.on("secureConnection", () => established++);
  await new Promise<void>((resolve) => server!.listen(0, "127.0.0.1", resolve));
  return (server.address() as AddressInfo).port;
}

const grant = (port: number) => ["--allow-net", `localhost:${port}`, "--ca", join(work, "ca.pem")];

async function page(port: number, flags: string[]): Promise<Ended> {
  const args = [repositoryFile("host/cli/bin.mjs"), "run", component, ...flags, "--", "localhost", String(port), "/"];
  return await runProgram(process.execPath, args);
}

describe("a guest in Python", () => {
  it("fetches a page through sallyport:tls, whole, having looked at the server's certificate itself", async () => {
    const port = await serve();
    const { code, stdout, stderr } = await page(port, grant(port));
    expect({ code, stderr }).toEqual({ code: 0, stderr: `page: ${createHash("sha256").update(pki.leaf.der).digest("hex")} []\n` });
    expect(stdout.slice(stdout.indexOf("\r\n\r\n") + 4)).toBe(body);
  }, 120_000);

  it("goes on to no server of an authority that the host does not know", async () => {
    const port = await serve();
    const { code, stdout, stderr } = await page(port, ["--allow-net", `localhost:${port}`]);
    expect({ code, stdout, established }).toEqual({ code: 1, stdout: "", established: 0 });
    expect(stderr).toContain("unknown-issuer");
  }, 120_000);

  it("goes on to no server of another name", async () => {
    const identity = await makePki({ leaf: { dns: ["other.test"] } });
    writeFileSync(join(work, "other.pem"), identity.root.pem);
    const port = await serve({ identity });
    const { code, stdout, stderr } = await page(port, ["--allow-net", `localhost:${port}`, "--ca", join(work, "other.pem")]);
    expect({ code, stdout, established }).toEqual({ code: 1, stdout: "", established: 0 });
    expect(stderr).toContain("name-mismatch");
  }, 120_000);

  it.each([
    ["no name", [], "resolve"],
    ["another port", ["--allow-net", "localhost:1"], "connect"],
  ])(
    "reaches nothing where %s was granted, and the host names the flag",
    async (_, flags, refused) => {
      const port = await serve();
      const { code, stdout, stderr } = await page(port, ["--ca", join(work, "ca.pem"), ...flags]);
      expect({ code, stdout, established }).toEqual({ code: 1, stdout: "", established: 0 });
      expect(stderr).toMatch(new RegExp(`^sallyport: refused: ${refused} .*--allow-net localhost:`));
    },
    60_000,
  );

  it("fails where the connection is cut, after what had come", async () => {
    const port = await serve({ cut: true });
    const { code, stdout } = await page(port, grant(port));
    expect(code).toBe(1);
    expect(stdout).toContain("a line of the page");
    expect(stdout.length).toBeLessThan(body.length);
  }, 120_000);
});
