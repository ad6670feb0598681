import { execFileSync, spawnSync } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parsePem } from "../../src/wire/pem.ts";

const program = fileURLToPath(new URL("../../host/cli/bin.mjs", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "sallyport-ca-command-"));
const dir = join(folder, "ca");
const rootKey = join(folder, "root-key.pem");

function ca(args: string[], env: NodeJS.ProcessEnv = {}) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, "ca", ...args], {
    encoding: "utf8",
    env: { ...process.env, ...env },
  });
  return { code: status, stdout, stderr };
}

beforeAll(() => {
  const { code, stderr } = ca([
    "init",
    "--dir",
    dir,
    "--permit",
    "example.com,api.example.net",
    "--permit-ip",
    "10.0.0.0/8",
    "--root-key",
    rootKey,
  ]);
  expect(stderr).toBe("");
  expect(code).toBe(0);
});
afterAll(() => rmSync(folder, { recursive: true }));

describe("sallyport ca", () => {
  test("shows what may be issued, for people and for programs", () => {
    expect(ca(["show", "--dir", dir]).stdout).toMatch(
      /Issues for +example\.com, api\.example\.net, and names below\nAddresses +10\.0\.0\.0\/8\n/,
    );
    const shown = JSON.parse(ca(["show", "--dir", dir, "--json"]).stdout);
    expect(shown).toMatchObject({ permittedDns: ["example.com", "api.example.net"], permittedIp: ["10.0.0.0/8"], next: null });
    expect(shown.rootSha256).toMatch(/^[0-9a-f]{64}$/);
  });

  test("exports the root, and no key", () => {
    const { stdout } = ca(["export", "--dir", dir]);
    expect(parsePem(stdout).map((block) => block.label)).toEqual(["CERTIFICATE"]);
    expect(new X509Certificate(stdout).ca).toBe(true);
    expect(new X509Certificate(stdout).subject).toMatch(/^CN=Sallyport root [0-9a-f]{8}$/);
  });

  test("exports a bundle with the system's roots before its own, which not even its owner writes to", () => {
    const file = join(folder, "bundle.pem");
    for (let round = 0; round < 2; round++) expect(ca(["export", "--dir", dir, "--bundle", "-o", file]).code).toBe(0);
    const blocks = parsePem(readFileSync(file, "utf8"));
    const [own] = parsePem(ca(["export", "--dir", dir]).stdout);
    expect(blocks.length).toBeGreaterThan(10);
    expect(blocks.at(-1)!.bytes).toEqual(own!.bytes);
    expect(new Set(blocks.map((block) => block.text)).size).toBe(blocks.length);
    expect(statSync(file).mode & 0o777).toBe(0o400);
    expect(readFileSync(file, "utf8")).not.toContain("PRIVATE");
  });

  test("puts the roots that SSL_CERT_FILE names into a bundle in place of the system's", () => {
    const other = join(folder, "other-root.pem");
    execFileSync(process.execPath, [program, "ca", "init", "--dir", join(folder, "other"), "--permit", "other.test"]);
    ca(["export", "--dir", join(folder, "other"), "-o", other]);
    const { stdout } = ca(["export", "--dir", dir, "--bundle"], { SSL_CERT_FILE: other, SSL_CERT_DIR: join(folder, "other") });
    expect(parsePem(stdout).map((block) => block.text)).toEqual([readFileSync(other, "utf8"), ca(["export", "--dir", dir]).stdout]);
  });

  test("checks an authority against names, with a code for programs", () => {
    expect(ca(["check", "--dir", dir, "--permit", "www.example.com"])).toMatchObject({
      code: 0,
      stdout: expect.stringContaining("It can be used."),
    });
    expect(ca(["check", "--dir", dir, "--permit", "example.org"])).toMatchObject({
      code: 65,
      stderr: expect.stringContaining("example.org"),
    });
    const { code, stdout } = ca(["check", "--dir", dir, "--permit", "example.org", "--json"]);
    expect(code).toBe(65);
    expect(JSON.parse(stdout)).toMatchObject({ usable: false, code: "not-covering" });
  });

  test("renews, rotates and confirms", () => {
    const at = join(folder, "moving");
    const key = join(folder, "moving-key.pem");
    ca(["init", "--dir", at, "--permit", "example.com", "--root-key", key]);
    expect(ca(["renew", "--dir", at, "--root-key", key, "--validity", "5d"]).code).toBe(0);
    expect(ca(["rotate", "--dir", at, "--validity", "4w"]).stdout).toContain("sallyport ca rotate --confirm");
    expect(parsePem(ca(["export", "--dir", at]).stdout)).toHaveLength(2);
    expect(ca(["show", "--dir", at]).stdout).toContain("The next authority:");
    expect(ca(["rotate", "--dir", at, "--confirm"]).code).toBe(0);
    expect(JSON.parse(ca(["show", "--dir", at, "--json"]).stdout)).toMatchObject({ next: null, previousRootSha256: expect.any(String) });
  });

  test("keeps it in the user's state without --dir", () => {
    const state = join(folder, "state");
    expect(ca(["init", "--permit", "example.com"], { XDG_STATE_HOME: state }).code).toBe(0);
    expect(existsSync(join(state, "sallyport/ca/current/intermediate-key.pem"))).toBe(true);
    expect(ca(["init", "--permit", "example.com"], { HOME: folder, XDG_STATE_HOME: "relative" }).code).toBe(0);
    expect(existsSync(join(folder, ".local/state/sallyport/ca/current/root.pem"))).toBe(true);
  });

  test("explains itself", () => {
    const { code, stdout } = ca(["--help"]);
    expect(code).toBe(0);
    for (const word of ["init", "show", "export", "renew", "rotate", "check", "Examples:"]) expect(stdout).toContain(word);
  });
});

