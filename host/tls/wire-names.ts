/** Wire values of the IANA TLS registries and the names that OpenSSL has for them. What is not here cannot be configured. */

interface Suite {
  openssl: string;
  tls13: boolean;
  /** Offered unless the guest says otherwise: authenticated encryption and forward secrecy only. */
  byDefault: boolean;
}

const suites = new Map<number, Suite>([
  [0x1301, { openssl: "TLS_AES_128_GCM_SHA256", tls13: true, byDefault: true }],
  [0x1302, { openssl: "TLS_AES_256_GCM_SHA384", tls13: true, byDefault: true }],
  [0x1303, { openssl: "TLS_CHACHA20_POLY1305_SHA256", tls13: true, byDefault: true }],
  [0xc02b, { openssl: "ECDHE-ECDSA-AES128-GCM-SHA256", tls13: false, byDefault: true }],
  [0xc02f, { openssl: "ECDHE-RSA-AES128-GCM-SHA256", tls13: false, byDefault: true }],
  [0xc02c, { openssl: "ECDHE-ECDSA-AES256-GCM-SHA384", tls13: false, byDefault: true }],
  [0xc030, { openssl: "ECDHE-RSA-AES256-GCM-SHA384", tls13: false, byDefault: true }],
  [0xcca9, { openssl: "ECDHE-ECDSA-CHACHA20-POLY1305", tls13: false, byDefault: true }],
  [0xcca8, { openssl: "ECDHE-RSA-CHACHA20-POLY1305", tls13: false, byDefault: true }],
  [0xc023, { openssl: "ECDHE-ECDSA-AES128-SHA256", tls13: false, byDefault: false }],
  [0xc024, { openssl: "ECDHE-ECDSA-AES256-SHA384", tls13: false, byDefault: false }],
  [0xc027, { openssl: "ECDHE-RSA-AES128-SHA256", tls13: false, byDefault: false }],
  [0xc028, { openssl: "ECDHE-RSA-AES256-SHA384", tls13: false, byDefault: false }],
  [0xc009, { openssl: "ECDHE-ECDSA-AES128-SHA", tls13: false, byDefault: false }],
  [0xc00a, { openssl: "ECDHE-ECDSA-AES256-SHA", tls13: false, byDefault: false }],
  [0xc013, { openssl: "ECDHE-RSA-AES128-SHA", tls13: false, byDefault: false }],
  [0xc014, { openssl: "ECDHE-RSA-AES256-SHA", tls13: false, byDefault: false }],
]);

const groups = new Map<number, string>([
  [0x11ec, "X25519MLKEM768"],
  [0x11eb, "SecP256r1MLKEM768"],
  [0x11ed, "SecP384r1MLKEM1024"],
  [0x001d, "X25519"],
  [0x001e, "X448"],
  [0x0017, "P-256"],
  [0x0018, "P-384"],
  [0x0019, "P-521"],
]);

const schemes = new Map<number, string>([
  [0x0403, "ecdsa_secp256r1_sha256"],
  [0x0503, "ecdsa_secp384r1_sha384"],
  [0x0603, "ecdsa_secp521r1_sha512"],
  [0x0807, "ed25519"],
  [0x0808, "ed448"],
  [0x0804, "rsa_pss_rsae_sha256"],
  [0x0805, "rsa_pss_rsae_sha384"],
  [0x0806, "rsa_pss_rsae_sha512"],
  [0x0809, "rsa_pss_pss_sha256"],
  [0x080a, "rsa_pss_pss_sha384"],
  [0x080b, "rsa_pss_pss_sha512"],
  [0x0401, "rsa_pkcs1_sha256"],
  [0x0501, "rsa_pkcs1_sha384"],
  [0x0601, "rsa_pkcs1_sha512"],
]);

const versions = new Map<number, "TLSv1.2" | "TLSv1.3">([
  [0x0303, "TLSv1.2"],
  [0x0304, "TLSv1.3"],
]);

/** The cipher suites that are offered unless configured, as an OpenSSL cipher list. */
export const defaultSuites: string = [...suites.values()]
  .filter((suite) => suite.byDefault)
  .map((suite) => suite.openssl)
  .join(":");

/** OpenSSL's cipher list for these suites, or `undefined` if one of them is not known. */
export function suiteList(values: readonly number[]): string | undefined {
  return list(values, (value) => suites.get(value)?.openssl);
}

/** Whether the suite belongs to TLS 1.3. */
export function isTls13Suite(value: number): boolean {
  return suites.get(value)?.tls13 ?? false;
}

/** The wire value of a suite by its OpenSSL name. */
export function suiteByName(name: string): number | undefined {
  for (const [value, suite] of suites) if (suite.openssl === name) return value;
  return undefined;
}

/** The groups of a server that configured none, in descending preference. */
export const defaultGroups: readonly number[] = [0x11ec, 0x001d, 0x0017, 0x0018, 0x0019, 0x001e];

/** OpenSSL's group list, or `undefined` if one is not known. */
export function groupList(values: readonly number[]): string | undefined {
  return list(values, (value) => groups.get(value));
}

/** OpenSSL's signature algorithm list, or `undefined` if one is not known. */
export function schemeList(values: readonly number[]): string | undefined {
  return list(values, (value) => schemes.get(value));
}

/** Node's name of a protocol version, or `undefined` if it is not one that we speak. */
export function versionName(value: number): "TLSv1.2" | "TLSv1.3" | undefined {
  return versions.get(value);
}

function list(values: readonly number[], name: (value: number) => string | undefined): string | undefined {
  const names = values.map(name);
  return names.includes(undefined) ? undefined : names.join(":");
}
