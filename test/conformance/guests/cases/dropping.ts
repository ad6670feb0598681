import { ClientSuspension, ServerSuspension } from "sallyport:tls/connection@0.1.0";
import { PrivateIdentity, TrustAnchors } from "sallyport:tls/identities@0.1.0";
import { equal, errorOf, oneOf, that } from "../expect.ts";
import { rest } from "../tcp.ts";
import { makeClient, makeServer, Pair } from "../pair.ts";
import type { Case } from "../program.ts";

type Resources = Record<string, Disposable>;

/** What a connection consists of in each phase. `pollable` is of the connection, not of a stream. */
const states: [name: string, make: () => Resources][] = [
  [
    "constructed",
    () => {
      const client = makeClient();
      return { client, ...parts(client.streams()), pollable: client.subscribe() };
    },
  ],
  [
    "started",
    () => {
      const client = makeClient();
      const streams = parts(client.streams());
      client.start();
      return { client, ...streams, pollable: client.subscribe() };
    },
  ],
  [
    "suspended at client-hello",
    () => {
      const [client, server] = [makeClient(), makeServer({ server: { clientHello: true } })];
      const clientStreams = client.streams();
      const streams = server.streams();
      client.start();
      server.start();
      streams.publicOutput.write(clientStreams.publicInput.read(65_536 as unknown as bigint));
      return { server, ...parts(streams), pollable: server.subscribe(), suspension: server.suspend() };
    },
  ],
];

