import { describe, expect, test } from "vitest";
import { verify } from "../../../src/tokens/ed25519.ts";
import { readToken, type TokenErrorCode, Verifier } from "../../../src/tokens/index.ts";
import {
  CERTIFICATE,
  channel,
  claimsText,
  codeOf,
  EXPORTER,
  issuerOf,
  NOW,
  request,
  seedOf,
  sha256,
  signedToken,
  tokenOf,
  verifierOf,
} from "./tokens.ts";

const ops1 = issuerOf("ops-1");
const ops2 = issuerOf("ops-2", seedOf(8));
const good = ops1.issuer.issue(request);

/** What a fresh verifier says to a token with these claims, signed by ops-1. */
const verdict = (payload: string | Uint8Array, over = channel) =>
  codeOf(() => verifierOf([ops1]).verify(tokenOf(payload, ops1.nodeKey), over));
const verdictOfToken = (token: string) => codeOf(() => verifierOf([ops1]).verify(token, channel));

describe("a token in order", () => {
  test("verifies, and says what was asked for", () => {
    expect(verifierOf([ops1]).verify(good, channel)).toEqual({
      subject: "alice",
      groups: ["BEAM"],
      expiresAt: NOW + 60n,
      issuer: "ops-1",
      audience: "ioc:beam",
      boundTo: ["certificate"],
    });
  });

  test("passes where its audience is the verifier's", () => {
    expect(verifierOf([ops1], { audience: "ioc:beam" }).verify(good, channel).audience).toBe("ioc:beam");
  });

  test("passes for any audience where the verifier names none", () => {
    for (const audience of ["", "elsewhere"]) {
      const token = ops1.issuer.issue({ ...request, audience });
      expect(verifierOf([ops1], { audience: "" }).verify(token, channel).audience).toBe(audience);
    }
  });

  test("may lack groups, and hold members that nobody knows", () => {
    expect(
      verifierOf([ops1]).verify(tokenOf(claimsText({ groups: undefined, jti: '{"a":[1,null,true]}' }), ops1.nodeKey), channel).groups,
    ).toEqual([]);
  });

  test("may have members in any order, and space between them", () => {
    const cnf = Buffer.from(CERTIFICATE).toString("base64url");
    const text = ` {"cnf" : "${cnf}", "aud":"ioc:beam","iss":"ops-1",\n"exp":${NOW + 1n}, "sub":"alice"} `;
    expect(verdict(text)).toBe("accepted");
  });

  test("may be longer than 511 characters, the limit of the protocol that tokens were first carried in", () => {
    const tokens = Array.from({ length: 120 }, (_, more) => ops1.issuer.issue({ ...request, subject: "s".repeat(100 + more) }));
    const around = tokens.filter((token) => token.length >= 509 && token.length <= 514);
    expect(around.some((token) => token.length <= 511) && around.some((token) => token.length >= 512)).toBe(true);
    for (const token of around) expect(verdictOfToken(token)).toBe("accepted");
  });
});

