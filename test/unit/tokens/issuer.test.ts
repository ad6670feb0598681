import { createPublicKey, verify as verifyInNode } from "node:crypto";
import { describe, expect, test } from "vitest";
import { readToken } from "../../../src/tokens/index.ts";
import { CERTIFICATE, channel, codeOf, EXPORTER, issuerOf, nodeKeyOf, NOW, request, verifierOf } from "./tokens.ts";

/** Made with the openssl command line (3.0.19), from the claims as they stand there, by the key whose seed counts from 0 to 31. */
const golden = [
  {
    now: 1_999_999_000n,
    request: { subject: "alice", groups: ["BEAM", "OPS"], audience: "ioc:beam", lifetime: 1000n, channel },
    token:
      "cap:eyJzdWIiOiJhbGljZSIsImdyb3VwcyI6WyJCRUFNIiwiT1BTIl0sImV4cCI6MjAwMDAwMDAwMCwiaXNzIjoib3BzLWlzc3Vlci0xIiwiYXVkIjoiaW9jOmJlYW0iLCJjbmYiOiJnYXpYWWhRUHBwS2hRb0l0TDc1Tnh2Vkx5cVVCOW9xemZscnUwTHItVFprIn0.BmWNvzpwzp2yx75SYZ5knFsFrMJ6wzWIYTZT2pyA3JC5qJRFW_7KEQtbW-r4jYBIADONK8Sdb7i4s_tst6yVCQ",
  },
  {
    now: 5n,
    request: { subject: 'Zoë "z" \\ \n \u{1f511}', groups: [], audience: "", lifetime: 2n ** 64n, channel: {} },
    token:
      "cap:eyJzdWIiOiJab8OrIFwielwiIFxcIFxuIPCflJEiLCJncm91cHMiOltdLCJleHAiOjE4NDQ2NzQ0MDczNzA5NTUxNjE1LCJpc3MiOiJvcHMtaXNzdWVyLTEiLCJhdWQiOiIiLCJjbmYiOm51bGx9.wl4JP-xQZdj6MUDhYqkQooCiZtz26dXGGegRFNQfDD1WoHltvxSEXwUf5ebqjxVArY23LEuEx2BbzXOWJjOnAg",
  },
  {
    now: -3n,
    request: { subject: "bob", groups: [], audience: "ioc:beam", lifetime: 0n, channel: { tlsExporter: EXPORTER } },
    token:
      "cap:eyJzdWIiOiJib2IiLCJncm91cHMiOltdLCJleHAiOjAsImlzcyI6Im9wcy1pc3N1ZXItMSIsImF1ZCI6ImlvYzpiZWFtIiwiY25mIjpudWxsLCJ0bHMtZXhwb3J0ZXIiOiJDTzZ2LWszWUk3djBJTTU2XzVvZ3g1TFVKczQ0anFPSUwxSWZvNlpCM253In0.PFFfQyVGMpDp_z7OMEQ828E6F7oINvgLzt6S8pDGWzMuQy5l-OY8hmqTXidduwlv2hmrvg8GZBoBHl2vMqvgBg",
  },
];
const goldenSeed = Uint8Array.from({ length: 32 }, (_, index) => index);

describe("golden tokens", () => {
  test.each(golden)("ours is the one that openssl made: $request.subject", ({ now, request: asked, token }) => {
    expect(issuerOf("ops-issuer-1", goldenSeed, () => now).issuer.issue(asked)).toBe(token);
  });

  test("the one that is bound and lasts verifies", () => {
    const verifier = verifierOf([issuerOf("ops-issuer-1", goldenSeed)]);
    expect(verifier.verify(golden[0]!.token, channel)).toMatchObject({
      subject: "alice",
      groups: ["BEAM", "OPS"],
      expiresAt: 2_000_000_000n,
    });
    expect(codeOf(() => verifier.verify(golden[1]!.token, channel))).toBe("audience-mismatch");
    expect(codeOf(() => verifier.verify(golden[2]!.token, channel))).toBe("expired");
  });

  test("Node verifies ours", () => {
    const { issuer, nodeKey } = issuerOf("ops-1");
    const token = issuer.issue(request);
    const dot = token.indexOf(".");
    const message = Buffer.from(token.slice(4, dot));
    const signature = Buffer.from(token.slice(dot + 1), "base64url");
    expect(verifyInNode(null, message, createPublicKey(nodeKey), signature)).toBe(true);
    expect(verifyInNode(null, message, createPublicKey(nodeKeyOf(new Uint8Array(32).fill(1))), signature)).toBe(false);
  });
});

