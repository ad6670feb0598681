import type { ServerName } from "../../src/wire/server-name.ts";
import type { KeyPair, PrivateIdentity } from "../identity/private-identity.ts";
import type { AnchorSet, TrustAnchors } from "../identity/trust-anchors.ts";
import { WitError } from "../io/error.ts";
import { type Ledger, Resource } from "../io/ledger.ts";
import { ConfiguredThings, type Thing } from "../tls/configured-things.ts";
import type { TlsConnection } from "../tls/connection.ts";
import type { Target } from "../tls/connection-info.ts";
import { MAX_NAMES, parseTarget } from "../tls/imports.ts";
import { MAX_IDENTITIES } from "../tls/endpoint.ts";
import { checkAlpnIds } from "../tls/settings.ts";
import type { TlsHost } from "../tls/tls-host.ts";
import { timeoutOf } from "./dial.ts";
import type { InterceptorError } from "./interceptor-imports.ts";

/** The WIT record `route-options`. */
export interface RouteOptions {
  host: string;
  port: number;
  /** Nanoseconds. */
  connectTimeout: bigint;
  handshakeTimeout: bigint;
  serverName: string;
  anchors?: TrustAnchors;
  names: string[];
  alpnIds: Uint8Array[];
  identities: PrivateIdentity[];
}

/** How a server is dialled, and what its TLS is configured with: checked once, and used for as many connections as it is for. */
export class Route {
  readonly host: string;
  readonly port: number;
  /** Milliseconds. */
  readonly connectTimeout: number;
  readonly handshakeTimeout: number;
  readonly target: Target;
  readonly #names: ServerName[];
  readonly #alpnIds: Uint8Array[];
  readonly #identities: KeyPair[];
  readonly #anchors: AnchorSet | undefined;

  /** @throws {WitError} `invalid-argument` of the TLS settings */
  constructor(options: RouteOptions) {
    this.host = options.host;
    this.port = options.port;
    this.connectTimeout = timeoutOf(options.connectTimeout);
    this.handshakeTimeout = handshakeTime(options.handshakeTimeout);
    this.target = parseTarget(options.serverName);
    this.#names = options.names.map((name) => parseTarget(name).server);
    this.#alpnIds = checkAlpnIds(options.alpnIds);
    this.#identities = options.identities.map(({ keyPair }) => keyPair);
    this.#anchors = options.anchors?.anchors;
  }

  /** Configure a client with it. @returns false past what the instance's connections may be configured with */
  configure(connection: TlsConnection): boolean {
    const { settings } = connection;
    if (!connection.configured("identities", this.ownIdentities) || !connection.configured("anchors", this.ownAnchors)) return false;
    settings.identities = this.#identities;
    settings.anchors = this.#anchors;
    settings.names = this.#names;
    settings.alpnIds = this.#alpnIds;
    return true;
  }

  /** What the guest brought, with its weight. */
  get ownIdentities(): Thing[] {
    return this.#identities.filter(({ origin }) => origin === "guest").map((thing) => ({ thing, size: thing.chain.size }));
  }

  get ownAnchors(): Thing[] {
    return this.#anchors === undefined ? [] : [{ thing: this.#anchors, size: this.#anchors.ownSize }];
  }
}

/** The WIT resource `route`. */
export class RouteResource extends Resource {
  readonly route: Route;
  readonly #configured: ConfiguredThings;

  /** @throws {WitError<InterceptorError>} */
  protected static of(ledger: Ledger, tls: TlsHost, options: RouteOptions): RouteResource {
    const isShort = options.names.length <= MAX_NAMES && options.identities.length <= MAX_IDENTITIES && options.host.length <= MAX_HOST;
    if (!isShort) throw new WitError<InterceptorError>("invalid-argument");
    const route = checked(options);
    const configured = new ConfiguredThings(tls.configured);
    if (!configured.replace("identities", route.ownIdentities) || !configured.replace("anchors", route.ownAnchors)) {
      configured.release();
      throw new WitError<InterceptorError>("not-permitted");
    }
    return new this(ledger, route, configured);
  }

  protected constructor(ledger: Ledger, route: Route, configured: ConfiguredThings) {
    super(ledger);
    this.route = route;
    this.#configured = configured;
  }

  protected override release(): void {
    this.#configured.release();
  }
}

function checked(options: RouteOptions): Route {
  try {
    return new Route(options);
  } catch (error) {
    if (error instanceof WitError) throw new WitError<InterceptorError>("invalid-argument");
    throw error;
  }
}

/** Milliseconds that a handshake may take where a guest says so: never less than it says, but five minutes at most. */
export function handshakeTime(nanoseconds: bigint): number {
  return Math.min(MAX_HANDSHAKE, Number((nanoseconds + 999_999n) / 1_000_000n));
}

const MAX_HANDSHAKE = 300_000;
/** Characters: more than any name has, in any spelling. */
const MAX_HOST = 1024;