describe("the form of a token", () => {
  test.each<[string, (token: string) => string, TokenErrorCode]>([
    ["no prefix", (token) => token.slice(4), "missing-prefix"],
    ["the prefix in capitals", (token) => `CAP:${token.slice(4)}`, "missing-prefix"],
    ["a space before the prefix", (token) => ` ${token}`, "missing-prefix"],
    ["the prefix twice", (token) => `cap:${token}`, "invalid-base64url"],
    ["nothing", () => "", "missing-prefix"],
    ["the prefix alone", () => "cap:", "malformed"],
    ["no dot", (token) => token.replace(".", ""), "malformed"],
    ["two dots", (token) => `${token}.`, "invalid-base64url"],
    ["a third part", (token) => `${token}.AAAA`, "invalid-base64url"],
    ["a dot and nothing", () => "cap:.", "bad-signature"],
    ["a signature with padding", (token) => `${token}==`, "invalid-base64url"],
    ["a payload with padding", (token) => token.replace(".", "=."), "invalid-base64url"],
    ["white space at the end", (token) => `${token}\n`, "invalid-base64url"],
    ["white space inside", (token) => token.replace(".", " ."), "invalid-base64url"],
    ["a signature of 63 bytes", (token) => token.slice(0, -2), "bad-signature"],
    [
      "a signature of 65 bytes",
      (token) => `${token.slice(0, token.indexOf("."))}.${Buffer.alloc(65).toString("base64url")}`,
      "bad-signature",
    ],
    ["no payload", (token) => `cap:${token.slice(token.indexOf("."))}`, "invalid-claims"],
  ])("%s", (_, change, code) => expect(verdictOfToken(change(good))).toBe(code));

  test("the other alphabet is refused in both parts", () => {
    const texts = Array.from({ length: 200 }, (_, i) => ops1.issuer.issue({ ...request, subject: `>>>???${i}` })).filter((token) =>
      /[-_].*\..*[-_]/.test(token),
    );
    expect(texts.length).toBeGreaterThan(50);
    for (const token of texts) {
      const dot = token.indexOf(".");
      const other = (text: string) => text.replaceAll("-", "+").replaceAll("_", "/");
      expect(verdictOfToken(other(token.slice(0, dot)) + token.slice(dot))).toBe("invalid-base64url");
      expect(verdictOfToken(token.slice(0, dot) + other(token.slice(dot)))).toBe("invalid-base64url");
    }
  });

  test("trailing bits that are not zero are refused, so that a token has one spelling", () => {
    const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const last = alphabet.indexOf(good.at(-1)!);
    const respelled = Array.from({ length: 15 }, (_, bits) => good.slice(0, -1) + alphabet[(last & ~15) | (bits + 1)]!);
    for (const token of respelled) expect(verdictOfToken(token)).toBe("invalid-base64url");
  });

  test("a payload of 4096 bytes is read, one of 4097 is not", () => {
    const sized = (length: number) => claimsText({ pad: JSON.stringify("p".repeat(length - claimsText({ pad: '""' }).length)) });
    expect(sized(4096).length).toBe(4096);
    expect(verdict(sized(4096))).toBe("accepted");
    expect(verdict(sized(4097))).toBe("too-large");
  });

  test("what is too large is not parsed, and a mistake in the encoding of a text of tolerable length comes first", () => {
    expect(verdict("x".repeat(4096))).toBe("invalid-claims");
    expect(verdict("x".repeat(4097))).toBe("too-large");
    expect(verdictOfToken(signedToken("A".repeat(6001), ops1.nodeKey))).toBe("invalid-base64url");
    expect(verdictOfToken(`cap:${"*".repeat(65_536)}.`)).toBe("too-large");
    expect(verdictOfToken(`${"*".repeat(1_000_000)}`)).toBe("missing-prefix");
  });
});