export const dropping: Case[] = [
  ...states.map(([name, make]): Case => ({
    transports: ["memory"],
    name: `drop order, ${name}: any two resources first, in either order`,
    run() {
      const names = Object.keys(make());
      for (const first of names) {
        for (const second of names.filter((it) => it !== first)) {
          const resources = make();
          for (const it of [first, second, ...names.filter((it) => it !== first && it !== second)]) resources[it]![Symbol.dispose]();
        }
      }
      rest();
    },
  })),
  {
    transports: ["memory"],
    name: "drop order, established: any two resources first, in either order",
    run(setting, cleanup) {
      const names = ["client", "publicInput", "publicOutput", "privateInput", "privateOutput", "pollable", "peer", "local", "info"];
      for (const first of names) {
        for (const second of names.filter((it) => it !== first)) {
          const pair = new Pair(setting, cleanup, { clientIdentity: "client", asks: "required" }).establish();
          const client = pair.client.tls;
          const resources: Resources = {
            client,
            ...parts(pair.client.streams),
            pollable: client.subscribe(),
            peer: client.peerIdentity()!,
            local: client.localIdentity()!,
            info: client.localIdentity()!.publicIdentity(),
          };
          for (const it of [first, second, ...names.filter((it) => it !== first && it !== second)]) resources[it]![Symbol.dispose]();
          oneOf(pair.server.outcome(), ["none"], "outcome before anything was moved");
        }
      }
    },
  },
  {
    name: "a dropped client: its streams and its suspension answer that it is over",
    transports: ["memory"],
    run(setting, cleanup) {
      const pair = new Pair(setting, cleanup, { client: { verifyServerIdentity: true } });
      const suspension = pair.suspendClient();
      const chain = suspension.unverifiedChain();
      const pollable = pair.client.tls.subscribe();
      pair.client.tls[Symbol.dispose]();
      const { publicInput, publicOutput, privateInput, privateOutput } = pair.client.streams;
      oneOf(
        drained(() => publicInput.read(65_536 as unknown as bigint)),
        ["closed", "last-operation-failed"],
        "public-input",
      );
      oneOf(
        errorOf(() => publicOutput.checkWrite()),
        ["closed", "last-operation-failed"],
        "public-output",
      );
      oneOf(
        errorOf(() => privateInput.read(1 as unknown as bigint)),
        ["closed", "last-operation-failed"],
        "private-input",
      );
      oneOf(
        errorOf(() => privateOutput.checkWrite()),
        ["closed", "last-operation-failed"],
        "private-output",
      );
      equal(pollable.ready(), true, "the pollable");
      equal(chain.fingerprint().length, 32, "the chain lives on");
      equal(suspension.at().tag, "verify-server-identity", "at");
      equal(
        errorOf(() => ClientSuspension.resume(suspension)),
        "closed",
        "resume",
      );
      pollable[Symbol.dispose]();
      pair.until(() => pair.server.outcome() !== "none", "the outcome of the server");
      equal(pair.server.isEstablished, false, "the server established");
    },
  },
  {
    name: "a dropped client: the server sees a cut, not an end",
    run(setting, cleanup) {
      const pair = new Pair(setting, cleanup).establish();
      pair.talk();
      pair.client.streams.privateInput[Symbol.dispose]();
      pair.client.tls[Symbol.dispose]();
      if (setting.transport === "relay") return;
      pair.until(() => pair.server.outcome() !== "none", "the outcome of the server");
      equal(pair.server.outcome(), "truncated", "outcome of the server");
    },
  },
  {
    name: "a dropped server that is suspended: the client learns it",
    run(setting, cleanup) {
      const pair = new Pair(setting, cleanup, { server: { clientHello: true } });
      const suspension = pair.suspendServer();
      pair.server.tls[Symbol.dispose]();
      // A connection whose streams the host moves outlives its handle, and goes on.
      const isMoved = setting.transport === "relay";
      equal(
        errorOf(() => ServerSuspension.resume(suspension)),
        isMoved ? "ok" : "closed",
        "resume",
      );
      if (isMoved) return pair.until(() => pair.client.isEstablished, "an established client");
      pair.until(() => pair.client.outcome() !== "none", "the outcome of the client");
      oneOf(pair.client.outcome(), ["alert-received(80)", "truncated"], "outcome of the client");
      equal(pair.client.isEstablished, false, "established");
    },
  },
  {
    name: "a dropped server at a point that nobody took, and nobody can take any more: the client learns it",
    run(setting, cleanup) {
      const pair = new Pair(setting, cleanup, { server: { clientHello: true } });
      using reached = pair.server.tls.subscribe();
      pair.until(() => reached.ready(), "the point");
      pair.server.tls[Symbol.dispose]();
      pair.until(() => pair.client.outcome() !== "none", "the outcome of the client");
      oneOf(pair.client.outcome(), ["alert-received(80)", "truncated"], "outcome of the client");
    },
  },
  {
    name: "a dropped server whose point is still to come: the client learns it",
    run(setting, cleanup) {
      const pair = new Pair(setting, cleanup, { server: { accepted: true } });
      pair.server.tls[Symbol.dispose]();
      pair.until(() => pair.client.outcome() !== "none", "the outcome of the client");
      oneOf(pair.client.outcome(), ["alert-received(80)", "truncated", "unauthenticated"], "outcome of the client");
    },
  },
  {
    name: "private-input that nobody reads any more does not hold up the rest",
    run(setting, cleanup) {
      const pair = new Pair(setting, cleanup).establish();
      pair.client.streams.privateInput[Symbol.dispose]();
      for (let i = 0; i < 64; i++) {
        pair.until(() => Number(pair.server.streams.privateOutput.checkWrite()) >= 65_536, "room to write");
        pair.server.streams.privateOutput.write(new Uint8Array(65_536));
      }
      pair.send(pair.client, pair.server, "still here");
    },
  },
  {
    transports: ["memory"],
    name: "trust anchors and identities may be dropped before the connection that was configured with them",
    run(setting, cleanup) {
      const pair = new Pair(setting, cleanup, {
        identity: "",
        configureServer: (server) => {
          const [identity, anchors] = [PrivateIdentity.open("server"), TrustAnchors.host()];
          server.configureIdentities([identity]);
          server.configureVerification({ mode: "optional", anchors });
          anchors[Symbol.dispose]();
          identity[Symbol.dispose]();
        },
      });
      pair.establish().talk();
      that(pair.server.tls.localIdentity() !== undefined, "its identity lives on");
    },
  },
  ...(["publicInput", "publicOutput", "privateInput", "privateOutput"] as const).map((name): Case => ({
    transports: ["memory"],
    traps: true,
    name: `wasi:io stays strict: ${name} dropped before its pollable`,
    run() {
      const client = makeClient();
      const stream = client.streams()[name];
      const pollable = stream.subscribe();
      stream[Symbol.dispose]();
      pollable.ready();
    },
  })),
  {
    transports: ["memory"],
    traps: true,
    name: "wasi:io stays strict: private-output written to past its permit",
    run() {
      const client = makeClient();
      client.streams().privateOutput.write(Uint8Array.of(1));
    },
  },
];

function parts(streams: Record<"publicInput" | "publicOutput" | "privateInput" | "privateOutput", Disposable>): Resources {
  const { publicInput, publicOutput, privateInput, privateOutput } = streams;
  return { publicInput, publicOutput, privateInput, privateOutput };
}

/** Read until it says something else than bytes. */
function drained(read: () => Uint8Array): string {
  for (;;) {
    let length = 0;
    const error = errorOf(() => (length = read().length));
    if (error !== "ok") return error;
    if (length === 0) return "open";
  }
}
