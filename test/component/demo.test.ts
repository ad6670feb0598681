import { execFile } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const program = fileURLToPath(new URL("../../host/cli/bin.mjs", import.meta.url));

interface Outcome {
  code: number | string | null;
  stdout: string;
  stderr: string;
}

let scratch: string;
beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), "sallyport-test-"));
});
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

/** Its temporary files go where the test can look for what is left. */
function sallyport(args: string[], env: Record<string, string> = {}): Promise<Outcome> {
  return new Promise((resolve) => {
    execFile(process.execPath, [program, ...args], { env: { ...process.env, TMPDIR: scratch, ...env } }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : (error.code ?? null), stdout, stderr });
    });
  });
}

describe("sallyport demo", () => {
  let outcome: Outcome;
  beforeAll(async () => {
    outcome = await sallyport(["demo"]);
  });

  it("ends with 0, says nothing on standard error and leaves nothing behind", () => {
    expect(outcome).toMatchObject({ code: 0, stderr: "" });
    expect(readdirSync(scratch).filter((name) => name.startsWith("sallyport-demo"))).toEqual([]);
  });

  it("shows the page, and what each side decided at its suspension point over TLS 1.3", () => {
    const { stdout } = outcome;
    expect(stdout).toMatch(/\| \* TLS 1\.3, TLS_\w+, \S+, ALPN http\/1\.1\n/);
    expect(stdout).toMatch(/\| \* suspended at verify-server-identity: the guest decided: go on/);
    expect(stdout).toMatch(/\| {3}suspended at client-hello +nothing was answered yet\n/);
    expect(stdout).toMatch(/\| {5}the guest decides +identity "demo" \(.*\), whose certificate covers the server name\n/);
    expect(stdout).toMatch(/\| {5}private key +in the host; the guest holds a handle\n/);
    expect(stdout).toMatch(/ demo\.test TLSv1\.3 TLS_\w+ "http\/1\.1" \S+ full - "GET \/" 200 \d+\n/);
    expect(stdout).toContain("| <h1>A page that one component fetched from another one, over TLS</h1>\n");
  });

  it("shows a server of the wrong name refused, before any request", () => {
    const part = outcome.stdout.slice(outcome.stdout.indexOf("\n2. "), outcome.stdout.indexOf("\n3. "));
    expect(part).toContain("| * the host's verdict: name-mismatch\n");
    expect(part).toContain("the peer refused: bad_certificate");
    expect(part).toContain("exit code   60\n");
    expect(part).not.toContain("GET");
  });

  it("shows a component without a grant refused, with the flag that would grant it", () => {
    const part = outcome.stdout.slice(outcome.stdout.indexOf("\n3. "));
    expect(part).toMatch(/\| sallyport: refused: connect to 127\.0\.0\.1:\d+; grant it with --allow-net 127\.0\.0\.1:\d+\n/);
    expect(part).toContain("exit code   7\n");
  });

  it("shows no key, in no form", () => {
    expect(outcome.stdout + outcome.stderr).not.toMatch(/PRIVATE KEY|BEGIN /);
  });

  it("takes no arguments, and tells of itself", async () => {
    expect(await sallyport(["demo", "now"])).toMatchObject({ code: 64, stdout: "" });
    expect(await sallyport(["demo", "--fast"])).toMatchObject({ code: 64, stdout: "" });
    expect((await sallyport(["demo", "--help"])).stdout).toContain("Usage: sallyport demo");
  });

  it("says what is wrong when it cannot even begin", async () => {
    expect(await sallyport(["demo"], { SALLYPORT_CACHE: program })).toMatchObject({
      code: 73,
      stderr: expect.stringMatching(/^sallyport: cannot use .* as cache/),
    });
    expect(readdirSync(scratch).filter((name) => name.startsWith("sallyport-demo"))).toEqual([]);
  });
});
