import type { ServerName } from "../../src/wire/server-name.ts";
import type { KeyPair } from "../identity/private-identity.ts";
import type { PublicChain } from "../identity/public-identity.ts";
import type { CertificateError, Ending, TlsErrorValue } from "../io/source.ts";
import type { HandshakeWatch } from "./handshake-watch.ts";
import type { NodeTls } from "./node-tls.ts";
import { TLS12, TLS13 } from "./settings.ts";
import { suiteByName } from "./wire-names.ts";

/** What was negotiated, as `sallyport:tls/connection.connection-info`. */
export interface ConnectionInfo {
  protocolVersion: number;
  cipherSuite: number;
  alpnId: Uint8Array | undefined;
  group: number | undefined;
  sessionReused: boolean;
  overridden: CertificateError[];
}

/** The part of it that the two sides agreed on. */
export type Negotiated = Omit<ConnectionInfo, "overridden">;

/** The peer as it was judged. */
export interface Peer {
  chain: PublicChain | undefined;
  verdict: CertificateError[];
}

/** Whom a client talks to. */
export interface Target {
  server: ServerName;
  /** The same as text. */
  name: string;
  /** For SNI: DNS names only. */
  sni: string | undefined;
}

/** How a connection ended, as the WIT result. */
export type Outcome = { tag: "ok"; val: Ending } | { tag: "err"; val: TlsErrorValue };

/** What only one side knows of a negotiation, or the host alone. */
export interface OwnSide {
  alpnId: Uint8Array | undefined;
  /** Attached: the one group that was offered. */
  group: number | undefined;
}

/** Put together what node:tls tells, what the wire showed, which is more exact, and what is known on our side. */
export function negotiatedWith(node: NodeTls, watch: HandshakeWatch, own: OwnSide): Negotiated {
  const hello = watch.serverHello;
  return {
    protocolVersion: hello?.version ?? (node.protocol === "TLSv1.3" ? TLS13 : TLS12),
    cipherSuite: hello?.cipherSuite ?? suiteByName(node.cipher ?? "") ?? 0,
    alpnId: own.alpnId,
    group: own.group ?? watch.group,
    sessionReused: node.isSessionReused,
  };
}

/** Clients: which of several identities the TLS library sent, or would have. */
export function chosenIdentity(node: NodeTls, identities: readonly KeyPair[]): KeyPair | undefined {
  if (identities.length < 2) return undefined;
  const chosen = node.localCertificate;
  return chosen && identities.find(({ chain }) => chain.leaf.raw.equals(chosen.raw));
}

/** Clients: node:tls tells an ALPN id as text. @returns the one of `offered` that reads so */
export function chosenAlpn(node: NodeTls, offered: readonly Uint8Array[]): Uint8Array | undefined {
  const text = node.alpn;
  if (text === undefined) return undefined;
  return offered.find((id) => Buffer.from(id).toString("latin1") === text || Buffer.from(id).toString("utf8") === text);
}
