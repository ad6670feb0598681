import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { checkSource, SecretSourceError, type SecretSource } from "../../../host/gateway/secret-source.ts";

const VARIABLE = "SALLYPORT_TEST_SECRET_SOURCE";
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "sallyport-test-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));
afterEach(() => {
  delete process.env[VARIABLE];
});

function fileOf(content: string, mode: number): string {
  const file = join(folder, `secret-${mode.toString(8)}`);
  writeFileSync(file, content);
  chmodSync(file, mode);
  return file;
}

function complaint(source: SecretSource): string {
  try {
    checkSource("gh", source);
  } catch (error) {
    expect(error).toBeInstanceOf(SecretSourceError);
    return (error as SecretSourceError).message;
  }
  throw new Error("nothing was refused");
}

test("a variable that is set, and a file of this user alone, are sources", () => {
  process.env[VARIABLE] = "tok-1";
  expect(() => checkSource("gh", { env: VARIABLE })).not.toThrow();
  expect(() => checkSource("gh", { file: fileOf("tok-1\n", 0o600) })).not.toThrow();
});

test("a command is not run to look", () => {
  expect(() => checkSource("gh", { command: ["/nothing/of/this/name"] })).not.toThrow();
});

test("a variable that is not set is named", () => {
  expect(complaint({ env: VARIABLE })).toBe(`the secret gh: the environment variable ${VARIABLE} is not set`);
});

test("a file that others can read is refused, with what to do about it", () => {
  expect(complaint({ file: fileOf("tok-1\n", 0o644) })).toMatch(
    /^the secret gh: .*secret-644: .* access to this secret: run chmod 600 on it$/,
  );
});

test("a file that is not there is refused", () => {
  expect(complaint({ file: join(folder, "none") })).toMatch(/none/);
});

test.each(["", "tok\n1", "x".repeat(17 * 1024)])("what cannot stand in a field is refused without being shown: %#", (text) => {
  process.env[VARIABLE] = text;
  const said = complaint({ env: VARIABLE });
  expect(said).toContain(VARIABLE);
  expect(said).not.toContain("tok");
  expect(said.length).toBeLessThan(200);
});
