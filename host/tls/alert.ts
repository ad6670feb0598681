import { createCipheriv, createHmac } from "node:crypto";

/** Alert descriptions of RFC 8446, section 6, that this host sends or tells apart. */
export const Alert = {
  closeNotify: 0,
  unexpectedMessage: 10,
  handshakeFailure: 40,
  badCertificate: 42,
  illegalParameter: 47,
  decodeError: 50,
  protocolVersion: 70,
  internalError: 80,
  userCanceled: 90,
  unrecognizedName: 112,
  certificateRequired: 116,
  noApplicationProtocol: 120,
} as const;

const FATAL = 2;

/** A plaintext alert record (RFC 8446, section 5.1): what may be sent before keys are in use. */
export function plaintextAlert(description: number): Uint8Array {
  return Uint8Array.of(21, 3, 3, 0, 2, FATAL, description);
}

/**
 * A fatal alert as the first record under a TLS 1.3 traffic key (RFC 8446, sections 5.2, 5.3 and 7.3).
 *
 * node:tls cannot be made to send an alert of our choice, but it tells the traffic secrets. The record must really be the
 * first: the sequence number that goes into the nonce is 0.
 *
 * @param suite the TLS 1.3 cipher suite
 * @param secret the traffic secret of the direction
 * @returns `undefined` for a suite that this host does not know
 */
export function sealedAlert(suite: number, secret: Uint8Array, description: number): Uint8Array | undefined {
  const aead = aeads.get(suite);
  if (aead === undefined) return undefined;
  const key = expandLabel(aead.hash, secret, "key", aead.keyLength);
  const nonce = expandLabel(aead.hash, secret, "iv", 12);
  const header = Uint8Array.of(23, 3, 3, 0, 2 + 1 + 16);
  const cipher = createCipheriv(aead.cipher as "chacha20-poly1305", key, nonce, { authTagLength: 16 });
  cipher.setAAD(header, { plaintextLength: 3 });
  const sealed = cipher.update(Uint8Array.of(FATAL, description, 21));
  cipher.final();
  return Buffer.concat([header, sealed, cipher.getAuthTag()]);
}

const aeads = new Map<
  number,
  { cipher: "aes-128-gcm" | "aes-256-gcm" | "chacha20-poly1305"; keyLength: number; hash: "sha256" | "sha384" }
>([
  [0x1301, { cipher: "aes-128-gcm", keyLength: 16, hash: "sha256" }],
  [0x1302, { cipher: "aes-256-gcm", keyLength: 32, hash: "sha384" }],
  [0x1303, { cipher: "chacha20-poly1305", keyLength: 32, hash: "sha256" }],
]);

/** HKDF-Expand-Label of RFC 8446, section 7.1, with an empty context and at most one block of output. */
function expandLabel(hash: "sha256" | "sha384", secret: Uint8Array, label: string, length: number): Uint8Array {
  const name = Buffer.from(`tls13 ${label}`, "latin1");
  const info = Buffer.concat([Uint8Array.of(length >> 8, length & 0xff, name.length), name, Uint8Array.of(0)]);
  return createHmac(hash, secret).update(info).update(Uint8Array.of(1)).digest().subarray(0, length);
}

/** The secrets of a key log line (NSS Key Log Format) that an alert may have to be sealed with. */
export function trafficSecret(line: string): { label: string; secret: Uint8Array } | undefined {
  const [label, , secret] = line.trim().split(" ");
  return label === undefined || secret === undefined ? undefined : { label, secret: Buffer.from(secret, "hex") };
}

/**
 * The alert behind an OpenSSL error of node:tls, which tells a received alert only by the text of its reason.
 *
 * @param code the error's `code`, for example "ERR_SSL_SSL/TLS_ALERT_BAD_CERTIFICATE" or "ERR_SSL_TLSV1_ALERT_UNKNOWN_CA"
 */
export function receivedAlert(code: string): number | undefined {
  // OpenSSL's names of the alerts of RFC 6066 leave ALERT out: ERR_SSL_TLSV1_UNRECOGNIZED_NAME.
  const name = /^ERR_SSL_(?:SSLV3|SSL\/TLS|TLSV1|TLSV13)_(?:ALERT_)?(.+)$/.exec(code)?.[1];
  return name === undefined ? undefined : alertsByName.get(name);
}

const alertsByName = new Map<string, number>([
  ["UNEXPECTED_MESSAGE", 10],
  ["BAD_RECORD_MAC", 20],
  ["DECRYPTION_FAILED", 21],
  ["RECORD_OVERFLOW", 22],
  ["DECOMPRESSION_FAILURE", 30],
  ["HANDSHAKE_FAILURE", 40],
  ["NO_CERTIFICATE", 41],
  ["BAD_CERTIFICATE", 42],
  ["UNSUPPORTED_CERTIFICATE", 43],
  ["CERTIFICATE_REVOKED", 44],
  ["CERTIFICATE_EXPIRED", 45],
  ["CERTIFICATE_UNKNOWN", 46],
  ["ILLEGAL_PARAMETER", 47],
  ["UNKNOWN_CA", 48],
  ["ACCESS_DENIED", 49],
  ["DECODE_ERROR", 50],
  ["DECRYPT_ERROR", 51],
  ["EXPORT_RESTRICTION", 60],
  ["PROTOCOL_VERSION", 70],
  ["INSUFFICIENT_SECURITY", 71],
  ["INTERNAL_ERROR", 80],
  ["INAPPROPRIATE_FALLBACK", 86],
  ["USER_CANCELLED", 90],
  ["NO_RENEGOTIATION", 100],
  ["MISSING_EXTENSION", 109],
  ["UNSUPPORTED_EXTENSION", 110],
  ["CERTIFICATE_UNOBTAINABLE", 111],
  ["UNRECOGNIZED_NAME", 112],
  ["BAD_CERTIFICATE_STATUS_RESPONSE", 113],
  ["BAD_CERTIFICATE_HASH_VALUE", 114],
  ["UNKNOWN_PSK_IDENTITY", 115],
  ["CERTIFICATE_REQUIRED", 116],
  ["NO_APPLICATION_PROTOCOL", 120],
]);
