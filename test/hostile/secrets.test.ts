import { PassThrough, Readable } from "node:stream";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ComponentCode, ImportObject } from "../../host/component/instance.ts";
import { KeyPair } from "../../host/identity/private-identity.ts";
import { createImports, type ImportsOptions, type TlsGrants } from "../../host/index.ts";
import { type Crossover, crossover, suiteGrants } from "../conformance/fixtures.ts";
import { makePki, type TestPki } from "../support/pki.ts";
import { attack, hostileGuest } from "./hostile.ts";

let code: ComponentCode;
let tls: TlsGrants;
let pki: TestPki;
let peer: Crossover;

beforeAll(async () => {
  code = await hostileGuest();
  pki = await makePki({ leaf: { dns: ["server.test"] } });
  const grants = await suiteGrants();
  const server = KeyPair.parse(pki.leaf.keyDer, pki.chainDer, "host").forWorker();
  tls = { ...grants, anchors: [...grants.anchors!, pki.root.der], identities: { ...grants.identities, server } };
  peer = await crossover();
});
afterAll(async () => await peer?.close());

/** A key in every form in which it could lie somewhere, by name. */
function formsOf(leaf: TestPki["leaf"]): Record<string, Buffer> {
  const scalar = Buffer.from(leaf.privateKey.export({ format: "jwk" }).d!, "base64url");
  const sec1 = leaf.privateKey.export({ type: "sec1", format: "der" });
  const pkcs8 = Buffer.from(leaf.keyDer);
  const pemLines = leaf.keyPem.split("\n").slice(1, 3);
  return {
    "PKCS#8 DER": pkcs8,
    "SEC 1 DER": sec1,
    "the scalar": scalar,
    "the scalar, backwards": Buffer.from(scalar.toReversed()),
    "half of the scalar": scalar.subarray(0, 16),
    "the scalar in hexadecimal": Buffer.from(scalar.toString("hex")),
    "the scalar in capitals": Buffer.from(scalar.toString("hex").toUpperCase()),
    "the scalar in base64": Buffer.from(scalar.toString("base64")),
    "the scalar in base64url": Buffer.from(scalar.toString("base64url")),
    "a line of PEM": Buffer.from(pemLines[0]!),
    "another line of PEM": Buffer.from(pemLines[1]!),
    "the scalar in UTF-16": Buffer.from(scalar.toString("hex"), "utf16le"),
  };
}

function found(forms: Record<string, Buffer>, where: Buffer): string[] {
  return Object.keys(forms).filter((name) => where.includes(forms[name]!));
}

/** Run the guest in this thread, and give all of its linear memory as it was at the end. */
async function memoryAfter(args: string[], options: ImportsOptions & { stdin?: Readable } = {}): Promise<{ said: string; memory: Buffer }> {
  const stdout = new PassThrough();
  let said = "";
  stdout.on("data", (chunk: Buffer) => (said += chunk.toString()));
  const host = createImports({ args: ["attack", ...args], stdout, ...options });
  const memories: WebAssembly.Memory[] = [];
  const script = (await import(code.script)) as {
    instantiate(
      module: (name: string) => WebAssembly.Module,
      imports: ImportObject,
      instantiateCore: (module: WebAssembly.Module, imports: ImportObject) => Promise<{ exports: Record<string, unknown> }>,
    ): Promise<Record<string, { run?: () => Promise<void> }>>;
  };
  const exports = await script.instantiate(
    (name) => code.modules.get(name)!,
    host.imports,
    async (module, imports) => {
      const core = await WebAssembly.instantiate(module, imports);
      for (const item of Object.values(core.exports)) if (item instanceof WebAssembly.Memory) memories.push(item);
      return core;
    },
  );
  const name = Object.keys(exports).find((key) => key.startsWith("wasi:cli/run"))!;
  await exports[name]!.run!();
  host.dispose();
  return { said, memory: Buffer.concat(memories.map((memory) => Buffer.from(memory.buffer))) };
}

