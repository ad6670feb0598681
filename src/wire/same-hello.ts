import type { ClientHello } from "./client-hello.ts";
import { extensionType } from "./extensions.ts";

/**
 * Compares the two hellos of a connection whose server answered the first with a HelloRetryRequest. RFC 8446, section
 * 4.1.2, lets the second differ in key_share, cookie, pre_shared_key and padding only, and drop early_data; the contents of
 * encrypted_client_hello change too (RFC 9849, section 6.1.5), its presence does not. The order of extensions is not compared.
 *
 * @returns the name of what differs without leave, or undefined if nothing does. The answer to a difference is alert 47.
 */
export function sameHello(first: ClientHello, second: ClientHello): string | undefined {
  if (first.legacyVersion !== second.legacyVersion) return "legacy version";
  if (!equal(first.random, second.random)) return "random";
  if (!equal(first.sessionId, second.sessionId)) return "session id";
  if (!equal(Uint16Array.from(first.cipherSuites), Uint16Array.from(second.cipherSuites))) return "cipher suites";
  if (!equal(first.compressionMethods, second.compressionMethods)) return "compression methods";

  const before = new Map(first.extensions.map(({ type, data }) => [type, data]));
  const after = new Map(second.extensions.map(({ type, data }) => [type, data]));
  for (const type of new Set([...before.keys(), ...after.keys()])) {
    if (!mayBecome(type, before.get(type), after.get(type))) return names.get(type) ?? `extension ${type}`;
  }
  return undefined;
}

function mayBecome(type: number, before: Uint8Array | undefined, after: Uint8Array | undefined): boolean {
  switch (type) {
    case extensionType.cookie:
    case extensionType.padding:
      return true;
    // Dropped if no key is left, never added.
    case extensionType.preSharedKey:
      return before !== undefined;
    case extensionType.earlyData:
      return after === undefined;
    case extensionType.keyShare:
    case extensionType.encryptedClientHello:
      return before !== undefined && after !== undefined;
    default:
      return before !== undefined && after !== undefined && equal(before, after);
  }
}

function equal(a: Uint8Array | Uint16Array, b: Uint8Array | Uint16Array): boolean {
  return a.length === b.length && a.every((value, index) => value === b[index]);
}

const names: ReadonlyMap<number, string> = new Map([
  [extensionType.serverName, "server name"],
  [extensionType.alpn, "ALPN ids"],
  [extensionType.supportedVersions, "protocol versions"],
  [extensionType.supportedGroups, "groups"],
  [extensionType.signatureAlgorithms, "signature schemes"],
  [extensionType.keyShare, "key share"],
  [extensionType.earlyData, "early data"],
  [extensionType.preSharedKey, "pre-shared key"],
  [extensionType.encryptedClientHello, "encrypted client hello"],
]);
