import { Client, ClientSuspension, Server, ServerSuspension } from "sallyport:tls/connection@0.1.0";
import { PrivateIdentity } from "sallyport:tls/identities@0.1.0";
import { equal, errorOf, oneOf, refuses, that, u16s } from "../expect.ts";
import { rest } from "../tcp.ts";
import { makeClient, makeServer, Pair } from "../pair.ts";
import type { Case } from "../program.ts";

const alone: Pick<Case, "transports"> = { transports: ["memory"] };

type Configure = [name: string, call: (tls: Client | Server) => void];

/** Every `configure-*` with arguments that are fine. */
const configures: Configure[] = [
  ["configure-alpn-ids", (tls) => tls.configureAlpnIds([])],
  ["configure-identities", (tls) => tls.configureIdentities([])],
  [
    "configure-verification",
    (tls) => (tls instanceof Client ? tls.configureVerification({ names: [] }) : tls.configureVerification({ mode: "none" })),
  ],
  ["configure-protocol-versions", (tls) => tls.configureProtocolVersions(undefined, undefined)],
  ["configure-cipher-suites", (tls) => tls.configureCipherSuites(u16s(0x1301, 0xc02b))],
  ["configure-groups", (tls) => tls.configureGroups(u16s(0x001d, 0x0017))],
  ["configure-signature-schemes", (tls) => tls.configureSignatureSchemes(u16s(0x0403, 0x0804))],
  ["configure-session-use", (tls) => tls.configureSessionUse(false)],
  ["configure-truncation", (tls) => tls.configureTruncation("detect")],
];

type Getter = [name: string, call: (tls: Client | Server) => unknown];

/** Every call that is refused until the connection is established. */
const getters: Getter[] = [
  ["local-identity", (tls) => tls.localIdentity()],
  ["peer-identity", (tls) => tls.peerIdentity()],
  ["export-keying-material", (tls) => tls.exportKeyingMaterial("EXPORTER-conformance", undefined, 32)],
  ["channel-binding tls-exporter", (tls) => tls.channelBinding("tls-exporter")],
  ["channel-binding tls-server-end-point", (tls) => tls.channelBinding("tls-server-end-point")],
];

function refusesAll(calls: readonly (Configure | Getter)[], tls: Client | Server, error: string, where: string): void {
  for (const [name, call] of calls) refuses(() => call(tls), error, `${name} ${where}`);
}

const makers: [role: string, make: () => Client | Server][] = [
  ["client", () => makeClient()],
  ["server", () => makeServer()],
];

