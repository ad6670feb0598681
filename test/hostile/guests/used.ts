import { type Client, ClientSuspension, Server, ServerSuspension } from "sallyport:tls/connection@0.1.0";
import { PrivateIdentity, TrustAnchors } from "sallyport:tls/identities@0.1.0";
import { forward, relay } from "sallyport:tls/forward@0.1.0";
import { u64 } from "../../../src/bindings/integers.ts";
import { rest } from "../../conformance/guests/tcp.ts";
import { makeClient, makeServer, memory, Pair } from "../../conformance/guests/pair.ts";
import type { Attack } from "./attack.ts";

/** Uses handles that are used up, or in two places at once. */
export const used: Record<string, Attack> = {
  "use consumed handles"(_, say) {
    const releases: (() => void)[] = [];
    const pair = new Pair(memory, (release) => releases.push(release), {
      client: { verifyServerIdentity: true },
      server: { clientHello: true },
    });
    const hello = pair.suspendServer();
    ServerSuspension.resume(hello);
    const verify = pair.suspendClient();
    ClientSuspension.resume(verify);
    pair.establish();
    const { privateInput, privateOutput } = pair.client.streams;
    const forwarder = forward(privateInput, privateOutput, { atEnd: "leave" });
    const attempts: Record<string, () => unknown> = {
      "resume twice": () => ServerSuspension.resume(hello),
      "resume a client's as a server's": () => ServerSuspension.resume(verify as never),
      "at of a consumed one": () => hello.at(),
      "accept-peer of a consumed one": () => verify.acceptPeer([]),
      "read of a forwarded stream": () => privateInput.read(u64(1)),
      "write to a forwarded stream": () => privateOutput.write(Uint8Array.of(1)),
      "subscribe to a forwarded stream": () => privateOutput.subscribe(),
      "forward again": () => forward(privateInput, privateOutput, { atEnd: "leave" }),
      "splice from a forwarded stream": () => pair.server.streams.privateOutput.splice(privateInput, u64(1)),
    };
    for (const [name, attempt] of Object.entries(attempts)) say(`${name}: ${outcomeOf(attempt)}`);
    forwarder[Symbol.dispose]();
    say(`forwarder after its end: ${outcomeOf(() => forwarder.transferred())}`);
    say("still here");
  },

  /** A connection whose bytes go round in circles. */
  "loop a connection"(_, say) {
    const client = makeClient();
    const { publicInput, publicOutput, privateInput, privateOutput } = client.streams();
    const outer = forward(publicInput, publicOutput, { atEnd: "propagate" });
    const inner = forward(privateInput, privateOutput, { atEnd: "propagate" });
    client.start();
    for (let i = 0; i < 100 && (client.outcome() ?? undefined) === undefined; i++) rest();
    say(`its own hello: ${client.outcome()?.tag}`);
    outer[Symbol.dispose]();
    inner[Symbol.dispose]();
    // Two that feed each other what they receive.
    const releases: (() => void)[] = [];
    const pair = new Pair(memory, (release) => releases.push(release)).establish();
    const echoes = [pair.client, pair.server].map((end) =>
      forward(end.streams.privateInput, end.streams.privateOutput, { atEnd: "propagate", limit: u64(100_000) }),
    );
    say(`echoing: ${echoes.every((echo) => echo.outcome() === undefined || echo.outcome() === null)}`);
    pair.linger(50);
    echoes.forEach((echo) => echo[Symbol.dispose]());
    say("still here");
  },

  /** One handle in two places of a call: the component model allows no such thing. */
  "same handle twice"() {
    const releases: (() => void)[] = [];
    const pair = new Pair(memory, (release) => releases.push(release)).establish();
    const { privateInput, privateOutput } = pair.client.streams;
    relay(privateInput, privateOutput, privateInput, privateOutput, { atEnd: "propagate" });
  },

  "another resource's method"() {
    (PrivateIdentity.prototype.publicIdentity as (this: object) => unknown).call(TrustAnchors.host());
  },

  "a handle of another resource"() {
    new Server({}).configureIdentities([TrustAnchors.host() as never]);
  },

  "an enum case that does not exist"() {
    makeServer().configureTruncation("never" as never);
  },

  "write over the permit"() {
    const client = makeClient();
    const { publicOutput } = client.streams();
    publicOutput.write(new Uint8Array(Number(publicOutput.checkWrite()) + 1));
  },

  "write zeroes over the permit"() {
    const client = makeClient();
    client.streams().publicOutput.writeZeroes(u64(Number.MAX_SAFE_INTEGER));
  },

  /** Blocks on a stream that only it could move. */
  "wait for itself"(_, say) {
    const client = makeClient();
    const { privateInput } = client.streams();
    client.start();
    say("waiting");
    privateInput.blockingRead(u64(1));
  },

  /** Answers to itself in the wrong order, in both roles, with bytes of its own making. */
  "speak nonsense"(_, say) {
    const seen = new Set<string>();
    for (let first = 0; first < 256; first++) {
      for (const make of [() => makeServer() as Client | Server, () => makeClient()]) {
        const tls = make();
        const { publicOutput } = tls.streams();
        tls.start();
        publicOutput.write(Uint8Array.from({ length: 600 }, (_, i) => (i === 0 ? first : (first * i) & 0xff)));
        publicOutput[Symbol.dispose]();
        rest();
        seen.add(tls.outcome()?.tag ?? "none");
      }
    }
    say(`nonsense: ${[...seen].sort().join()}`);
  },
};

function outcomeOf(call: () => unknown): string {
  try {
    call();
    return "worked";
  } catch (error) {
    return error instanceof Error && !("payload" in error) ? "an error of the engine" : "an error of the host";
  }
}
