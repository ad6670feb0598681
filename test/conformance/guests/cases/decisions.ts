import {
  ClientSuspension,
  type ClientSuspensionPoint,
  ServerSuspension,
  type ServerSuspensionPoint,
  type UnverifiedPeer,
} from "sallyport:tls/connection@0.1.0";
import type { CertificateError } from "sallyport:tls/types@0.1.0";
import { PrivateIdentity, TrustAnchors } from "sallyport:tls/identities@0.1.0";
import { equal, errorOf, oneOf, refuses, that } from "../expect.ts";
import { Pair, type PairOptions, TLS12, TLS13 } from "../pair.ts";
import type { Case } from "../program.ts";

/** A server that is not to be trusted, and what is wrong with it. */
interface Fault {
  name: string;
  options: PairOptions;
  verdict: CertificateError;
  alerts: number[];
}

const faults: Fault[] = [
  { name: "expired", options: { identity: "expired" }, verdict: "expired", alerts: [45] },
  { name: "unknown issuer", options: { identity: "stranger" }, verdict: "unknown-issuer", alerts: [48] },
  { name: "self-signed", options: { identity: "self-signed" }, verdict: "self-signed", alerts: [48, 42] },
  { name: "wrong name", options: { serverName: "other.test" }, verdict: "name-mismatch", alerts: [42] },
  { name: "wrong address", options: { serverName: "127.0.0.2" }, verdict: "name-mismatch", alerts: [42] },
];

const versions: [number, string][] = [
  [TLS12, "TLS 1.2"],
  [TLS13, "TLS 1.3"],
];

/** Tunnelled alerts of a server that already believes in its client, or a plain cut. */
const LATE = ["truncated", "unauthenticated"];

