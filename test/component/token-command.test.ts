import { spawn } from "node:child_process";
import { createPublicKey, randomBytes, verify } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync, chmodSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { tokenErrors } from "../../host/tokens/token-component.ts";
import { encodePem } from "../../src/wire/pem.ts";
import { makeCertificate } from "../support/pki.ts";
import { claimsText, codeOf, nodeKeyOf, seedOf, tokenOf, verifierOf } from "../unit/tokens/tokens.ts";
import { SigningKey } from "../../host/tokens/signing-key.ts";

const program = fileURLToPath(new URL("../../host/cli/bin.mjs", import.meta.url));
let folder: string;
const at = (name: string): string => join(folder, name);
const read = (name: string): string => readFileSync(at(name), "utf8");

interface Outcome {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** `sallyport token …` */
async function token(args: string[], input = ""): Promise<Outcome> {
  const child = spawn(process.execPath, [program, "token", ...args], { stdio: "pipe", cwd: folder });
  child.stdin.on("error", () => {});
  child.stdin.end(input);
  const closed = new Promise<number | null>((resolve) => child.once("close", resolve));
  const [code, stdout, stderr] = await Promise.all([closed, text(child.stdout), text(child.stderr)]);
  return { code, stdout, stderr };
}

const issueArgs = ["issue", "--key", "ops.key", "--sub", "alice", "--aud", "proxy"];
const verifyArgs = ["verify", "-", "--keyring", "ring.json", "--aud", "proxy", "--cert", "alice.pem"];
let good: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "sallyport-token-"));
  for (const name of ["alice", "bob"]) {
    const { der } = await makeCertificate({ cn: name });
    writeFileSync(at(`${name}.pem`), encodePem("CERTIFICATE", der));
  }
  expect(await token(["keygen", "--out", "ops.key", "--issuer", "ops-1"])).toMatchObject({ code: 0, stderr: "" });
  expect(await token(["keyring", "add", "ops.key.pub", "--keyring", "ring.json"])).toMatchObject({ code: 0, stdout: "added: ops-1\n" });
  good = (await token([...issueArgs, "--groups", "BEAM,OPS", "--bind", "alice.pem"])).stdout.trim();
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("keygen", () => {
  test("writes a key that only its owner can read, and prints nothing of it", async () => {
    const { code, stdout, stderr } = await token(["keygen", "--out", "new.key", "--json"]);
    expect(code).toBe(0);
    expect(statSync(at("new.key")).mode & 0o777).toBe(0o600);
    const secret = /PRIVATE KEY-----\n([^\n]+)/.exec(read("new.key"))![1]!;
    expect(stdout + stderr).not.toContain(secret.slice(20));
    const { issuer, publicKey } = JSON.parse(stdout) as { issuer: string; publicKey: string };
    expect(issuer).toMatch(/^ed25519:/);
    expect(createPublicKey(read("new.key.pub")).export({ format: "der", type: "spki" }).subarray(-32).toString("base64url")).toBe(
      publicKey,
    );
  });

  test("replaces no file, key or other", async () => {
    const before = read("ops.key");
    const { code, stderr } = await token(["keygen", "--out", "ops.key"]);
    expect([code, stderr]).toEqual([73, expect.stringContaining("is not replaced")]);
    expect(read("ops.key")).toBe(before);
    expect(readdirSync(folder).filter((name) => name.includes(".new"))).toEqual([]);
  });
});

