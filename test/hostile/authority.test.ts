import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { loadComponent } from "../../host/component/cache.ts";
import { componentize } from "../../host/component/componentize.ts";
import { compileComponent, type ComponentCode, instantiate } from "../../host/component/instance.ts";
import { createImports } from "../../host/index.ts";
import { readCertificate } from "../../src/wire/certificate.ts";
import { makeAuthority } from "../support/authority.ts";

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const cleanups: (() => unknown)[] = [];
let code: ComponentCode;
let folder: string;
let auditFile: string;
let count = 0;
let attempt: (order: object) => Promise<{ ok?: unknown; refused?: string; failed?: string }>;

beforeAll(async () => {
  const component = await componentize({
    entry: here("guests/authority.ts"),
    wit: here("guests/authority.wit"),
    witDeps: [here("../../wit/deps"), here("../../wit/tls.wit"), here("../../wit/gateway/authorities.wit")],
    world: "authority",
    engine: "quickjs",
  });
  folder = await mkdtemp(join(tmpdir(), "sallyport-hostile-"));
  cleanups.push(() => rm(folder, { recursive: true, force: true }));
  code = await compileComponent(await loadComponent(component, folder));
});
afterAll(async () => {
  for (const cleanup of cleanups.toReversed()) await cleanup();
});

/** @param certificates that it may have in a second */
async function start(certificates: number): Promise<void> {
  auditFile = join(folder, `${++count}.jsonl`);
  const authority = await makeAuthority({ dns: ["example.com"], ip: ["10.0.0.0/8"] });
  const host = createImports({
    gateway: { authorities: { leaves: authority.forWorker() }, audit: { file: auditFile, fsync: "none" }, rates: { certificates } },
  });
  cleanups.push(() => host.dispose());
  const instance = await instantiate(code, host.imports);
  const call = instance.exports["attempt"] as (order: string) => string | Promise<string>;
  attempt = async (order) => JSON.parse(await call(JSON.stringify(order)));
}
beforeEach(() => start(1_000_000));

/** What the host recorded so far. */
const records = (): Record<string, unknown>[] =>
  readFileSync(auditFile, "utf8")
    .split("\n")
    .slice(0, -1)
    .map((line) => JSON.parse(line));

const now = () => Math.floor(Date.now() / 1000);
const mapped = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1];

test("a component gets what it may have: a leaf with the names it planned, and it is recorded", async () => {
  const { ok } = await attempt({ act: "issue", names: ["www.example.com", [10, 0, 0, 1]], lifetime: 3600 });
  const [leaf, intermediate, ...more] = (ok as string[]).map((hex) => readCertificate(Buffer.from(hex, "hex")));
  expect(more).toEqual([]);
  expect(leaf!.alternativeNames).toEqual({ dns: ["www.example.com"], ip: ["10.0.0.1"], otherCount: 0 });
  expect(intermediate!.pathLength).toBe(0);
  const names = ["www.example.com", "10.0.0.1"];
  expect(records()).toMatchObject([{ event: "certificate", by: "host", authority: "leaves", names, leaf_serial: leaf!.serial }]);
});

