import { ByteReader } from "./byte-reader.ts";
import { illegal } from "./wire-error.ts";

/** ExtensionType values that the parsers here look into (IANA TLS ExtensionType Values). */
export const extensionType = {
  serverName: 0,
  supportedGroups: 10,
  signatureAlgorithms: 13,
  alpn: 16,
  padding: 21,
  extendedMasterSecret: 23,
  preSharedKey: 41,
  earlyData: 42,
  supportedVersions: 43,
  cookie: 44,
  keyShare: 51,
  encryptedClientHello: 0xfe0d,
} as const;

/** An extension as it stands in a hello. */
export interface Extension {
  readonly type: number;
  readonly data: Uint8Array;
}

/**
 * Reads the extension block that ends a hello, in the peer's order. A hello of TLS 1.2 may have none.
 *
 * @throws TlsWireError `malformed-message` for lengths that do not add up, `illegal-parameter` for a type that appears twice.
 */
export function readExtensions(reader: ByteReader, what: string): Extension[] {
  if (reader.left === 0) return [];
  const block = new ByteReader(reader.vector(2, 0, 0xffff, `the extensions of ${what}`), `the extensions of ${what}`);
  const extensions: Extension[] = [];
  const seen = new Set<number>();
  while (block.left > 0) {
    const type = block.u16();
    const data = block.vector(2, 0, 0xffff, `extension ${type}`);
    if (seen.has(type)) throw illegal(`extension ${type} appears twice`);
    seen.add(type);
    extensions.push({ type, data });
  }
  return extensions;
}