describe("issue", () => {
  test("makes a token that lasts an hour unless it is told otherwise", async () => {
    const { stdout } = await token([...issueArgs, "--bind", "alice.pem", "--json"]);
    const { claims } = JSON.parse(stdout) as { claims: { expiresAt: number; boundTo: string[] } };
    expect(Math.abs(claims.expiresAt - Date.now() / 1000 - 3600)).toBeLessThan(60);
    expect(claims.boundTo).toEqual(["certificate"]);
  });

  test("makes what the library and Node verify", () => {
    const key = SigningKey.fromPem(read("ops.key"));
    const [payload, signature] = good.slice(4).split(".") as [string, string];
    expect(verify(null, Buffer.from(payload), createPublicKey(read("ops.key.pub")), Buffer.from(signature, "base64url"))).toBe(true);
    const verifier = verifierOf([], { audience: "proxy", now: () => BigInt(Math.floor(Date.now() / 1000)) });
    verifier.keyring.trust("ops-1", key.publicKey);
    expect(codeOf(() => verifier.verify(good))).toBe("binding-mismatch");
  });

  test("warns of a token that is bound to nothing", async () => {
    expect(await token(issueArgs)).toMatchObject({ code: 0, stderr: expect.stringContaining("bound to nothing") });
  });

  test("takes a key only from a file that its owner alone can read, and that is no link", async () => {
    writeFileSync(at("open.key"), read("ops.key"));
    chmodSync(at("open.key"), 0o644);
    symlinkSync(at("ops.key"), at("link.key"));
    for (const name of ["open.key", "link.key", "missing.key"]) {
      const { code, stdout, stderr } = await token(["issue", "--key", name, "--sub", "a", "--aud", "b"]);
      expect([code, stdout]).toEqual([66, ""]);
      expect(stderr).toContain(name);
    }
    writeFileSync(at("bad.key"), read("ops.key").replace("MC4", "MC5"), { mode: 0o600 });
    expect((await token(["issue", "--key", "bad.key", "--sub", "a", "--aud", "b"])).code).toBe(65);
  });

  test.each([
    [["--ttl", "1y"]],
    [["--ttl", "4294967296"]],
    [["--ttl", "-1"]],
    [["--groups", "a,,b"]],
    [["--sub", ""]],
    [["--aud", ""]],
    [["--tls-exporter", "AAAA"]],
    [["surplus"]],
  ])("does not understand %j", async (more) => {
    const { code, stdout } = await token([...issueArgs, ...more]);
    expect([code, stdout]).toEqual([64, ""]);
  });
});

describe("verify", () => {
  test("says what a good token says, as text and as JSON", async () => {
    const { code, stdout } = await token(verifyArgs, `${good}\n`);
    expect([code, stdout]).toEqual([0, expect.stringMatching(/^valid\nsubject: {2}alice\ngroups: {3}BEAM, OPS\n/)]);
    const json = JSON.parse((await token([...verifyArgs, "--json"], good)).stdout) as object;
    expect(json).toMatchObject({
      valid: true,
      claims: { subject: "alice", groups: ["BEAM", "OPS"], issuer: "ops-1", boundTo: ["certificate"] },
    });
  });

  test("has an exit code for every reason, and shows nothing of the token", async () => {
    const key = nodeKeyOf(seedOf(9));
    const pub = createPublicKey(key).export({ format: "der", type: "spki" }).subarray(-32).toString("base64url");
    expect((await token(["keyring", "add", pub, "--issuer", "test", "--keyring", "reasons.json"])).code).toBe(0);
    expect((await token(["revoke", "--issuer", "test", "--sub", "bob", "--keyring", "reasons.json"])).code).toBe(0);
    const base = { iss: '"test"', aud: '"proxy"', exp: "18446744073709551615" };
    const signed = (changes: Record<string, string>) => tokenOf(claimsText({ ...base, ...changes }), key);
    const forged = `${signed({}).slice(0, -86)}${randomBytes(63).toString("base64url")}AA`;
    const tokens: Record<(typeof tokenErrors)[number], string> = {
      "missing-prefix": good.slice(4),
      malformed: "cap:abc",
      "invalid-base64url": `${good}=`,
      "bad-signature": forged,
      "too-large": signed({ x: JSON.stringify("x".repeat(4000)) }),
      "invalid-claims": signed({ exp: "1.5" }),
      "unknown-issuer": signed({ iss: String.raw`"evil\u001b[2J"` }),
      expired: signed({ exp: "1" }),
      revoked: signed({ sub: '"bob"' }),
      "audience-mismatch": signed({ aud: '"elsewhere"' }),
      "binding-mismatch": signed({}),
      unbound: signed({ cnf: "null" }),
    };
    for (const [index, reason] of tokenErrors.entries()) {
      const { code, stdout, stderr } = await token(
        ["verify", "-", "--keyring", "reasons.json", "--aud", "proxy", "--cert", "alice.pem"],
        tokens[reason],
      );
      expect([code, stdout]).toEqual([10 + index, ""]);
      expect(stderr).toMatch(new RegExp(`^sallyport: the token is refused \\(${reason}\\): [\\x20-\\x7e]+\\n$`));
      expect(stderr).not.toContain(tokens[reason].slice(4, 20));
    }
  });

  test("refuses another client's certificate and a client without one", async () => {
    expect((await token(["verify", good, "--keyring", "ring.json", "--aud", "proxy", "--cert", "bob.pem"])).code).toBe(20);
    expect((await token(["verify", good, "--keyring", "ring.json", "--aud", "proxy"])).code).toBe(20);
  });

  test("wants an audience, a keyring that is there and a certificate that is one", async () => {
    expect((await token(["verify", "-", "--keyring", "ring.json"], good)).code).toBe(64);
    expect((await token(["verify", "-", "--aud", "proxy"], good)).code).toBe(64);
    expect((await token(["verify", "-", "--aud", "proxy", "--keyring", "missing.json"], good)).code).toBe(66);
    expect((await token(["verify", "-", "--aud", "proxy", "--keyring", "ring.json", "--revocations", "missing.json"], good)).code).toBe(66);
    expect((await token(["verify", "-", "--aud", "proxy", "--keyring", "ring.json", "--cert", "ops.key.pub"], good)).code).toBe(65);
  });

  test("prints what a terminal would act on as escapes", async () => {
    const { stdout } = await token([...issueArgs, "--sub", "a\u001b[2Jb\nvalid", "--bind", "alice.pem"]);
    const shown = (await token(["inspect", "-"], stdout)).stdout;
    expect(shown).toContain(String.raw`a\1B[2Jb\0Avalid`);
    expect(shown).toMatch(/^not verified/);
  });
});

