import type { ServerHello } from "../../src/wire/server-hello.ts";
import { plaintextAlert, sealedAlert, trafficSecret } from "./alert.ts";
import { TLS13 } from "./settings.ts";

/** How far a handshake is, as far as an alert depends on it. */
export interface Progress {
  /** Whether the TLS library has the connection. */
  isStarted: boolean;
  /** Whether our last flight is withheld. */
  isHolding: boolean;
  /** Whether the handshake is done on our side. */
  isFinished: boolean;
  serverHello: ServerHello | undefined;
}

/**
 * Makes alerts of our choice that the peer can read, which node:tls cannot: in TLS 1.3 as the first record of a traffic key,
 * as long as nothing else went out under it.
 */
export class AlertSealer {
  readonly #role: "client" | "server";
  #secret: Uint8Array | undefined;

  constructor(role: "client" | "server") {
    this.#role = role;
  }

  /** Look for the secret in a line of key material. */
  learn(keyLogLine: string): void {
    const entry = trafficSecret(keyLogLine);
    const label = this.#role === "client" ? "CLIENT_HANDSHAKE_TRAFFIC_SECRET" : "SERVER_TRAFFIC_SECRET_0";
    if (entry?.label === label) this.#secret = entry.secret;
  }

  /** An alert would no longer be the first record of its key. */
  forget(): void {
    this.#secret = undefined;
  }

  /** The alert as bytes, or `undefined` where this host cannot make any that the peer can read. */
  seal(description: number, { isStarted, isHolding, isFinished, serverHello }: Progress): Uint8Array | undefined {
    if (!isStarted) return this.#role === "server" ? plaintextAlert(description) : undefined;
    if (!isHolding && !isFinished) return undefined;
    if (serverHello === undefined) return undefined;
    if (serverHello.version < TLS13) return isHolding ? plaintextAlert(description) : undefined;
    return this.#secret === undefined ? undefined : sealedAlert(serverHello.cipherSuite, this.#secret, description);
  }
}