describe("claims", () => {
  const bad: Record<string, string | Uint8Array> = {
    "no JSON": "alice",
    "a list in the order of the members": `["alice",["BEAM"],${NOW + 60n},"ops-1","ioc:beam",null]`,
    "a string": '"alice"',
    null: "null",
    "bytes behind the object": `${claimsText()} x`,
    "a second object": claimsText() + claimsText(),
    "a NUL behind the object": `${claimsText()}\0`,
    "a byte order mark": `\ufeff${claimsText()}`,
    "bytes that are no UTF-8": Buffer.from(claimsText({ sub: '"al\xffce"' }), "latin1"),
    "a known member twice": claimsText().replace('"sub"', '"sub":"root","sub"'),
    "a known member twice, once spelled with an escape": claimsText().replace('"sub"', String.raw`"s\u0075b":"root","sub"`),
    "an unknown member twice": claimsText({ a: '1,"a":1' }),
    "no sub": claimsText({ sub: undefined }),
    "no exp": claimsText({ exp: undefined }),
    "no iss": claimsText({ iss: undefined }),
    "no aud": claimsText({ aud: undefined }),
    "sub is null": claimsText({ sub: "null" }),
    "sub is a number": claimsText({ sub: "1" }),
    "groups is null": claimsText({ groups: "null" }),
    "groups is a string": claimsText({ groups: '"BEAM"' }),
    "a group is a number": claimsText({ groups: '["BEAM",1]' }),
    "exp with a fraction": claimsText({ exp: "1900000060.0" }),
    "exp with an exponent": claimsText({ exp: "19e8" }),
    "exp is negative": claimsText({ exp: "-1" }),
    "exp is minus nothing": claimsText({ exp: "-0" }),
    "exp is 2^64": claimsText({ exp: "18446744073709551616" }),
    "exp with a zero before it": claimsText({ exp: "01900000060" }),
    "exp is a string": claimsText({ exp: '"1900000060"' }),
    "exp is null": claimsText({ exp: "null" }),
    "cnf is a number": claimsText({ cnf: "5" }),
    "cnf is a list": claimsText({ cnf: "[]" }),
    "half a surrogate pair in sub": claimsText({ sub: String.raw`"\ud800"` }),
    "half a surrogate pair in an unknown member": claimsText({ x: String.raw`"\udc00\ud800"` }),
    "a control character": claimsText({ sub: '"a\nb"' }),
    "nested beyond reason": claimsText({ x: "[".repeat(1000) + "]".repeat(1000) }),
  };
  test.each(Object.entries(bad))("%s is refused", (_, payload) => expect(verdict(payload)).toBe("invalid-claims"));

  test("exp is compared exactly, past what a double can tell apart", () => {
    const expiry = 2n ** 53n + 1n;
    const token = tokenOf(claimsText({ exp: String(expiry) }), ops1.nodeKey);
    expect(verifierOf([ops1], { now: () => expiry - 1n }).verify(token, channel).expiresAt).toBe(expiry);
    expect(codeOf(() => verifierOf([ops1], { now: () => expiry }).verify(token, channel))).toBe("expired");
    expect(verifierOf([ops1]).verify(tokenOf(claimsText({ exp: "18446744073709551615" }), ops1.nodeKey), channel).expiresAt).toBe(
      2n ** 64n - 1n,
    );
  });

  test("a member named __proto__ is one of the unknown", () => {
    expect(
      verdict(claimsText({ sub: undefined, __proto__x: "1" }).replace("__proto__x", "__proto__").replace("1}", '{"sub":"root"}}')),
    ).toBe("invalid-claims");
  });
});

describe("issuers and signatures", () => {
  test("an unknown issuer is refused, and its name is not in the message", () => {
    const verifier = verifierOf([ops2]);
    expect(codeOf(() => verifier.verify(good, channel))).toBe("unknown-issuer");
    expect(() => verifier.verify(tokenOf(claimsText({ iss: '"evil\\u001b[2J"' }), ops1.nodeKey), channel)).toThrow(/^[\x20-\x7e]*$/);
  });

  test("the letter case of an issuer counts", () => expect(verdict(claimsText({ iss: '"OPS-1"' }))).toBe("unknown-issuer"));

  test("another issuer's signature is refused", () => {
    expect(codeOf(() => verifierOf([ops1, ops2]).verify(tokenOf(claimsText({ iss: '"ops-2"' }), ops1.nodeKey), channel))).toBe(
      "bad-signature",
    );
  });

  test("any other character in the payload is refused", () => {
    const verifier = verifierOf([ops1]);
    const dot = good.indexOf(".");
    for (let at = 4; at < dot; at++) {
      const tampered = good.slice(0, at) + (good[at] === "A" ? "B" : "A") + good.slice(at + 1);
      expect(["bad-signature", "invalid-claims", "unknown-issuer", "invalid-base64url"]).toContain(
        codeOf(() => verifier.verify(tampered, channel)),
      );
    }
  });

  test("any other bit in the signature is refused", () => {
    const verifier = verifierOf([ops1]);
    const dot = good.indexOf(".");
    const signature = Buffer.from(good.slice(dot + 1), "base64url");
    for (let bit = 0; bit < 512; bit++) {
      const flipped = Buffer.from(signature);
      flipped[bit >> 3]! ^= 1 << (bit & 7);
      expect(codeOf(() => verifier.verify(`${good.slice(0, dot)}.${flipped.toString("base64url")}`, channel))).toBe("bad-signature");
    }
  });

  test("the signature is of the text, not of what it decodes to", () => {
    const text = Buffer.from(claimsText()).toString("base64url");
    const overJson = tokenOf(claimsText(), ops1.nodeKey).slice(0, -86) + Buffer.from(signedBy(claimsText())).toString("base64url");
    expect(overJson.startsWith(`cap:${text}.`)).toBe(true);
    expect(verdictOfToken(overJson)).toBe("bad-signature");
    expect(verdictOfToken(`cap:${text}.${Buffer.from(signedBy(`cap:${text}`)).toString("base64url")}`)).toBe("bad-signature");
  });

  test("a key that replaces another under its id is the one that counts", () => {
    const verifier = verifierOf([ops1]);
    expect(verifier.verify(good, channel).subject).toBe("alice");
    verifier.keyring.trust("ops-1", ops2.publicKey);
    expect(codeOf(() => verifier.verify(good, channel))).toBe("bad-signature");
    verifier.keyring.trust("ops-1", ops1.publicKey);
    expect(codeOf(() => verifier.verify(good, channel))).toBe("accepted");
  });

  test("a key that is no longer trusted counts no more, for a token that was verified before too", () => {
    const verifier = verifierOf([ops1]);
    verifier.verify(good, channel);
    expect(verifier.keyring.untrust("ops-1")).toBe(true);
    expect(codeOf(() => verifier.verify(good, channel))).toBe("unknown-issuer");
    expect(verifier.keyring.untrust("ops-1")).toBe(false);
  });
});

