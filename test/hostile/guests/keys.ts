import * as connection from "sallyport:tls/connection@0.1.0";
import * as forward from "sallyport:tls/forward@0.1.0";
import * as identities from "sallyport:tls/identities@0.1.0";
import * as environment from "wasi:cli/environment@0.2.12";
import { getStdin } from "wasi:cli/stdin@0.2.12";
import { getDirectories } from "wasi:filesystem/preopens@0.2.12";
import { isErrorValue } from "../../../src/bindings/errors.ts";
import { u64 } from "../../../src/bindings/integers.ts";
import { errorOf } from "../../conformance/guests/expect.ts";
import { memory, Pair } from "../../conformance/guests/pair.ts";
import type { Attack } from "./attack.ts";

const { ClientSuspension, ServerSuspension } = connection;
const { PrivateIdentity, PublicIdentity, TrustAnchors } = identities;

/** Wants the key of an identity that it may use. */
export const keys: Record<string, Attack> = {
  /** Each argument is a name. */
  open(args, say) {
    for (const name of args) say(`${JSON.stringify(name)} ${errorOf(() => PrivateIdentity.open(name))}`);
    say(`granted ${PrivateIdentity.names().join(" ")}`);
  },

  /** Says everything that any import gives or throws around a handshake with a granted identity. */
  everything(_, say) {
    const tell = (what: string, get: () => unknown) => {
      let value: unknown;
      try {
        value = get();
      } catch (error) {
        value = isErrorValue(error) ? error.payload : error;
        for (const part of errorParts(error)) say(`${what} threw ${part}`);
      }
      for (const line of walk(value)) say(`${what} ${line}`);
    };
    for (const [name, module] of Object.entries({ connection, forward, identities, environment })) tell(name, () => module);
    tell("environment", () => [environment.getEnvironment(), environment.getArguments(), environment.initialCwd()]);
    tell("preopens", () => getDirectories());
    const identity = PrivateIdentity.open("server");
    tell("private-identity", () => identity);
    for (const format of [
      String,
      JSON.stringify,
      Object.entries,
      Object.getOwnPropertyDescriptors,
      Reflect.ownKeys,
      (it: object) => structureOf(it),
    ])
      tell("private-identity as text", () => (format as (it: unknown) => unknown)(identity));
    tell("its chain", () => identity.publicIdentity().exportX509Chain());
    tell("its fingerprints", () => [identity.publicIdentity().fingerprint(), identity.publicIdentity().spkiFingerprint()]);

    // Used where it does not belong.
    const chain = identity.publicIdentity().exportX509Chain();
    tell("parse", () => PrivateIdentity.parse(chain[0]!, chain));
    tell("parse-pem", () => PrivateIdentity.parsePem(new Uint8Array(100), "server"));
    tell("names", () => PrivateIdentity.names());
    tell("not found", () => PrivateIdentity.open("nobody"));
    tell("anchors", () => TrustAnchors.fromX509([chain[0]!], true, [chain[0]!]));
    tell("public parse", () => PublicIdentity.parse([new Uint8Array(10)]));
    tell("constructors", () => new (PrivateIdentity as unknown as new () => object)());
    tell("prototype", () => (PrivateIdentity.prototype.publicIdentity as (this: object) => unknown).call({}));

    const releases: (() => void)[] = [];
    const points = {
      client: { verifyServerIdentity: true, connected: true },
      server: { clientHello: true, verifyClientIdentity: true, accepted: true },
      asks: "required",
      clientIdentity: "client",
    } as const;
    for (const version of [0x0303, 0x0304]) {
      const pair = new Pair(memory, (release) => releases.push(release), { ...points, version });
      const hello = pair.suspendServer();
      tell("client-hello", () => [hello.at(), hello.rawClientHello()]);
      ServerSuspension.resume(hello);
      const verify = pair.suspendClient();
      tell("verify-server-identity", () => [verify.at(), verify.unverifiedChain().exportX509Chain()]);
      ClientSuspension.resume(verify);
      if (version === 0x0303) {
        const judged = pair.suspendServer();
        tell("verify-client-identity", () => [judged.at(), judged.unverifiedChain().exportX509Chain()]);
        ServerSuspension.resume(judged);
        ClientSuspension.resume(pair.suspendClient());
      } else {
        ClientSuspension.resume(pair.suspendClient());
        const judged = pair.suspendServer();
        tell("verify-client-identity", () => [judged.at(), judged.unverifiedChain().exportX509Chain()]);
        ServerSuspension.resume(judged);
      }
      ServerSuspension.resume(pair.suspendServer());
      pair.establish().talk();
      for (const end of [pair.client, pair.server]) {
        tell("info", () => [end.tls.info(), end.tls.outcome(), end.tls.errorDetail(), end.tls.localIdentity(), end.tls.peerIdentity()]);
        tell("local chain", () => end.tls.localIdentity()!.publicIdentity().exportX509Chain());
        for (const label of ["EXPORTER-x", "key expansion", "master secret", "server", "private key"])
          tell(`exporter ${label}`, () => end.tls.exportKeyingMaterial(label, undefined, 1024));
        for (const kind of ["tls-exporter", "tls-server-end-point", "peer-certificate-sha256"] as const)
          tell(kind, () => end.tls.channelBinding(kind));
      }
      tell("the wire", () => [pair.link.toClient!.seen, pair.link.toServer!.seen]);
      pair.client.tls.abort(80);
      pair.ended();
      for (const end of [pair.client, pair.server]) tell("afterwards", () => [end.tls.errorDetail(), end.tls.outcome()]);
      tell("failed stream", () => pair.server.streams.privateInput.read(u64(10)));
    }
    for (let release = releases.pop(); release !== undefined; release = releases.pop()) release();
    say("told everything");
  },

  /** A handshake with a granted identity in both roles, and nothing else. */
  handshake: (_, say) => handshakes("server", say),

  /** The same with a key that it brings on standard input: PEM with the chain, or PKCS#8 DER. */
  "handshake with a key of its own"([form], say) {
    using stdin = getStdin();
    const parts: number[] = [];
    for (;;) {
      const chunk = errorFree(() => stdin.blockingRead(u64(65_536)));
      if (chunk === undefined) break;
      parts.push(...chunk);
    }
    const bytes = Uint8Array.from(parts);
    using granted = PrivateIdentity.open("server");
    using chain = granted.publicIdentity();
    handshakes(
      "",
      say,
      form === "pem" ? PrivateIdentity.parsePem(bytes, undefined) : PrivateIdentity.parse(bytes, chain.exportX509Chain()),
    );
  },
};

