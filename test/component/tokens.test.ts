import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Instance, instantiate } from "../../host/component/instance.ts";
import { createImports, type Imports, SigningKey } from "../../host/index.ts";
import {
  errorName,
  type TokenChannel,
  type TokenExports,
  type TokenIssuer,
  type TokenVerifier,
} from "../../host/tokens/token-component.ts";
import { type BuiltGuest, buildGuest } from "../support/guest-run.ts";
import { mutatedBytes, seededRandom } from "../support/mutated-bytes.ts";
import { CERTIFICATE, claimsText, EXPORTER, issuerOf, nodeKeyOf, NOW, request, seedOf, sha256, tokenOf } from "../unit/tokens/tokens.ts";

const seed = seedOf(7);
const key = SigningKey.fromPem(String(nodeKeyOf(seed).export({ format: "pem", type: "pkcs8" })), "ops-1");
const bound: TokenChannel = { certificateSha256: CERTIFICATE, tlsExporter: undefined };
const nothing: TokenChannel = { certificateSha256: undefined, tlsExporter: undefined };

interface Loaded {
  guest: BuiltGuest;
  host: Imports;
  instance: Instance;
  tokens: TokenExports;
}

async function load(entry: string, world: string, clock: { seconds: bigint }): Promise<Loaded> {
  const guest = await buildGuest({ entry: `guest/tokens/${entry}.ts`, wit: "wit/policy", world });
  const host = createImports({ signers: { "the key": key.grant(), "short-lived": key.grant({ lifetime: 60 }) } });
  const wallClock = { now: () => ({ seconds: clock.seconds, nanoseconds: 0 }), resolution: () => ({ seconds: 1n, nanoseconds: 0 }) };
  const imports = { ...host.imports, "wasi:clocks/wall-clock": wallClock };
  const instance = await instantiate(guest.code, imports);
  return { guest, host, instance, tokens: instance.exports["sallyport:policy/tokens@0.1.0"] as TokenExports };
}

/** The name of the error of a call. */
async function refusal(call: Promise<unknown>): Promise<string> {
  try {
    await call;
  } catch (error) {
    const name = errorName(error);
    if (name === undefined) throw error;
    return name;
  }
  return "accepted";
}

const builds = [
  { name: "self-contained", entry: "main", open: (tokens: TokenExports) => tokens.issuerFromSeed("ops-1", seed) },
  { name: "host-assisted", entry: "host-assisted", open: (tokens: TokenExports) => tokens.openIssuer("the key") },
];

