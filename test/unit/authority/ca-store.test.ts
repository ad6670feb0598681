import { execFileSync } from "node:child_process";
import {
  appendFileSync,
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeEach, describe, expect, test, vi } from "vitest";
import { Authority } from "../../../host/authority/authority.ts";
import { CaStore } from "../../../host/authority/ca-store.ts";
import { dateOf } from "../../../host/authority/clock.ts";
import { parseLimits } from "../../../host/authority/parse-limits.ts";
import { readCertificate } from "../../../src/wire/certificate.ts";
import { codeOf, dns } from "../../support/authority.ts";
import { makeCertificate } from "../../support/pki.ts";

const DAY = 86_400n;
const base = mkdtempSync(join(tmpdir(), "sallyport-ca-"));
const limits = parseLimits({ dns: ["example.com"] });
const options = { limits, validity: 30n * DAY };
let count = 0;
let dir: string;
let store: CaStore;

beforeEach(() => {
  dir = join(base, String(++count));
  mkdirSync(dir, { mode: 0o700 });
  store = new CaStore(join(dir, "ca"));
});
afterAll(() => rmSync(base, { recursive: true }));

const file = (name: string, set = "current") => join(store.folder, set, name);
const modeOf = (path: string) => statSync(path).mode & 0o777;
const files = ["root.pem", "intermediate.pem", "intermediate-key.pem"];
const contents = (folder: string) =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort()
    .map((path) => [path, readFileSync(path, "latin1")]);

describe("a new authority", () => {
  test("is read as it was written, and issues", async () => {
    const ca = await store.create(options);
    const read = store.load(limits);
    expect(read.intermediate).toEqual(ca.intermediate);
    expect(read.root).toEqual(ca.root);
    const authority = await Authority.from(read);
    expect(authority.issue({ names: [dns("www.example.com")], lifetime: 60n, key: "p256" }).names).toEqual(["www.example.com"]);
  });

  test("keeps its key to its owner, and leaves nothing else behind", async () => {
    await store.create(options);
    expect(modeOf(store.folder)).toBe(0o700);
    expect(modeOf(join(store.folder, "current"))).toBe(0o700);
    expect(modeOf(file("intermediate-key.pem"))).toBe(0o600);
    expect(readdirSync(store.folder)).toEqual(["current"]);
    expect(readdirSync(join(store.folder, "current")).sort()).toEqual([...files].sort());
  });

  test("keeps its key to its owner under any umask", async () => {
    const before = process.umask(0);
    try {
      await store.create({ ...options, rootKeyFile: join(dir, "root-key.pem") });
    } finally {
      process.umask(before);
    }
    expect(modeOf(file("intermediate-key.pem"))).toBe(0o600);
    expect(modeOf(join(dir, "root-key.pem"))).toBe(0o600);
    expect(modeOf(store.folder)).toBe(0o700);
    expect(modeOf(file("root.pem"))).toBe(0o644);
  });

  test("destroys the root's key unless told where to put it", async () => {
    await store.create(options);
    const keys = contents(dir).filter(([, text]) => text!.includes("PRIVATE KEY"));
    expect(keys.map(([path]) => path)).toEqual([file("intermediate-key.pem")]);
  });

  test("lives as long as its root where the root's key is gone, and the root ten years where it is kept", async () => {
    const ca = await store.create(options);
    expect(readCertificate(ca.root).notAfter).toBe(ca.notAfter);
    const other = new CaStore(join(dir, "other"));
    const kept = await other.create({ ...options, rootKeyFile: join(dir, "root-key.pem") });
    expect(readCertificate(kept.root).notAfter - kept.notAfter).toBe(3620n * DAY);
  });

  test("does not replace one that is there", async () => {
    await store.create(options);
    const before = contents(dir);
    expect(await codeOf(() => store.create(options))).toBe("exists");
    expect(contents(dir)).toEqual(before);
  });

  test.each([
    ["root.pem"],
    ["intermediate.pem"],
    ["intermediate-key.pem"],
    ["root.pem", "intermediate.pem"],
    ["intermediate.pem", "intermediate-key.pem"],
  ])("does not replace what is left without %s %s", async (...gone) => {
    await store.create(options);
    for (const name of gone) unlinkSync(file(name));
    const before = contents(dir);
    expect(await codeOf(() => store.create(options))).toBe("exists");
    expect(await codeOf(() => store.load())).toBe("incomplete");
    expect(contents(dir)).toEqual(before);
  });

  test("does not follow a dangling link to where it would be", async () => {
    mkdirSync(store.folder, { mode: 0o700 });
    symlinkSync(join(dir, "elsewhere"), join(store.folder, "current"));
    expect(await codeOf(() => store.create(options))).toBe("exists");
    expect(existsSync(join(dir, "elsewhere"))).toBe(false);
  });

  test("is made by one of two at once", async () => {
    const results = await Promise.all([codeOf(() => store.create(options)), codeOf(() => new CaStore(store.folder).create(options))]);
    expect(results.sort()).toEqual(["exists", "no error"]);
    expect(await codeOf(() => store.load())).toBe("no error");
    expect(readdirSync(store.folder)).toEqual(["current"]);
  });

  test("does not overwrite a file with the root's key, and then is not made at all", async () => {
    const rootKeyFile = join(dir, "root-key.pem");
    writeFileSync(rootKeyFile, "mine");
    expect(await codeOf(() => store.create({ ...options, rootKeyFile }))).toBe("exists");
    expect(readFileSync(rootKeyFile, "utf8")).toBe("mine");
    expect(await codeOf(() => store.load())).toBe("not-found");
    symlinkSync(join(dir, "target"), join(dir, "link.pem"));
    expect(await codeOf(() => store.create({ ...options, rootKeyFile: join(dir, "link.pem") }))).toBe("exists");
    expect(existsSync(join(dir, "target"))).toBe(false);
  });

  test.each([0o770, 0o707, 0o777, 0o1777, 0o720])("is not made in a folder of mode %o", async (mode) => {
    mkdirSync(store.folder);
    chmodSync(store.folder, mode);
    expect(await codeOf(() => store.create(options))).toBe("unsafe-file");
    expect(readdirSync(store.folder)).toEqual([]);
  });

  test("is not made below a folder that others may write to, except a sticky one", async () => {
    chmodSync(dir, 0o777);
    expect(await codeOf(() => store.create(options))).toBe("unsafe-file");
    chmodSync(dir, 0o770);
    expect(await codeOf(() => store.create(options))).toBe("unsafe-file");
    chmodSync(dir, 0o1777);
    expect(await codeOf(() => store.create(options))).toBe("no error");
  });

  test("does not write the root's key into a folder that others may write to", async () => {
    const open = join(dir, "open");
    mkdirSync(open);
    chmodSync(open, 0o777);
    expect(await codeOf(() => store.create({ ...options, rootKeyFile: join(open, "key.pem") }))).toBe("unsafe-file");
    expect(readdirSync(open)).toEqual([]);
  });
});

