import type { ClientHello } from "sallyport:tls/connection@0.1.0";
import type { TrustAnchors } from "sallyport:tls/identities@0.1.0";
import { optional } from "../../src/bindings/option.ts";
import { formatSocketAddress } from "../../src/net/socket-address.ts";
import type { TcpConnection } from "../../src/net/tcp-connection.ts";
import { acceptTls, type Answer, RefusePeer, type TlsConnection, TlsError } from "../../src/tls/index.ts";
import { readCertificate } from "../../src/wire/certificate.ts";
import { latin1 } from "../../src/wire/utf8.ts";
import { WireError } from "../../src/wire/wire-error.ts";
import type { ConnectionRecord } from "./access-log.ts";
import { HandshakeReport } from "./handshake-report.ts";
import type { ServerIdentities, ServerIdentity } from "./server-identities.ts";

/** AlertDescription (RFC 8446, section 6). */
const UNRECOGNIZED_NAME = 112;

/** What a handshake is decided by. */
export interface HandshakePolicy {
  readonly identities: ServerIdentities;
  /** Whether clients show a certificate, and the authorities that it may come from. */
  readonly clientAuth: { readonly mode: "none" } | { readonly mode: "optional" | "required"; readonly anchors: TrustAnchors };
  /** Told of each handshake, whatever became of it; `undefined`: nobody wants to know. */
  readonly report: ((text: string) => void) | undefined;
}

/** A client that is let in. */
export interface Accepted {
  readonly connection: TlsConnection;
  readonly record: ConnectionRecord;
  /** Chosen at client-hello. */
  readonly identity: ServerIdentity;
}

/** A client was not let in, or left before it was. */
export class HandshakeFailed extends Error {
  readonly code = "ERR_SALLYPORT_HANDSHAKE";
}

/**
 * Take a client in: look at its hello, choose the identity, look at its certificate, look at what was negotiated.
 *
 * @param tcp owned from here on, also when this throws
 * @throws {HandshakeFailed} why the client is not let in; the report has been told
 */
export async function acceptClient(tcp: TcpConnection, policy: HandshakePolicy): Promise<Accepted> {
  const client = addressOf(tcp);
  const report = policy.report === undefined ? undefined : new HandshakeReport(client);
  const { clientAuth } = policy;
  let chosen: ServerIdentity | undefined;
  let serverName: string | undefined;
  let clientSubject: string | undefined;
  try {
    const connection = await acceptTls(tcp, {
      alpn: ["http/1.1"],
      ...(clientAuth.mode === "none" ? {} : { clientCertificate: clientAuth }),
      onClientHello: (hello): Answer => {
        serverName = hello.serverName.tag === "dns" ? hello.serverName.val : undefined;
        chosen = choose(hello, policy.identities);
        report?.clientHello(hello, chosen, reason(hello, chosen));
        if (chosen === undefined) throw new RefusePeer(reason(hello, chosen), UNRECOGNIZED_NAME);
        return { identities: [chosen.handle] };
      },
      ...(clientAuth.mode === "none"
        ? {}
        : {
            onClientIdentity: (peer) => {
              if (peer.presented) clientSubject = subjectOf(peer.chain());
              report?.clientIdentity(clientSubject, peer.verdict);
            },
          }),
      ...(report === undefined ? {} : { onAccepted: (info) => report.accepted(info, alpnOf(info)) }),
    });
    const { info } = connection;
    const record: ConnectionRecord = {
      client,
      serverName,
      version: info.protocolVersion,
      suite: info.cipherSuite,
      alpn: alpnOf(info),
      group: optional(info.group),
      resumed: info.sessionReused,
      clientSubject,
    };
    return { connection, record, identity: chosen! };
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    report?.failed(why);
    if (error instanceof TlsError || error instanceof RefusePeer) throw new HandshakeFailed(why, { cause: error });
    throw error;
  } finally {
    if (report !== undefined) policy.report?.(report.text());
  }
}

function choose({ serverName }: ClientHello, identities: ServerIdentities): ServerIdentity | undefined {
  // What is no host name is not taken for the absence of one.
  if (serverName.tag === "invalid") return undefined;
  return identities.choose(serverName.tag === "dns" ? serverName.val : undefined);
}

function reason({ serverName }: ClientHello, chosen: ServerIdentity | undefined): string {
  if (serverName.tag === "dns")
    return chosen === undefined ? "no certificate covers the server name" : "whose certificate covers the server name";
  if (serverName.tag === "invalid") return "the server name is malformed";
  return chosen === undefined ? "no server name was asked for, and there is no default" : "the default for clients without a server name";
}

function alpnOf({ alpnId }: { alpnId?: Uint8Array }): string | undefined {
  const id = optional(alpnId);
  return id === undefined ? undefined : latin1(id);
}

function subjectOf(chain: readonly Uint8Array[]): string {
  try {
    return readCertificate(chain[0]!).subject.text;
  } catch (error) {
    if (error instanceof WireError) return "a certificate that cannot be read";
    throw error;
  }
}

/** A client that has gone by now has no address any more. */
function addressOf(tcp: TcpConnection): string {
  try {
    return formatSocketAddress(tcp.remoteAddress);
  } catch {
    return "?";
  }
}