describe("expiry, revocation and audience", () => {
  test("a token of no lifetime has expired", () => {
    expect(verdictOfToken(ops1.issuer.issue({ ...request, lifetime: 0n }))).toBe("expired");
  });

  test("the second of the expiry is past it, the one before is not", () => {
    expect(verdict(claimsText({ exp: String(NOW) }))).toBe("expired");
    expect(verdict(claimsText({ exp: String(NOW + 1n) }))).toBe("accepted");
    expect(verdict(claimsText({ exp: "0" }))).toBe("expired");
  });

  test("a token that was verified expires all the same", () => {
    let now = NOW;
    const verifier = verifierOf([ops1], { now: () => now });
    verifier.verify(good, channel);
    now += 60n;
    expect(codeOf(() => verifier.verify(good, channel))).toBe("expired");
  });

  test("a revoked subject is refused until that is taken back", () => {
    const verifier = verifierOf([ops1]);
    verifier.verify(good, channel);
    verifier.revoke("ops-1", "alice");
    verifier.revoke("ops-1", "alice");
    expect(codeOf(() => verifier.verify(good, channel))).toBe("revoked");
    expect(verifier.unrevoke("ops-1", "alice")).toBe(true);
    expect(verifier.unrevoke("ops-1", "alice")).toBe(false);
    expect(verifier.verify(good, channel).subject).toBe("alice");
  });

  test("a subject that one issuer's is revoked is another's under another issuer", () => {
    const verifier = verifierOf([ops1, ops2]);
    verifier.revoke("ops-1", "alice");
    expect(verifier.verify(ops2.issuer.issue(request), channel).issuer).toBe("ops-2");
    expect(verifier.revocations()).toEqual([{ issuer: "ops-1", subject: "alice" }]);
  });

  test("names do not run together: issuer a and subject b/c is not issuer a/b and subject c", () => {
    const verifier = verifierOf([ops1]);
    for (const [issuer, subject] of [
      ["ops-1a", "lice"],
      ["ops-", "1alice"],
      ["ops-1\0", "alice"],
      ["ops-1", "alic"],
    ] as const)
      verifier.revoke(issuer, subject);
    expect(verifier.verify(good, channel).subject).toBe("alice");
  });

  test("another audience is refused, and letter case counts", () => {
    for (const audience of ["ioc:vacuum", "IOC:BEAM", "ioc:beam ", ""])
      expect(verdictOfToken(ops1.issuer.issue({ ...request, audience }))).toBe("audience-mismatch");
  });
});