describe("an authority is not loaded", () => {
  beforeEach(async () => void (await store.create(options)));
  const loading = () => codeOf(() => store.load());

  test("where there is none", async () => {
    expect(await codeOf(() => new CaStore(join(dir, "nothing")).load())).toBe("not-found");
  });

  test.each([0o640, 0o604, 0o660, 0o644, 0o620, 0o611])("with a key file of mode %o", async (mode) => {
    chmodSync(file("intermediate-key.pem"), mode);
    expect(await loading()).toBe("unsafe-file");
  });

  test.each(files)("with %s writable by others", async (name) => {
    chmodSync(file(name), 0o622);
    expect(await loading()).toBe("unsafe-file");
  });

  test.each(files)("with a link in place of %s", async (name) => {
    renameSync(file(name), join(dir, name));
    symlinkSync(join(dir, name), file(name));
    expect(await loading()).toBe("unsafe-file");
  });

  test.each(files)("with a folder in place of %s", async (name) => {
    unlinkSync(file(name));
    mkdirSync(file(name));
    expect(await loading()).toBe("unsafe-file");
  });

  test("with a FIFO in place of the key", async () => {
    unlinkSync(file("intermediate-key.pem"));
    execFileSync("mkfifo", ["-m", "600", file("intermediate-key.pem")]);
    expect(await loading()).toBe("unsafe-file");
  });

  test.each(files)("with %s of another user", async (name) => {
    // Only root can give a file away; anybody else pretends to be the other user.
    if (process.geteuid!() === 0) execFileSync("chown", ["12345", file(name)]);
    else vi.spyOn(process, "geteuid").mockReturnValue(12_345);
    expect(await loading()).toBe("unsafe-file");
    vi.restoreAllMocks();
  });

  test.each([0o770, 0o707])("in a folder of mode %o", async (mode) => {
    chmodSync(join(store.folder, "current"), mode);
    expect(await loading()).toBe("unsafe-file");
    chmodSync(join(store.folder, "current"), 0o700);
    chmodSync(store.folder, mode);
    expect(await loading()).toBe("unsafe-file");
  });

  test("with another authority's key, or root, or intermediate", async () => {
    const other = new CaStore(join(dir, "other"));
    await other.create(options);
    for (const [name, code] of [
      ["intermediate-key.pem", "key-mismatch"],
      ["root.pem", "not-an-authority"],
      ["intermediate.pem", "not-an-authority"],
    ] as const) {
      const own = readFileSync(file(name));
      copyFileSync(join(other.folder, "current", name), file(name));
      expect(await loading()).toBe(code);
      writeFileSync(file(name), own);
    }
    expect(await loading()).toBe("no error");
  });

  test("with an unconstrained CA in its place", async () => {
    const root = await makeCertificate({ isCa: true });
    const plain = await makeCertificate({ isCa: true, pathLength: 0, eku: ["1.3.6.1.5.5.7.3.1"] }, root);
    writeFileSync(file("root.pem"), root.pem);
    writeFileSync(file("intermediate.pem"), plain.pem);
    writeFileSync(file("intermediate-key.pem"), plain.keyPem);
    expect(await loading()).toBe("unconstrained");
  });

  test.each<[string, string, string]>([
    ["an empty key", "intermediate-key.pem", ""],
    ["a certificate as key", "intermediate-key.pem", "intermediate.pem"],
    ["the key as certificate", "intermediate.pem", "intermediate-key.pem"],
    ["an empty certificate", "root.pem", ""],
  ])("with %s", async (_, name, source) => {
    writeFileSync(file(name), source === "" ? "" : readFileSync(file(source)));
    expect(await loading()).toBe("bad-content");
  });

  test("with two certificates in a file, or a broken block, or too much of it", async () => {
    const own = readFileSync(file("root.pem"), "utf8");
    writeFileSync(file("root.pem"), own + own);
    expect(await loading()).toBe("bad-content");
    writeFileSync(file("root.pem"), own.replace("END CERTIFICATE", "END"));
    expect(await loading()).toBe("bad-content");
    writeFileSync(file("root.pem"), own);
    appendFileSync(file("root.pem"), "#".repeat(300_000));
    expect(await loading()).toBe("bad-content");
  });

  test("before its time, and from its last second on", async () => {
    const { notBefore, notAfter } = store.read().current;
    expect(await codeOf(() => store.load(undefined, notBefore - 1n))).toBe("not-valid-now");
    expect(await codeOf(() => store.load(undefined, notAfter))).toBe("not-valid-now");
    expect(await codeOf(() => store.load(undefined, notAfter - 1n))).toBe("no error");
  });

  test.each([{ dns: ["example.net"] }, { dns: ["example.com", "example.net"] }, { dns: ["example.com"], ip: ["10.0.0.0/8"] }])(
    "where %j is needed",
    async (needed) => expect(await codeOf(() => store.load(parseLimits(needed)))).toBe("not-covering"),
  );

  test("and the error shows nothing of the key", async () => {
    const key = readFileSync(file("intermediate-key.pem"), "utf8");
    const secret = key.split("\n")[1]!.slice(0, 20);
    writeFileSync(file("intermediate-key.pem"), key.replace("END PRIVATE KEY", "END"));
    try {
      store.load();
      expect.unreachable();
    } catch (error) {
      expect(`${String(error)} ${(error as Error).stack}`).not.toContain(secret);
      expect(String(error)).toContain("intermediate-key.pem");
    }
  });
});

