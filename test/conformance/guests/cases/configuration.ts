import { Client, Server } from "sallyport:tls/connection@0.1.0";
import { PrivateIdentity, PublicIdentity, TrustAnchors } from "sallyport:tls/identities@0.1.0";
import { bytesOf, equal, errorOf, oneOf, refuses, that, u16s } from "../expect.ts";
import { makeClient, makeServer } from "../pair.ts";
import type { Case } from "../program.ts";

const alone: Pick<Case, "transports"> = { transports: ["memory"] };

const badNames = [
  "",
  " ",
  ".",
  "..",
  "a..b",
  ".a",
  "-a.test",
  "a-.test",
  "*.test",
  "a.*.test",
  "*",
  "server.test ",
  " server.test",
  "server.test\0",
  "server.test\0.evil.test",
  "server.test\n",
  "server.test:443",
  "https://server.test",
  "server.test/path",
  "user@server.test",
  "b\u00fccher.test",
  "\uff41.test",
  "1.2.3",
  "1.2.3.4.5",
  "256.1.1.1",
  "0x7f.0.0.1",
  "0x7f000001",
  "2130706433",
  "127.1",
  "127.0.0.01",
  ":::1",
  "fe80::1%eth0",
  "::ffff:1.2.3.256",
  `${"a".repeat(64)}.test`,
  `${"a.".repeat(127)}test`,
  "a".repeat(100_000),
];

const goodNames = [
  "server.test",
  "SERVER.test",
  "server.test.",
  "localhost",
  "xn--bcher-kva.test",
  `${"a".repeat(63)}.test`,
  "127.0.0.1",
  "::1",
  "::ffff:1.2.3.4",
];

/** Lists of wire values, and what comes of them. */
const lists: [what: string, configure: (tls: Client | Server, values: Uint16Array) => void, good: number[], unknown: number[]][] = [
  ["cipher-suites", (tls, values) => tls.configureCipherSuites(values), [0x1301, 0xc02b], [0x0000, 0x00ff, 0x5600, 0xffff]],
  ["groups", (tls, values) => tls.configureGroups(values), [0x001d, 0x0017], [0x0000, 0x0a0a, 0xffff]],
  ["signature-schemes", (tls, values) => tls.configureSignatureSchemes(values), [0x0403, 0x0804], [0x0000, 0x0a0a, 0xffff]],
];

const makers: [role: string, make: () => Client | Server][] = [
  ["client", () => makeClient()],
  ["server", () => makeServer()],
];