describe("issuing", () => {
  const { issuer } = issuerOf("ops-1");

  test("the same request in the same second is the same token", () => {
    expect(issuer.issue(request)).toBe(issuer.issue({ ...request }));
    expect(issuerOf("ops-1", undefined, () => NOW + 1n).issuer.issue(request)).not.toBe(issuer.issue(request));
  });

  test("the expiry saturates at 2^64 - 1", () => {
    for (const lifetime of [2n ** 64n - 1n, 2n ** 64n, 2n ** 200n])
      expect(readToken(issuer.issue({ ...request, lifetime })).claims.expiresAt).toBe(2n ** 64n - 1n);
    expect(readToken(issuer.issue({ ...request, lifetime: 2n ** 63n })).claims.expiresAt).toBe(NOW + 2n ** 63n);
  });

  test("a clock that stands before 1970 counts as 0", () => {
    expect(readToken(issuerOf("ops-1", undefined, () => -1000n).issuer.issue(request)).claims.expiresAt).toBe(60n);
  });

  test("empty texts are taken as they are, and what is left out is nothing", () => {
    const { claims } = readToken(issuerOf("").issuer.issue({ subject: "", audience: "", lifetime: 1n }));
    expect(claims).toEqual({
      subject: "",
      groups: [],
      expiresAt: NOW + 1n,
      issuer: "",
      audience: "",
      certificateBinding: undefined,
      exporterBinding: undefined,
    });
  });

  test("a token without tls-exporter does not mention it", () => {
    const payload = Buffer.from(issuer.issue(request).slice(4).split(".")[0]!, "base64url").toString();
    expect(payload).toMatch(/^\{"sub":"alice","groups":\["BEAM"\],"exp":1900000060,"iss":"ops-1","aud":"ioc:beam","cnf":"[\w-]{43}"\}$/);
  });

  test("bindings of another length, half surrogate pairs and negative lifetimes are refused", () => {
    for (const length of [0, 31, 33]) {
      expect(codeOf(() => issuer.issue({ ...request, channel: { certificateSha256: new Uint8Array(length) } }))).toBe("invalid-argument");
      expect(codeOf(() => issuer.issue({ ...request, channel: { tlsExporter: new Uint8Array(length) } }))).toBe("invalid-argument");
    }
    expect(codeOf(() => issuer.issue({ ...request, subject: "\ud800" }))).toBe("invalid-argument");
    expect(codeOf(() => issuer.issue({ ...request, groups: ["a", "\udc00"] }))).toBe("invalid-argument");
    expect(codeOf(() => issuer.issue({ ...request, audience: "\ud800" }))).toBe("invalid-argument");
    expect(codeOf(() => issuer.issue({ ...request, lifetime: -1n }))).toBe("invalid-argument");
  });

  test("claims that no verifier would take are not signed, and those at the limit verify", () => {
    const empty = Buffer.from(
      issuer
        .issue({ ...request, subject: "" })
        .slice(4)
        .split(".")[0]!,
      "base64url",
    ).length;
    const longest = issuer.issue({ ...request, subject: "s".repeat(4096 - empty) });
    expect(verifierOf([issuerOf("ops-1")]).verify(longest, { certificateSha256: CERTIFICATE }).subject.length).toBe(4096 - empty);
    expect(codeOf(() => issuer.issue({ ...request, subject: "s".repeat(4097 - empty) }))).toBe("too-large");
  });
});
