import { createHash } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:https";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Ended, mustRun, repositoryFile, runProgram, tokenStory } from "../support/example-run.ts";
import { makePki, type TestPki } from "../support/pki.ts";

/**
 * docs/examples/tokens-rust and wasi-tls-rust: our components on Wasmtime as a library. The first build takes two to three
 * minutes on two cores; `npm run test:interop` makes it before the tests, where it is seen.
 */

// Outside of the checkout, so that it is built once a machine.
const target = process.env["CARGO_TARGET_DIR"] ?? join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "sallyport-examples");
const work = mkdtempSync(join(tmpdir(), "sallyport-rust-"));
const body = Buffer.alloc(3_000_000, "a page, over and over. ");
let pki: TestPki;
let server: Server;
let port: number;
let established = 0;

beforeAll(async () => {
  const cwd = repositoryFile("docs/examples");
  await mustRun("cargo", ["build", "--locked", "--quiet"], { cwd, env: { CARGO_TARGET_DIR: target } });
  pki = await makePki({ leaf: { dns: ["localhost"], ip: ["127.0.0.1"] } });
  const other = await makePki({ leaf: {} });
  writeFileSync(join(work, "ca.pem"), pki.root.pem);
  writeFileSync(join(work, "other.pem"), other.root.pem);
  writeFileSync(join(work, "alice.der"), pki.leaf.der);
  server = createServer({ key: pki.leaf.keyPem, cert: pki.chainPem }, (_, response) => response.end(body));
  server.on("secureConnection", () => established++);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  port = address.port;
}, 1_800_000);
afterAll(() => {
  server?.close();
  rmSync(work, { recursive: true, force: true });
});

const tokens = (...args: string[]) => runProgram(join(target, "debug/tokens-rust"), args);

/** A page fetched by the component that runs under Sallyport too. */
async function get(anchors: string, ...args: string[]): Promise<Ended> {
  const component = repositoryFile("dist/components/https-get-wasi-tls.wasm");
  return await runProgram(join(target, "debug/wasi-tls-rust"), [join(work, anchors), component, ...args]);
}

describe("tokens.wasm from Rust", { timeout: 120_000 }, () => {
  it("issues, verifies and revokes, with the refusals of the WIT by name", async () => {
    const ended = await tokens(repositoryFile("dist/components/tokens.wasm"), join(work, "alice.der"));
    expect(ended).toEqual({ code: 0, stdout: tokenStory, stderr: "" });
  });

  it("refuses a component that exports no tokens", async () => {
    const empty = join(work, "empty.wasm");
    writeFileSync(empty, EMPTY_COMPONENT);
    const { code, stdout, stderr } = await tokens(empty, join(work, "alice.der"));
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toContain("sallyport:policy/tokens");
  });

  it("says what failed and issues nothing where there is no certificate", async () => {
    const { code, stdout, stderr } = await tokens(repositoryFile("dist/components/tokens.wasm"), join(work, "nobody.der"));
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toContain("No such file");
  });
});

describe("https-get-wasi-tls.wasm on wasmtime-wasi-tls with rustls", { timeout: 120_000 }, () => {
  it("fetches a page from a server of a private authority, whole", async () => {
    const { code, stdout } = await get("ca.pem", `https://localhost:${port}/`);
    expect(code).toBe(0);
    expect(digest(stdout)).toBe(digest(body));
  });

  it("refuses a server of another authority with a message and the exit code of that, before the handshake is done", async () => {
    const before = established;
    const { code, stdout, stderr } = await get("other.pem", `https://localhost:${port}/`);
    expect({ code, stdout, established }).toEqual({ code: 60, stdout: "", established: before });
    expect(stderr).toContain("UnknownIssuer");
  });

  it("refuses a server that is another than was asked for", async () => {
    const { code, stdout, stderr } = await get("ca.pem", "--connect-to", `other.test:443:127.0.0.1:${port}`, "https://other.test/");
    expect({ code, stdout }).toEqual({ code: 60, stdout: "" });
    expect(stderr).toContain("not valid for name");
  });

  it("ends with the component's own exit code where nobody listens", async () => {
    const closed = createServer();
    await new Promise<void>((resolve) => closed.listen(0, "127.0.0.1", resolve));
    const address = closed.address();
    if (address === null || typeof address === "string") throw new Error("no port");
    await new Promise((resolve) => closed.close(resolve));
    expect(await get("ca.pem", `https://127.0.0.1:${address.port}/`)).toMatchObject({ code: 7, stdout: "" });
  });

  it("starts nothing without an authority to trust", async () => {
    const { code, stderr } = await get("absent.pem", `https://localhost:${port}/`);
    expect(code).toBe(1);
    expect(stderr).toContain("Error:");
  });
});

function digest(bytes: string | Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** The header of a component (component model, Binary.md) and nothing behind it. */
const EMPTY_COMPONENT = Uint8Array.of(0x00, 0x61, 0x73, 0x6d, 0x0d, 0x00, 0x01, 0x00);
