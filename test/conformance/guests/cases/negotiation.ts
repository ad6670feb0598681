import { Client, ServerSuspension } from "sallyport:tls/connection@0.1.0";
import { PrivateIdentity, TrustAnchors } from "sallyport:tls/identities@0.1.0";
import { bytesOf, equal, errorOf, oneOf, refuses, that, Unsupported, u16s } from "../expect.ts";
import { Pair, type PairOptions, TLS12, TLS13 } from "../pair.ts";
import type { Case } from "../program.ts";

const versions: [number, string][] = [
  [TLS12, "TLS 1.2"],
  [TLS13, "TLS 1.3"],
];

function alpn(client: string[], server: string[]): PairOptions {
  return {
    configureClient: (tls) => tls.configureAlpnIds(client.map(bytesOf)),
    configureServer: (tls) => tls.configureAlpnIds(server.map(bytesOf)),
  };
}

export const negotiation: Case[] = [
  ...versions.flatMap(([version, title]): Case[] => [
    {
      name: `info, ${title}: both ends say the same`,
      run(setting, cleanup) {
        const pair = new Pair(setting, cleanup, { version, ...alpn(["h2", "x"], ["x", "h2"]) }).establish();
        const [client, server] = [pair.client.tls.info()!, pair.server.tls.info()!];
        equal(client.protocolVersion, version, "version");
        equal(client.alpnId, bytesOf("x"), "ALPN id");
        equal([client.sessionReused, client.overridden], [false, []], "reused and overridden");
        if (Client.supports("group-getter")) that(client.group !== undefined && client.group !== null, "the group is known");
        equal(server, client, "info");
      },
    },
    {
      name: `exporter, ${title}: equal on both ends, and different for every label, context and length`,
      run(setting, cleanup) {
        const pair = new Pair(setting, cleanup, { version }).establish();
        const seen: string[] = [];
        for (const [label, context, length] of [
          ["EXPORTER-a", undefined, 32],
          ["EXPORTER-b", undefined, 32],
          ["EXPORTER-a", Uint8Array.of(1), 32],
          ["EXPORTER-a", new Uint8Array(1024), 32],
          ["EXPORTER-a", undefined, 1024],
          ["x", undefined, 16],
          ["x".repeat(128), undefined, 16],
        ] as const) {
          const [client, server] = [pair.client, pair.server].map((end) => end.tls.exportKeyingMaterial(label, context, length));
          equal(server, client, `${label.slice(0, 12)}: both ends`);
          equal(client!.length, length, `${label.slice(0, 12)}: length`);
          seen.push(Array.from(client!.subarray(0, 16)).join());
        }
        const same = version === TLS12 ? 1 : 0;
        // TLS 1.2 does not mix the length in, TLS 1.3 does (RFC 8446, section 7.1).
        equal(new Set(seen).size, seen.length - same, "different values");
      },
    },
    {
      name: `exporter, ${title}: the absence of a context is a context only where TLS says so`,
      run(setting, cleanup) {
        const pair = new Pair(setting, cleanup, { version }).establish();
        const without = pair.client.tls.exportKeyingMaterial("EXPORTER-a", undefined, 16);
        const empty = pair.client.tls.exportKeyingMaterial("EXPORTER-a", new Uint8Array(0), 16);
        equal(without.join() === empty.join(), version === TLS13, "none is the same as empty");
        equal(pair.server.tls.exportKeyingMaterial("EXPORTER-a", new Uint8Array(0), 16), empty, "both ends, empty context");
      },
    },
    {
      name: `exporter, ${title}: labels, contexts and lengths that are not allowed`,
      run(setting, cleanup) {
        const pair = new Pair(setting, cleanup, { version }).establish();
        const reserved = ["client finished", "server finished", "master secret", "key expansion", "extended master secret"];
        for (const end of [pair.client, pair.server]) {
          for (const label of ["", "x".repeat(129), "x".repeat(1_000_000), "caf\u00e9", "\u{1f511}", ...reserved])
            refuses(() => end.tls.exportKeyingMaterial(label, undefined, 32), "invalid-argument", `label ${label.slice(0, 20)}`);
          for (const length of [0, 1025, 0x7fff_ffff, -1])
            refuses(() => end.tls.exportKeyingMaterial("EXPORTER-a", undefined, length), "invalid-argument", `length ${length}`);
          refuses(() => end.tls.exportKeyingMaterial("EXPORTER-a", new Uint8Array(1025), 32), "invalid-argument", "a long context");
        }
        pair.talk();
      },
    },
    {
      name: `bindings, ${title}: equal on both ends`,
      run(setting, cleanup) {
        const pair = new Pair(setting, cleanup, { version, asks: "required", clientIdentity: "client" }).establish();
        const { client, server } = pair;
        for (const kind of ["tls-exporter", "tls-server-end-point"] as const)
          equal(server.tls.channelBinding(kind), client.tls.channelBinding(kind), kind);
        equal(client.tls.channelBinding("tls-exporter").length, 32, "length of tls-exporter");
        equal(
          client.tls.channelBinding("tls-exporter"),
          client.tls.exportKeyingMaterial("EXPORTER-Channel-Binding", new Uint8Array(0), 32),
          "RFC 9266",
        );
        // Its certificates are signed with SHA-256, so that RFC 5929 asks for the SHA-256 of the leaf.
        using serverIdentity = client.tls.peerIdentity();
        equal(client.tls.channelBinding("tls-server-end-point"), serverIdentity?.fingerprint(), "RFC 5929");
        equal(client.tls.channelBinding("peer-certificate-sha256"), serverIdentity?.fingerprint(), "the server's certificate");
        using clientIdentity = server.tls.peerIdentity();
        equal(server.tls.channelBinding("peer-certificate-sha256"), clientIdentity?.fingerprint(), "the client's certificate");
      },
    },
    {
      name: `bindings, ${title}: two connections have none in common that is theirs alone`,
      run(setting, cleanup) {
        const [a, b] = [0, 1].map(() => new Pair(setting, cleanup, { version }).establish());
        that(
          a!.client.tls.channelBinding("tls-exporter").join() !== b!.client.tls.channelBinding("tls-exporter").join(),
          "tls-exporter differs",
        );
        equal(
          a!.client.tls.channelBinding("tls-server-end-point"),
          b!.client.tls.channelBinding("tls-server-end-point"),
          "tls-server-end-point",
        );
        that(errorOf(() => a!.server.tls.channelBinding("peer-certificate-sha256")) !== "ok", "nobody's certificate has no hash");
      },
    },
    {
      name: `ALPN, ${title}: the server's order wins`,
      run(setting, cleanup) {
        const pair = new Pair(setting, cleanup, { version, ...alpn(["a", "b", "c"], ["z", "c", "a"]) }).establish();
        for (const end of [pair.client, pair.server]) equal(end.tls.info()?.alpnId, bytesOf("c"), "ALPN id");
      },
    },
    {
      name: `ALPN, ${title}: ids are bytes`,
      run(setting, cleanup) {
        const id = Array.from({ length: 255 }, (_, i) => String.fromCharCode(255 - i)).join("");
        const pair = new Pair(setting, cleanup, { version, ...alpn(["\u0000", id], [id]) }).establish();
        for (const end of [pair.client, pair.server]) equal(end.tls.info()?.alpnId, bytesOf(id), "ALPN id");
      },
    },
    {
      name: `ALPN, ${title}: no id in common is fatal for both`,
      run(setting, cleanup) {
        const pair = new Pair(setting, cleanup, { version, ...alpn(["a"], ["A"]) });
        equal(pair.ended(), ["alert-received(120)", "alert-sent(120)"], "outcomes");
      },
    },
    {
      name: `ALPN, ${title}: is not used where one end has none`,
      run(setting, cleanup) {
        for (const ids of [alpn(["a"], []), alpn([], ["a"]), alpn([], [])]) {
          const pair = new Pair(setting, cleanup, { version, ...ids }).establish();
          for (const end of [pair.client, pair.server]) equal(end.tls.info()?.alpnId, undefined, "ALPN id");
        }
      },
    },
    {
      name: `suites, ${title}: the one that was configured is used`,
      run(setting, cleanup) {
        if (!Client.supports("cipher-suites")) throw new Unsupported("cipher-suites");
        for (const suite of version === TLS13 ? [0x1301, 0x1302, 0x1303] : [0xc02b, 0xc02c, 0xcca9]) {
          const pair = new Pair(setting, cleanup, {
            version,
            configureClient: (client) => client.configureCipherSuites(u16s(suite)),
          }).establish();
          for (const end of [pair.client, pair.server]) equal(end.tls.info()?.cipherSuite, suite, "cipher-suite");
        }
      },
    },
    {
      name: `suites, ${title}: the server's order wins`,
      run(setting, cleanup) {
        if (!Client.supports("cipher-suites")) throw new Unsupported("cipher-suites");
        const [a, b] = version === TLS13 ? [0x1301, 0x1302] : [0xc02b, 0xc02c];
        const pair = new Pair(setting, cleanup, {
          version,
          configureClient: (client) => client.configureCipherSuites(u16s(a!, b!)),
          configureServer: (server) => server.configureCipherSuites(u16s(b!, a!)),
        }).establish();
        for (const end of [pair.client, pair.server]) equal(end.tls.info()?.cipherSuite, b, "cipher-suite");
      },
    },
    {
      name: `suites, ${title}: none in common is a handshake failure`,
      run(setting, cleanup) {
        if (!Client.supports("cipher-suites")) throw new Unsupported("cipher-suites");
        const [a, b] = version === TLS13 ? [0x1301, 0x1302] : [0xc02b, 0xc02c];
        const pair = new Pair(setting, cleanup, {
          version,
          configureClient: (client) => client.configureCipherSuites(u16s(a!)),
          configureServer: (server) => server.configureCipherSuites(u16s(b!)),
        });
        equal(pair.ended(), ["alert-received(40)", "alert-sent(40)"], "outcomes");
      },
    },
    {
      name: `groups, ${title}: the one in common is used, and told`,
      run(setting, cleanup) {
        if (!Client.supports("groups")) throw new Unsupported("groups");
        // The certificate's curve has to be among them in TLS 1.2.
        for (const group of version === TLS13 ? [0x001d, 0x0017, 0x0018] : [0x0017]) {
          const pair = new Pair(setting, cleanup, {
            version,
            configureServer: (server) => server.configureGroups(u16s(group)),
          }).establish();
          if (!Client.supports("group-getter")) continue;
          for (const end of [pair.client, pair.server]) equal(end.tls.info()?.group, group, "group");
        }
      },
    },
    {
      name: `groups, ${title}: none in common is a handshake failure`,
      run(setting, cleanup) {
        if (!Client.supports("groups")) throw new Unsupported("groups");
        const pair = new Pair(setting, cleanup, {
          version,
          configureClient: (client) => client.configureGroups(u16s(0x0017)),
          configureServer: (server) => server.configureGroups(u16s(0x0018)),
        });
        equal(pair.ended(), ["alert-received(40)", "alert-sent(40)"], "outcomes");
      },
    },
    {
      name: `identities, ${title}: the first whose key the client can verify is used`,
      run(setting, cleanup) {
        if (!Client.supports("signature-schemes")) throw new Unsupported("signature-schemes");
        for (const [schemes, name] of [
          [[0x0804, 0x0401, 0x0403], "rsa"],
          [[0x0403], "server"],
        ] as const) {
          const pair = new Pair(setting, cleanup, {
            version,
            identity: "",
            configureServer: (server) => {
              using rsa = PrivateIdentity.open("rsa");
              using ecdsa = PrivateIdentity.open("server");
              server.configureIdentities([rsa, ecdsa]);
            },
            configureClient: (client) => client.configureSignatureSchemes(u16s(...schemes)),
          }).establish();
          using used = pair.server.tls.localIdentity();
          using wanted = PrivateIdentity.open(name);
          using usedChain = used!.publicIdentity();
          using wantedChain = wanted.publicIdentity();
          equal(usedChain.fingerprint(), wantedChain.fingerprint(), `identity for ${name}`);
        }
      },
    },
    {
      name: `identities, ${title}: none that the client can verify is a handshake failure`,
      run(setting, cleanup) {
        if (!Client.supports("signature-schemes")) throw new Unsupported("signature-schemes");
        const pair = new Pair(setting, cleanup, {
          version,
          identity: "rsa",
          configureClient: (client) => client.configureSignatureSchemes(u16s(0x0403)),
        });
        equal(pair.ended(), ["alert-received(40)", "alert-sent(40)"], "outcomes");
      },
    },
    {
      name: `sessions, ${title}: reused without a verify point, and both ends say so`,
      run(setting, cleanup) {
        if (!Client.supports("session-resumption")) throw new Unsupported("session-resumption");
        const { reused, hellos } = connectTwice(setting, cleanup, { version, ...sessions(true) });
        equal(reused, [false, false, true, true], "session-reused of client and server, first and second time");
        equal(hellos, 2, "client-hello raised");
      },
    },
    {
      name: `sessions, ${title}: never with a verify point, since a resumed handshake shows no certificate`,
      run(setting, cleanup) {
        connectTwice(setting, cleanup, { version, ...sessions(true) });
        const pair = new Pair(setting, cleanup, { version, ...sessions(true), client: { verifyServerIdentity: true } });
        const suspension = pair.suspendClient();
        equal(suspension.at().tag, "verify-server-identity", "at");
        suspension[Symbol.dispose]();
      },
    },
    {
      name: `sessions, ${title}: never where either end does not want it`,
      run(setting, cleanup) {
        equal(
          connectTwice(setting, cleanup, { version, ...sessions(false) }).reused,
          [false, false, false, false],
          "client does not want it",
        );
        const unwilling: PairOptions = { ...sessions(true), configureServer: (server) => server.configureSessionUse(false) };
        equal(connectTwice(setting, cleanup, { version, ...unwilling }).reused, [false, false, false, false], "server does not want it");
      },
    },
    {
      name: `sessions, ${title}: never where a client certificate is asked for`,
      run(setting, cleanup) {
        const asking: PairOptions = { ...sessions(true), asks: "required", clientIdentity: "client" };
        equal(connectTwice(setting, cleanup, { version, ...asking }).reused, [false, false, false, false], "session-reused");
      },
    },
    {
      name: `sessions, ${title}: never for another name, other anchors, another identity or other ALPN ids`,
      run(setting, cleanup) {
        const before: PairOptions = { version, ...sessions(true) };
        connectTwice(setting, cleanup, before);
        // The certificate covers both names.
        const elsewhere = new Pair(setting, cleanup, { ...before, serverName: "also.server.test" }).establish();
        equal(elsewhere.client.tls.info()?.sessionReused, false, "another name");
        const trusting = new Pair(setting, cleanup, {
          version,
          configureClient: (client) => {
            client.configureSessionUse(true);
            using another = PrivateIdentity.open("self-signed");
            using chain = another.publicIdentity();
            using anchors = TrustAnchors.fromX509(chain.exportX509Chain(), true, []);
            client.configureVerification({ anchors, names: [] });
          },
        }).establish();
        equal(trusting.client.tls.info()?.sessionReused, false, "other anchors");
        const other = new Pair(setting, cleanup, { ...before, clientIdentity: "client" }).establish();
        equal(other.client.tls.info()?.sessionReused, false, "another identity");
        const otherwise = new Pair(setting, cleanup, { version, ...alpn(["other"], []), ...withSessions(alpn(["other"], [])) }).establish();
        equal(otherwise.client.tls.info()?.sessionReused, false, "other ALPN ids");
      },
    },
  ]),
  {
    name: "suites: a version without a configured suite is not spoken",
    run(setting, cleanup) {
      if (!Client.supports("cipher-suites")) throw new Unsupported("cipher-suites");
      const suites = (client: number, server: number): PairOptions => ({
        configureClient: (tls) => tls.configureCipherSuites(u16s(client)),
        configureServer: (tls) => tls.configureCipherSuites(u16s(server)),
      });
      const [client, server] = new Pair(setting, cleanup, suites(0x1301, 0xc02b)).ended();
      oneOf(server, ["alert-sent(40)", "alert-sent(70)"], "outcome of a server with suites of TLS 1.2 only");
      oneOf(client, ["alert-received(40)", "alert-received(70)"], "outcome of a client with suites of TLS 1.3 only");
      const [olderClient] = new Pair(setting, cleanup, suites(0xc02b, 0x1301)).ended();
      oneOf(olderClient, ["alert-received(40)", "alert-received(70)"], "outcome of a client with suites of TLS 1.2 only");
    },
  },
  {
    name: "suites: a server with suites of TLS 1.2 only speaks that to a client of both",
    run(setting, cleanup) {
      if (!Client.supports("cipher-suites")) throw new Unsupported("cipher-suites");
      const pair = new Pair(setting, cleanup, { configureServer: (tls) => tls.configureCipherSuites(u16s(0xc02b)) }).establish();
      for (const end of [pair.client, pair.server])
        equal([end.tls.info()?.protocolVersion, end.tls.info()?.cipherSuite], [TLS12, 0xc02b], "version and suite");
      pair.talk();
    },
  },
  {
    name: "versions: the highest in common",
    run(setting, cleanup) {
      const pair = new Pair(setting, cleanup).establish();
      equal(pair.client.tls.info()?.protocolVersion, TLS13, "both by default");
      const older = new Pair(setting, cleanup, {
        configureClient: (client) => client.configureProtocolVersions(undefined, TLS12),
      }).establish();
      equal(older.client.tls.info()?.protocolVersion, TLS12, "an older client");
    },
  },
  {
    name: "versions: none in common",
    run(setting, cleanup) {
      const pair = new Pair(setting, cleanup, {
        configureClient: (client) => client.configureProtocolVersions(undefined, TLS12),
        configureServer: (server) => server.configureProtocolVersions(TLS13, undefined),
      });
      equal(pair.ended(), ["alert-received(70)", "alert-sent(70)"], "outcomes");
    },
  },
  {
    name: "hello: what the client was configured with, in its order",
    run(setting, cleanup) {
      const pair = new Pair(setting, cleanup, {
        serverName: "SERVER.test.",
        server: { clientHello: true },
        configureClient: (client) => {
          client.configureAlpnIds([bytesOf("h2"), Uint8Array.of(0, 255)]);
          client.configureProtocolVersions(TLS12, TLS13);
          if (Client.supports("cipher-suites")) client.configureCipherSuites(u16s(0x1302, 0x1301, 0xc02c));
          if (Client.supports("groups")) client.configureGroups(u16s(0x0017, 0x001d));
          if (Client.supports("signature-schemes")) client.configureSignatureSchemes(u16s(0x0503, 0x0403));
        },
      });
      const suspension = pair.suspendServer();
      const point = suspension.at();
      if (point.tag !== "client-hello") throw new Error(`at ${point.tag}`);
      const hello = point.val;
      equal(hello.serverName, { tag: "dns", val: "server.test" }, "server-name");
      equal(hello.alpnIds, [bytesOf("h2"), Uint8Array.of(0, 255)], "ALPN ids");
      equal(Array.from(hello.protocolVersions).sort(), [TLS12, TLS13], "versions");
      equal(hello.encryptedClientHello, false, "ECH");
      if (Client.supports("cipher-suites"))
        equal(
          Array.from(hello.cipherSuites).filter((suite) => suite !== 0x00ff),
          [0x1302, 0x1301, 0xc02c],
          "suites",
        );
      if (Client.supports("groups")) equal(hello.groups, [0x0017, 0x001d], "groups");
      if (Client.supports("signature-schemes")) equal(hello.signatureSchemes, [0x0503, 0x0403], "schemes");
      ServerSuspension.resume(suspension);
      pair.establish().talk();
    },
  },
  {
    name: "hello: an address is no server name, and is verified as one",
    run(setting, cleanup) {
      const pair = new Pair(setting, cleanup, { serverName: "127.0.0.1", server: { clientHello: true } });
      const suspension = pair.suspendServer();
      const point = suspension.at();
      if (point.tag !== "client-hello") throw new Error(`at ${point.tag}`);
      oneOf(point.val.serverName.tag, ["none"], "server-name");
      equal(pair.server.tls.serverName(), undefined, "server-name of the server");
      ServerSuspension.resume(suspension);
      pair.establish().talk();
    },
  },
];

function sessions(wanted: boolean): PairOptions {
  return { configureClient: (client) => client.configureSessionUse(wanted) };
}

function withSessions(options: PairOptions): PairOptions {
  return {
    configureClient: (client) => {
      options.configureClient?.(client);
      client.configureSessionUse(true);
    },
  };
}

function connectTwice(
  setting: ConstructorParameters<typeof Pair>[0],
  cleanup: ConstructorParameters<typeof Pair>[1],
  options: PairOptions,
): { reused: (boolean | undefined)[]; hellos: number } {
  const reused: (boolean | undefined)[] = [];
  let hellos = 0;
  for (let i = 0; i < 2; i++) {
    const pair = new Pair(setting, cleanup, { ...options, server: { clientHello: true } });
    const suspension = pair.suspendServer();
    if (suspension.at().tag === "client-hello") hellos++;
    ServerSuspension.resume(suspension);
    pair.establish().talk();
    reused.push(pair.client.tls.info()?.sessionReused, pair.server.tls.info()?.sessionReused);
    for (const end of [pair.client, pair.server]) end.tls.closeOutput();
    pair.ended();
  }
  return { reused, hellos };
}