describe("renewal", () => {
  const rootKeyFile = () => join(dir, "root-key.pem");

  test("replaces the certificate and nothing else", async () => {
    const before = await store.create({ ...options, rootKeyFile: rootKeyFile() });
    const key = readFileSync(file("intermediate-key.pem"));
    const renewed = await store.renew({ rootKeyFile: rootKeyFile(), validity: 60n * DAY });
    expect(renewed.notAfter - before.notAfter >= 30n * DAY).toBe(true);
    expect(store.load().intermediate).toEqual(renewed.intermediate);
    expect(store.load().root).toEqual(before.root);
    expect(readFileSync(file("intermediate-key.pem"))).toEqual(key);
    expect(readdirSync(join(store.folder, "current")).sort()).toEqual([...files].sort());
  });

  test("lasts as long as before, however often", async () => {
    const first = await store.create({ ...options, rootKeyFile: rootKeyFile() });
    await store.renew({ rootKeyFile: rootKeyFile() });
    const third = await store.renew({ rootKeyFile: rootKeyFile() });
    expect(third.notAfter - third.notBefore).toBe(first.notAfter - first.notBefore);
  });

  test("needs the root's own key, kept as keys are", async () => {
    await store.create({ ...options, rootKeyFile: rootKeyFile() });
    const before = readFileSync(file("intermediate.pem"));
    expect(await codeOf(() => store.renew({ rootKeyFile: file("intermediate-key.pem") }))).toBe("key-mismatch");
    expect(await codeOf(() => store.renew({ rootKeyFile: join(dir, "none.pem") }))).toBe("unreadable");
    chmodSync(rootKeyFile(), 0o644);
    expect(await codeOf(() => store.renew({ rootKeyFile: rootKeyFile() }))).toBe("unsafe-file");
    chmodSync(rootKeyFile(), 0o600);
    symlinkSync(rootKeyFile(), join(dir, "link.pem"));
    expect(await codeOf(() => store.renew({ rootKeyFile: join(dir, "link.pem") }))).toBe("unsafe-file");
    expect(readFileSync(file("intermediate.pem"))).toEqual(before);
  });
});

