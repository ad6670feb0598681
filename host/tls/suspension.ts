import type { ClientHello } from "../../src/wire/client-hello.ts";
import type { PublicIdentity } from "../identity/public-identity.ts";
import { Resource } from "../io/ledger.ts";
import type { CertificateError } from "../io/source.ts";
import { Alert } from "./alert.ts";
import type { TlsConnection } from "./connection.ts";
import type { ConnectionInfo } from "./connection-info.ts";
import { outcomeError, type TlsContext } from "./endpoint.ts";
import type { Point } from "./phase.ts";
import { refused } from "./settings.ts";

/** The WIT record `unverified-peer`. */
export interface UnverifiedPeer {
  verdict: CertificateError[];
  possessionProven: boolean;
  presented: boolean;
}

/** What the WIT resources `client-suspension` and `server-suspension` have in common. */
export abstract class Suspension extends Resource {
  protected readonly context: TlsContext;
  protected readonly connection: TlsConnection;
  protected readonly point: Point;
  #overridden: CertificateError[] = [];
  #resumed = false;

  /** @param connection just suspended at `point` */
  constructor(context: TlsContext, connection: TlsConnection, point: Point) {
    super(context.ledger);
    this.context = context;
    this.connection = connection;
    this.point = point;
  }

  unverifiedChain(): PublicIdentity {
    const chain = this.connection.peer?.chain;
    if (this.point !== "verify" || chain === undefined) throw refused("wrong-phase");
    return new this.context.identities.PublicIdentity(chain);
  }

  acceptPeer(overriding: CertificateError[]): void {
    if (this.point !== "verify") throw refused("wrong-phase");
    const verdict = this.connection.peer!.verdict;
    if (!verdict.every((error) => overriding.includes(error))) throw refused("invalid-argument");
    const granted = this.context.tls.options.allowInvalid.get(this.connection.target?.name ?? "");
    if (!verdict.every((error) => granted?.has(error) === true)) {
      this.context.tls.options.onRefusal?.(this.connection.target?.name, verdict);
      throw refused("not-permitted");
    }
    this.#overridden = verdict;
  }

  /** The body of the static `resume`: the suspension is used up. */
  protected resumeNow(): void {
    this.#resumed = true;
    this[Symbol.dispose]();
    if (!this.connection.resume(this.#overridden)) throw refused("closed");
    if (this.connection.outcome?.tag === "err") throw outcomeError(this.connection);
  }

  protected unverifiedPeer(): UnverifiedPeer {
    const peer = this.connection.peer!;
    // In every handshake that this host makes the peer's signature comes before the flight that is withheld here.
    return { verdict: peer.verdict, possessionProven: peer.chain !== undefined, presented: peer.chain !== undefined };
  }

  protected info(): ConnectionInfo {
    const info = this.connection.info();
    if (info === undefined) throw refused("closed");
    return info;
  }

  protected override release(): void {
    if (!this.#resumed) this.connection.abort(Alert.internalError);
  }
}

/** The WIT record `client-hello`. */
export interface HelloRecord extends Pick<
  ClientHello,
  "alpnIds" | "protocolVersions" | "cipherSuites" | "signatureSchemes" | "groups" | "encryptedClientHello"
> {
  serverName: { tag: "none" } | { tag: "dns"; val: string } | { tag: "invalid"; val: Uint8Array };
}

/** What of a hello a guest is told. */
export function helloRecord(hello: ClientHello): HelloRecord {
  const { serverName } = hello;
  return {
    serverName:
      serverName.tag === "none"
        ? { tag: "none" }
        : serverName.tag === "dns"
          ? { tag: "dns", val: serverName.name }
          : { tag: "invalid", val: serverName.bytes },
    alpnIds: hello.alpnIds,
    protocolVersions: hello.protocolVersions,
    cipherSuites: hello.cipherSuites,
    signatureSchemes: hello.signatureSchemes,
    groups: hello.groups,
    encryptedClientHello: hello.encryptedClientHello,
  };
}
