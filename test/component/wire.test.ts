import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { getCACertificates } from "node:tls";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadComponent } from "../../host/component/cache.ts";
import { componentize } from "../../host/component/componentize.ts";
import { compileComponent, instantiate } from "../../host/component/instance.ts";
import { createImports } from "../../host/index.ts";
import { parsePem } from "../../src/wire/pem.ts";
import { capturedHellos } from "../support/captured-hellos.ts";
import { makeCertificate } from "../support/pki.ts";
import { read as readInNode } from "./guests/wire.ts";

/** src/wire is one text for two engines: what QuickJS answers in the sandbox has to be what Node answers in the host. */
const guests = new URL("./guests/", import.meta.url);
const cleanups: (() => unknown)[] = [];
let readInSandbox: (what: string, bytes: Uint8Array) => Promise<string>;

beforeAll(async () => {
  const component = await componentize({
    entry: fileURLToPath(new URL("wire.ts", guests)),
    wit: fileURLToPath(new URL("wire.wit", guests)),
    witDeps: [],
    world: "wire",
    engine: "quickjs",
  });
  const folder = await mkdtemp(join(tmpdir(), "sallyport-wire-"));
  cleanups.push(() => rm(folder, { recursive: true, force: true }));
  const host = createImports({});
  cleanups.push(() => host.dispose());
  const instance = await instantiate(await compileComponent(await loadComponent(component, folder)), host.imports);
  readInSandbox = instance.exports["read"] as typeof readInSandbox;
});
afterAll(async () => {
  for (const cleanup of cleanups.toReversed()) await cleanup();
});

const bytesOf = (text: string) => new Uint8Array(Buffer.from(text));

async function bothSay(what: string, bytes: Uint8Array): Promise<string> {
  const answer = await readInSandbox(what, bytes);
  expect(answer).toBe(readInNode(what, bytes));
  return answer;
}

describe("the sandbox reads as the host does", () => {
  test("hellos", async () => {
    for (const bytes of Object.values(capturedHellos)) expect(await bothSay("hello", bytes)).toContain('"cipherSuites":[');
  });

  test("roots and a leaf", async () => {
    for (const pem of getCACertificates("bundled").slice(0, 30))
      expect(await bothSay("certificate", parsePem(pem)[0]!.bytes)).toContain("notAfter");
    const leaf = await makeCertificate({ dns: ["a.test"], ip: ["::1"], cn: "Ä, \u202e" });
    expect(await bothSay("certificate", leaf.der)).toContain('"a.test"');
  });

  test("text, keys' encodings, names and prefixes", async () => {
    const random = Uint8Array.from({ length: 20_000 }, (_, index) => (index * index * 31) & 0xff);
    for (const what of ["base64url", "hex", "pem"]) expect(await bothSay(what, random)).toMatch(/^[["]/);
    expect(await bothSay("utf8", bytesOf("Grüße, 世界 😀\n\u202e\\".repeat(1000)))).toContain("世界");
    expect(await bothSay("name", bytesOf("WWW.Example.COM"))).toContain('"www.example.com"');
    expect(await bothSay("name", bytesOf("2001:db8:0::1"))).toContain('"2001:db8::1"');
    expect(await bothSay("prefix", bytesOf("fc00::/7"))).toContain('"fc00::/7"');
  });
});

describe("the sandbox refuses what the host refuses", () => {
  test.each([
    ["hello", "GET / HTTP/1.1\r\n\r\n", "TlsWireError not-tls"],
    ["certificate", "0\u0003\u0002\u0001\u0005", "WireError invalid-der"],
    ["strictBase64url", "AB", "WireError invalid-base64url"],
    ["strictBase64url", "AA==", "WireError invalid-base64url"],
    ["name", "127.1", "WireError invalid-server-name"],
    ["name", "a_b.example", "WireError invalid-server-name"],
    ["prefix", "10.1.2.3/8", "WireError invalid-ip-address"],
  ])("%s %j", async (what, text, start) => expect(await bothSay(what, bytesOf(text))).toMatch(new RegExp(`^${start}`)));

  test("bytes that are not UTF-8", async () => {
    for (const bytes of [[0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80]]) {
      expect(await bothSay("utf8", Uint8Array.from(bytes))).toMatch(/^WireError invalid-utf8/);
    }
  });

  test("every cut of a certificate", async () => {
    const { der } = await makeCertificate({ dns: ["a.test"] });
    for (let end = 0; end < der.length; end += 7) expect(await bothSay("certificate", der.slice(0, end))).toMatch(/^WireError invalid-/);
  });
});