describe("rotation", () => {
  test("trusts both roots at once and issues from the old until it is confirmed", async () => {
    const old = await store.create(options);
    const next = await store.rotate({ validity: 60n * DAY, limits: parseLimits({ dns: ["example.com", "example.net"] }) });
    expect(store.load().intermediate).toEqual(old.intermediate);
    expect(store.roots()).toEqual([old.root, next.root]);
    const confirmed = store.confirmRotation();
    expect(confirmed.intermediate).toEqual(next.intermediate);
    expect(store.load(parseLimits({ dns: ["example.net"] })).intermediate).toEqual(next.intermediate);
    expect(store.roots()).toEqual([next.root, old.root]);
  });

  test("destroys the old key, when it is confirmed and not before", async () => {
    await store.create(options);
    const key = readFileSync(file("intermediate-key.pem"), "latin1");
    const holdsKey = () => contents(dir).some(([, text]) => text === key);
    await store.rotate({ validity: DAY });
    expect(holdsKey()).toBe(true);
    store.confirmRotation();
    expect(holdsKey()).toBe(false);
  });

  test("keeps the permitted names unless told otherwise", async () => {
    await store.create(options);
    expect((await store.rotate({ validity: DAY })).limits.dns).toEqual(["example.com"]);
  });

  test("never begins twice", async () => {
    await store.create(options);
    await store.rotate({ validity: DAY });
    const before = contents(dir);
    expect(await codeOf(() => store.rotate({ validity: DAY }))).toBe("rotation");
    expect(contents(dir)).toEqual(before);
  });

  test("is confirmed once", async () => {
    await store.create(options);
    expect(await codeOf(() => store.confirmRotation())).toBe("rotation");
    await store.rotate({ validity: DAY });
    store.confirmRotation();
    expect(await codeOf(() => store.confirmRotation())).toBe("rotation");
    expect(await codeOf(() => store.load())).toBe("no error");
  });

  test("can follow another, and then the oldest root is forgotten", async () => {
    const first = await store.create(options);
    await store.rotate({ validity: DAY });
    const second = store.confirmRotation();
    const third = await store.rotate({ validity: DAY });
    expect(store.roots()).toEqual([second.root, third.root, first.root]);
    store.confirmRotation();
    expect(store.roots()).toEqual([third.root, second.root]);
  });

  test("that was cut short between its two steps is told, and completed by another confirmation", async () => {
    const old = await store.create(options);
    const next = await store.rotate({ validity: DAY });
    renameSync(join(store.folder, "current"), join(store.folder, "previous"));
    expect(await codeOf(() => store.load())).toBe("rotation");
    expect(await codeOf(() => store.create(options))).toBe("exists");
    store.confirmRotation();
    expect(store.roots()).toEqual([next.root, old.root]);
    expect(existsSync(file("intermediate-key.pem", "previous"))).toBe(false);
  });

  test("that was cut short before the old key was destroyed is completed too", async () => {
    await store.create(options);
    const next = await store.rotate({ validity: DAY });
    renameSync(join(store.folder, "current"), join(store.folder, "previous"));
    renameSync(join(store.folder, "next"), join(store.folder, "current"));
    expect(store.confirmRotation().intermediate).toEqual(next.intermediate);
    expect(existsSync(file("intermediate-key.pem", "previous"))).toBe(false);
  });

  test("to a successor that is damaged is not confirmed, and the old one stays in use", async () => {
    const old = await store.create(options);
    await store.rotate({ validity: DAY });
    unlinkSync(file("intermediate-key.pem", "next"));
    expect(await codeOf(() => store.confirmRotation())).toBe("incomplete");
    expect(readFileSync(file("intermediate.pem"), "utf8")).toContain(Buffer.from(old.intermediate).toString("base64").slice(0, 40));
  });
});

test("dates are written for people, impossible ones too", () => {
  expect(dateOf(0n)).toBe("1970-01-01 00:00Z");
  expect(dateOf(2n ** 60n)).toBe("an impossible date");
});
