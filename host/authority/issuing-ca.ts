import { createPrivateKey, generateKeyPairSync, type KeyObject, sign, verify, X509Certificate } from "node:crypto";
import { type Certificate, keyUsageBit, readCertificate } from "../../src/wire/certificate.ts";
import { WireError } from "../../src/wire/wire-error.ts";
import { AuthorityError } from "./authority-error.ts";
import { clock, dateOf } from "./clock.ts";
import { BACKDATE } from "./leaf-plan.ts";
import type { Limits } from "./limits.ts";
import { loadWriter } from "./load-writer.ts";
import { readNameConstraints } from "./name-constraints.ts";

/**
 * A root, the constrained intermediate below it, and the intermediate's key. Every object of this class has been checked:
 * the two belong together, the key to the intermediate, and both certificates are what this program makes. Whether they
 * are valid now is asked with `assertValidAt`.
 */
export class IssuingCa {
  /** DER. */
  readonly root: Uint8Array;
  readonly intermediate: Uint8Array;
  readonly limits: Limits;
  /** When both certificates are valid: first and last second, Unix time. */
  readonly notBefore: bigint;
  readonly notAfter: bigint;
  /** Of the intermediate. */
  readonly key: KeyObject;

  /**
   * @throws {AuthorityError} `bad-content`, `not-an-authority`, `unconstrained`, `bad-limits`, `key-mismatch`
   */
  constructor(root: Uint8Array, intermediate: Uint8Array, key: KeyObject) {
    const outer = read(root, "root");
    const inner = read(intermediate, "intermediate");
    checkAuthority(outer, "root");
    checkAuthority(inner, "intermediate");
    if (inner.pathLength !== 0) throw notAnAuthority("the intermediate may sign further authorities");
    if (inner.extendedKeyUsage?.join() !== SERVER_AUTH) throw notAnAuthority("the intermediate is not limited to serverAuth");
    checkIssued(root, root, "the root is not signed by its own key");
    checkIssued(intermediate, root, "the intermediate is not signed by this root");
    this.limits = readNameConstraints(intermediate);
    if (!readNameConstraints(root).coversAll(this.limits))
      throw new AuthorityError("not-covering", "the root's constraints are narrower than the intermediate's");
    checkKey(key, intermediate);
    this.root = root;
    this.intermediate = intermediate;
    this.notBefore = inner.notBefore > outer.notBefore ? inner.notBefore : outer.notBefore;
    this.notAfter = inner.notAfter < outer.notAfter ? inner.notAfter : outer.notAfter;
    this.key = key;
  }

  /** @param now Unix time in seconds @throws {AuthorityError} `not-valid-now` */
  assertValidAt(now: bigint): void {
    if (now < this.notBefore)
      throw new AuthorityError("not-valid-now", `the authority is not valid before ${dateOf(this.notBefore)}: look at the clock`);
    if (now >= this.notAfter)
      throw new AuthorityError("not-valid-now", `the authority expired on ${dateOf(this.notAfter)}: renew or rotate it`);
  }

  /** @param needed what is to be issued for @throws {AuthorityError} `not-covering` */
  assertCovers(needed: Limits): void {
    if (this.limits.coversAll(needed)) return;
    const names = needed.dns.filter((name) => !this.limits.covers({ tag: "dns", name }));
    const missing = names.length > 0 ? names.join(", ") : needed.ip.map((range) => range.text).join(", ");
    throw new AuthorityError("not-covering", `the authority may not issue for all of ${missing}: rotate to one that permits it`);
  }
}

/** What a new authority is to be. */
export interface NewCaOptions {
  limits: Limits;
  /** Seconds of validity from now of the intermediate. */
  validity: bigint;
  /** Seconds of validity from now of the root; as the intermediate's by default. */
  rootValidity?: bigint;
  /** Unix time in seconds. */
  now?: bigint;
}

/** An authority just made, and the key of its root. */
export interface MadeCa {
  ca: IssuingCa;
  rootKey: KeyObject;
}

/**
 * Make a root and an intermediate. Nothing keeps the root's key but the caller: let go of it, or write it down.
 *
 * @throws {AuthorityError} `bad-limits` for a validity of less than a minute or more than 10 years
 */
