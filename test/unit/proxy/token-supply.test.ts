import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { TokenSupply, type TokenSource } from "../../../host/proxy/token-supply.ts";
import { encodeBase64url } from "../../../src/wire/base64url.ts";

const folder = mkdtempSync(join(tmpdir(), "sallyport-supply-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function token(claims: object): string {
  return `cap:${encodeBase64url(new TextEncoder().encode(JSON.stringify(claims)))}.${"A".repeat(86)}`;
}

const inSeconds = (seconds: number) => Math.floor(Date.now() / 1000) + seconds;
let count = 0;

function fileWith(text: string): string {
  const file = join(folder, `${++count}.token`);
  writeFileSync(file, text);
  return file;
}

const current = (supply: TokenSupply) => readFileSync(join(supply.folder, "current"), "utf8");

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 10));
}

describe("a supply of tokens", () => {
  it("has the token of a file where nobody else can read it, and removes it at the end", async () => {
    const text = token({ exp: inSeconds(600) });
    const supply = await TokenSupply.open({ file: fileWith(`${text}\n`) }, () => {});
    expect(current(supply)).toBe(text);
    expect(statSync(supply.folder).mode & 0o777).toBe(0o700);
    expect(statSync(join(supply.folder, "current")).mode & 0o777).toBe(0o600);
    supply[Symbol.dispose]();
    expect(existsSync(supply.folder)).toBe(false);
  });

  it("takes up a file that was changed, and keeps the old token when the new one is none", async () => {
    const lines: string[] = [];
    const file = fileWith(token({ exp: inSeconds(600) }));
    using supply = await TokenSupply.open({ file }, (line) => lines.push(line));
    const next = token({ exp: inSeconds(900) });
    // Once: before the first look at the file, too, it is a change.
    writeFileSync(file, next);
    await until(() => current(supply) === next);
    writeFileSync(file, "not a token, but a secret");
    await until(() => lines.length > 0);
    expect(lines[0]).toContain("this is no capability token");
    expect(lines[0]).not.toContain("secret");
    expect(current(supply)).toBe(next);
  });

  it("takes no token from a device, a folder, or a file that others can write to", async () => {
    const open = fileWith(token({ exp: inSeconds(600) }));
    chmodSync(open, 0o666);
    for (const [file, message] of [
      ["/dev/zero", "not a regular file"],
      [folder, "not a regular file"],
      [open, "chmod go-w"],
      [join(folder, "missing"), "ENOENT"],
    ] as const)
      await expect(TokenSupply.open({ file }, () => {})).rejects.toMatchObject({
        code: "ERR_SALLYPORT_TOKEN_SUPPLY",
        message: expect.stringContaining(message),
      });
  });

  it("runs its command again for the next token", async () => {
    const script = join(folder, "issue.mjs");
    writeFileSync(
      script,
      `const claims = { exp: Math.floor(Date.now() / 1000) + 3, nonce: process.pid };
       console.log("cap:" + Buffer.from(JSON.stringify(claims)).toString("base64url") + "." + "A".repeat(86));`,
    );
    using supply = await TokenSupply.open({ command: [process.execPath, script] }, () => {});
    const first = current(supply);
    await until(() => current(supply) !== first);
    expect(current(supply)).toMatch(/^cap:/);
  });

  it.each<[what: string, source: () => TokenSource, message: RegExp]>([
    ["a file that is not there", () => ({ file: join(folder, "missing") }), /missing: cannot be read \(ENOENT\)/],
    ["a token that has expired", () => ({ file: fileWith(token({ exp: 1_600_000_000 })) }), /has expired/],
    ["a token that does not say until when", () => ({ file: fileWith(token({})) }), /until when/],
    ["an end that is no number", () => ({ file: fileWith(token({ exp: "tomorrow" })) }), /until when/],
    ["claims that are no JSON", () => ({ file: fileWith(`cap:AAAA.${"A".repeat(86)}`) }), /until when/],
    ["a text with a line in it", () => ({ file: fileWith(`${token({ exp: 4e9 })}\nX-Header: 1`) }), /no capability token/],
    ["a command that fails", () => ({ command: [process.execPath, "-e", "console.error('secret'); process.exit(3)"] }), /failed \(3\)$/],
    ["a command that is not there", () => ({ command: ["/nowhere/at-all"] }), /failed \(ENOENT\)$/],
  ])("does not begin with %s", async (_, source, message) => {
    await expect(TokenSupply.open(source(), () => {})).rejects.toThrow(message);
  });
});
