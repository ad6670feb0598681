/** A protocol version for people. */
export function versionName(version: number): string {
  return version === 0x0304 ? "TLS 1.3" : version === 0x0303 ? "TLS 1.2" : hexName(version);
}

/** A cipher suite by its registered name. */
export function cipherSuiteName(suite: number): string {
  return suites.get(suite) ?? hexName(suite);
}

/** A key exchange group by its registered name. */
export function groupName(group: number): string {
  return groups.get(group) ?? hexName(group);
}

function hexName(value: number): string {
  return `0x${value.toString(16).padStart(4, "0")}`;
}

/** Of the TLS Cipher Suites registry: what safe defaults negotiate. */
const suites = new Map<number, string>([
  [0x1301, "TLS_AES_128_GCM_SHA256"],
  [0x1302, "TLS_AES_256_GCM_SHA384"],
  [0x1303, "TLS_CHACHA20_POLY1305_SHA256"],
  [0x1304, "TLS_AES_128_CCM_SHA256"],
  [0xc02b, "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"],
  [0xc02c, "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"],
  [0xc02f, "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"],
  [0xc030, "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"],
  [0xcca8, "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"],
  [0xcca9, "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"],
  [0x009e, "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256"],
  [0x009f, "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384"],
]);

/** Of the TLS Supported Groups registry. */
const groups = new Map<number, string>([
  [0x0017, "secp256r1"],
  [0x0018, "secp384r1"],
  [0x0019, "secp521r1"],
  [0x001d, "x25519"],
  [0x001e, "x448"],
  [0x0100, "ffdhe2048"],
  [0x0101, "ffdhe3072"],
  [0x11eb, "SecP256r1MLKEM768"],
  [0x11ec, "X25519MLKEM768"],
  [0x11ed, "SecP384r1MLKEM1024"],
]);
