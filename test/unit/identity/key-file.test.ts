import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { KeyFileError, loadAnchors, loadIdentity, parseIdentityOption } from "../../../host/identity/key-file.ts";
import { makeCertificate, makePki, type PkiFiles, type TestPki, writePki } from "../../support/pki.ts";

const dir = mkdtempSync(join(tmpdir(), "sallyport-key-file-"));
let pki: TestPki;
let files: PkiFiles;

beforeAll(async () => {
  pki = await makePki();
  files = writePki(join(dir, "pki"), pki);
});

afterAll(() => rmSync(dir, { recursive: true }));

function write(name: string, content: string | Uint8Array, mode = 0o600): string {
  const path = join(dir, name);
  writeFileSync(path, content);
  chmodSync(path, mode);
  return path;
}

function failureOf(call: () => unknown): KeyFileError {
  try {
    call();
  } catch (error) {
    if (error instanceof KeyFileError) return error;
    throw error;
  }
  throw new Error("expected a KeyFileError");
}

const load = (certificates: string, key?: string, more = "") =>
  loadIdentity(parseIdentityOption(`id=${certificates}${key === undefined ? "" : `,${key}`}${more}`), {
    PASSPHRASE: "right",
    WRONG: "wrong",
  });

describe("the option", () => {
  test("names certificates and key, or one file for both, and a variable", () => {
    expect(parseIdentityOption("a=c.pem,k.pem")).toEqual({
      name: "a",
      certificateFile: "c.pem",
      keyFile: "k.pem",
      passphraseVariable: undefined,
    });
    expect(parseIdentityOption("a=b.pem,env:P")).toEqual({
      name: "a",
      certificateFile: "b.pem",
      keyFile: "b.pem",
      passphraseVariable: "P",
    });
    expect(parseIdentityOption("a=c=1.pem,k.pem,env:P")).toMatchObject({ certificateFile: "c=1.pem", passphraseVariable: "P" });
  });

  test.each([
    "",
    "a",
    "a=",
    "=c.pem,k.pem",
    "a=c.pem,",
    "a=c.pem,k.pem,x.pem",
    "a b=c.pem",
    "a/b=c.pem",
    `${"a".repeat(65)}=c.pem`,
    "a=c.pem,k.pem,env:",
    "a=c.pem,k.pem,env:A-B",
  ])("is refused as %j, with the form that it should have", (text) => {
    const error = failureOf(() => parseIdentityOption(text));
    expect(error.code).toBe("bad-option");
    expect(error.message).toContain("name=cert.pem,key.pem");
  });
});

