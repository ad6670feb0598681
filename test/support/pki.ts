import { createPublicKey, generateKeyPairSync, type KeyObject, randomBytes, sign, webcrypto, X509Certificate } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { isIP } from "node:net";
import { join } from "node:path";
import "./reflect-metadata.ts";
import * as x509 from "@peculiar/x509";

/**
 * A PKI for tests, made at run time: nothing that expires lies in the repository.
 *
 *     const pki = await makePki({ leaf: { dns: ["a.test"], ip: ["127.0.0.1"] } });
 *     tls.createServer({ key: pki.leaf.keyPem, cert: pki.chainPem });
 *     tls.connect({ ca: pki.root.pem, … });
 *
 * One certificate at a time: `makeCertificate(options, issuer)`; without an issuer it is self-signed. Whatever is wrong
 * with a certificate on purpose is an option of it. P-256 unless asked otherwise: about 2 ms a certificate.
 */
export interface CertificateOptions {
  /** Common name of the subject. Default: a text that says CA or leaf, and differs for each certificate. */
  cn?: string;
  /** DNS subject alternative names, taken as they are (wildcards, upper case, embedded NUL: whatever ASCII). */
  dns?: string[];
  /** iPAddress subject alternative names, in text. */
  ip?: string[];
  /** Default: one hour ago. */
  notBefore?: Date;
  /** Default: one day from now. */
  notAfter?: Date;
  /** Makes basicConstraints cA and keyUsage keyCertSign, cRLSign. Default false. */
  isCa?: boolean;
  /** pathLenConstraint of a CA. */
  pathLength?: number;
  /** Extended key usage OIDs; see `EKU`. Default: serverAuth and clientAuth for a leaf, none for a CA. Empty: no extension. */
  eku?: string[];
  /** Key usage bits (`x509.KeyUsageFlags`). Default: digitalSignature for a leaf. 0: no extension. */
  keyUsage?: number;
  keyType?: KeyType;
  /** A version 1 certificate has no extensions at all, so no names either. Default 3. */
  version?: 1 | 3;
  /** Serial number, hexadecimal. Default: random. */
  serial?: string;
  /** Permitted and excluded subtrees of a CA, in a critical nameConstraints extension. IP ranges as `address/mask`. */
  nameConstraints?: { permittedDns?: string[]; excludedDns?: string[]; permittedIp?: string[]; excludedIp?: string[] };
  /** Flip a bit of the signature. */
  brokenSignature?: boolean;
  /** Use this key instead of a new one. */
  privateKey?: KeyObject;
}

export type KeyType = "p256" | "p384" | "p521" | "rsa2048" | "rsa1024" | "ed25519" | "secp256k1";

/** Extended key usage OIDs by name. */
export const EKU = {
  serverAuth: "1.3.6.1.5.5.7.3.1",
  clientAuth: "1.3.6.1.5.5.7.3.2",
  codeSigning: "1.3.6.1.5.5.7.3.3",
  any: "2.5.29.37.0",
} as const;

/** A certificate with its private key, in every form that a test asks for. */
export interface Certified {
  der: Uint8Array;
  pem: string;
  /** Parsed by Node. */
  x509: X509Certificate;
  privateKey: KeyObject;
  /** PKCS#8, unencrypted. */
  keyPem: string;
  /** PKCS#8, unencrypted. */
  keyDer: Uint8Array;
}

/** What `makePki` returns. */
export interface TestPki {
  root: Certified;
  /** From the leaf's issuer up to the one below the root. */
  intermediates: Certified[];
  leaf: Certified;
  /** Leaf and intermediates, leaf first: what a server sends. */
  chainPem: string;
  chainDer: Uint8Array[];
}

/**
 * Root, intermediates and one leaf.
 *
 * @param options.intermediates how many, default 1
 * @param options.leaf default: `localhost`, 127.0.0.1 and ::1
 * @param options.keyType of every key that is not set otherwise
 */