describe("a hostile component that calls the import directly is refused, and recorded, for", () => {
  test.each<[string, object, string]>([
    ["a name outside", { names: ["evil.test"] }, "name-not-permitted"],
    ["a name that only ends alike", { names: ["notexample.com"] }, "name-not-permitted"],
    ["a name outside behind a permitted one", { names: ["example.com", "evil.test"] }, "name-not-permitted"],
    ["a NUL within a name", { names: ["evil.test\0.example.com"] }, "malformed-name"],
    ["a wildcard", { names: ["*.example.com"] }, "wildcard-name"],
    ["Unicode", { names: ["ехample.com"] }, "malformed-name"],
    ["254 bytes", { names: [`${"a.".repeat(121)}bexample.com`.slice(-254).replace(/^\./, "b")] }, "malformed-name"],
    ["four megabytes", { names: ["a".repeat(4_000_000)] }, "malformed-name"],
    ["an address as a name", { names: ["10.0.0.1"] }, "address-as-name"],
    ["an address outside", { names: [[127, 0, 0, 1]] }, "address-not-permitted"],
    ["a mapped address", { names: [mapped] }, "address-not-permitted"],
    ["an address of three bytes", { names: [[10, 0, 0]] }, "malformed-name"],
    ["no name", { names: [] }, "no-names"],
    ["a thousand names", { names: Array.from({ length: 1000 }, (_, index) => `n${index}.example.com`) }, "too-many-names"],
    ["no time", { names: ["example.com"], lifetime: 0 }, "lifetime-too-short"],
    ["a day and a second", { names: ["example.com"], lifetime: 86_401 }, "lifetime-too-long"],
    ["a lifetime near the end of the type", { names: ["example.com"], lifetime: 2 ** 63 - 1024 }, "lifetime-too-long"],
    ["tomorrow", { names: ["example.com"], notBefore: now() + 86_400 }, "not-before-in-future"],
    ["last year", { names: ["example.com"], notBefore: now() - 365 * 86_400 }, "not-before-too-early"],
  ])("%s", async (_, order, reason) => {
    expect(await attempt({ act: "issue", ...order })).toEqual({ refused: reason });
    expect(records()).toMatchObject([{ event: "certificate-refused", by: "host", authority: "leaves", reason }]);
    // Nothing of the guest's can end a line of the record or fill it.
    expect(readFileSync(auditFile, "latin1")).toMatch(/^[ -~]{1,8000}\n$/);
    expect(await attempt({ act: "issue", names: ["example.com"] })).toHaveProperty("ok");
  });
});

describe("a hostile component", () => {
  test("has no more certificates in a second than its limit, and fills no log with what it is refused", async () => {
    await start(20);
    const outcomes: string[] = [];
    for (let index = 0; index < 200; index++) outcomes.push((await attempt({ act: "issue", names: ["evil.test"] })).refused!);
    expect(new Set(outcomes)).toEqual(new Set(["name-not-permitted", "over-limit"]));
    const count = (outcome: string) => outcomes.filter((one) => one === outcome).length;
    expect(records().filter(({ event }) => event === "certificate-refused")).toHaveLength(count("name-not-permitted"));
    const told = () => records().filter(({ limit }) => limit === "certificates");
    await expect
      .poll(() => told().reduce((sum, record) => sum + Number(record["count"]), 0), { timeout: 10_000 })
      .toBe(count("over-limit"));
    expect(told().every(({ by, event, most }) => by === "host" && event === "over-limit" && most === 20)).toBe(true);
  });

  test("cannot open an authority that was not granted, nor tell it from one that does not exist", async () => {
    for (const authority of ["other", "", "__proto__", "constructor", "../leaves", "leaves\0"])
      expect(await attempt({ act: "open", authority })).toEqual({ refused: "not-found" });
    expect(await attempt({ act: "names" })).toEqual({ ok: ["leaves"] });
  });

  test("cannot widen the limits by writing into the answer", async () => {
    const { ok } = await attempt({ act: "limits" });
    expect(ok).toMatchObject({ permittedDns: ["example.com", "evil.test"], longestLifetime: 86_400 });
    expect(await attempt({ act: "issue", names: ["evil.test"] })).toEqual({ refused: "name-not-permitted" });
  });

  test("finds no way to the key of what was issued to it", async () => {
    const { ok } = await attempt({ act: "look", names: ["example.com"] });
    const { statics, members, text } = ok as { statics: string[]; members: string[]; text: string };
    expect(statics.filter((name) => !["length", "name", "prototype"].includes(name))).toEqual(["names", "open", "parse", "parsePem"]);
    expect(members.join()).not.toMatch(/key|credential|export|pem/i);
    expect(text).not.toMatch(/PRIVATE|BEGIN/);
  });

  test("cannot pass off a key of its own as that of an issued certificate", async () => {
    expect(await attempt({ act: "forge", names: ["example.com"] })).toEqual({ refused: "key-mismatch" });
  });

  test("cannot make the host hold more than its share", async () => {
    expect(await attempt({ act: "hoard", names: ["example.com"] })).toEqual({ refused: "too-many-held" });
    expect(records().filter(({ event }) => event === "certificate")).toHaveLength(4096);
    expect(records().at(-1)).toMatchObject({ event: "certificate-refused", reason: "too-many-held" });
  });
});