describe("binding", () => {
  const unbound = ops1.issuer.issue({ ...request, channel: {} });
  const connectionBound = ops1.issuer.issue({ ...request, channel: { tlsExporter: EXPORTER } });
  const both = ops1.issuer.issue({ ...request, channel: { certificateSha256: CERTIFICATE, tlsExporter: EXPORTER } });
  const verifier = verifierOf([ops1]);

  test("another certificate is refused", () => {
    expect(codeOf(() => verifier.verify(good, { certificateSha256: sha256("another") }))).toBe("binding-mismatch");
  });

  test("no certificate is refused: TLS in one direction binds nothing", () => {
    expect(codeOf(() => verifier.verify(good))).toBe("binding-mismatch");
    expect(codeOf(() => verifier.verify(good, { tlsExporter: EXPORTER }))).toBe("binding-mismatch");
  });

  test("a token that is bound to nothing is refused, on a bound channel too", () => {
    expect(codeOf(() => verifier.verify(unbound, channel))).toBe("unbound");
    expect(codeOf(() => verifier.verify(unbound))).toBe("unbound");
    expect(verdict(claimsText({ cnf: undefined }))).toBe("unbound");
    expect(verdict(claimsText({ cnf: "null" }))).toBe("unbound");
  });

  test("a binding of another length matches nothing, not even itself", () => {
    for (const length of [0, 31, 33]) {
      const bytes = CERTIFICATE.slice(0, length).length === length ? CERTIFICATE.slice(0, length) : new Uint8Array(length);
      const text = claimsText({ cnf: JSON.stringify(Buffer.from(bytes).toString("base64url")) });
      expect(verdict(text)).toBe("binding-mismatch");
      expect(verdict(text, { certificateSha256: bytes })).toBe("binding-mismatch");
    }
  });

  test("a binding that is not canonical base64url is named as such, whatever the channel", () => {
    for (const cnf of ["AAAA=", "a b", "A", Buffer.from(CERTIFICATE).toString("base64"), "äöü"]) {
      const token = tokenOf(claimsText({ cnf: JSON.stringify(cnf) }), ops1.nodeKey);
      expect(codeOf(() => verifier.verify(token, channel))).toBe("invalid-base64url");
      expect(codeOf(() => verifier.verify(token))).toBe("invalid-base64url");
    }
  });

  test("a token that is bound to a connection passes on this one and on no other", () => {
    expect(verifier.verify(connectionBound, { tlsExporter: EXPORTER }).boundTo).toEqual(["tls-exporter"]);
    expect(codeOf(() => verifier.verify(connectionBound, { tlsExporter: sha256("a resumed connection") }))).toBe("binding-mismatch");
    expect(codeOf(() => verifier.verify(connectionBound, channel))).toBe("binding-mismatch");
    expect(codeOf(() => verifier.verify(connectionBound))).toBe("binding-mismatch");
  });

  test("a token that is bound to both needs both", () => {
    expect(verifier.verify(both, { ...channel, tlsExporter: EXPORTER }).boundTo).toEqual(["certificate", "tls-exporter"]);
    expect(codeOf(() => verifier.verify(both, channel))).toBe("binding-mismatch");
    expect(codeOf(() => verifier.verify(both, { tlsExporter: EXPORTER }))).toBe("binding-mismatch");
  });

  test("a value of the one kind does not stand for the other", () => {
    expect(codeOf(() => verifier.verify(good, { tlsExporter: CERTIFICATE }))).toBe("binding-mismatch");
    expect(codeOf(() => verifier.verify(connectionBound, { certificateSha256: EXPORTER }))).toBe("binding-mismatch");
  });

  test("a verifier that asks for the connection takes no token without it", () => {
    const strict = verifierOf([ops1], { requireTlsExporter: () => true });
    expect(codeOf(() => strict.verify(good, { ...channel, tlsExporter: EXPORTER }))).toBe("unbound");
    expect(codeOf(() => strict.verify(both, { ...channel, tlsExporter: EXPORTER }))).toBe("accepted");
  });
});

