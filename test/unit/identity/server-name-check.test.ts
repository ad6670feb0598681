import { expect, test } from "vitest";
import { leafCovers } from "../../../host/identity/server-name-check.ts";
import { readCertificate } from "../../../src/wire/certificate.ts";
import { parseServerName } from "../../../src/wire/server-name.ts";
import { type CertificateOptions, makeCertificate } from "../../support/pki.ts";

async function covers(options: CertificateOptions, ...names: string[]): Promise<boolean> {
  const { der } = await makeCertificate(options);
  return leafCovers(
    readCertificate(der),
    names.map((name) => parseServerName(name)),
  );
}

test.each<[string, CertificateOptions, string]>([
  ["the same name", { dns: ["a.test"] }, "a.test"],
  ["the same name in other case", { dns: ["A.TeSt"] }, "a.test"],
  ["one of several names", { dns: ["x.test", "a.test"], ip: ["10.0.0.1"] }, "a.test"],
  ["a name of one label", { dns: ["localhost"] }, "localhost"],
  ["a wildcard for one label", { dns: ["*.a.test"] }, "b.a.test"],
  ["a wildcard in other case", { dns: ["*.A.test"] }, "b.a.test"],
  ["a wildcard for an A-label", { dns: ["*.a.test"] }, "xn--bcher-kva.a.test"],
  ["an IPv4 address", { ip: ["127.0.0.1"] }, "127.0.0.1"],
  ["an IPv6 address in another spelling", { ip: ["2001:db8:0:0:0:0:0:1"] }, "2001:db8::1"],
])("a leaf covers %s", async (_, options, name) => {
  expect(await covers(options, name)).toBe(true);
});

test.each<[string, CertificateOptions, string]>([
  ["a name that only its common name has", { cn: "a.test" }, "a.test"],
  ["a name that its common name has beside other names", { cn: "a.test", dns: ["b.test"] }, "a.test"],
  ["a name below its own", { dns: ["a.test"] }, "b.a.test"],
  ["a name above its own", { dns: ["b.a.test"] }, "a.test"],
  ["a name that ends like its own", { dns: ["a.test"] }, "xa.test"],
  ["a name longer than its own", { dns: ["a.test"] }, "a.test.evil.example"],
  ["two labels by one wildcard", { dns: ["*.a.test"] }, "c.b.a.test"],
  ["no label by a wildcard", { dns: ["*.a.test"] }, "a.test"],
  ["anything by a wildcard over one label", { dns: ["*.test"] }, "a.test"],
  ["anything by a bare wildcard", { dns: ["*"] }, "localhost"],
  ["anything by a wildcard before a dot", { dns: ["*."] }, "localhost"],
  ["anything by a wildcard over an empty label", { dns: ["*..test"] }, "a.test"],
  ["a label by a wildcard in part of a label", { dns: ["b*.a.test", "*b.a.test", "b*b.a.test"] }, "bb.a.test"],
  ["a label by a wildcard that is not left-most", { dns: ["b.*.test"] }, "b.a.test"],
  ["two labels by two wildcards", { dns: ["*.*.test"] }, "b.a.test"],
  ["a name cut at a NUL", { dns: ["a.test\0.evil.example"] }, "a.test"],
  ["a name behind a NUL", { dns: ["evil.example\0a.test"] }, "a.test"],
  ["a name with a trailing dot", { dns: ["a.test."] }, "a.test"],
  ["a name with a space around it", { dns: [" a.test", "a.test "] }, "a.test"],
  ["a name in an empty list", { dns: [""] }, "a.test"],
  ["an address that a DNS name spells", { dns: ["127.0.0.1"] }, "127.0.0.1"],
  ["an address that its common name spells", { cn: "127.0.0.1" }, "127.0.0.1"],
  ["another address", { ip: ["127.0.0.1"] }, "127.0.0.2"],
  ["an IPv4 address by its mapped form", { ip: ["::ffff:7f00:1"] }, "127.0.0.1"],
  ["a mapped address by its IPv4 form", { ip: ["127.0.0.1"] }, "::ffff:127.0.0.1"],
  ["an address by a wildcard", { dns: ["*.0.0.1", "*"] }, "127.0.0.1"],
])("a leaf does not cover %s", async (_, options, name) => {
  expect(await covers(options, name)).toBe(false);
});

test("one covered name of several is enough, and no name is covered by nothing", async () => {
  expect(await covers({ dns: ["a.test"] }, "x.test", "10.0.0.1", "a.test")).toBe(true);
  expect(await covers({ dns: ["a.test"] }, "x.test", "10.0.0.1")).toBe(false);
  expect(await covers({ dns: ["a.test"] })).toBe(false);
});

test("a version 1 leaf covers nothing", async () => {
  expect(await covers({ cn: "a.test", version: 1 }, "a.test")).toBe(false);
});