export const decisions: Case[] = [
  ...versions.flatMap(([version, title]) => faults.flatMap((fault) => faultCases(fault, version, title))),
  {
    name: "a verdict is overridden with the grant, and shows as overridden",
    run(setting, cleanup) {
      const pair = new Pair(setting, cleanup, granted);
      const suspension = pair.suspendClient();
      equal(serverOf(suspension.at()).verdict, ["unknown-issuer"], "verdict");
      suspension.acceptPeer(["unknown-issuer"]);
      ClientSuspension.resume(suspension);
      pair.establish().talk();
      equal(pair.client.tls.info()?.overridden, ["unknown-issuer"], "overridden");
      equal(pair.server.tls.info()?.overridden, [], "overridden, seen by the server");
    },
  },
  {
    name: "an override that leaves out a part of the verdict is invalid, and decides nothing",
    run(setting, cleanup) {
      const pair = new Pair(setting, cleanup, granted);
      const suspension = pair.suspendClient();
      refuses(() => suspension.acceptPeer([]), "invalid-argument", "nothing overridden");
      refuses(() => suspension.acceptPeer(["expired", "name-mismatch"]), "invalid-argument", "something else overridden");
      equal(
        errorOf(() => ClientSuspension.resume(suspension)),
        "certificate(unknown-issuer)",
        "resume",
      );
      assertRefused(pair, ["alert-received(48)"]);
    },
  },
  {
    name: "an override may name more than the verdict",
    run(setting, cleanup) {
      const pair = new Pair(setting, cleanup, granted);
      const suspension = pair.suspendClient();
      suspension.acceptPeer(["expired", "unknown-issuer", "bad-usage"]);
      ClientSuspension.resume(suspension);
      pair.establish();
      equal(pair.client.tls.info()?.overridden, ["unknown-issuer"], "overridden");
    },
  },
  {
    name: "an override is not permitted without the grant for that name",
    run(setting, cleanup) {
      const pair = new Pair(setting, cleanup, { ...granted, serverName: "denied.test" });
      const suspension = pair.suspendClient();
      refuses(() => suspension.acceptPeer(["unknown-issuer"]), "not-permitted", "accept-peer");
      refuses(() => suspension.acceptPeer(["unknown-issuer", "expired", "other"]), "not-permitted", "accept-peer of more");
      equal(
        errorOf(() => ClientSuspension.resume(suspension)),
        "certificate(unknown-issuer)",
        "resume",
      );
      assertRefused(pair, ["alert-received(48)"]);
    },
  },
  {
    name: "a grant for one fault does not cover another",
    run(setting, cleanup) {
      const pair = new Pair(setting, cleanup, { ...granted, identity: "expired" });
      const suspension = pair.suspendClient();
      refuses(() => suspension.acceptPeer(["expired", "unknown-issuer"]), "not-permitted", "accept-peer");
      equal(
        errorOf(() => ClientSuspension.resume(suspension)),
        "certificate(expired)",
        "resume",
      );
    },
  },
  {
    name: "names to verify do not carry the grant of the server's name elsewhere",
    run(setting, cleanup) {
      const pair = new Pair(setting, cleanup, {
        ...granted,
        serverName: "denied.test",
        configureClient: (client) => client.configureVerification({ names: ["granted.test"] }),
      });
      const suspension = pair.suspendClient();
      refuses(() => suspension.acceptPeer(["unknown-issuer"]), "not-permitted", "accept-peer");
      equal(
        errorOf(() => ClientSuspension.resume(suspension)),
        "certificate(unknown-issuer)",
        "resume",
      );
    },
  },
  {
    name: "further names replace the server's name in verification",
    run(setting, cleanup) {
      const names = (names: string[]): PairOptions => ({
        serverName: "other.test",
        configureClient: (client) => client.configureVerification({ names }),
      });
      new Pair(setting, cleanup, names(["nobody.test", "server.test"])).establish().talk();
      const pair = new Pair(setting, cleanup, { ...names(["nobody.test"]), serverName: "server.test" });
      equal(pair.ended()[0], "certificate(name-mismatch)", "outcome");
    },
  },
  {
    name: "anchors that are named stand in place of the host's, or beside them",
    run(setting, cleanup) {
      const options = (identity: string, includeHost: boolean): PairOptions => ({
        identity,
        configureClient: (client) => {
          using stranger = PrivateIdentity.open("self-signed");
          using chain = stranger.publicIdentity();
          using anchors = TrustAnchors.fromX509(chain.exportX509Chain(), includeHost, []);
          client.configureVerification({ anchors, names: [] });
        },
      });
      equal(new Pair(setting, cleanup, options("server", false)).ended()[0], "certificate(unknown-issuer)", "the host's, not included");
      new Pair(setting, cleanup, options("server", true)).establish().talk();
      equal(new Pair(setting, cleanup, options("stranger", true)).ended()[0], "certificate(unknown-issuer)", "a stranger's");
    },
  },
  {
    name: "a good peer needs no override, and an empty one is none",
    run(setting, cleanup) {
      const pair = new Pair(setting, cleanup, { client: { verifyServerIdentity: true } });
      const suspension = pair.suspendClient();
      equal(
        serverOf(suspension.at()),
        { verdict: [], possessionProven: serverOf(suspension.at()).possessionProven, presented: true },
        "peer",
      );
      suspension.acceptPeer([]);
      ClientSuspension.resume(suspension);
      pair.establish().talk();
      equal(pair.client.tls.info()?.overridden, [], "overridden");
    },
  },
  {
    name: "the chain is there before it is trusted, and as often as it is asked for",
    run(setting, cleanup) {
      const pair = new Pair(setting, cleanup, { client: { verifyServerIdentity: true, connected: true } });
      const suspension = pair.suspendClient();
      using first = suspension.unverifiedChain();
      using second = suspension.unverifiedChain();
      using identity = PrivateIdentity.open("server");
      using configured = identity.publicIdentity();
      equal(first.exportX509Chain(), configured.exportX509Chain(), "chain");
      equal(second.fingerprint(), first.fingerprint(), "the same chain again");
      ClientSuspension.resume(suspension);
      equal(first.fingerprint(), configured.fingerprint(), "the chain after resume");
      const connected = pair.suspendClient();
      refuses(() => connected.unverifiedChain(), "wrong-phase", "unverified-chain at connected");
      refuses(() => connected.acceptPeer([]), "wrong-phase", "accept-peer at connected");
      ClientSuspension.resume(connected);
      using peer = pair.establish().client.tls.peerIdentity();
      equal(peer?.exportX509Chain(), first.exportX509Chain(), "peer-identity");
    },
  },
  {
    name: "the raw hello is a handshake message, and there at client-hello only",
    run(setting, cleanup) {
      const pair = new Pair(setting, cleanup, { server: { clientHello: true, accepted: true } });
      const suspension = pair.suspendServer();
      const raw = suspension.rawClientHello();
      const length = (raw[1]! << 16) | (raw[2]! << 8) | raw[3]!;
      equal([raw[0], length], [1, raw.length - 4], "type and length");
      that(
        contains(
          raw,
          Uint8Array.from("server.test", (c) => c.charCodeAt(0)),
        ),
        "the name is in it",
      );
      refuses(() => suspension.unverifiedChain(), "wrong-phase", "unverified-chain at client-hello");
      refuses(() => suspension.acceptPeer([]), "wrong-phase", "accept-peer at client-hello");
      ServerSuspension.resume(suspension);
      const accepted = pair.suspendServer();
      refuses(() => accepted.rawClientHello(), "wrong-phase", "raw-client-hello at accepted");
      refuses(() => accepted.unverifiedChain(), "wrong-phase", "unverified-chain at accepted");
      refuses(() => accepted.acceptPeer([]), "wrong-phase", "accept-peer at accepted");
      ServerSuspension.resume(accepted);
      pair.establish();
    },
  },
  ...versions.flatMap(([version, title]): Case[] => [
    {
      name: `client certificate, ${title}: a good one is shown, judged and known`,
      run(setting, cleanup) {
        const pair = new Pair(setting, cleanup, {
          version,
          asks: "required",
          clientIdentity: "client",
          server: { verifyClientIdentity: true },
        });
        const suspension = pair.suspendServer();
        const peer = clientOf(suspension.at());
        equal([peer.verdict, peer.presented], [[], true], "peer");
        using chain = suspension.unverifiedChain();
        using identity = PrivateIdentity.open("client");
        using configured = identity.publicIdentity();
        equal(chain.exportX509Chain(), configured.exportX509Chain(), "chain");
        ServerSuspension.resume(suspension);
        pair.establish().talk();
        using known = pair.server.tls.peerIdentity();
        equal(known?.fingerprint(), configured.fingerprint(), "peer-identity");
        using local = pair.client.tls.localIdentity();
        using localChain = local?.publicIdentity();
        equal(localChain?.fingerprint(), configured.fingerprint(), "local-identity");
      },
    },
    {
      name: `client certificate, ${title}: one that is not trusted is refused, and cannot be overridden`,
      run(setting, cleanup) {
        const pair = new Pair(setting, cleanup, {
          version,
          asks: "required",
          clientIdentity: "stranger",
          server: { verifyClientIdentity: true },
        });
        const suspension = pair.suspendServer();
        equal(clientOf(suspension.at()).verdict, ["unknown-issuer"], "verdict");
        refuses(() => suspension.acceptPeer(["expired"]), "invalid-argument", "accept-peer of something else");
        refuses(() => suspension.acceptPeer(["unknown-issuer"]), "not-permitted", "accept-peer");
        equal(
          errorOf(() => ServerSuspension.resume(suspension)),
          "certificate(unknown-issuer)",
          "resume",
        );
        const [client, server] = pair.ended();
        equal(server, "certificate(unknown-issuer)", "outcome of the server");
        oneOf(client, version === TLS12 ? ["alert-received(48)"] : ["alert-received(48)", ...LATE], "outcome of the client");
        equal(pair.server.isEstablished, false, "established");
      },
    },
    {
      name: `client certificate, ${title}: one that is not trusted is refused without a point too`,
      run(setting, cleanup) {
        const pair = new Pair(setting, cleanup, { version, asks: "optional", clientIdentity: "stranger" });
        pair.client.write("not to be heard");
        const [client, server] = pair.ended();
        equal(server, "certificate(unknown-issuer)", "outcome of the server");
        oneOf(client, version === TLS12 ? ["alert-received(48)"] : ["alert-received(48)", ...LATE], "outcome of the client");
        equal(pair.server.read(), "", "application data");
      },
    },
    {
      name: `client certificate, ${title}: none where one is required`,
      run(setting, cleanup) {
        const pair = new Pair(setting, cleanup, { version, asks: "required" });
        const [client, server] = pair.ended();
        equal(server, "certificate(none-presented)", "outcome of the server");
        oneOf(client, version === TLS12 ? ["alert-received(40)"] : ["alert-received(116)", ...LATE], "outcome of the client");
      },
    },
    {
      name: `client certificate, ${title}: none where one is optional`,
      run(setting, cleanup) {
        const pair = new Pair(setting, cleanup, { version, asks: "optional", server: { verifyClientIdentity: true } });
        const suspension = pair.suspendServer();
        const peer = clientOf(suspension.at());
        equal([peer.verdict, peer.presented], [[], false], "peer");
        refuses(() => suspension.unverifiedChain(), "wrong-phase", "unverified-chain of nobody");
        ServerSuspension.resume(suspension);
        pair.establish().talk();
        equal(pair.server.tls.peerIdentity(), undefined, "peer-identity");
        equal(pair.client.tls.localIdentity(), undefined, "local-identity");
      },
    },
    {
      name: `client certificate, ${title}: one that nobody asked for stays at home`,
      run(setting, cleanup) {
        const pair = new Pair(setting, cleanup, { version, clientIdentity: "client" }).establish();
        pair.talk();
        equal(pair.server.tls.peerIdentity(), undefined, "peer-identity");
      },
    },
    {
      name: `client-hello, ${title}: the server decides by the name that the client wants`,
      run(setting, cleanup) {
        for (const [serverName, identity] of [
          ["server.test", "server"],
          ["second.test", "second"],
        ] as const) {
          const pair = new Pair(setting, cleanup, { version, serverName, identity: "", server: { clientHello: true } });
          const suspension = pair.suspendServer();
          equal(helloOf(suspension.at()).serverName, { tag: "dns", val: serverName }, "server-name");
          using chosen = PrivateIdentity.open(identity);
          pair.server.tls.configureIdentities([chosen]);
          ServerSuspension.resume(suspension);
          pair.establish().talk();
          using local = pair.server.tls.localIdentity();
          using mine = local!.publicIdentity();
          using wanted = chosen.publicIdentity();
          equal(mine.fingerprint(), wanted.fingerprint(), "local-identity");
        }
      },
    },
    {
      name: `client-hello, ${title}: resumed without an identity`,
      run(setting, cleanup) {
        const pair = new Pair(setting, cleanup, { version, identity: "", server: { clientHello: true } });
        oneOf(
          errorOf(() => ServerSuspension.resume(pair.suspendServer())),
          ["alert-sent(40)", "alert-sent(112)"],
          "resume",
        );
        const [client, server] = pair.ended();
        oneOf(server, ["alert-sent(40)", "alert-sent(112)"], "outcome of the server");
        oneOf(client, ["alert-received(40)", "alert-received(112)"], "outcome of the client");
      },
    },
    {
      name: `client-hello, ${title}: resumed with ALPN ids of which none was offered`,
      run(setting, cleanup) {
        const pair = new Pair(setting, cleanup, {
          version,
          server: { clientHello: true },
          configureClient: (client) => client.configureAlpnIds([Uint8Array.of(1)]),
        });
        const suspension = pair.suspendServer();
        pair.server.tls.configureAlpnIds([Uint8Array.of(2)]);
        equal(
          errorOf(() => ServerSuspension.resume(suspension)),
          "alert-sent(120)",
          "resume",
        );
        equal(pair.ended(), ["alert-received(120)", "alert-sent(120)"], "outcomes");
      },
    },
  ]),
];