export const configuration: Case[] = [
  {
    ...alone,
    name: "client: texts that are no server name are refused by the constructor",
    run() {
      for (const name of badNames) refuses(() => new Client(name, {}), "invalid-argument", JSON.stringify(name.slice(0, 40)));
    },
  },
  {
    ...alone,
    name: "client: names and addresses are taken in every form that they have",
    run() {
      for (const name of goodNames)
        equal(
          errorOf(() => new Client(name, {})),
          "ok",
          JSON.stringify(name),
        );
    },
  },
  {
    ...alone,
    name: "client: names to verify are as strict as the server's name, and a bad one changes nothing",
    run() {
      const client = makeClient();
      for (const name of badNames)
        refuses(
          () => client.configureVerification({ names: ["server.test", name] }),
          "invalid-argument",
          JSON.stringify(name.slice(0, 40)),
        );
      equal(
        errorOf(() => client.configureVerification({ names: goodNames })),
        "ok",
        "good names",
      );
    },
  },
  {
    ...alone,
    name: "server: client certificates are not verified against nothing",
    run() {
      const server = makeServer();
      for (const mode of ["optional", "required"] as const)
        refuses(() => server.configureVerification({ mode }), "invalid-argument", `${mode} without anchors`);
      equal(
        errorOf(() => server.configureVerification({ mode: "none" })),
        "ok",
        "none without anchors",
      );
    },
  },
  ...makers.flatMap(([role, make]): Case[] => [
    {
      ...alone,
      name: `${role}: ALPN ids have 1 to 255 bytes, and together at most 4096`,
      run() {
        const tls = make();
        refuses(() => tls.configureAlpnIds([bytesOf("h2"), new Uint8Array(0)]), "invalid-argument", "an empty id");
        refuses(() => tls.configureAlpnIds([new Uint8Array(256)]), "invalid-argument", "an id of 256 bytes");
        refuses(
          () => tls.configureAlpnIds(Array.from({ length: 17 }, (_, i) => new Uint8Array(255).fill(i))),
          "invalid-argument",
          "4335 bytes",
        );
        refuses(() => tls.configureAlpnIds(Array.from({ length: 5000 }, () => Uint8Array.of(1))), "invalid-argument", "5000 ids");
        equal(
          errorOf(() => tls.configureAlpnIds([new Uint8Array(255).fill(0xff), Uint8Array.of(0)])),
          "ok",
          "ids that are no text",
        );
        equal(
          errorOf(() => tls.configureAlpnIds([])),
          "ok",
          "no ids",
        );
      },
    },
    {
      ...alone,
      name: `${role}: versions below TLS 1.2 are not supported, and unknown ones are invalid`,
      run() {
        const tls = make();
        for (const old of [0x0300, 0x0301, 0x0302])
          refuses(() => tls.configureProtocolVersions(old, undefined), "not-supported", `minimum ${old}`);
        refuses(() => tls.configureProtocolVersions(undefined, 0x0302), "not-supported", "maximum TLS 1.1");
        for (const unknown of [0x0000, 0x0002, 0x0305, 0x7f1c, 0xfeff, 0xffff])
          refuses(() => tls.configureProtocolVersions(undefined, unknown), "invalid-argument", `maximum ${unknown}`);
        refuses(() => tls.configureProtocolVersions(0x0304, 0x0303), "invalid-argument", "an empty range");
        equal(
          errorOf(() => tls.configureProtocolVersions(0x0303, 0x0304)),
          "ok",
          "the range of both",
        );
      },
    },
    ...lists.map(([what, configure, good, unknown]): Case => ({
      ...alone,
      name: `${role}: ${what} that are unknown, none or twice the same are invalid`,
      run() {
        const tls = make();
        const give = (values: number[]) => configure(tls, u16s(...values));
        if (!Client.supports(what)) return refuses(() => give(good), "not-supported", what);
        for (const value of unknown) refuses(() => give([...good, value]), "invalid-argument", `${what} with ${value}`);
        refuses(() => give([]), "invalid-argument", "an empty list");
        refuses(() => give([good[0]!, good[0]!]), "invalid-argument", "a duplicate");
        refuses(() => give(Array.from({ length: 65_535 }, (_, i) => i)), "invalid-argument", "every value that there is");
        equal(
          errorOf(() => give(good)),
          "ok",
          "known values",
        );
      },
    })),
  ]),
  {
    ...alone,
    name: "identities: only names that were granted open, exactly as they are written",
    run() {
      const names = PrivateIdentity.names();
      equal(names, [...names].sort(), "names");
      that(names.includes("server") && names.includes("client"), "the granted names are told");
      for (const name of names)
        equal(
          errorOf(() => PrivateIdentity.open(name)),
          "ok",
          name,
        );
      for (const name of [
        "",
        "nobody",
        "SERVER",
        "server ",
        "server\0",
        "./server",
        "__proto__",
        "constructor",
        "toString",
        "s".repeat(100_000),
      ])
        refuses(() => PrivateIdentity.open(name), "not-found", JSON.stringify(name.slice(0, 40)));
    },
  },
  {
    ...alone,
    name: "identities: bytes that are no key or certificate are refused by name",
    run() {
      using server = PrivateIdentity.open("server");
      using identity = server.publicIdentity();
      const chain = identity.exportX509Chain();
      const leaf = chain[0]!;
      const junk = bytesOf("junk");
      oneOf(
        errorOf(() => PrivateIdentity.parse(junk, chain)),
        ["bad-format", "unsupported-algorithm"],
        "a key that is none",
      );
      refuses(() => PrivateIdentity.parse(new Uint8Array(0), chain), "bad-format", "an empty key");
      refuses(() => PrivateIdentity.parse(leaf, chain), "bad-format", "a certificate as key");
      refuses(() => PrivateIdentity.parsePem(junk, undefined), "bad-format", "PEM that is none");
      refuses(() => PrivateIdentity.parsePem(new Uint8Array(0), ""), "bad-format", "an empty PEM");
      refuses(() => PublicIdentity.parse([]), "bad-format", "an empty chain");
      refuses(() => PublicIdentity.parse([junk]), "bad-format", "a certificate that is none");
      refuses(() => PublicIdentity.parse([leaf, leaf.slice(0, -1)]), "bad-format", "a cut certificate");
      refuses(() => PublicIdentity.parse([Uint8Array.of(...leaf, 0)]), "bad-format", "a byte too many");
      refuses(() => TrustAnchors.fromX509([junk], false, []), "bad-format", "anchors that are none");
      refuses(() => TrustAnchors.fromX509([leaf], false, [junk]), "bad-format", "a revocation list that is none");
    },
  },
  {
    ...alone,
    name: "identities: a chain comes out as it went in, with the fingerprints of its leaf",
    run() {
      using server = PrivateIdentity.open("server");
      using identity = server.publicIdentity();
      const chain = identity.exportX509Chain();
      that(chain.length === 2, "leaf and intermediate");
      using parsed = PublicIdentity.parse(chain);
      equal(parsed.exportX509Chain(), chain, "the chain");
      equal(parsed.fingerprint(), identity.fingerprint(), "fingerprint");
      equal(parsed.spkiFingerprint(), identity.spkiFingerprint(), "spki-fingerprint");
      equal([identity.fingerprint().length, identity.spkiFingerprint().length], [32, 32], "lengths");
    },
  },
];