describe("revoke and unrevoke", () => {
  test("say so where the keyring has no key of the issuer: it may be misspelt", async () => {
    const said = async (issuer: string) =>
      await token(["revoke", "--issuer", issuer, "--sub", "eve", "--keyring", "ring.json", "--revocations", "eve.json"]);
    expect(await said("ops-9")).toMatchObject({ code: 0, stderr: expect.stringContaining("ring.json has no key of ops-9") });
    expect(await said("ops-1")).toMatchObject({ code: 0, stderr: "" });
  });

  test("work at once, and on the subject of that issuer alone", async () => {
    const where = ["--revocations", "revoked.json"];
    expect((await token(["revoke", "--issuer", "ops-2", "--sub", "alice", ...where])).code).toBe(0);
    expect((await token([...verifyArgs, ...where], good)).code).toBe(0);
    expect((await token(["revoke", "--issuer", "ops-1", "--sub", "alice", ...where])).code).toBe(0);
    expect((await token([...verifyArgs, ...where], good)).code).toBe(18);
    expect((await token(["unrevoke", "--issuer", "ops-1", "--sub", "alice", ...where])).code).toBe(0);
    expect((await token([...verifyArgs, ...where], good)).code).toBe(0);
    expect((await token(["unrevoke", "--issuer", "ops-1", "--sub", "alice", ...where])).code).toBe(65);
    expect(JSON.parse(read("revoked.json"))).toEqual({
      format: "sallyport-revocations/1",
      revoked: [{ issuer: "ops-2", subject: "alice" }],
    });
  });

  test("lose nothing when many run at once", async () => {
    const subjects = Array.from({ length: 6 }, (_, index) => `subject-${index}`);
    const outcomes = await Promise.all(
      subjects.map((sub) => token(["revoke", "--issuer", "i", "--sub", sub, "--revocations", "many.json"])),
    );
    expect(outcomes.map(({ code }) => code)).toEqual(subjects.map(() => 0));
    const { revoked } = JSON.parse(read("many.json")) as { revoked: { subject: string }[] };
    expect(revoked.map(({ subject }) => subject)).toEqual(subjects);
    expect(existsSync(at("many.json.lock"))).toBe(false);
  });

  test("leave a file that they do not understand as it is", async () => {
    const bad = [
      "{",
      "[]",
      '{"format":"sallyport-revocations/2","revoked":[]}',
      '{"format":"sallyport-revocations/1","revoked":[{"issuer":"a"}]}',
    ];
    writeFileSync(at("bad.json"), bad[3]!);
    expect((await token(["revoke", "--issuer", "i", "--sub", "s", "--revocations", "bad.json"])).code).toBe(65);
    expect(read("bad.json")).toBe(bad[3]);
    for (const content of bad) {
      writeFileSync(at("bad.json"), content);
      expect((await token([...verifyArgs, "--revocations", "bad.json"], good)).code).toBe(65);
    }
  });
});