export async function makePki(
  options: {
    intermediates?: number;
    root?: CertificateOptions;
    intermediate?: CertificateOptions;
    leaf?: CertificateOptions;
    keyType?: KeyType;
  } = {},
): Promise<TestPki> {
  const { keyType } = options;
  const root = await makeCertificate({ keyType, isCa: true, ...options.root });
  const intermediates: Certified[] = [];
  for (let i = options.intermediates ?? 1; i > 0; i--)
    intermediates.unshift(await makeCertificate({ keyType, isCa: true, ...options.intermediate }, intermediates[0] ?? root));
  const names = options.leaf?.dns || options.leaf?.ip ? {} : { dns: ["localhost"], ip: ["127.0.0.1", "::1"] };
  const leaf = await makeCertificate({ keyType, ...names, ...options.leaf }, intermediates[0] ?? root);
  const chain = [leaf, ...intermediates];
  return { root, intermediates, leaf, chainPem: chain.map((c) => c.pem).join(""), chainDer: chain.map((c) => c.der) };
}

let count = 0;

/** One certificate with a key. @param issuer who signs it; default: itself */
export async function makeCertificate(options: CertificateOptions = {}, issuer?: Certified): Promise<Certified> {
  const isCa = options.isCa ?? false;
  const privateKey = options.privateKey ?? makeKey(options.keyType ?? "p256");
  const publicKey = spki(privateKey);
  const subject = new x509.Name([{ CN: [options.cn ?? `Test ${isCa ? "CA" : "leaf"} ${++count}`] }]);
  const signingKey = await signer(issuer?.privateKey ?? privateKey);
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: options.serial ?? `4${randomBytes(9).toString("hex").slice(1)}`,
    subject,
    issuer: issuer === undefined ? subject : new x509.X509Certificate(Uint8Array.from(issuer.der)).subjectName,
    notBefore: options.notBefore ?? new Date(Date.now() - 3_600_000),
    notAfter: options.notAfter ?? new Date(Date.now() + 86_400_000),
    publicKey,
    signingKey,
    signingAlgorithm: { name: signingKey.algorithm.name, hash: "SHA-256" },
    extensions: await extensions(options, isCa, publicKey, issuer && spki(issuer.privateKey)),
  });
  let der: Uint8Array = new Uint8Array(certificate.rawData);
  if (options.version === 1) der = asVersion1(der, issuer?.privateKey ?? privateKey);
  if (options.brokenSignature) der = Uint8Array.from(der, (byte, i) => (i === der.length - 1 ? byte ^ 1 : byte));
  return certified(der, privateKey);
}

/** A revocation list of `issuer`, DER. @param options.nextUpdate default: one day from now */
export async function makeCrl(
  issuer: Certified,
  revoked: Certified[] = [],
  options: { thisUpdate?: Date; nextUpdate?: Date } = {},
): Promise<Uint8Array> {
  const signingKey = await signer(issuer.privateKey);
  const crl = await x509.X509CrlGenerator.create({
    issuer: new x509.X509Certificate(Uint8Array.from(issuer.der)).subjectName,
    thisUpdate: options.thisUpdate ?? new Date(Date.now() - 3_600_000),
    nextUpdate: options.nextUpdate ?? new Date(Date.now() + 86_400_000),
    entries: revoked.map((c) => ({ serialNumber: c.x509.serialNumber, revocationDate: new Date(Date.now() - 60_000) })),
    signingAlgorithm: { name: signingKey.algorithm.name, hash: "SHA-256" },
    signingKey,
  });
  return new Uint8Array(crl.rawData);
}

/** A private key of any type; secp256k1 cannot sign certificates here: it is for leaves that are to be refused. */
export function makeKey(type: KeyType): KeyObject {
  switch (type) {
    case "p256":
      return generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
    case "p384":
      return generateKeyPairSync("ec", { namedCurve: "P-384" }).privateKey;
    case "p521":
      return generateKeyPairSync("ec", { namedCurve: "P-521" }).privateKey;
    case "secp256k1":
      return generateKeyPairSync("ec", { namedCurve: "secp256k1" }).privateKey;
    case "rsa2048":
      return generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey;
    case "rsa1024":
      return generateKeyPairSync("rsa", { modulusLength: 1024 }).privateKey;
    case "ed25519":
      return generateKeyPairSync("ed25519").privateKey;
  }
}