describe("sallyport ca refuses", () => {
  test.each<[string[], string]>([
    [[], "which of init"],
    [["inti"], "did you mean init?"],
    [["init"], "--permit"],
    [["init", "--permit-ip", "10.0.0.0/8"], "goes with --permit"],
    [["check", "--permit-ip", "10.0.0.0/8"], "goes with --permit"],
    [["init", "--permit", "com"], "single label"],
    [["init", "--permit", "co.uk"], "public suffix"],
    [["init", "--permit", "github.io"], "--private-suffixes"],
    [["init", "--permit", "*.example.com"], "asterisk"],
    [["init", "--permit", ""], "empty"],
    [["init", "--permit", "a.test", "--permit-ip", "0.0.0.0/0"], "limits nothing"],
    [["init", "--permit", "a.test", "--validity", "30"], "--validity"],
    [["init", "--permit", "a.test", "--validity", "0d"], "--validity"],
    [["init", "--permit", "a.test", "--validity", "999999999w"], "3650 days"],
    [["init", "--permit", "a.test", "--unconstrained"], "unknown flag"],
    [["init", "example.com"], "flags only"],
    [["renew"], "--root-key"],
    [["rotate", "--confirm", "--permit", "a.test"], "takes no --permit"],
    [["rotate", "--private-suffixes"], "goes with --permit"],
    [["export", "--validity", "3d"], "unknown flag"],
  ])("%j", (args, message) => {
    const { code, stderr } = ca([...args, ...(args.length > 0 && args[0] !== "inti" ? ["--dir", join(folder, "refused")] : [])]);
    expect(code).toBe(64);
    expect(stderr).toContain(message);
    expect(existsSync(join(folder, "refused"))).toBe(false);
  });

  test("to overwrite, to read what others can write, and to export what is not there", () => {
    expect(ca(["init", "--dir", dir, "--permit", "example.com"]).code).toBe(73);
    expect(ca(["show", "--dir", join(folder, "nothing")])).toMatchObject({
      code: 66,
      stderr: expect.stringContaining("sallyport ca init"),
    });
    expect(ca(["export", "--dir", join(folder, "nothing")]).stdout).toBe("");
    const at = join(folder, "open");
    ca(["init", "--dir", at, "--permit", "example.com"]);
    chmodSync(join(at, "current/intermediate-key.pem"), 0o644);
    expect(ca(["check", "--dir", at])).toMatchObject({ code: 66, stderr: expect.stringContaining("chmod 600") });
    expect(JSON.parse(ca(["check", "--dir", at, "--json"]).stdout)).toMatchObject({ usable: false, code: "unsafe-file" });
  });
});