describe("an identity", () => {
  test("loads from two files or from one, with its chain", () => {
    const both = write("both.pem", pki.leaf.keyPem + pki.chainPem);
    for (const pair of [load(files.chain, files.key), load(both)]) {
      expect(pair.chain.der).toEqual(pki.chainDer);
      expect(pair.origin).toBe("host");
    }
  });

  test("takes the certificates from the one file and the key from the other, whatever else they hold", async () => {
    const other = await makeCertificate();
    const certificates = write("with-key.pem", pki.chainPem + other.keyPem, 0o644);
    const key = write("with-certificate.pem", other.pem + pki.leaf.keyPem);
    expect(load(certificates, key).chain.der).toEqual(pki.chainDer);
  });

  test("with an encrypted key needs the variable, set, and right", () => {
    const locked = pki.leaf.privateKey.export({ type: "pkcs8", format: "pem", cipher: "aes-256-cbc", passphrase: "right" }).toString();
    const key = write("locked.pem", locked);
    expect(load(files.chain, key, ",env:PASSPHRASE").chain.der).toEqual(pki.chainDer);
    expect(failureOf(() => load(files.chain, key)).message).toMatch(/locked\.pem.*,env:VARIABLE/);
    expect(failureOf(() => load(files.chain, key, ",env:WRONG")).message).toMatch(/locked\.pem.*environment variable WRONG/);
    expect(failureOf(() => load(files.chain, key, ",env:UNSET"))).toMatchObject({
      code: "bad-option",
      message: expect.stringContaining("UNSET"),
    });
  });

  test.each([0o640, 0o604, 0o644, 0o660, 0o620, 0o602, 0o666, 0o610])(
    "is refused if its key file has mode %o, with the advice to chmod 600",
    (mode) => {
      const key = write("open.pem", pki.leaf.keyPem, mode);
      const error = failureOf(() => load(files.chain, key));
      expect(error.code).toBe("not-private");
      expect(error.message).toMatch(/open\.pem.*chmod 600/);
    },
  );

  test.each([0o600, 0o400])("loads if its key file has mode %o", (mode) => {
    expect(load(files.chain, write(`closed-${mode}.pem`, pki.leaf.keyPem, mode)).chain.der).toEqual(pki.chainDer);
  });

  test("in one file is as private as the key", () => {
    const both = write("both-open.pem", pki.leaf.keyPem + pki.chainPem, 0o644);
    expect(failureOf(() => load(both)).code).toBe("not-private");
  });

  test("is refused if its key file is a symbolic link; its certificates may be one", () => {
    const [linkedKey, linkedChain] = [join(dir, "key-link.pem"), join(dir, "chain-link.pem")];
    symlinkSync(files.key, linkedKey);
    symlinkSync(files.chain, linkedChain);
    expect(failureOf(() => load(files.chain, linkedKey))).toMatchObject({
      code: "unreadable",
      message: expect.stringMatching(/key-link.*symbolic link/),
    });
    expect(load(linkedChain, files.key).chain.der).toEqual(pki.chainDer);
  });

  test("is refused if a file is missing, a directory or a pipe that nobody writes to", () => {
    mkdirSync(join(dir, "directory"), { mode: 0o700 });
    execFileSync("mkfifo", ["-m", "600", join(dir, "pipe")]);
    for (const name of ["missing.pem", "directory", "pipe"]) {
      for (const attempt of [() => load(files.chain, join(dir, name)), () => load(join(dir, name), files.key)])
        expect(failureOf(attempt)).toMatchObject({ code: "unreadable", message: expect.stringContaining(name) });
    }
  });

  test("is refused if a file is too long", () => {
    const long = write("long.pem", new Uint8Array(16 * 1024 * 1024 + 1));
    expect(failureOf(() => load(files.chain, long)).code).toBe("too-large");
  });

  test("is refused, with the files' names and nothing of their contents, if they are not what they should be", async () => {
    const other = await makeCertificate();
    const secret = "hunter2-hunter2-hunter2";
    const attempts: [string, string, RegExp][] = [
      [files.chain, write("empty.pem", ""), /0 private keys/],
      [files.chain, write("text.pem", secret), /0 private keys/],
      [files.chain, write("damaged.pem", `-----BEGIN PRIVATE KEY-----\n${secret}\n-----END PRIVATE KEY-----\n`), /base64/],
      [files.chain, write("other.pem", other.keyPem), /does not belong/],
      [write("none.pem", secret), files.key, /no PEM block CERTIFICATE/],
      [files.chain, write("two.pem", pki.leaf.keyPem + other.keyPem), /2 private keys/],
    ];
    for (const [certificates, key, expected] of attempts) {
      const error = failureOf(() => load(certificates, key));
      expect(error).toMatchObject({ code: "bad-content", message: expect.stringMatching(expected) });
      expect(error.message).toContain(key);
      for (const text of [error.message, error.stack ?? ""]) {
        expect(text).not.toContain(secret);
        expect(text).not.toContain(pki.leaf.keyPem.slice(40, 60));
      }
    }
  });
});

describe("anchors", () => {
  test("load from a bundle, whatever its mode, a symbolic link included", () => {
    const link = join(dir, "ca-link.pem");
    symlinkSync(files.ca, link);
    chmodSync(files.ca, 0o644);
    for (const path of [files.ca, link]) expect(loadAnchors(path).certificates).toEqual([pki.root.der]);
  });

  test("are refused, with the file's name, if there is no certificate, a damaged one, or no file", () => {
    expect(failureOf(() => loadAnchors(files.key))).toMatchObject({ code: "bad-content", message: expect.stringContaining(files.key) });
    expect(failureOf(() => loadAnchors(write("cut.pem", pki.root.pem.slice(0, 200)))).code).toBe("bad-content");
    const damaged = `-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n`;
    expect(failureOf(() => loadAnchors(write("damaged-ca.pem", pki.root.pem + damaged))).code).toBe("bad-content");
    expect(failureOf(() => loadAnchors(join(dir, "missing-ca.pem"))).code).toBe("unreadable");
  });
});
