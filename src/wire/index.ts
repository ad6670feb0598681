export { decodeBase64, decodeBase64url, encodeBase64, encodeBase64url } from "./base64url.ts";
export { type AlternativeNames, type Certificate, type CertificateExtensions, keyUsageBit, readCertificate } from "./certificate.ts";
export type { DistinguishedName } from "./distinguished-name.ts";
export { decodeHex, encodeHex } from "./hex.ts";
export { formatIpAddress, type IpAddress, type IpPrefix, parseIpAddress, parseIpPrefix, prefixContains } from "./ip-address.ts";
export { parsePem, type PemBlock, type PemLimits } from "./pem.ts";
export { printable } from "./printable.ts";
export { WireError } from "./wire-error.ts";
