import { beforeAll, describe, expect, test } from "vitest";
import { Authority } from "../../../host/authority/authority.ts";
import type { LeafRequest, RequestedName } from "../../../host/authority/leaf-plan.ts";
import { readCertificate } from "../../../src/wire/certificate.ts";
import { codeOf, dns, ip, makeAuthority } from "../../support/authority.ts";

const DAY = 86_400n;
const now = BigInt(Math.floor(Date.now() / 1000));
let authority: Authority;

beforeAll(async () => {
  authority = await makeAuthority(
    { dns: ["example.com", "xn--bcher-kva.example"], ip: ["10.0.0.0/8", "fd00::/8"] },
    { validity: 10n * DAY },
  );
});

function request(names: RequestedName[], more: Partial<LeafRequest> = {}): LeafRequest {
  return { names, lifetime: 3600n, key: "p256", ...more };
}
const refusal = (names: RequestedName[], more: Partial<LeafRequest> = {}, at = now) =>
  codeOf(() => authority.issue(request(names, more), at));
const v6 = (...start: number[]) => ip(...start, ...Array<number>(16 - start.length).fill(0));

describe("names", () => {
  test.each([
    [[dns("example.com")], ["example.com"]],
    [
      [dns("a.b.example.com"), dns("example.com")],
      ["a.b.example.com", "example.com"],
    ],
    [[dns("xn--bcher-kva.example")], ["xn--bcher-kva.example"]],
    [[ip(10, 1, 2, 3)], ["10.1.2.3"]],
    [[v6(0xfd, 0x12)], ["fd12::"]],
    [
      [dns("example.com"), ip(10, 0, 0, 1)],
      ["example.com", "10.0.0.1"],
    ],
  ])("%j are issued as %j", (names, issued) => expect(authority.issue(request(names), now).names).toEqual(issued));

  test.each<[string, RequestedName[], string]>([
    ["none at all", [], "no-names"],
    ["seventeen", Array.from({ length: 17 }, (_, index) => dns(`n${index}.example.com`)), "too-many-names"],
    ["a million", Array<RequestedName>(1_000_000).fill(dns("example.com")), "too-many-names"],
    ["one outside the subtrees", [dns("evil.test")], "name-not-permitted"],
    ["one outside among permitted ones", [dns("example.com"), dns("evil.test")], "name-not-permitted"],
    ["one that only ends alike", [dns("notexample.com")], "name-not-permitted"],
    ["one that only begins alike", [dns("example.com.evil.test")], "name-not-permitted"],
    ["the parent of a subtree", [dns("com")], "name-not-permitted"],
    ["an empty one", [dns("")], "malformed-name"],
    ["a dot", [dns(".")], "malformed-name"],
    ["an empty label", [dns("a..example.com")], "malformed-name"],
    ["a leading dot", [dns(".example.com")], "malformed-name"],
    ["a trailing dot", [dns("example.com.")], "malformed-name"],
    ["upper case", [dns("Example.com")], "malformed-name"],
    ["a NUL", [dns("evil.test\0.example.com")], "malformed-name"],
    ["a NUL at the end", [dns("example.com\0")], "malformed-name"],
    ["a line feed", [dns("a\n.example.com")], "malformed-name"],
    ["a slash", [dns("evil.test/.example.com")], "malformed-name"],
    ["a comma", [dns("evil.test,DNS:example.com")], "malformed-name"],
    ["an underscore", [dns("_acme.example.com")], "malformed-name"],
    ["a space", [dns("a b.example.com")], "malformed-name"],
    ["a port", [dns("example.com:443")], "malformed-name"],
    ["Unicode in place of its A-label", [dns("bücher.example")], "malformed-name"],
    ["a full-width dot", [dns("www。example.com")], "malformed-name"],
    ["a letter that lower-cases to ASCII", [dns("\u212Aa.example.com")], "malformed-name"],
    ["a lone surrogate", [dns("\ud800.example.com")], "malformed-name"],
    ["an A-label outside that looks alike", [dns("xn--exmple-cua.com")], "name-not-permitted"],
    ["64 characters in a label", [dns(`${"a".repeat(64)}.example.com`)], "malformed-name"],
    ["254 bytes", [dns(`${"a.".repeat(121)}example.com`.padStart(254, "b"))], "malformed-name"],
    ["a megabyte", [dns("a".repeat(1_000_000))], "malformed-name"],
    ["a wildcard", [dns("*.example.com")], "wildcard-name"],
    ["a wildcard within a label", [dns("a*.example.com")], "wildcard-name"],
    ["an asterisk", [dns("*")], "wildcard-name"],
    ["an address as a name", [dns("10.0.0.1")], "address-as-name"],
    ["an IPv6 address as a name", [dns("fd00::1")], "address-as-name"],
    ["an address in another spelling", [dns("0x0a.0.0.1")], "malformed-name"],
    ["an address as a number", [dns("167772161")], "malformed-name"],
    ["an address outside the ranges", [ip(11, 0, 0, 1)], "address-not-permitted"],
    ["the address of the metadata service", [ip(169, 254, 169, 254)], "address-not-permitted"],
    ["a mapped address of a permitted range", [ip(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1)], "address-not-permitted"],
    ["a compatible address of a permitted range", [ip(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 10, 0, 0, 1)], "address-not-permitted"],
    ["an address with its mask", [ip(10, 0, 0, 0, 255, 0, 0, 0)], "malformed-name"],
    ["an address of five bytes", [ip(10, 0, 0, 1, 0)], "malformed-name"],
    ["an empty address", [ip()], "malformed-name"],
    ["the same name twice", [dns("example.com"), dns("example.com")], "duplicate-name"],
    ["the same address twice", [ip(10, 0, 0, 1), ip(10, 0, 0, 1)], "duplicate-name"],
  ])("%s: refused", async (_, names, code) => expect(await refusal(names)).toBe(code));

  test("253 bytes are issued", () => {
    const name = `${"a.".repeat(120)}bb.example.com`.slice(-253).replace(/^\./, "b");
    expect(name).toHaveLength(253);
    expect(authority.issue(request([dns(name)]), now).names).toEqual([name]);
  });
});