/** DER as a PEM block. @param label for example `CERTIFICATE` or `X509 CRL` */
export function toPem(label: string, der: Uint8Array): string {
  const text = Buffer.from(der)
    .toString("base64")
    .replace(/.{1,64}/g, "$&\n");
  return `-----BEGIN ${label}-----\n${text}-----END ${label}-----\n`;
}

/** Paths of what `writePki` wrote. */
export interface PkiFiles {
  /** The root. */
  ca: string;
  /** Leaf and intermediates. */
  chain: string;
  leaf: string;
  /** The leaf's key, mode 600. */
  key: string;
}

/** Write a PKI as PEM files for other programs (openssl, curl). */
export function writePki(dir: string, pki: TestPki): PkiFiles {
  mkdirSync(dir, { recursive: true });
  const write = (name: string, text: string, mode?: number) => {
    const path = join(dir, name);
    writeFileSync(path, text, { mode });
    return path;
  };
  return {
    ca: write("ca.pem", pki.root.pem),
    chain: write("chain.pem", pki.chainPem),
    leaf: write("leaf.pem", pki.leaf.pem),
    key: write("key.pem", pki.leaf.keyPem, 0o600),
  };
}

function certified(der: Uint8Array, privateKey: KeyObject): Certified {
  const keyDer = new Uint8Array(privateKey.export({ type: "pkcs8", format: "der" }));
  const keyPem = privateKey.export({ type: "pkcs8", format: "pem" }).toString();
  return { der, pem: toPem("CERTIFICATE", der), x509: new X509Certificate(der), privateKey, keyPem, keyDer };
}

async function extensions(
  options: CertificateOptions,
  isCa: boolean,
  publicKey: Uint8Array<ArrayBuffer>,
  issuerKey: Uint8Array<ArrayBuffer> | undefined,
): Promise<x509.Extension[]> {
  const { KeyUsageFlags } = x509;
  const list: x509.Extension[] = [
    new x509.BasicConstraintsExtension(isCa, options.pathLength, true),
    await x509.SubjectKeyIdentifierExtension.create(publicKey),
  ];
  if (issuerKey !== undefined) list.push(await x509.AuthorityKeyIdentifierExtension.create(issuerKey));
  const keyUsage = options.keyUsage ?? (isCa ? KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign : KeyUsageFlags.digitalSignature);
  if (keyUsage !== 0) list.push(new x509.KeyUsagesExtension(keyUsage, true));
  const eku = options.eku ?? (isCa ? [] : [EKU.serverAuth, EKU.clientAuth]);
  if (eku.length > 0) list.push(new x509.ExtendedKeyUsageExtension(eku));
  const names = [...(options.dns ?? []).map(dnsName), ...(options.ip ?? []).map((ip) => tlv(0x87, ipBytes(ip)))];
  if (names.length > 0) list.push(new x509.Extension("2.5.29.17", false, tlv(0x30, ...names)));
  const limits = options.nameConstraints;
  if (limits !== undefined) {
    const permitted = [...(limits.permittedDns ?? []).map(dnsName), ...(limits.permittedIp ?? []).map(ipRange)];
    const excluded = [...(limits.excludedDns ?? []).map(dnsName), ...(limits.excludedIp ?? []).map(ipRange)];
    const subtrees = (tag: number, bases: Uint8Array[]) => (bases.length > 0 ? [tlv(tag, ...bases.map((base) => tlv(0x30, base)))] : []);
    list.push(new x509.Extension("2.5.29.30", true, tlv(0x30, ...subtrees(0xa0, permitted), ...subtrees(0xa1, excluded))));
  }
  return list;
}