function handshakes(name: string, say: (line: string) => void, own?: ReturnType<typeof PrivateIdentity.open>): void {
  const releases: (() => void)[] = [];
  for (const version of [0x0303, 0x0304]) {
    const pair = new Pair(memory, (release) => releases.push(release), {
      version,
      identity: name,
      client: { verifyServerIdentity: true },
      server: { clientHello: true },
    });
    const suspension = pair.suspendServer();
    if (own !== undefined) pair.server.tls.configureIdentities([own]);
    ServerSuspension.resume(suspension);
    ClientSuspension.resume(pair.suspendClient());
    pair.establish().talk();
    pair.server.tls.exportKeyingMaterial("EXPORTER-x", undefined, 32);
  }
  for (let release = releases.pop(); release !== undefined; release = releases.pop()) release();
  say("shaken hands");
}

/** Everything that can be reached from a value, a line for each part: text as it is, bytes in hexadecimal. */
function* walk(value: unknown, seen: Set<unknown> = new Set(), path = ""): Generator<string> {
  if (typeof value === "function" || (typeof value === "object" && value !== null)) {
    if (seen.has(value)) return;
    seen.add(value);
  }
  if (ArrayBuffer.isView(value)) {
    yield `${path} ${hex(value as Uint8Array)}`;
    return;
  }
  if (value === null || (typeof value !== "object" && typeof value !== "function")) {
    yield `${path} ${String(value)}`;
    return;
  }
  yield `${path} is ${Object.prototype.toString.call(value)}`;
  for (let at: object | null = value; at !== null; at = Object.getPrototypeOf(at) as object | null) {
    for (const key of Reflect.ownKeys(at)) {
      let part: unknown;
      try {
        part = (value as Record<PropertyKey, unknown>)[key];
      } catch (error) {
        part = String(error);
      }
      yield* walk(part, seen, `${path}/${String(key)}`);
    }
  }
}

function errorParts(error: unknown): string[] {
  if (!(error instanceof Error)) return [String(error)];
  return [error.message, error.stack ?? "", String(error.cause ?? "")].map((text) => text.replaceAll("\n", " "));
}

function structureOf(it: object): string {
  return Object.getOwnPropertySymbols(it).map(String).join() + Object.keys(it).join();
}

function hex(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += byte.toString(16).padStart(2, "0");
  return text;
}

function errorFree<T>(call: () => T): T | undefined {
  try {
    return call();
  } catch {
    return undefined;
  }
}