export const phases: Case[] = [
  ...makers.flatMap(([role, make]): Case[] => [
    {
      ...alone,
      name: `${role}: streams are given once`,
      run() {
        const tls = make();
        const streams = tls.streams();
        that(streams.publicInput !== streams.privateInput, "four streams");
        refuses(() => tls.streams(), "wrong-phase", "streams again");
      },
    },
    {
      ...alone,
      name: `${role}: streams are not given after start`,
      run() {
        const tls = make();
        const streams = tls.streams();
        tls.start();
        refuses(() => tls.streams(), "wrong-phase", "streams after start");
        that(streams !== undefined, "the first four still live");
      },
    },
    {
      ...alone,
      name: `${role}: start is refused without streams, and can be repeated then`,
      run() {
        const tls = make();
        refuses(() => tls.start(), "wrong-phase", "start without streams");
        const streams = tls.streams();
        tls.start();
        that(streams !== undefined, "started");
      },
    },
    {
      ...alone,
      name: `${role}: start is refused a second time`,
      run() {
        const tls = make();
        const streams = tls.streams();
        tls.start();
        refuses(() => tls.start(), "wrong-phase", "start again");
        that(streams !== undefined, "started");
      },
    },
    {
      ...alone,
      name: `${role}: everything can be configured before start, before and after streams`,
      run() {
        const tls = make();
        for (const [name, call] of configures)
          equal(
            errorOf(() => call(tls)),
            "ok",
            name,
          );
        const streams = tls.streams();
        for (const [name, call] of configures)
          equal(
            errorOf(() => call(tls)),
            "ok",
            `${name} after streams`,
          );
        that(streams !== undefined, "made");
      },
    },
    {
      ...alone,
      name: `${role}: nothing can be configured after start`,
      run() {
        const tls = make();
        const streams = tls.streams();
        tls.start();
        refusesAll(configures, tls, "wrong-phase", "after start");
        that(streams !== undefined, "started");
      },
    },
    {
      ...alone,
      name: `${role}: what needs an established connection is refused before start and after it`,
      run() {
        const tls = make();
        refusesAll(getters, tls, "wrong-phase", "before start");
        const streams = tls.streams();
        tls.start();
        refusesAll(getters, tls, "wrong-phase", "after start");
        equal(tls.info(), undefined, "info");
        equal(tls.outcome(), undefined, "outcome");
        equal(tls.errorDetail(), undefined, "error-detail");
        that(streams !== undefined, "started");
      },
    },
    {
      ...alone,
      name: `${role}: suspend answers not-ready before a point is reached`,
      run() {
        const tls = make();
        refuses(() => tls.suspend(), "not-ready", "suspend before start");
        const streams = tls.streams();
        tls.start();
        refuses(() => tls.suspend(), "not-ready", "suspend after start");
        that(streams !== undefined, "started");
      },
    },
    {
      ...alone,
      name: `${role}: abort is refused before start and after the end`,
      run() {
        const tls = make();
        refuses(() => tls.abort(80), "wrong-phase", "abort before start");
        const streams = tls.streams();
        tls.start();
        for (const harmless of [0, 90]) refuses(() => tls.abort(harmless), "invalid-argument", `abort with alert ${harmless}`);
        equal(tls.outcome(), undefined, "outcome after what is no reason to abort");
        tls.abort(80);
        refuses(() => tls.abort(80), "closed", "abort again");
        that(streams !== undefined, "started");
      },
    },
    {
      ...alone,
      name: `${role}: private-output permits nothing before start and a bounded window after it`,
      run() {
        const tls = make();
        const { privateOutput } = tls.streams();
        equal(Number(privateOutput.checkWrite()), 0, "permit before start");
        tls.start();
        const permit = Number(privateOutput.checkWrite());
        that(permit > 0 && permit <= 16 * 1024 * 1024, `a window of ${permit} bytes`);
        privateOutput.write(new Uint8Array(permit));
        equal(Number(privateOutput.checkWrite()), 0, "permit of a full window");
      },
    },
    {
      ...alone,
      name: `${role}: the handles of a connection that was never started can be dropped`,
      run() {
        const tls = make();
        tls.streams();
        tls[Symbol.dispose]();
      },
    },
  ]),

  {
    name: "everything can be configured at client-hello, and nothing after it",
    run(setting, cleanup) {
      const pair = new Pair(setting, cleanup, { server: { clientHello: true } });
      const suspension = pair.suspendServer();
      for (const [name, call] of configures.filter(([name]) => name !== "configure-identities"))
        equal(
          errorOf(() => call(pair.server.tls)),
          "ok",
          `${name} at client-hello`,
        );
      refusesAll(getters, pair.server.tls, "wrong-phase", "at client-hello");
      equal(pair.server.tls.info(), undefined, "info at client-hello");
      ServerSuspension.resume(suspension);
      refusesAll(configures, pair.server.tls, "wrong-phase", "after client-hello");
      pair.establish().talk();
      refusesAll(configures, pair.server.tls, "wrong-phase", "when established");
    },
  },
  {
    name: "nothing can be configured at the other points",
    run(setting, cleanup) {
      const points = { client: { verifyServerIdentity: true, connected: true }, server: { accepted: true } };
      const pair = new Pair(setting, cleanup, points);
      const verify = pair.suspendClient();
      refusesAll(configures, pair.client.tls, "wrong-phase", "at verify-server-identity");
      refusesAll(getters, pair.client.tls, "wrong-phase", "at verify-server-identity");
      ClientSuspension.resume(verify);
      const connected = pair.suspendClient();
      refusesAll(configures, pair.client.tls, "wrong-phase", "at connected");
      refusesAll(getters, pair.client.tls, "wrong-phase", "at connected");
      that(pair.client.tls.info() !== undefined, "info is there at connected");
      const accepted = pair.suspendServer();
      refusesAll(configures, pair.server.tls, "wrong-phase", "at accepted");
      refusesAll(getters, pair.server.tls, "wrong-phase", "at accepted");
      ClientSuspension.resume(connected);
      ServerSuspension.resume(accepted);
      pair.establish().talk();
    },
  },
  {
    name: "what needs an established connection answers when it is, and not after the end",
    run(setting, cleanup) {
      const pair = new Pair(setting, cleanup).establish();
      for (const end of [pair.client, pair.server])
        for (const [name, call] of getters)
          equal(
            errorOf(() => call(end.tls)),
            "ok",
            name,
          );
      pair.client.tls.abort(80);
      pair.ended();
      for (const [name, call] of getters)
        oneOf(
          errorOf(() => call(pair.client.tls)),
          ["closed", "wrong-phase"],
          `${name} after the end`,
        );
    },
  },
  {
    name: "suspend tells already-suspended from closed",
    run(setting, cleanup) {
      const pair = new Pair(setting, cleanup, { client: { connected: true } });
      const suspension = pair.suspendClient();
      refuses(() => pair.client.tls.suspend(), "already-suspended", "suspend while suspended");
      ClientSuspension.resume(suspension);
      refuses(() => pair.client.tls.suspend(), "closed", "suspend after the last point");
      pair.establish();
      refuses(() => pair.server.tls.suspend(), "closed", "suspend of an established server without points");
      pair.client.tls.abort(80);
      refuses(() => pair.client.tls.suspend(), "closed", "suspend after the end");
    },
  },
  {
    name: "the pollable is ready at a point that nobody took, not while suspended, and for good after the last",
    run(setting, cleanup) {
      const pair = new Pair(setting, cleanup, { client: { verifyServerIdentity: true, connected: true } });
      using pollable = pair.client.tls.subscribe();
      equal(pollable.ready(), false, "ready before a point");
      pair.until(() => pollable.ready(), "the pollable");
      pollable.block();
      const verify = pair.client.tls.suspend();
      equal(pollable.ready(), false, "ready while suspended");
      ClientSuspension.resume(verify);
      pair.until(() => pollable.ready(), "the pollable, again");
      const connected = pair.client.tls.suspend();
      equal(pollable.ready(), false, "ready while suspended again");
      ClientSuspension.resume(connected);
      equal(pollable.ready(), true, "ready after the last point");
      pair.establish();
      pair.client.tls.abort(80);
      equal(pollable.ready(), true, "ready after the end");
    },
  },
  {
    ...alone,
    name: "the pollable wakes who waits on it when the connection ends",
    run(setting, cleanup) {
      const pair = new Pair(setting, cleanup, { server: { clientHello: true } });
      using pollable = pair.server.tls.subscribe();
      equal(pollable.ready(), false, "ready before the hello");
      pair.link.toServer!.inject(Uint8Array.of(0x47, 0x45, 0x54, 0x20, 0x2f, 0x20, 0x48));
      pollable.block();
      refuses(() => pair.server.tls.suspend(), "closed", "suspend after the end");
    },
  },
  {
    name: "a connection without points never asks for a decision",
    run(setting, cleanup) {
      const pair = new Pair(setting, cleanup);
      refuses(() => pair.client.tls.suspend(), "not-ready", "suspend during the handshake");
      pair.establish();
      for (const end of [pair.client, pair.server]) refuses(() => end.tls.suspend(), "closed", "suspend");
      pair.talk();
    },
  },
  {
    name: "the pollable of a connection without points is ready once it is established, and for good",
    run(setting, cleanup) {
      const pair = new Pair(setting, cleanup);
      for (const end of [pair.client, pair.server]) {
        using pollable = end.tls.subscribe();
        pair.until(() => pollable.ready(), "the pollable");
        that(end.isEstablished, "established when it is ready");
      }
      pair.establish().talk();
      using late = pair.client.tls.subscribe();
      equal(late.ready(), true, "a pollable that was asked for later");
    },
  },
  {
    name: "verify-client-identity is passed by where no certificate is asked for",
    run(setting, cleanup) {
      const pair = new Pair(setting, cleanup, { server: { verifyClientIdentity: true } });
      pair.establish().talk();
      equal(pair.server.tls.peerIdentity(), undefined, "peer-identity");
    },
  },
  {
    name: "what is written before the connection is established arrives after it",
    run(setting, cleanup) {
      const pair = new Pair(setting, cleanup, { client: { connected: true }, server: { clientHello: true, accepted: true } });
      pair.client.write("early client");
      pair.server.write("early server");
      ServerSuspension.resume(pair.suspendServer());
      ClientSuspension.resume(pair.suspendClient());
      ServerSuspension.resume(pair.suspendServer());
      let [client, server] = ["", ""];
      pair.until(() => {
        client += pair.client.read();
        server += pair.server.read();
        return client === "early server" && server === "early client";
      }, "what was written early");
    },
  },
  {
    name: "a flush of private-output waits for the handshake",
    run(setting, cleanup) {
      const pair = new Pair(setting, cleanup, { client: { connected: true } });
      const { privateOutput } = pair.client.streams;
      pair.client.write("early");
      privateOutput.flush();
      const suspension = pair.suspendClient();
      equal(Number(privateOutput.checkWrite()), 0, "permit while the flush waits");
      ClientSuspension.resume(suspension);
      pair.until(() => Number(privateOutput.checkWrite()) > 0, "the end of the flush");
    },
  },
  {
    name: "server-name is none before the hello and the client's name after it",
    run(setting, cleanup) {
      const pair = new Pair(setting, cleanup, { server: { clientHello: true } });
      equal(pair.server.tls.serverName(), undefined, "before the hello");
      const suspension = pair.suspendServer();
      equal(pair.server.tls.serverName(), "server.test", "at client-hello");
      ServerSuspension.resume(suspension);
      pair.establish();
      equal(pair.server.tls.serverName(), "server.test", "when established");
    },
  },
  {
    ...alone,
    name: "supports answers for everything, and the same for both roles",
    run() {
      const features = [
        "select-client-identity",
        "verify-client-identity",
        "cipher-suites",
        "groups",
        "group-getter",
        "signature-schemes",
        "session-resumption",
        "crl",
        "raw-client-hello",
        "accept-invalid",
      ];
      for (const feature of features) equal(Client.supports(feature), Server.supports(feature), feature);
      for (const unknown of ["", "Groups", "groups ", "constructor", "__proto__", "x".repeat(10_000)])
        equal(Client.supports(unknown) || Server.supports(unknown), false, `supports ${unknown.slice(0, 20)}`);
    },
  },
  {
    ...alone,
    name: "a point that the host cannot raise is refused by start, and start alone",
    run() {
      const client = new Client("server.test", { selectClientIdentity: true });
      const streams = client.streams();
      const expected = Client.supports("select-client-identity") ? "ok" : "not-supported";
      equal(
        errorOf(() => client.start()),
        expected,
        "start with select-client-identity",
      );
      that(streams !== undefined, "made");
    },
  },
  {
    ...alone,
    name: "identities may be dropped as soon as they are configured",
    run(setting, cleanup) {
      const pair = new Pair(setting, cleanup, {
        identity: "",
        configureServer: (server) => {
          const identity = PrivateIdentity.open("server");
          server.configureIdentities([identity]);
          identity[Symbol.dispose]();
        },
      });
      rest();
      pair.establish().talk();
    },
  },
];
