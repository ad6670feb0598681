import { sha256 } from "./sha2.ts";

/** The channel over which a token came, as far as its host could tell. */
export interface Channel {
  /** SHA-256 of the peer's leaf certificate (DER): 32 bytes. Only of a peer that proved that it holds the key. */
  certificateSha256?: Uint8Array | undefined;
  /** The value of RFC 9266, `tls-exporter`: 32 bytes. */
  tlsExporter?: Uint8Array | undefined;
}

/** The binding to a certificate: SHA-256 of its DER bytes. */
export function bindingOf(certificate: Uint8Array): Uint8Array {
  return sha256(certificate);
}
