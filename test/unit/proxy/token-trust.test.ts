import { execFileSync } from "node:child_process";
import { chmodSync, chownSync, mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, describe, expect, it, vi } from "vitest";
import { TokenTrust } from "../../../host/proxy/access.ts";
import { SigningKey } from "../../../host/tokens/signing-key.ts";
import { formatKeyring, formatRevocations } from "../../../host/tokens/token-files.ts";

const folder = mkdtempSync(join(tmpdir(), "sallyport-trust-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

afterEach(() => void vi.restoreAllMocks());

const key = SigningKey.generate("ops");
const ring = formatKeyring([{ issuer: "ops", publicKey: key.publicKey }]);
const revoking = (subject: string) => formatRevocations([{ issuer: "ops", subject }]);

let count = 0;
function files() {
  const keyring = join(folder, `${++count}.json`);
  const revocations = join(folder, `${count}.revocations.json`);
  writeFileSync(keyring, ring, { mode: 0o644 });
  return { keyring, revocations };
}

/** Resolves with what the files say when a change of them was told. */
function change(trust: TokenTrust): Promise<string> {
  return new Promise((resolve) => trust.watch(() => resolve(trust.read())));
}

describe("keyring and revocations", () => {
  it("are read, revocations that are not there as none", () => {
    const { keyring } = files();
    using trust = new TokenTrust(keyring, undefined);
    expect(JSON.parse(trust.read())).toMatchObject({ keys: [{ issuer: "ops" }], revoked: [] });
  });

  it("that change between their reading and the first look at them are told of", async () => {
    const { keyring, revocations } = files();
    using trust = new TokenTrust(keyring, undefined);
    trust.read();
    writeFileSync(revocations, revoking("alice"));
    expect(await change(trust)).toContain("alice");
  });

  it("that are replaced by others are told of, of the same length and at the same time too", async () => {
    const { keyring, revocations } = files();
    writeFileSync(revocations, revoking("alice"));
    using trust = new TokenTrust(keyring, undefined);
    trust.read();
    const told = change(trust);
    writeFileSync(`${revocations}.new`, revoking("carol"));
    renameSync(`${revocations}.new`, revocations);
    expect(await told).toContain("carol");
  });

  it("that become writable for others are told of, and refused", async () => {
    const { keyring } = files();
    using trust = new TokenTrust(keyring, undefined);
    trust.read();
    const told = new Promise<unknown>((resolve) =>
      trust.watch(() => {
        try {
          resolve(trust.read());
        } catch (error) {
          resolve(error);
        }
      }),
    );
    chmodSync(keyring, 0o664);
    expect(await told).toMatchObject({ code: "unsafe", message: expect.stringContaining("chmod go-w") });
  });

  it.each<[string, (paths: { keyring: string; revocations: string }) => void, string]>([
    ["a keyring that others may write to", ({ keyring }) => chmodSync(keyring, 0o646), "unsafe"],
    ["a keyring that its group may write to", ({ keyring }) => chmodSync(keyring, 0o664), "unsafe"],
    ["revocations that others may write to", ({ revocations }) => chmodSync(revocations, 0o666), "unsafe"],
    [
      "a link to a keyring that others may write to",
      ({ keyring }) => {
        renameSync(keyring, `${keyring}.there`);
        chmodSync(`${keyring}.there`, 0o666);
        symlinkSync(`${keyring}.there`, keyring);
      },
      "unsafe",
    ],
    [
      "a FIFO, without waiting for anybody to write to it",
      ({ keyring }) => {
        rmSync(keyring);
        execFileSync("mkfifo", [keyring]);
      },
      "unreadable",
    ],
    [
      "a folder",
      ({ keyring }) => {
        rmSync(keyring);
        mkdirSync(keyring);
      },
      "unreadable",
    ],
    [
      "a device",
      ({ keyring }) => {
        rmSync(keyring);
        symlinkSync("/dev/zero", keyring);
      },
      "unreadable",
    ],
    ["a keyring without end", ({ keyring }) => writeFileSync(keyring, Buffer.alloc(5 * 1024 * 1024, " ")), "bad-content"],
    ["a keyring that is gone", ({ keyring }) => rmSync(keyring), "unreadable"],
  ])("are not taken from %s", (_, spoil, code) => {
    const paths = files();
    writeFileSync(paths.revocations, revoking("alice"));
    spoil(paths);
    using trust = new TokenTrust(paths.keyring, paths.revocations);
    expect(() => trust.read()).toThrow(expect.objectContaining({ code }));
  });

  it("are not taken from a file of another user", () => {
    const { keyring } = files();
    // Only root can give a file away; anybody else takes this process for somebody else's.
    if (process.geteuid?.() === 0) chownSync(keyring, 12_345, 12_345);
    else vi.spyOn(process, "geteuid").mockReturnValue(12_345);
    using trust = new TokenTrust(keyring, undefined);
    expect(() => trust.read()).toThrow(expect.objectContaining({ code: "unsafe" }));
  });
});
