import { createHash } from "node:crypto";
import { readCertificate } from "../../src/wire/certificate.ts";
import type { IdentityClasses } from "../identity/identity-classes.ts";
import type { PrivateIdentity } from "../identity/private-identity.ts";
import type { PublicChain, PublicIdentity } from "../identity/public-identity.ts";
import type { TrustAnchors } from "../identity/trust-anchors.ts";
import { WitError } from "../io/error.ts";
import { InputStream } from "../io/input-stream.ts";
import { type Ledger, Resource } from "../io/ledger.ts";
import { OutputStream } from "../io/output-stream.ts";
import { Pollable } from "../io/poll.ts";
import type { TlsErrorValue } from "../io/source.ts";
import { Alert } from "./alert.ts";
import { TlsConnection } from "./connection.ts";
import type { ConnectionInfo, Outcome, Target } from "./connection-info.ts";
import type { Plan } from "./phase.ts";
import { checkAlpnIds, checkGroups, checkSchemes, checkSuites, checkVersions, refused, TLS13 } from "./settings.ts";
import type { TlsHost } from "./tls-host.ts";

/** What the resources of one instance share. */
export interface TlsContext {
  ledger: Ledger;
  tls: TlsHost;
  identities: IdentityClasses;
}

/** The WIT record `sallyport:tls/connection.io-streams`. */
export interface IoStreams {
  publicInput: InputStream;
  publicOutput: OutputStream;
  privateOutput: OutputStream;
  privateInput: InputStream;
}

type ChannelBindingType = "tls-server-end-point" | "tls-exporter" | "peer-certificate-sha256";

/**
 * What the WIT resources `client` and `server` of `sallyport:tls/connection` have in common: WIT call to connection and
 * back, no protocol. Method names and errors are the WIT's; every `result` error is a `WitError<TlsErrorValue>`.
 */
export abstract class Endpoint extends Resource {
  protected readonly context: TlsContext;
  /** For host code. */
  readonly connection: TlsConnection;
  #streamsTaken = false;

  /** @param connection of this kind, for which there is no handle yet */
  constructor(context: TlsContext, connection: TlsConnection) {
    super(context.ledger);
    this.context = context;
    this.connection = connection;
  }

  /** Whether `configure-*` may be called now. */
  protected abstract get isConfigurable(): boolean;

  static supports(feature: string): boolean {
    return features.has(feature);
  }