describe("the key of a granted identity", () => {
  it("is in nothing that any import gives, throws or says", async () => {
    const { result, lines, stderr } = await attack(code, ["everything"], { tls });
    expect({ result, stderr, last: lines.at(-1) }).toEqual({ result: { tag: "exit", code: 0 }, stderr: "", last: "told everything" });
    expect(lines.length).toBeGreaterThan(500);
    const text = lines.join("\n");
    const bytes = Buffer.concat(
      lines.flatMap((line) => line.match(/\b(?:[0-9a-f]{2}){8,}\b/g) ?? []).map((hex) => Buffer.from(hex, "hex")),
    );
    // It did look: the certificate is there.
    expect(bytes.includes(pki.leaf.der)).toBe(true);
    expect(found(formsOf(pki.leaf), Buffer.concat([Buffer.from(text), Buffer.from("|"), bytes]))).toEqual([]);
  });

  it("is not in the memory of a guest that shook hands with it, in any form", async () => {
    const { said, memory } = await memoryAfter(["handshake"], { tls });
    expect(said).toBe("shaken hands\n");
    // It is the right memory: the certificate went through it.
    expect(memory.includes(Buffer.from(pki.leaf.der.subarray(-64)))).toBe(true);
    expect(found(formsOf(pki.leaf), memory)).toEqual([]);
  });

  it("would have been found there: a guest that brings a key of its own has it", async () => {
    const bring = async (form: string, bytes: Uint8Array | string) => {
      const stdin = Readable.from([Buffer.from(bytes)]);
      const { said, memory } = await memoryAfter(["handshake with a key of its own", form], { tls, stdin });
      expect(said).toBe("shaken hands\n");
      return found(formsOf(pki.leaf), memory);
    };
    expect(await bring("pem", pki.leaf.keyPem + pki.chainPem)).toEqual(["a line of PEM", "another line of PEM"]);
    expect(await bring("der", pki.leaf.keyDer)).toEqual(["PKCS#8 DER", "the scalar", "half of the scalar"]);
  });

  it("opens by no other name", async () => {
    const names = [
      "",
      "Server",
      "server ",
      "server\n",
      "./server",
      "server.pem",
      "__proto__",
      "constructor",
      "hasOwnProperty",
      "toString",
      "0",
      "\u0455erver",
    ];
    const { result, lines } = await attack(code, ["open", ...names], { tls: { identities: { server: tls.identities!["server"]! } } });
    expect(result).toEqual({ tag: "exit", code: 0 });
    expect(lines).toEqual([...names.map((name) => `${JSON.stringify(name)} not-found`), "granted server"]);
  });

  it("opens by no name without the grant, and looks like one that does not exist", async () => {
    const { lines } = await attack(code, ["open", "server", "nobody", "__proto__"]);
    expect(lines).toEqual(['"server" not-found', '"nobody" not-found', '"__proto__" not-found', "granted "]);
  });
});

describe("a secret in a request", () => {
  const secret = "s3cr3t-ffdc2f7a61";

  it("is on the wire without TLS, and not with it", async () => {
    const allow = { grants: { allowNet: [peer.address] }, tls };
    const plainly = await attack(code, ["send a secret", "plain", peer.address, secret], allow);
    const plain = peer.seen();
    const sealed = await attack(code, ["send a secret", "tls", peer.address, secret], allow);
    const overTls = peer.seen().subarray(plain.length);
    expect([plainly.lines, sealed.lines]).toEqual([["sent"], ["sent"]]);
    expect(plain.includes(secret)).toBe(true);
    expect(overTls.length).toBeGreaterThan(2 * plain.length);
    for (const part of [secret, secret.slice(0, 8), "Authorization", "GET /"]) expect(overTls.includes(part)).toBe(false);
    // Nor does a peer that records learn a key: only certificates are in clear, and in TLS 1.3 not even those.
    expect(found(formsOf(pki.leaf), overTls)).toEqual([]);
  });
});
