import { ByteReader } from "./byte-reader.ts";
import { type Extension, extensionType, readExtensions } from "./extensions.ts";
import { handshakeType } from "./handshake.ts";
import { alertDescription, illegal, TlsWireError } from "./wire-error.ts";

/** A server hello, or a HelloRetryRequest, which has the same shape. */
export interface ServerHello {
  /** supported_versions if present, the legacy version otherwise. */
  readonly version: number;
  readonly cipherSuite: number;
  /** The group of key_share: chosen, or asked for by a HelloRetryRequest. None in TLS 1.2. */
  readonly group: number | undefined;
  readonly isHelloRetryRequest: boolean;
  /** extended_master_secret (RFC 7627) was agreed on. Means nothing in TLS 1.3. */
  readonly hasExtendedMasterSecret: boolean;
  /** 0 to 32 bytes. */
  readonly sessionId: Uint8Array;
}

/**
 * Parses a ServerHello message (RFC 8446, section 4.1.3; RFC 5246, section 7.4.1.3) with its handshake header. Extensions
 * that are not looked into are passed over.
 *
 * @throws TlsWireError `unexpected-message`, `malformed-message`, `illegal-parameter`, `unsupported-version`
 */
export function parseServerHello(message: Uint8Array): ServerHello {
  const reader = bodyOf(message, handshakeType.serverHello, "the server hello");
  const legacyVersion = reader.u16();
  if (legacyVersion >> 8 !== 0x03) {
    throw new TlsWireError("unsupported-version", alertDescription.protocolVersion, "the server hello is not of TLS");
  }
  const random = reader.bytes(32);
  const sessionId = reader.vector(1, 0, 32, "the session id");
  const cipherSuite = reader.u16();
  if (reader.u8() !== 0) throw illegal("the server chose a compression method");
  const extensions = readExtensions(reader, "the server hello");
  reader.end();

  const isHelloRetryRequest = random.every((byte, index) => byte === helloRetryRequestRandom[index]);
  return {
    version: readVersion(extensions) ?? legacyVersion,
    cipherSuite,
    group: readGroup(extensions, isHelloRetryRequest),
    isHelloRetryRequest,
    hasExtendedMasterSecret: extensions.some(({ type }) => type === extensionType.extendedMasterSecret),
    sessionId,
  };
}

/**
 * The named curve of a TLS 1.2 ServerKeyExchange message (RFC 8422, section 5.4), with its handshake header. Call it only
 * if the cipher suite is ECDHE: the parameters of other key exchanges may look alike.
 *
 * @returns a NamedGroup, or undefined if the curve is not a named one
 * @throws TlsWireError `unexpected-message`, `malformed-message`
 */
export function serverKeyExchangeGroup(message: Uint8Array): number | undefined {
  const reader = bodyOf(message, handshakeType.serverKeyExchange, "the server key exchange");
  if (reader.u8() !== NAMED_CURVE) return undefined;
  const group = reader.u16();
  reader.vector(1, 1, 0xff, "the server's public key");
  return group;
}

function bodyOf(message: Uint8Array, type: number, what: string): ByteReader {
  const outer = new ByteReader(message, what);
  if (outer.u8() !== type) throw new TlsWireError("unexpected-message", alertDescription.unexpectedMessage, `the message is not ${what}`);
  const body = outer.vector(3, 0, 0xffffff);
  outer.end();
  return new ByteReader(body, what);
}

function readVersion(extensions: readonly Extension[]): number | undefined {
  const data = extensions.find((extension) => extension.type === extensionType.supportedVersions)?.data;
  if (data === undefined) return undefined;
  const reader = new ByteReader(data, "supported_versions");
  const version = reader.u16();
  reader.end();
  return version;
}

function readGroup(extensions: readonly Extension[], isHelloRetryRequest: boolean): number | undefined {
  const data = extensions.find((extension) => extension.type === extensionType.keyShare)?.data;
  if (data === undefined) return undefined;
  const reader = new ByteReader(data, "key_share");
  const group = reader.u16();
  if (!isHelloRetryRequest) reader.vector(2, 1, 0xffff, "the server's key share");
  reader.end();
  return group;
}

/** ECCurveType named_curve. */
const NAMED_CURVE = 3;

/** The SHA-256 of "HelloRetryRequest" (RFC 8446, section 4.1.3). */
// oxfmt-ignore
const helloRetryRequestRandom = Uint8Array.of(
  0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
  0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
);
