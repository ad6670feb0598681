import { execFile } from "node:child_process";
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { policies } from "../support/decision-table.ts";

const program = fileURLToPath(new URL("../../host/cli/bin.mjs", import.meta.url));
let folder: string;
let good: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "sallyport-policy-"));
  good = write("good.json", JSON.stringify(policies.closed));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("sallyport policy", () => {
  it("accepts a file, and says for programs what it needs", async () => {
    expect(await policy("check", good)).toEqual({ code: 0, stdout: `${good}: accepted\n`, stderr: "" });
    const { stdout } = await policy("check", "--json", good);
    expect(JSON.parse(stdout)).toMatchObject({ accepted: true, settings: { secrets: ["gh", "s"], identities: ["ci"] } });
  });

  it("names every fault with its place", async () => {
    const bad = write("bad.json", '{"version":1,"hosts":[{"match":["*"],"mode":"deny"}],"dney":[]}');
    const { code, stderr } = await policy("check", bad);
    expect(code).toBe(65);
    expect(stderr).toContain("  $.dney: unknown");
    expect(stderr).toContain("  $.hosts[0].match[0]: * alone is no pattern");
    const json = await policy("check", "--json", bad);
    expect(json.code).toBe(65);
    expect(JSON.parse(json.stdout)).toMatchObject({ accepted: false, faults: [{ path: "$.dney" }, { path: "$.hosts[0].match[0]" }] });
  });

  it("says of a policy of another version which one it knows, and what to do", async () => {
    const { code, stderr } = await policy("check", write("later.json", '{"version":2,"hosts":[],"approvals":{}}'));
    expect(code).toBe(65);
    expect(stderr).toContain("$.version: this program knows version 1 alone, and this is version 2: use a newer sallyport");
    expect(stderr).not.toContain("approvals");
  });

  it.each<[string, object, string]>([
    ["intercepts addresses alone", { hosts: [{ match: ["192.0.2.1"], mode: "intercept" }] }, "name a domain in ca.permit"],
    ["intercepts a public suffix", { hosts: [{ match: ["*.co.uk"], mode: "intercept" }] }, '"co.uk" is a public suffix'],
    ["permits a public suffix", { default: "intercept", ca: { permit: ["co.uk"] } }, '"co.uk" is a public suffix'],
  ])("does not accept what no proxy starts with: a policy that %s", async (_, change, message) => {
    const file = write("unusable.json", JSON.stringify({ version: 1, ...change }));
    const { code, stderr } = await policy("check", file);
    expect([code, stderr]).toEqual([65, expect.stringContaining(`$.ca.permit: `)]);
    expect(stderr).toContain(message);
    expect(JSON.parse((await policy("check", "--json", file)).stdout)).toMatchObject({
      accepted: false,
      faults: [{ path: "$.ca.permit" }],
    });
    const started = await sallyport("exec", "--config", file, "--", "true");
    expect([started.code, started.stderr]).not.toEqual([0, expect.anything()]);
    expect(started.stderr).toContain(message);
  });

  it("explains what is let through with 0 and what is denied with 1", async () => {
    const allowed = await policy("explain", good, "api.example.com", "POST", "/push");
    expect(allowed.code).toBe(0);
    expect(allowed.stdout).toMatch(/^api\.example\.com:443: intercept \(host-listed, by api\)$/m);
    expect(allowed.stdout).toContain("POST /push: allow (rule, by push)");
    const denied = await policy("explain", good, "api.example.com:8443", "GET", "/files/%2e%2e/admin");
    expect(denied.code).toBe(1);
    expect(denied.stdout).toContain("deny (rule, by no-admin)");
    expect((await policy("explain", good, "[fd00:ec2::254]:80")).stdout).toContain("deny (metadata-service, by built-in:metadata)");
    expect((await policy("explain", good, "ops.example.com", "--group", "ops")).stdout).toContain("tunnel (host-listed, by ops)");
  });

  it("explains for programs", async () => {
    const { stdout } = await policy("explain", "--json", good, "pinned.example.com");
    const { connection } = JSON.parse(stdout) as { connection: object };
    expect(connection).toMatchObject({ tag: "intercept", val: { upstream: { pins: ["00".repeat(32)] } } });
  });

  it("prints the schema that is published", async () => {
    const { stdout } = await policy("schema");
    const published = readFileSync(new URL("../../docs/policy.schema.json", import.meta.url), "utf8");
    expect(JSON.parse(stdout)).toEqual(JSON.parse(published));
  });

  it("does not read what others can write", async () => {
    const open = write("open.json", '{"version":1}');
    chmodSync(open, 0o666);
    const { code, stderr } = await policy("explain", open, "a.example");
    expect(code).toBe(66);
    expect(stderr).toContain("others than its owner can write to this policy");
  });

  it.each([
    [["check"]],
    [["check", "a", "b"]],
    [["check", "a", "--group", "x"]],
    [["explain", "a"]],
    [["explain", "a", "b", "GET"]],
    [["explain", "a", "b:99999"]],
    [["schema", "a"]],
    [["chekc", "a"]],
    [[]],
  ])("refuses the command line %j", async (args) => {
    expect((await policy(...args)).code).toBe(64);
  });
});

function write(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text, { mode: 0o600 });
  return path;
}

function policy(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  return sallyport("policy", ...args);
}

function sallyport(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [program, ...args], (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr });
    });
  });
}