const granted: PairOptions = { identity: "stranger", serverName: "granted.test", client: { verifyServerIdentity: true } };

function faultCases({ name, options, verdict, alerts }: Fault, version: number, title: string): Case[] {
  const told = alerts.map((alert) => `alert-received(${alert})`);
  return [
    {
      name: `${name}, ${title}: is refused without a point, and the server hears why`,
      run(setting, cleanup) {
        const pair = new Pair(setting, cleanup, { ...options, version });
        pair.client.write("not to be sent");
        equal(pair.ended()[0], `certificate(${verdict})`, "outcome");
        assertRefused(pair, told);
      },
    },
    {
      name: `${name}, ${title}: is in the verdict, and resume refuses it`,
      run(setting, cleanup) {
        const pair = new Pair(setting, cleanup, { ...options, version, client: { verifyServerIdentity: true } });
        const suspension = pair.suspendClient();
        const peer = serverOf(suspension.at());
        equal([peer.verdict, peer.presented], [[verdict], true], "peer");
        refuses(() => suspension.acceptPeer([verdict]), "not-permitted", "accept-peer");
        pair.linger(4);
        equal(pair.server.isEstablished, false, "the server established");
        equal(
          errorOf(() => ClientSuspension.resume(suspension)),
          `certificate(${verdict})`,
          "resume",
        );
        equal(pair.client.outcome(), `certificate(${verdict})`, "outcome");
        assertRefused(pair, told);
      },
    },
  ];
}

/** The server was told, and never saw a completed handshake. */
function assertRefused(pair: Pair, told: string[]): void {
  pair.until(() => pair.server.outcome() !== "none", "the outcome of the server");
  oneOf(pair.server.outcome(), told, "outcome of the server");
  equal(pair.server.tls.info(), undefined, "info of a server that was refused");
  equal(pair.server.read(), "", "application data");
  that((pair.client.tls.errorDetail() ?? "").length > 0, "there is a sentence about it");
}

function serverOf(point: ClientSuspensionPoint): UnverifiedPeer {
  if (point.tag !== "verify-server-identity") throw new Error(`at ${point.tag}`);
  return point.val;
}

function clientOf(point: ServerSuspensionPoint): UnverifiedPeer {
  if (point.tag !== "verify-client-identity") throw new Error(`at ${point.tag}`);
  return point.val;
}

function helloOf(point: ServerSuspensionPoint) {
  if (point.tag !== "client-hello") throw new Error(`at ${point.tag}`);
  return point.val;
}

function contains(bytes: Uint8Array, part: Uint8Array): boolean {
  return bytes.some((_, at) => part.every((byte, i) => bytes[at + i] === byte));
}