  streams(): IoStreams {
    if (this.#streamsTaken || this.connection.phase.tag !== "constructed") throw refused("wrong-phase");
    this.#streamsTaken = true;
    const { connection, ledger } = this;
    return {
      publicInput: new InputStream(ledger, connection.publicInput),
      publicOutput: new OutputStream(ledger, connection.publicOutput),
      privateOutput: new OutputStream(ledger, connection.privateOutput),
      privateInput: new InputStream(ledger, connection.privateInput),
    };
  }

  configureAlpnIds(ids: Uint8Array[]): void {
    this.settings.alpnIds = checkAlpnIds(ids);
  }

  configureIdentities(identities: PrivateIdentity[]): void {
    if (identities.length > MAX_IDENTITIES) throw refused("invalid-argument");
    const { settings } = this;
    const keyPairs = identities.map((identity) => identity.keyPair);
    const own = keyPairs.filter((keyPair) => keyPair.origin === "guest").map((keyPair) => ({ thing: keyPair, size: keyPair.chain.size }));
    if (!this.connection.configured("identities", own)) throw refused("not-permitted");
    settings.identities = keyPairs;
  }

  configureProtocolVersions(minimum: number | undefined, maximum: number | undefined): void {
    const { settings } = this;
    const range = checkVersions(minimum, maximum);
    settings.minimumVersion = range.minimum;
    settings.maximumVersion = range.maximum;
  }

  configureCipherSuites(values: Uint16Array): void {
    this.settings.cipherSuites = checkSuites(values);
  }

  configureGroups(values: Uint16Array): void {
    this.settings.groups = checkGroups(values);
  }

  configureSignatureSchemes(values: Uint16Array): void {
    this.settings.signatureSchemes = checkSchemes(values);
  }

  configureSessionUse(enabled: boolean): void {
    this.settings.useSessions = enabled;
  }

  configureTruncation(mode: "detect" | "tolerate"): void {
    this.settings.truncation = mode;
  }

  /** @throws {WitError} `not-permitted` past what an instance's connections may be configured with */
  protected trust(resource: TrustAnchors | undefined): void {
    const { settings } = this;
    const anchors = resource?.anchors;
    const own = anchors === undefined ? [] : [{ thing: anchors, size: anchors.ownSize }];
    if (!this.connection.configured("anchors", own)) throw refused("not-permitted");
    settings.anchors = anchors;
  }

  start(): void {
    if (!this.#streamsTaken || !this.connection.start()) throw refused("wrong-phase");
  }

  subscribe(): Pollable {
    const { connection } = this;
    return new Pollable(
      this.ledger,
      connection.changed.when(() => connection.canSuspend || connection.pointsPassed),
    );
  }

  info(): ConnectionInfo | undefined {
    return this.connection.info();
  }

  localIdentity(): PrivateIdentity | undefined {
    this.#requireEstablished();
    const keyPair = this.connection.localIdentity;
    return keyPair === undefined ? undefined : new this.context.identities.PrivateIdentity(keyPair);
  }

  peerIdentity(): PublicIdentity | undefined {
    this.#requireEstablished();
    const chain = this.connection.peer?.chain;
    return chain === undefined ? undefined : new this.context.identities.PublicIdentity(chain);
  }

  exportKeyingMaterial(label: string, context: Uint8Array | undefined, length: number): Uint8Array {
    this.#requireEstablished();
    const isUsable = /^[\x20-\x7e]{1,128}$/.test(label) && !reservedLabels.has(label) && length >= 1 && length <= 1024;
    if (!isUsable || (context?.length ?? 0) > 1024) throw refused("invalid-argument");
    return this.#export(length, label, context);
  }

  channelBinding(kind: ChannelBindingType): Uint8Array {
    this.#requireEstablished();
    const { connection } = this;
    switch (kind) {
      case "peer-certificate-sha256": {
        const chain = connection.peer?.chain;
        if (chain === undefined) throw refused("not-supported");
        return chain.fingerprint.slice();
      }
      case "tls-exporter": {
        // RFC 9266, section 4.2: without the extended master secret the binding would not be unique in TLS 1.2.
        if (connection.info()!.protocolVersion < TLS13 && !connection.hasExtendedMasterSecret) throw refused("not-supported");
        return this.#export(32, "EXPORTER-Channel-Binding", new Uint8Array(0));
      }
      case "tls-server-end-point": {
        const chain = connection.plan.role === "client" ? connection.peer?.chain : connection.localIdentity?.chain;
        return serverEndPoint(chain);
      }
    }
  }

  abort(description: number): void {
    if (this.connection.phase.tag === "constructed") throw refused("wrong-phase");
    if (description === Alert.closeNotify || description === Alert.userCanceled) throw refused("invalid-argument");
    if (!this.connection.abort(description)) throw refused("closed");
  }

  closeOutput(): void {
    if (this.connection.phase.tag === "constructed") throw refused("wrong-phase");
    this.connection.closeOutput();
  }

  outcome(): Outcome | undefined {
    return this.connection.outcome;
  }

  errorDetail(): string | undefined {
    return this.connection.detail?.toWellFormed();
  }

  protected get settings(): TlsConnection["settings"] {
    if (!this.isConfigurable) throw refused("wrong-phase");
    return this.connection.settings;
  }

  protected override release(): void {
    this.connection.dropHandle();
  }

  /** Which error `suspend` answers when there is nothing to take. */
  protected suspendError(): WitError<"not-ready" | "already-suspended" | "closed"> {
    if (this.connection.pointsPassed) return new WitError("closed");
    return new WitError(this.connection.phase.tag === "held" ? "already-suspended" : "not-ready");
  }

  #export(length: number, label: string, context: Uint8Array | undefined): Uint8Array {
    const material = this.connection.exportKeyingMaterial(length, label, context);
    if (material === undefined) throw refused("wrong-phase");
    return new Uint8Array(material);
  }

  #requireEstablished(): void {
    const { phase } = this.connection;
    if (phase.tag === "ended") throw refused("closed");
    if (phase.tag !== "established") throw refused("wrong-phase");
  }
}

/** A connection for a new handle. @throws {WitError} `not-permitted` at the instance's limit */
export function newConnection({ tls }: TlsContext, plan: Plan, target?: Target): TlsConnection {
  if (tls.isFull) throw refused("not-permitted");
  return new TlsConnection(tls, plan, target);
}

/** What ended the connection, as an error to throw; `closed` if nothing is known. */
export function outcomeError(connection: TlsConnection): WitError<TlsErrorValue> {
  const { outcome } = connection;
  return outcome?.tag === "err" ? new WitError(outcome.val) : refused("closed");
}

/** Identities of one connection. */
export const MAX_IDENTITIES = 16;

/** What of `supports` this host does. */
const features: ReadonlySet<string> = new Set([
  "verify-client-identity",
  "cipher-suites",
  "groups",
  "group-getter",
  "signature-schemes",
  "session-resumption",
  "crl",
  "raw-client-hello",
  "accept-invalid",
]);

/** Labels that the TLS protocols derive their own keys with (RFC 5705, section 4). */
const reservedLabels: ReadonlySet<string> = new Set([
  "client finished",
  "server finished",
  "master secret",
  "key expansion",
  "extended master secret",
]);

/** RFC 5929, section 4.1: the hash of the certificate's signature, with SHA-256 in place of anything older. */
function serverEndPoint(chain: PublicChain | undefined): Uint8Array {
  if (chain === undefined) throw refused("not-supported");
  const der = chain.der[0]!;
  const hash = signatureHashes.get(readCertificate(der).signatureAlgorithm);
  // Ed25519 and RSA-PSS name no hash here: the binding is undefined for them.
  if (hash === undefined) throw refused("not-supported");
  return new Uint8Array(createHash(hash).update(der).digest());
}

const signatureHashes = new Map<string, string>([
  ["1.2.840.113549.1.1.4", "sha256"],
  ["1.2.840.113549.1.1.5", "sha256"],
  ["1.2.840.113549.1.1.11", "sha256"],
  ["1.2.840.113549.1.1.12", "sha384"],
  ["1.2.840.113549.1.1.13", "sha512"],
  ["1.2.840.10045.4.1", "sha256"],
  ["1.2.840.10045.4.3.2", "sha256"],
  ["1.2.840.10045.4.3.3", "sha384"],
  ["1.2.840.10045.4.3.4", "sha512"],
]);
