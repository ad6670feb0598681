import { type ClientCertificate, type ClientHello, type ConnectionInfo, Server, ServerSuspension } from "sallyport:tls/connection@0.1.0";
import type { PrivateIdentity, TrustAnchors } from "sallyport:tls/identities@0.1.0";
import { encodeUtf8 } from "../bindings/text.ts";
import type { Scope } from "../reactor/cancel.ts";
import { count, decideAll, type UnverifiedPeer, unverifiedPeer } from "./suspension.ts";
import { Carrier, TlsConnection, type Transport } from "./tls-connection.ts";
import { tls } from "./tls-error.ts";

/** What a server answers a client with. */
export interface Answer {
  /** In descending preference; the first that the client can verify is used. Borrowed. */
  identities?: readonly PrivateIdentity[];
  /** ALPN ids in descending preference. */
  alpn?: readonly string[];
  /** Whether to ask for a client certificate, and whom to trust. Anchors are borrowed. */
  clientCertificate?: { mode: ClientCertificate; anchors?: TrustAnchors };
  minimumVersion?: number;
  maximumVersion?: number;
}

/** How to accept. */
export interface AcceptOptions extends Answer {
  /** Decide on the hello before anything is answered: what it returns comes on top of the options. Throw to refuse. */
  onClientHello?: (hello: ClientHello) => Promise<Answer | void> | Answer | void;
  /** Decide on the client while it waits: return to let it pass, throw (`RefusePeer`) to refuse it. */
  onClientIdentity?: (client: UnverifiedPeer) => Promise<void> | void;
  /** Look at what was negotiated before any application data moves. */
  onAccepted?: (info: ConnectionInfo) => Promise<void> | void;
  scope?: Scope;
}

/**
 * TLS over an accepted TCP connection, as a server.
 *
 * @param transport owned from here on, also when this throws
 * @throws {TlsError} why there is no connection; what a decision threw
 */
export async function acceptTls(transport: Transport, options: AcceptOptions): Promise<TlsConnection> {
  let server: Server | undefined;
  let carrier: Carrier | undefined;
  try {
    const made = tls(
      () =>
        new Server({
          clientHello: options.onClientHello !== undefined,
          verifyClientIdentity: options.onClientIdentity !== undefined,
          accepted: options.onAccepted !== undefined,
        }),
    );
    server = made;
    configure(made, options);
    carrier = Carrier.over(made, transport);
    tls(() => made.start());
    await decideAll(
      made,
      count(options.onClientHello, options.onClientIdentity, options.onAccepted),
      (suspension) => ServerSuspension.resume(suspension),
      (suspension) => {
        const point = suspension.at();
        if (point.tag === "verify-client-identity") return options.onClientIdentity?.(unverifiedPeer(suspension, point.val));
        if (point.tag === "accepted") return options.onAccepted?.(point.val);
        const answered = options.onClientHello?.(point.val);
        if (answered instanceof Promise) return answered.then((answer) => answer && configure(made, answer));
        return answered === undefined ? undefined : configure(made, answered);
      },
      options.scope,
    );
    return new TlsConnection(made, carrier);
  } catch (error) {
    carrier?.abandon();
    server?.[Symbol.dispose]();
    if (carrier === undefined) transport[Symbol.dispose]();
    throw error;
  }
}

function configure(server: Server, { identities, alpn, clientCertificate, minimumVersion, maximumVersion }: Answer): void {
  if (identities !== undefined) tls(() => server.configureIdentities([...identities]));
  if (alpn !== undefined) tls(() => server.configureAlpnIds(alpn.map(encodeUtf8)));
  if (clientCertificate !== undefined) tls(() => server.configureVerification(clientCertificate));
  if (minimumVersion !== undefined || maximumVersion !== undefined)
    tls(() => server.configureProtocolVersions(minimumVersion, maximumVersion));
}
