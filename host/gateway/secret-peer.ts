import type { X509Certificate } from "node:crypto";
import type { PublicChain } from "../identity/public-identity.ts";
import type { AnchorSet } from "../identity/trust-anchors.ts";
import type { Sink } from "../io/source.ts";
import { connectionOf, type TcpConnection, TcpSink } from "../net/tcp-socket.ts";
import { TlsConnection } from "../tls/connection.ts";
import type { Dialled } from "./dial.ts";
import type { SecretRules } from "./secret-grants.ts";

/** Why a peer gets no secret; the WIT's words. */
export type PeerFault = "wrong-phase" | "not-dialled" | "wrong-server" | "not-verified" | "own-authority";

/** What the host knows by itself about where the connections of an instance lead. */
export interface PeerContext {
  dialled: WeakMap<TcpConnection, Dialled>;
  /** The host's own. */
  anchors: () => AnchorSet;
  /** Certificates of the authorities that the instance may issue from. */
  issuers: readonly X509Certificate[];
}

/** A peer that a secret may go to. */
export interface TrustedPeer {
  dialled: Dialled;
  /** The verified name. */
  server: string;
}

/** The TLS connection whose private output this is. */
export function connectionBehind(sink: Sink): TlsConnection | undefined {
  const { owner } = sink;
  return owner instanceof TlsConnection && owner.privateOutput === sink ? owner : undefined;
}

/** Which dial a sink's bytes go to, with or without TLS. */
export function dialledBehind(sink: Sink, { dialled }: PeerContext): Dialled | undefined {
  const carrier = connectionBehind(sink)?.carrier?.sink ?? sink;
  return carrier instanceof TcpSink ? dialled.get(carrier.connection) : undefined;
}

/** Judge a connection for a secret. Nothing that the guest says counts: only what the host did and saw itself. */
export function judgePeer(connection: TlsConnection, rules: SecretRules, context: PeerContext): TrustedPeer | PeerFault {
  const { carrier, peer, settings, target } = connection;
  const info = connection.info();
  if (connection.plan.role !== "client" || connection.phase.tag !== "established" || info === undefined || target === undefined)
    return "wrong-phase";
  const tcp = carrier === undefined ? undefined : connectionOf(carrier.source, carrier.sink);
  const dialled = tcp === undefined ? undefined : context.dialled.get(tcp);
  if (dialled === undefined) return "not-dialled";
  // A server may be chosen by the name that is sent and proven by another one: both have to be granted.
  if (![target.server, ...settings.names].every((name) => rules.allowsServer(name, dialled.port))) return "wrong-server";
  const anchors = context.anchors();
  if (settings.anchors !== undefined && settings.anchors !== anchors) return "not-verified";
  if (info.overridden.length > 0 || (peer !== undefined && peer.verdict.length > 0)) return "not-verified";
  if (peer?.chain === undefined && !info.sessionReused) return "not-verified";
  if (mayBeOwn(peer?.chain, anchors, context.issuers)) return "own-authority";
  return { dialled, server: target.name };
}

/**
 * Whether one of the instance's authorities may stand behind the peer. A resumed session shows no certificate: it is as
 * trustworthy as the anchors that it was verified against, so none of the authorities may be among them.
 */
function mayBeOwn(chain: PublicChain | undefined, anchors: AnchorSet, issuers: readonly X509Certificate[]): boolean {
  if (chain === undefined) return issuers.some((issuer) => anchors.has(issuer));
  // Some signatures are verified for it, and a connection may carry many requests.
  let isOwn = judged.get(chain);
  if (isOwn === undefined) {
    const { certificates } = chain;
    isOwn = issuers.some((issuer) => certificates.some((it) => it.raw.equals(issuer.raw) || isSignedBy(it, issuer)));
    judged.set(chain, isOwn);
  }
  return isOwn;
}

/** A chain belongs to one connection, and so to one instance with its issuers. */
const judged = new WeakMap<PublicChain, boolean>();

function isSignedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  try {
    return certificate.verify(issuer.publicKey);
  } catch {
    return false;
  }
}