describe("the order of the checks", () => {
  /** Everything is wrong at once; each next one has one thing less wrong. */
  const bad = { sub: '"bob"', exp: "1", aud: '"elsewhere"', cnf: '"*"' };
  const ladder: [string, string][] = [
    ["missing-prefix", "x."],
    ["malformed", "cap:*"],
    ["invalid-base64url", "cap:*.*"],
    ["bad-signature", "cap:*.AAAA"],
    ["invalid-base64url", `cap:*.${"A".repeat(86)}`],
    ["too-large", `cap:${"A".repeat(5464)}.${"A".repeat(86)}`],
    ["invalid-claims", `cap:AAAA.${"A".repeat(86)}`],
    ["unknown-issuer", `cap:${Buffer.from(claimsText({ ...bad, iss: '"nobody"' })).toString("base64url")}.${"A".repeat(86)}`],
    ["bad-signature", `cap:${Buffer.from(claimsText(bad)).toString("base64url")}.${"A".repeat(86)}`],
    ["expired", tokenOf(claimsText(bad), ops1.nodeKey)],
    ["revoked", tokenOf(claimsText({ ...bad, exp: undefined }).replace("{", `{"exp":${NOW + 1n},`), ops1.nodeKey)],
    ["audience-mismatch", tokenOf(claimsText({ ...bad, sub: '"carol"', exp: String(NOW + 1n) }), ops1.nodeKey)],
    ["invalid-base64url", tokenOf(claimsText({ cnf: '"*"' }), ops1.nodeKey)],
    ["binding-mismatch", tokenOf(claimsText({ cnf: '"AAAA"' }), ops1.nodeKey)],
    ["unbound", tokenOf(claimsText({ cnf: "null" }), ops1.nodeKey)],
    ["accepted", tokenOf(claimsText(), ops1.nodeKey)],
  ];
  test.each(ladder)("the first that fails is told: %s", (code, token) => {
    const verifier = verifierOf([ops1]);
    verifier.revoke("ops-1", "bob");
    expect(codeOf(() => verifier.verify(token, channel))).toBe(code);
    // And the same again, now that the signature may be remembered.
    expect(codeOf(() => verifier.verify(token, channel))).toBe(code);
  });
});

describe("what is remembered", () => {
  test("a good signature is checked once, a bad one every time", () => {
    let checks = 0;
    const verifySignature = (...args: Parameters<typeof verify>) => (checks++, verify(...args));
    const verifier = verifierOf([ops1], { verifySignature });
    for (let time = 0; time < 3; time++) verifier.verify(good, channel);
    expect(checks).toBe(1);
    const forged = tokenOf(claimsText(), ops2.nodeKey);
    for (let time = 0; time < 3; time++) expect(codeOf(() => verifier.verify(forged, channel))).toBe("bad-signature");
    expect(checks).toBe(4);
  });

  test("it is forgotten when others come, and never kept where the size is 0", () => {
    let checks = 0;
    const verifySignature = (...args: Parameters<typeof verify>) => (checks++, verify(...args));
    const [first, second, third] = ["a", "b", "c"].map((subject) => ops1.issuer.issue({ ...request, subject })) as [string, string, string];
    const small = verifierOf([ops1], { verifySignature, cacheSize: 2 });
    for (const token of [first, second, first, third, first]) small.verify(token, channel);
    expect(checks).toBe(3);
    small.verify(second, channel);
    expect(checks).toBe(4);
    const none = verifierOf([ops1], { verifySignature, cacheSize: 0 });
    for (let time = 0; time < 3; time++) none.verify(first, channel);
    expect(checks).toBe(7);
  });

  test("what a caller does to the groups it got changes nothing", () => {
    const verifier = verifierOf([ops1]);
    verifier.verify(good, channel).groups.push("ADMIN");
    expect(verifier.verify(good, channel).groups).toEqual(["BEAM"]);
  });
});

describe("inspection", () => {
  test("tells what a token says without any key, and makes no decision", () => {
    expect(readToken(tokenOf(claimsText({ exp: "0" }), ops2.nodeKey)).claims).toMatchObject({
      subject: "alice",
      issuer: "ops-1",
      expiresAt: 0n,
    });
  });

  test("refuses what is no token", () => {
    for (const [code, token] of [
      ["missing-prefix", "x"],
      ["malformed", "cap:x"],
      ["invalid-claims", `cap:AAAA.${"A".repeat(86)}`],
    ])
      expect(codeOf(() => readToken(token!))).toBe(code);
  });
});

test("a failed verification leaves nothing that could pass for a name", () => {
  const verifier = new Verifier({ audience: "", verifySignature: verify, now: () => NOW });
  let result: unknown;
  expect(() => (result = verifier.verify(good, channel))).toThrow();
  expect(result).toBeUndefined();
});

function signedBy(text: string): Uint8Array {
  return Buffer.from(signedToken(text, ops1.nodeKey).slice(-86), "base64url");
}