describe.each(builds)("the $name build", ({ name, entry, open }) => {
  const clock = { seconds: NOW };
  let loaded: Loaded;
  let tokens: TokenExports;
  let issuer: TokenIssuer;
  let good: string;

  beforeAll(async () => {
    loaded = await load(entry, `tokens-${name}`, clock);
    tokens = loaded.tokens;
    issuer = await open(tokens);
    good = await issuer.issue("alice", ["BEAM"], "ioc:beam", 60, bound);
  });
  afterAll(async () => {
    loaded?.host.dispose();
    await loaded?.guest.remove();
  });

  async function verifierOf(audience = "ioc:beam"): Promise<TokenVerifier> {
    const verifier = await tokens.createVerifier(audience);
    await verifier.trust("ops-1", key.publicKey);
    return verifier;
  }
  const signedByNode = (payload: string) => tokenOf(payload, nodeKeyOf(seed));

  test("issues the very token that the library issues, and verifies it", async () => {
    expect(good).toBe(issuerOf("ops-1", seed).issuer.issue(request));
    expect(await (await verifierOf()).verify(good, bound)).toEqual({
      subject: "alice",
      groups: ["BEAM"],
      expiresAt: NOW + 60n,
      issuer: "ops-1",
      audience: "ioc:beam",
      certificateBound: true,
      exporterBound: false,
    });
    expect(await issuer.id()).toBe("ops-1");
    expect(await issuer.publicKey()).toEqual(key.publicKey);
  });

  test("imports of the host only what its world says", () => {
    const own = loaded.guest.code.imports.filter((it) => !it.startsWith("wasi:"));
    expect(own).toEqual(name === "self-contained" ? [] : ["sallyport:policy/ed25519"]);
    expect(loaded.guest.code.imports.filter((it) => /sockets|http|tls/.test(it))).toEqual([]);
  });

  test("has every refusal in the words of the WIT", async () => {
    const verifier = await verifierOf();
    await verifier.revoke("ops-1", "bob");
    const cases: [string, string][] = [
      ["missing-prefix", good.slice(4)],
      ["missing-prefix", `CAP:${good.slice(4)}`],
      ["malformed", good.replace(".", "")],
      ["invalid-base64url", `${good}=`],
      ["bad-signature", good.slice(0, -2)],
      ["bad-signature", signedByNode(claimsText()).replace(/\.(.)/, (_, first: string) => `.${first === "A" ? "B" : "A"}`)],
      ["too-large", signedByNode("x".repeat(4097))],
      ["invalid-claims", signedByNode(claimsText({ exp: "1e9" }))],
      ["unknown-issuer", signedByNode(claimsText({ iss: '"ops-2"' }))],
      ["expired", signedByNode(claimsText({ exp: String(NOW) }))],
      ["revoked", signedByNode(claimsText({ sub: '"bob"' }))],
      ["audience-mismatch", signedByNode(claimsText({ aud: '"elsewhere"' }))],
      ["binding-mismatch", signedByNode(claimsText({ cnf: '"AAAA"' }))],
      ["unbound", signedByNode(claimsText({ cnf: "null" }))],
      ["accepted", signedByNode(claimsText())],
    ];
    for (const [code, token] of cases) expect(await refusal(verifier.verify(token, bound)), code).toBe(code);
    expect(await refusal(verifier.verify(good, nothing))).toBe("binding-mismatch");
    expect(await refusal(verifier.verify(good, { ...bound, certificateSha256: sha256("another") }))).toBe("binding-mismatch");
  });

  test("forgets keys and revocations as it is told, for tokens that it verified before too", async () => {
    const verifier = await verifierOf();
    await verifier.verify(good, bound);
    await verifier.revoke("ops-1", "alice");
    await verifier.revoke("ops-2", "alice");
    expect(await refusal(verifier.verify(good, bound))).toBe("revoked");
    expect(await verifier.revocations()).toEqual([
      { issuer: "ops-1", subject: "alice" },
      { issuer: "ops-2", subject: "alice" },
    ]);
    expect(await verifier.unrevoke("ops-1", "alice")).toBe(true);
    expect(await verifier.unrevoke("ops-1", "alice")).toBe(false);
    expect(await refusal(verifier.verify(good, bound))).toBe("accepted");
    expect(await verifier.export()).toEqual([{ issuer: "ops-1", publicKey: key.publicKey }]);
    expect(await verifier.untrust("ops-1")).toBe(true);
    expect(await refusal(verifier.verify(good, bound))).toBe("unknown-issuer");
    expect(await verifier.export()).toEqual([]);
  });

  test("trusts no key of small order and nothing that is none", async () => {
    const verifier = await verifierOf();
    expect(await refusal(verifier.trust("x", new Uint8Array(32)))).toBe("weak-key");
    expect(await refusal(verifier.trust("x", new Uint8Array(32).fill(255)))).toBe("invalid-key");
    expect(await refusal(verifier.trust("x", new Uint8Array(31)))).toBe("invalid-key");
    expect(await refusal(verifier.trust("x", new Uint8Array(0)))).toBe("invalid-key");
  });

  test("goes by the clock of its runtime", async () => {
    const verifier = await verifierOf();
    await verifier.verify(good, bound);
    clock.seconds = NOW + 59n;
    expect(await refusal(verifier.verify(good, bound))).toBe("accepted");
    clock.seconds = NOW + 60n;
    expect(await refusal(verifier.verify(good, bound))).toBe("expired");
    clock.seconds = NOW;
  });

  test("takes lifetimes up to the largest u32, and expiries up to the largest u64, of which it tells 2^53 - 1", async () => {
    const verifier = await verifierOf();
    expect(await refusal(verifier.verify(await issuer.issue("a", [], "ioc:beam", 0, bound), bound))).toBe("expired");
    const long = await issuer.issue("a", [], "ioc:beam", 0xffff_ffff, bound);
    expect((await verifier.verify(long, bound)).expiresAt).toBe(NOW + 0xffff_ffffn);
    const longest = await verifier.verify(signedByNode(claimsText({ exp: "18446744073709551615" })), bound);
    expect(longest.expiresAt).toBe(2n ** 53n - 1n);
  });

  test("binds to a connection, and asks for that where it is told to", async () => {
    const verifier = await verifierOf();
    const both = { certificateSha256: CERTIFICATE, tlsExporter: EXPORTER };
    const token = await issuer.issue("alice", [], "ioc:beam", 60, both);
    expect(await verifier.verify(token, both)).toMatchObject({ certificateBound: true, exporterBound: true });
    expect(await refusal(verifier.verify(token, bound))).toBe("binding-mismatch");
    await verifier.requireTlsExporter(true);
    expect(await refusal(verifier.verify(token, both))).toBe("accepted");
    expect(await refusal(verifier.verify(good, both))).toBe("unbound");
  });

  test("inspects without trust, and refuses there what is no token", async () => {
    const foreign = tokenOf(claimsText({ exp: "0", cnf: "null" }), nodeKeyOf(seedOf(1)));
    expect(await tokens.inspect(foreign)).toMatchObject({ subject: "alice", expiresAt: 0n, certificateBound: false });
    expect(await refusal(tokens.inspect("cap:x"))).toBe("malformed");
    expect(await refusal(tokens.inspect(""))).toBe("missing-prefix");
  });

  test("hashes a certificate as bindings have it", async () => {
    expect(await tokens.certificateSha256(new Uint8Array(Buffer.from("a certificate")))).toEqual(CERTIFICATE);
  });

  test("issues nothing that is too long or bound to a value of another length", async () => {
    expect(await refusal(issuer.issue("s".repeat(4096), [], "", 60, bound))).toBe("too-large");
    expect(await refusal(issuer.issue("s", [], "", 60, { ...nothing, certificateSha256: new Uint8Array(31) }))).toBe("invalid-argument");
    expect(await refusal(issuer.issue("s", [], "", 60, { ...nothing, tlsExporter: new Uint8Array(33) }))).toBe("invalid-argument");
  });

  test("takes and gives text beyond ASCII, and none that no host could take", async () => {
    const verifier = await verifierOf("Gerät \u{1f511}");
    const token = await issuer.issue("Zoë\0\u202e", ["世界"], "Gerät \u{1f511}", 60, bound);
    expect(await verifier.verify(token, bound)).toMatchObject({ subject: "Zoë\0\u202e", groups: ["世界"] });
    expect(await refusal(tokens.inspect(signedByNode(claimsText({ sub: String.raw`"\ud800"` }))))).toBe("invalid-claims");
  });

  test("survives 3000 changed tokens without accepting one or growing", async () => {
    const verifier = await verifierOf();
    let before = 0;
    for (let turn = 0; turn < 3000; turn++) {
      const random = seededRandom(turn);
      const token = Buffer.from(mutatedBytes(Buffer.from(good), random)).toString("latin1");
      if (token !== good) expect(await refusal(verifier.verify(token, bound)), token).not.toBe("accepted");
      if (turn === 1000) before = loaded.instance.memoryUsed();
    }
    expect(loaded.instance.memoryUsed()).toBeLessThan(before + 2 ** 20);
    expect(await refusal(verifier.verify(good, bound))).toBe("accepted");
  });

  if (name === "self-contained") {
    test("makes keys of its own, which it gives out, and opens none of the host's", async () => {
      const [one, two] = [await tokens.generateIssuer("a"), await tokens.generateIssuer("a")];
      expect(await one.publicKey()).not.toEqual(await two.publicKey());
      const again = await tokens.issuerFromSeed("a", (await seedOfIssuer(one))!);
      expect(await again.publicKey()).toEqual(await one.publicKey());
      expect(await refusal(tokens.issuerFromSeed("a", new Uint8Array(31)))).toBe("invalid-key");
      expect(await refusal(tokens.openIssuer("the key"))).toBe("not-supported");
    });
  } else {
    test("holds no key: it gives none out, makes none, and opens only what was granted", async () => {
      expect(await seedOfIssuer(issuer)).toBeUndefined();
      expect(await refusal(tokens.generateIssuer("a"))).toBe("not-supported");
      expect(await refusal(tokens.issuerFromSeed("a", seed))).toBe("not-supported");
      for (const other of ["", "THE KEY", "constructor", "__proto__"]) expect(await refusal(tokens.openIssuer(other))).toBe("not-found");
    });

    test("gets nothing signed that lives longer than the grant allows", async () => {
      const limited = await tokens.openIssuer("short-lived");
      clock.seconds = BigInt(Math.floor(Date.now() / 1000));
      expect(await refusal(limited.issue("a", [], "", 30, bound))).toBe("accepted");
      expect(await refusal(limited.issue("a", [], "", 600, bound))).toBe("not-permitted");
      clock.seconds = NOW;
    });

    test("lets go of the host's key with the issuer", async () => {
      const before = loaded.host.ledger.handles;
      const another = (await tokens.openIssuer("the key")) as TokenIssuer & Partial<Disposable>;
      expect(loaded.host.ledger.handles).toBe(before + 1);
      another[Symbol.dispose]?.();
      await tokens.inspect("").catch(() => {});
      expect(loaded.host.ledger.handles).toBe(before);
    });
  }
});

async function seedOfIssuer(issuer: TokenIssuer): Promise<Uint8Array | undefined> {
  return await (issuer as TokenIssuer & { seed(): Promise<Uint8Array | undefined> }).seed();
}
