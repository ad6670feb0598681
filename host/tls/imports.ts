import { parseServerName } from "../../src/wire/server-name.ts";
import { WireError } from "../../src/wire/wire-error.ts";
import type { TrustAnchors } from "../identity/trust-anchors.ts";
import type { IoError } from "../io/error.ts";
import type { TlsErrorValue } from "../io/source.ts";
import type { Target } from "./connection-info.ts";
import { TlsConnection } from "./connection.ts";
import { Endpoint, newConnection, type TlsContext } from "./endpoint.ts";
import type { Plan, Point } from "./phase.ts";
import { refused } from "./settings.ts";
import { helloRecord, Suspension, type UnverifiedPeer } from "./suspension.ts";

/** The WIT flags `client-suspension-points` and `server-suspension-points`. */
interface ClientPoints {
  verifyServerIdentity?: boolean;
  selectClientIdentity?: boolean;
  connected?: boolean;
}
interface ServerPoints {
  clientHello?: boolean;
  verifyClientIdentity?: boolean;
  accepted?: boolean;
}

/** The WIT records `server-verification` and `client-verification`. */
interface ServerVerification {
  anchors?: TrustAnchors;
  names: string[];
}
interface ClientVerification {
  mode: "none" | "optional" | "required";
  anchors?: TrustAnchors;
}

/** Names of a server's verification. */
export const MAX_NAMES = 16;

/** The imports `sallyport:tls/connection`, with how host code makes a handle to a connection that it made itself. */
export interface ConnectionImports extends Record<string, object> {
  Client: new (connection: TlsConnection) => Endpoint;
  Server: new (connection: TlsConnection) => Endpoint;
}

/** The imports `sallyport:tls/connection` of one instance. */
export function connectionImports(context: TlsContext): ConnectionImports {
  class ClientSuspension extends Suspension {
    at(): object {
      if (this.point === "verify") return { tag: "verify-server-identity", val: this.unverifiedPeer() satisfies UnverifiedPeer };
      return { tag: "connected", val: this.info() };
    }

    static resume(suspension: ClientSuspension): void {
      suspension.resumeNow();
    }
  }

  class ServerSuspension extends Suspension {
    at(): object {
      if (this.point === "client-hello") return { tag: "client-hello", val: helloRecord(this.connection.hello!) };
      if (this.point === "verify") return { tag: "verify-client-identity", val: this.unverifiedPeer() satisfies UnverifiedPeer };
      return { tag: "accepted", val: this.info() };
    }

    rawClientHello(): Uint8Array {
      if (this.point !== "client-hello") throw refused("wrong-phase");
      return this.connection.hello!.raw;
    }

    static resume(suspension: ServerSuspension): void {
      suspension.resumeNow();
    }
  }

  class Client extends Endpoint {
    readonly #points: ClientPoints;

    /** A guest gives a name; host code may give a connection. */
    constructor(from: string | TlsConnection, points: ClientPoints = {}) {
      const plan = { role: "client", points: pointSet({ verify: points.verifyServerIdentity, done: points.connected }) } as const;
      super(context, from instanceof TlsConnection ? from : newConnection(context, plan, parseTarget(from)));
      this.#points = points;
    }

    protected override get isConfigurable(): boolean {
      return this.connection.phase.tag === "constructed";
    }

    configureVerification({ anchors, names }: ServerVerification): void {
      if (names.length > MAX_NAMES) throw refused("invalid-argument");
      const { settings } = this;
      const targets = names.map(parseTarget);
      this.trust(anchors);
      settings.names = targets.map((target) => target.server);
    }

    override start(): void {
      // node:tls fixes a client's identities when it makes the connection: the point could be raised, not acted on.
      if (this.#points.selectClientIdentity === true) throw refused("not-supported");
      super.start();
    }

    suspend(): ClientSuspension {
      const { phase } = this.connection;
      if (phase.tag !== "held" || !this.connection.suspend()) throw this.suspendError();
      return new ClientSuspension(context, this.connection, phase.at);
    }
  }

  class Server extends Endpoint {
    /** As that of `Client`. */
    constructor(from: ServerPoints | TlsConnection) {
      super(context, from instanceof TlsConnection ? from : newConnection(context, serverPlan(from)));
    }

    protected override get isConfigurable(): boolean {
      const { phase } = this.connection;
      return phase.tag === "constructed" || (phase.tag === "held" && phase.at === "client-hello");
    }

    configureVerification({ mode, anchors }: ClientVerification): void {
      // A server that would let in whoever some public authority ever signed is never meant.
      if (mode !== "none" && anchors === undefined) throw refused("invalid-argument");
      const { settings } = this;
      this.trust(anchors);
      settings.clientCertificate = mode;
    }

    serverName(): string | undefined {
      const name = this.connection.hello?.serverName;
      return name?.tag === "dns" ? name.name : undefined;
    }

    suspend(): ServerSuspension {
      const { phase } = this.connection;
      if (phase.tag !== "held" || !this.connection.suspend()) throw this.suspendError();
      return new ServerSuspension(context, this.connection, phase.at);
    }
  }

  return {
    Client,
    Server,
    ClientSuspension,
    ServerSuspension,
    tlsErrorCode: (error: IoError): TlsErrorValue | undefined => error.failure.tls,
  };
}

function serverPlan({ clientHello, verifyClientIdentity, accepted }: ServerPoints): Plan {
  return { role: "server", points: pointSet({ "client-hello": clientHello, verify: verifyClientIdentity, done: accepted }) };
}

function pointSet(wanted: Partial<Record<Point, boolean | undefined>>): ReadonlySet<Point> {
  return new Set((Object.keys(wanted) as Point[]).filter((point) => wanted[point] === true));
}

/** Whom a client talks to. @throws {WitError} `invalid-argument` */
export function parseTarget(text: string): Target {
  try {
    const name = parseServerName(text, { trailingDot: "drop" });
    return name.tag === "dns" ? { server: name, name: name.name, sni: name.name } : { server: name, name: name.text, sni: undefined };
  } catch (error) {
    if (error instanceof WireError) throw refused("invalid-argument");
    throw error;
  }
}