describe("keyring", () => {
  test("adds, lists, exports and removes keys", async () => {
    await token(["keygen", "--out", "second.key", "--issuer", "ops-0"]);
    const ring = ["--keyring", "two.json"];
    expect((await token(["keyring", "add", "-", ...ring], read("ops.key.pub"))).stdout).toBe("added: ops-1\n");
    expect((await token(["keyring", "add", "second.key.pub", ...ring])).code).toBe(0);
    expect((await token(["keyring", "add", "second.key.pub", ...ring])).stdout).toBe("already there: ops-0\n");
    const { keys } = JSON.parse((await token(["keyring", "list", ...ring, "--json"])).stdout) as { keys: { issuer: string }[] };
    expect(keys.map(({ issuer }) => issuer)).toEqual(["ops-0", "ops-1"]);
    expect((await token(["keyring", "export", ...ring])).stdout).toBe(read("two.json"));
    expect((await token(["keyring", "remove", "--issuer", "ops-1", ...ring])).code).toBe(0);
    expect((await token(["keyring", "remove", "--issuer", "ops-1", ...ring])).code).toBe(65);
    expect((await token([...verifyArgs.slice(0, 3), "two.json", ...verifyArgs.slice(4)], good)).code).toBe(16);
  });

  test("replaces another key only when that is asked for", async () => {
    await token(["keygen", "--out", "third.key"]);
    writeFileSync(at("three.json"), read("ring.json"));
    const add = ["keyring", "add", "third.key.pub", "--issuer", "ops-1", "--keyring", "three.json"];
    expect((await token(add)).code).toBe(73);
    expect(read("three.json")).toBe(read("ring.json"));
    expect((await token([...add, "--replace"])).code).toBe(0);
    expect((await token([...verifyArgs.slice(0, 3), "three.json", ...verifyArgs.slice(4)], good)).code).toBe(13);
  });

  test("takes no private key, no key of small order and nothing that is no key", async () => {
    const add = (key: string) => token(["keyring", "add", key, "--keyring", "none.json"]);
    for (const key of ["ops.key", "alice.pem", "A".repeat(43), `${"_".repeat(42)}8`]) expect((await add(key)).code).toBe(65);
    expect(existsSync(at("none.json"))).toBe(false);
    expect((await add("missing.pem")).code).toBe(66);
  });

  test("refuses to verify by a file with a key of small order, two keys of an issuer, or members that it does not know", async () => {
    const key = (issuer: string, publicKey: string) => ({ issuer, algorithm: "Ed25519", publicKey });
    const trusted = (JSON.parse(read("ring.json")) as { keys: object[] }).keys[0] as ReturnType<typeof key>;
    const bad = [[key("weak", "A".repeat(43))], [trusted, trusted], [{ ...trusted, comment: "x" }], [{ ...trusted, algorithm: "RS256" }]];
    for (const keys of bad) {
      writeFileSync(at("bad-ring.json"), JSON.stringify({ format: "sallyport-keyring/1", keys }));
      expect((await token([...verifyArgs.slice(0, 3), "bad-ring.json", ...verifyArgs.slice(4)], good)).code).toBe(65);
    }
  });
});

describe("locks", () => {
  test("of a process that is gone are taken over, and one of a process that lives is waited for in vain", async () => {
    const gone = spawn(process.execPath, ["-e", ""]);
    await new Promise((resolve) => gone.once("close", resolve));
    writeFileSync(at("locked.json.lock"), `${gone.pid} 1\n`);
    expect((await token(["revoke", "--issuer", "i", "--sub", "s", "--revocations", "locked.json"])).code).toBe(0);
    writeFileSync(at("locked.json.lock"), `${process.pid} 1\n`);
    expect(await token(["revoke", "--issuer", "i", "--sub", "t", "--revocations", "locked.json"])).toMatchObject({
      code: 75,
      stderr: expect.stringContaining("locked.json.lock"),
    });
    expect(read("locked.json")).not.toContain('"t"');
  });
});

test("an unknown action is answered with the one that was meant", async () => {
  expect(await token(["isue"])).toMatchObject({ code: 64, stderr: expect.stringContaining("did you mean issue?") });
  expect(await token(["keyring", "drop"])).toMatchObject({ code: 64 });
  expect(await token([])).toMatchObject({ code: 64 });
});
