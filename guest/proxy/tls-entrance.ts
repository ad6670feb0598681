import type { ClientCertificate } from "sallyport:tls/connection@0.1.0";
import { type IdentityError, PrivateIdentity, TrustAnchors } from "sallyport:tls/identities@0.1.0";
import { attempt } from "../../src/bindings/errors.ts";
import { wellFormed } from "../../src/bindings/text.ts";
import { Preopened } from "../../src/files/preopened.ts";
import type { TcpConnection } from "../../src/net/tcp-connection.ts";
import { acceptTls, RefusePeer, type TlsConnection, TlsError, type UnverifiedPeer } from "../../src/tls/index.ts";
import type { Channel } from "../../src/tokens/index.ts";
import { readCertificate } from "../../src/wire/certificate.ts";
import { parsePem } from "../../src/wire/pem.ts";
import { latin1 } from "../../src/wire/utf8.ts";
import { WireError } from "../../src/wire/wire-error.ts";
import { TlsClientConnection } from "./client-connection.ts";
import { serveProxyClient } from "./proxy-client.ts";
import { tell, tlsSide } from "./records.ts";
import type { Visit } from "./service.ts";
import { seconds, within } from "./within.ts";

/** How TLS to the proxy itself is spoken. */
export interface TlsEntrance {
  readonly identity: PrivateIdentity;
  readonly clientCertificate: { readonly mode: ClientCertificate; readonly anchors?: TrustAnchors };
}

/**
 * @param identity by the name under which the host has it
 * @param mode whether clients show a certificate; of the authorities in the host's file
 * @throws {Error} when the host did not give what is needed
 */
export function openTlsEntrance(identity: string, mode: ClientCertificate): TlsEntrance {
  const opened = attempt<PrivateIdentity, IdentityError>(() => PrivateIdentity.open(wellFormed(identity)));
  if (opened.tag === "err") throw new Error(`the identity ${identity} was not granted`);
  if (mode === "none") return { identity: opened.val, clientCertificate: { mode } };
  using folders = new Preopened();
  const blocks = parsePem(latin1(folders.readFile(CLIENT_AUTHORITIES)));
  const labelled = (wanted: string) => blocks.filter(({ label }) => label === wanted).map(({ bytes }) => bytes);
  const made = attempt<TrustAnchors, IdentityError>(() => TrustAnchors.fromX509(labelled("CERTIFICATE"), false, labelled("X509 CRL")));
  if (made.tag === "err") throw new Error(`the authorities of client certificates cannot be used: ${made.val}`);
  return { identity: opened.val, clientCertificate: { mode, anchors: made.val } };
}

/**
 * Serve one client that speaks TLS to the proxy itself.
 *
 * @param tcp owned from here on
 * @returns what went wrong, for the record
 */
export async function serveTlsClient(tcp: TcpConnection, visit: Visit, entrance: TlsEntrance): Promise<string | undefined> {
  const { client, service } = visit;
  let connection: TlsConnection;
  try {
    connection = await within(
      seconds(service.live.policy.settings.timeouts.handshake),
      (scope) =>
        acceptTls(tcp, {
          alpn: ["http/1.1"],
          identities: [entrance.identity],
          clientCertificate: entrance.clientCertificate,
          // With this point no session is taken up again: every connection proves anew who holds the certificate's key.
          ...(entrance.clientCertificate.mode === "none"
            ? {}
            : { onClientIdentity: (peer) => void (client.certificateSubject = subjectOf(peer)) }),
          // The proof comes after the certificate: only behind this point it has been seen.
          onAccepted: () => {},
          scope,
        }),
      client.scope,
    );
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    service.summary.failed++;
    tell("handshake", client.id, {
      clientAddress: client.address,
      ...(client.certificateSubject === undefined ? {} : { clientSubject: client.certificateSubject }),
      error: `client: ${why}`,
    });
    if (error instanceof TlsError || error instanceof RefusePeer) return why;
    throw error;
  }
  client.channel = channelOf(connection);
  tell("handshake", client.id, {
    clientAddress: client.address,
    ...(client.certificateSubject === undefined ? {} : { clientSubject: client.certificateSubject }),
    clientSide: tlsSide(connection.info),
  });
  return await serveProxyClient(new TlsClientConnection(connection), visit);
}

/** PEM. */
const CLIENT_AUTHORITIES = "/access/clients.pem";

/** What tokens can be bound to. */
function channelOf({ endpoint }: TlsConnection): Channel {
  const certificate = attempt(() => endpoint.channelBinding("peer-certificate-sha256"));
  const exporter = attempt(() => endpoint.channelBinding("tls-exporter"));
  return {
    certificateSha256: certificate.tag === "ok" ? certificate.val : undefined,
    tlsExporter: exporter.tag === "ok" ? exporter.val : undefined,
  };
}

function subjectOf(peer: UnverifiedPeer): string | undefined {
  if (!peer.presented) return undefined;
  try {
    return readCertificate(peer.chain()[0]!).subject.text;
  } catch (error) {
    if (error instanceof WireError) return "a certificate that cannot be read";
    throw error;
  }
}