export async function makeCa(options: NewCaOptions): Promise<MadeCa> {
  const { limits, validity, rootValidity = validity, now = clock() } = options;
  checkValidity(validity);
  checkValidity(rootValidity);
  const { writeRoot, writeIntermediate } = await loadWriter();
  const rootKey = makeKey();
  const key = makeKey();
  const notBefore = now - BACKDATE;
  const root = await writeRoot({ key: rootKey, limits, notBefore, notAfter: now + rootValidity });
  const issuer = { certificate: root, key: rootKey };
  const intermediate = await writeIntermediate({ key, limits, notBefore, notAfter: now + validity }, issuer);
  return { ca: new IssuingCa(root, intermediate, key), rootKey };
}

/**
 * The same authority with a new intermediate certificate: same key, name and limits, so that what it issued stays good.
 *
 * @param options.validity seconds from now; the root's end is not passed
 * @throws {AuthorityError} `key-mismatch` if the key is not the root's; `not-valid-now` if the root has expired
 */
export async function renewCa(ca: IssuingCa, rootKey: KeyObject, options: { validity: bigint; now?: bigint }): Promise<IssuingCa> {
  const { validity, now = clock() } = options;
  checkValidity(validity);
  const { writeIntermediate } = await loadWriter();
  checkKey(rootKey, ca.root);
  const rootEnd = read(ca.root, "root").notAfter;
  if (rootEnd <= now) throw new AuthorityError("not-valid-now", `the root itself expired on ${dateOf(rootEnd)}: rotate the authority`);
  const notAfter = now + validity < rootEnd ? now + validity : rootEnd;
  const certificate = { key: ca.key, limits: ca.limits, notBefore: now - BACKDATE, notAfter };
  const intermediate = await writeIntermediate(certificate, { certificate: ca.root, key: rootKey });
  return new IssuingCa(ca.root, intermediate, ca.key);
}

/** A private key as it stands in a key file. @throws {AuthorityError} `bad-content` */
export function parseKey(pkcs8: Uint8Array): KeyObject {
  try {
    return createPrivateKey({ key: Buffer.from(pkcs8), format: "der", type: "pkcs8" });
  } catch {
    throw new AuthorityError("bad-content", "the key file does not hold a PKCS#8 private key");
  }
}

function makeKey(): KeyObject {
  return generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
}

function checkValidity(seconds: bigint): void {
  if (seconds < SHORTEST_VALIDITY || seconds > LONGEST_VALIDITY)
    throw new AuthorityError("bad-limits", "an authority is valid for at least a minute and at most 3650 days");
}

function read(der: Uint8Array, which: string): Certificate {
  try {
    return readCertificate(der);
  } catch (error) {
    if (error instanceof WireError) throw new AuthorityError("bad-content", `the ${which} certificate cannot be read: ${error.message}`);
    throw error;
  }
}

function checkAuthority(certificate: Certificate, which: string): void {
  if (!certificate.isCa) throw notAnAuthority(`the ${which} is not a certification authority`);
  if (((certificate.keyUsage ?? 0) & keyUsageBit.keyCertSign) === 0) throw notAnAuthority(`the ${which} may not sign certificates`);
  if (certificate.publicKeyAlgorithm !== "EC P-256") throw notAnAuthority(`the ${which}'s key is not on P-256`);
}

function checkIssued(subject: Uint8Array, issuer: Uint8Array, message: string): void {
  const [below, above] = [new X509Certificate(subject), new X509Certificate(issuer)];
  if (!below.checkIssued(above) || !below.verify(above.publicKey)) throw notAnAuthority(message);
}

/** A signature is the proof: a key file may state a public half that is not its own. */
function checkKey(key: KeyObject, certificate: Uint8Array): void {
  const { publicKey } = new X509Certificate(certificate);
  const isCurve = key.asymmetricKeyType === "ec" && key.asymmetricKeyDetails?.namedCurve === "prime256v1";
  if (!isCurve || !verify("sha256", POSSESSION, publicKey, sign("sha256", POSSESSION, key)))
    throw new AuthorityError("key-mismatch", "the private key does not belong to the certificate");
}

function notAnAuthority(message: string): AuthorityError {
  return new AuthorityError("not-an-authority", message);
}

const POSSESSION = Buffer.from("sallyport: does this key belong to that authority?");
const SERVER_AUTH = "1.3.6.1.5.5.7.3.1";
const SHORTEST_VALIDITY = 60n;
const LONGEST_VALIDITY = 3650n * 86_400n;