describe("times", () => {
  const name = [dns("example.com")];

  test("without a beginning, a leaf begins five minutes back, or with the authority", () => {
    expect(authority.issue(request(name), now + 600n)).toMatchObject({ notBefore: now + 300n, notAfter: now + 4200n });
    const begin = authority.bounds.notBefore;
    expect(authority.issue(request(name), begin + 1n).notBefore).toBe(begin);
  });

  test("a beginning is kept", () => {
    const at = now + 5n * DAY;
    expect(authority.issue(request(name, { notBefore: at - DAY }), at).notBefore).toBe(at - DAY);
    expect(authority.issue(request(name, { notBefore: at }), at).notBefore).toBe(at);
  });

  test("a leaf never outlives the authority", () => {
    const end = authority.bounds.notAfter;
    const { keyPair, notAfter } = authority.issue(request(name, { lifetime: DAY }), end - 60n);
    expect(notAfter).toBe(end);
    expect(readCertificate(keyPair.chain.der[0]!).notAfter).toBe(end);
  });

  test.each<[string, Partial<LeafRequest>, string]>([
    ["no lifetime", { lifetime: 0n }, "lifetime-too-short"],
    ["a second more than the longest", { lifetime: DAY + 1n }, "lifetime-too-long"],
    ["a lifetime that would overflow", { lifetime: 2n ** 64n - 1n }, "lifetime-too-long"],
    ["a beginning in the future", { notBefore: now + 5n * DAY + 1n }, "not-before-in-future"],
    ["a beginning at the end of time", { notBefore: 2n ** 64n - 1n }, "not-before-in-future"],
    ["a beginning more than a day back", { notBefore: now + 4n * DAY - 1n }, "not-before-too-early"],
    ["a beginning at the epoch", { notBefore: 0n }, "not-before-too-early"],
  ])("%s: refused", async (_, more, code) => expect(await refusal(name, more, now + 5n * DAY)).toBe(code));

  test("a beginning before the authority's own is refused", async () => {
    const { notBefore } = authority.bounds;
    expect(await refusal(name, { notBefore: notBefore - 1n }, notBefore + 10n)).toBe("not-before-too-early");
  });

  test("nothing is issued outside the authority's own validity", async () => {
    const { notBefore, notAfter } = authority.bounds;
    expect(await refusal(name, {}, notBefore - 1n)).toBe("authority-not-valid");
    expect(await refusal(name, {}, notAfter)).toBe("authority-not-valid");
    expect(await refusal(name, {}, notAfter - 1n)).toBe("no error");
  });

  test("the longest lifetime is the host's to choose, within reason", async () => {
    const short = await makeAuthority({ dns: ["example.com"] }, { longestLifetime: 60n });
    expect(await codeOf(() => short.issue(request(name, { lifetime: 61n })))).toBe("lifetime-too-long");
    expect(await codeOf(() => short.issue(request(name, { lifetime: 60n })))).toBe("no error");
    for (const longestLifetime of [0n, -1n, 398n * DAY])
      expect(await codeOf(() => makeAuthority({ dns: ["example.com"] }, { longestLifetime }))).toBe("bad-limits");
  });
});

describe("the key", () => {
  test("shows in nothing that can be printed", () => {
    const { key } = authority.forWorker();
    const { d } = key.export({ format: "jwk" }) as { d: string };
    const hex = Buffer.from(d, "base64url").toString("hex");
    const shown = [JSON.stringify(authority), String(authority), `${Object.entries(authority).join()}`].join();
    expect(shown).not.toContain(d);
    expect(shown).not.toContain(hex);
    expect(Object.keys(authority).sort()).toEqual(["bounds", "chain"]);
  });

  test("signs in another thread what it signs here", () => {
    const packed = structuredClone(authority.forWorker());
    const { keyPair } = Authority.fromWorker(packed).issue(request([dns("example.com")]));
    expect(keyPair.chain.leaf.verify(authority.chain.leaf.publicKey)).toBe(true);
  });

  test("does not sign outside its limits in another thread either", async () => {
    const other = Authority.fromWorker(structuredClone(authority.forWorker()));
    expect(await codeOf(() => other.issue(request([dns("evil.test")])))).toBe("name-not-permitted");
    expect(await codeOf(() => other.issue(request([ip(11, 0, 0, 1)])))).toBe("address-not-permitted");
    expect(await codeOf(() => other.issue(request([dns("example.com")], { lifetime: DAY + 1n })))).toBe("lifetime-too-long");
  });
});