function dnsName(name: string): Uint8Array {
  return tlv(0x82, Buffer.from(name, "latin1"));
}

function ipRange(range: string): Uint8Array {
  const [address = "", mask = ""] = range.split("/");
  return tlv(0x87, ipBytes(address), ipBytes(mask));
}

function ipBytes(text: string): Uint8Array {
  if (isIP(text) === 4) return Uint8Array.from(text.split("."), Number);
  if (isIP(text) !== 6) throw new Error(`not an IP address: ${text}`);
  const [head = "", tail] = text.split("::");
  const groups = (part: string) => (part === "" ? [] : part.split(":").map((group) => parseInt(group, 16)));
  const left = groups(head);
  const right = tail === undefined ? [] : groups(tail);
  const all = [...left, ...Array<number>(8 - left.length - right.length).fill(0), ...right];
  return Uint8Array.from(all.flatMap((group) => [group >> 8, group & 0xff]));
}

/** One DER element. For what the generator cannot express. */
export function tlv(tag: number, ...parts: Uint8Array[]): Uint8Array {
  const body = Buffer.concat(parts);
  const n = body.length;
  const length = n < 0x80 ? [n] : n < 0x100 ? [0x81, n] : [0x82, n >> 8, n & 0xff];
  return new Uint8Array(Buffer.concat([Uint8Array.of(tag, ...length), body]));
}

/** Elements of a constructed DER element, each with its header. */
function elements(der: Uint8Array): Uint8Array[] {
  const list: Uint8Array[] = [];
  const [start, stop] = body(der, 0);
  for (let at = start; at < stop;) {
    const end = body(der, at)[1];
    list.push(der.subarray(at, end));
    at = end;
  }
  return list;
}

function body(der: Uint8Array, at: number): [start: number, end: number] {
  const first = der[at + 1]!;
  if (first < 0x80) return [at + 2, at + 2 + first];
  let length = 0;
  for (let i = 0; i < (first & 0x7f); i++) length = length * 256 + der[at + 2 + i]!;
  const start = at + 2 + (first & 0x7f);
  return [start, start + length];
}

/** The same certificate without version and extensions, signed again. */
function asVersion1(der: Uint8Array, issuerKey: KeyObject): Uint8Array {
  const [tbs, algorithm] = elements(der);
  const kept = elements(tbs!).filter((element) => element[0] !== 0xa0 && element[0] !== 0xa3);
  const newTbs = tlv(0x30, ...kept);
  const signature = sign(issuerKey.asymmetricKeyType === "ed25519" ? null : "sha256", newTbs, issuerKey);
  return tlv(0x30, newTbs, algorithm!, tlv(0x03, Uint8Array.of(0), signature));
}

/** A signing key for WebCrypto, which is what the generator takes. */
async function signer(key: KeyObject): Promise<webcrypto.CryptoKey> {
  const pkcs8 = new Uint8Array(key.export({ type: "pkcs8", format: "der" }));
  return await webcrypto.subtle.importKey("pkcs8", pkcs8, signingAlgorithm(key), true, ["sign"]);
}

function signingAlgorithm(key: KeyObject): { name: string; namedCurve?: string; hash?: string } {
  const { namedCurve = "" } = key.asymmetricKeyDetails ?? {};
  const curves: Record<string, string> = { prime256v1: "P-256", secp384r1: "P-384", secp521r1: "P-521" };
  if (key.asymmetricKeyType === "ed25519") return { name: "Ed25519" };
  if (key.asymmetricKeyType === "rsa") return { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" };
  return { name: "ECDSA", namedCurve: curves[namedCurve] ?? namedCurve };
}

/** SubjectPublicKeyInfo, DER. The generator takes it as it is, so any kind of key can stand in a certificate. */
function spki(key: KeyObject): Uint8Array<ArrayBuffer> {
  return new Uint8Array(createPublicKey(key).export({ type: "spki", format: "der" }));
}
