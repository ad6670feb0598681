import type { KeyPair } from "../identity/private-identity.ts";
import type { AnchorSet } from "../identity/trust-anchors.ts";
import type { CertificateError } from "../io/source.ts";
import { SessionStore } from "./session-store.ts";
import { SharedBudget } from "./shared-budget.ts";

/** What the embedder grants and sets for the TLS of one instance. */
export interface TlsOptions {
  /** Identities that the guest may open by name. */
  identities: Map<string, KeyPair>;
  /** What peers are verified against unless the guest names anchors. */
  anchors: AnchorSet;
  /** Verdicts that the guest may override, by server name. */
  allowInvalid: Map<string, Set<CertificateError>>;
  /** How long a peer may leave a handshake unfinished, in milliseconds. */
  handshakeTimeout: number;
  /** Live connections at most. */
  maxConnections: number;
  /** Whether node:tls may be given the socket itself where nothing is lost by it. */
  attach: boolean;
  /** Told when a guest wanted to go on with a peer that was not granted: server name and verdict. */
  onRefusal?: (serverName: string | undefined, verdict: CertificateError[]) => void;
}

/** A connection, as far as its host cares. */
interface Endable {
  terminate(): void;
}

const MAX_CONTEXT_BYTES = 256 * 1024 * 1024;
const MAX_CONFIGURED = 64 * 1024 * 1024;

/** The TLS side of one instance: what its connections share. */
export class TlsHost {
  readonly sessions = new SessionStore();
  readonly options: TlsOptions;
  /** What its connections' contexts hold in OpenSSL. */
  readonly contexts = new SharedBudget(MAX_CONTEXT_BYTES);
  /** Anchors and identities that its connections are configured with, whether or not the guest kept the handles. */
  readonly configured = new SharedBudget(MAX_CONFIGURED);
  readonly #connections = new Set<Endable>();

  constructor(options: TlsOptions) {
    this.options = options;
  }

  get anchors(): AnchorSet {
    return this.options.anchors;
  }

  get handshakeTimeout(): number {
    return this.options.handshakeTimeout;
  }

  get isFull(): boolean {
    return this.#connections.size >= this.options.maxConnections;
  }

  get connections(): number {
    return this.#connections.size;
  }

  connectionOpened(connection: Endable): void {
    this.#connections.add(connection);
  }

  connectionClosed(connection: Endable): void {
    this.#connections.delete(connection);
  }

  /** The instance is gone: end what is left of it. */
  close(): void {
    for (const connection of Array.from(this.#connections)) connection.terminate();
  }
}
