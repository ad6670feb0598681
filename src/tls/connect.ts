import { Client, ClientSuspension, type ConnectionInfo } from "sallyport:tls/connection@0.1.0";
import type { PrivateIdentity, TrustAnchors } from "sallyport:tls/identities@0.1.0";
import { encodeUtf8 } from "../bindings/text.ts";
import type { Scope } from "../reactor/cancel.ts";
import { count, decideAll, type UnverifiedPeer, unverifiedPeer } from "./suspension.ts";
import { Carrier, TlsConnection, type Transport } from "./tls-connection.ts";
import { tls } from "./tls-error.ts";

/** How to connect. Everything is optional: without any of it the server is verified against the host's anchors. */
export interface ConnectOptions {
  /** ALPN ids in descending preference. */
  alpn?: readonly string[];
  /** For a server that asks for a certificate. Borrowed. */
  identities?: readonly PrivateIdentity[];
  /** In place of the host's own. Borrowed. */
  anchors?: TrustAnchors;
  /** Names one of which the certificate must cover, in place of the server name. */
  names?: readonly string[];
  minimumVersion?: number;
  maximumVersion?: number;
  /** Take a cut for an end: for protocols that say themselves how long a message is. Default false. */
  tolerateTruncation?: boolean;
  /** Decide on the server while it waits: return to let it pass, throw (`RefusePeer`) to refuse it. */
  onServerIdentity?: (server: UnverifiedPeer) => Promise<void> | void;
  /** Look at what was negotiated before any application data moves. */
  onConnected?: (info: ConnectionInfo) => Promise<void> | void;
  scope?: Scope;
}

/**
 * TLS over a TCP connection, as a client.
 *
 * ```ts
 * using connection = await connectTls(await connectTcp("example.com", 443), "example.com");
 * await connection.writer.write(request);
 * ```
 *
 * @param transport owned from here on, also when this throws
 * @param serverName DNS name or IP literal
 * @throws {TlsError} why there is no connection; what a decision threw
 */
export async function connectTls(transport: Transport, serverName: string, options: ConnectOptions = {}): Promise<TlsConnection> {
  let client: Client | undefined;
  let carrier: Carrier | undefined;
  try {
    const points = { verifyServerIdentity: options.onServerIdentity !== undefined, connected: options.onConnected !== undefined };
    const made = tls(() => new Client(serverName, points));
    client = made;
    configure(made, options);
    carrier = Carrier.over(made, transport);
    tls(() => made.start());
    await decideAll(
      made,
      count(options.onServerIdentity, options.onConnected),
      (suspension) => ClientSuspension.resume(suspension),
      (suspension) => {
        const point = suspension.at();
        if (point.tag === "verify-server-identity") return options.onServerIdentity?.(unverifiedPeer(suspension, point.val));
        return point.tag === "connected" ? options.onConnected?.(point.val) : undefined;
      },
      options.scope,
    );
    return new TlsConnection(made, carrier);
  } catch (error) {
    carrier?.abandon();
    client?.[Symbol.dispose]();
    if (carrier === undefined) transport[Symbol.dispose]();
    throw error;
  }
}

function configure(client: Client, options: ConnectOptions): void {
  const { alpn, identities, anchors, names = [], minimumVersion, maximumVersion } = options;
  if (alpn !== undefined) tls(() => client.configureAlpnIds(alpn.map(encodeUtf8)));
  if (identities !== undefined) tls(() => client.configureIdentities([...identities]));
  if (anchors !== undefined || names.length > 0) tls(() => client.configureVerification({ anchors, names: [...names] }));
  if (minimumVersion !== undefined || maximumVersion !== undefined)
    tls(() => client.configureProtocolVersions(minimumVersion, maximumVersion));
  if (options.tolerateTruncation === true) tls(() => client.configureTruncation("tolerate"));
}
