import { createHash, type KeyObject, X509Certificate } from "node:crypto";
import { inspect } from "node:util";
import type { IpPrefix } from "../../src/wire/ip-address.ts";
import type { DnsName } from "../../src/wire/server-name.ts";
import { KeyPair } from "../identity/private-identity.ts";
import { PublicChain } from "../identity/public-identity.ts";
import { AuthorityError } from "./authority-error.ts";
import { clock } from "./clock.ts";
import type { IssuingCa, NewCaOptions } from "./issuing-ca.ts";
import { type IssuingBounds, type LeafRequest, planLeaf } from "./leaf-plan.ts";
import { LeafWriter } from "./leaf-writer.ts";
import { Limits } from "./limits.ts";
import { loadWriter } from "./load-writer.ts";

/** What was issued: for the record, and to be served with. */
export interface IssuedLeaf {
  /** Key, and the chain from the leaf to the intermediate. */
  keyPair: KeyPair;
  /** Hexadecimal. */
  serial: string;
  /** SHA-256 of the certificate, hexadecimal. */
  fingerprint: string;
  /** Canonical text of each. */
  names: string[];
  /** First and last second of validity, Unix time. */
  notBefore: bigint;
  notAfter: bigint;
}

export interface AuthorityOptions {
  /** Seconds from issue to the end of a leaf's validity, at most. A day by default. */
  longestLifetime?: bigint;
}

/**
 * A certification authority that issues leaves within its limits. Its key is in a private field and leaves only through
 * `forWorker`.
 */
export class Authority {
  /** The intermediate and the root. */
  readonly chain: PublicChain;
  readonly bounds: IssuingBounds;
  readonly #key: KeyObject;
  readonly #template: Uint8Array;
  readonly #writer: LeafWriter;
  readonly #intermediate: X509Certificate;

  private constructor({ key, template, chain, bounds }: PackedAuthority) {
    this.chain = PublicChain.parse(chain);
    const { dns, ip, ...times } = bounds;
    this.bounds = { ...times, limits: new Limits(dns, ip) };
    this.#key = key;
    this.#template = template;
    this.#writer = new LeafWriter(template);
    this.#intermediate = this.chain.leaf;
  }

  /**
   * The authority that issues for a checked root and intermediate.
   *
   * @throws {AuthorityError} `not-valid-now`, `bad-limits` for a lifetime that is none
   */
  static async from(ca: IssuingCa, { longestLifetime = DEFAULT_LIFETIME }: AuthorityOptions = {}): Promise<Authority> {
    if (longestLifetime <= 0n || longestLifetime > LONGEST_LIFETIME)
      throw new AuthorityError("bad-limits", `the longest lifetime of a leaf is between 1 second and ${LONGEST_LIFETIME / 86_400n} days`);
    ca.assertValidAt(clock());
    const { writeLeafTemplate } = await loadWriter();
    const { limits, notBefore, notAfter } = ca;
    return new Authority({
      key: ca.key,
      chain: [ca.intermediate, ca.root],
      template: await writeLeafTemplate(ca.intermediate),
      bounds: { dns: named(limits), ip: [...limits.ip], notBefore, notAfter, longestLifetime },
    });
  }

  /** An authority that lives in this process's memory and is gone with it. @throws {AuthorityError} as `from` */
  static async ephemeral(options: NewCaOptions & AuthorityOptions): Promise<Authority> {
    // What is only needed where authorities are made is not loaded wherever components run.
    const { makeCa } = await import("./issuing-ca.ts");
    const { ca } = await makeCa(options);
    return await Authority.from(ca, options);
  }

  /** An authority that `forWorker` packed in another thread. */
  static fromWorker(packed: PackedAuthority): Authority {
    return new Authority(packed);
  }

  /** What structured clone takes to another thread of this host. */
  forWorker(): PackedAuthority {
    const { limits, ...times } = this.bounds;
    return {
      key: this.#key,
      chain: [...this.chain.der],
      template: this.#template,
      bounds: { ...times, dns: named(limits), ip: [...limits.ip] },
    };
  }

  /**
   * Make a key and a certificate.
   *
   * @param now Unix time in seconds
   * @throws {IssueError} when the request is outside of the limits; nothing was made then
   */
  issue(request: LeafRequest, now: bigint = clock()): IssuedLeaf {
    const fields = planLeaf(request, this.bounds, now);
    const { certificate, key, serial } = this.#writer.write(fields, this.#key);
    const chain = new PublicChain([new X509Certificate(certificate), this.#intermediate]);
    return {
      keyPair: KeyPair.made(key, chain),
      serial: Buffer.from(serial).toString("hex"),
      fingerprint: createHash("sha256").update(certificate).digest("hex"),
      names: fields.names.map((name) => (name.tag === "dns" ? name.name : name.text)),
      notBefore: fields.notBefore,
      notAfter: fields.notAfter,
    };
  }

  toString(): string {
    return `Authority(${this.bounds.limits.dns.join(", ")})`;
  }

  toJSON(): string {
    return this.toString();
  }

  [inspect.custom](): string {
    return this.toString();
  }
}

/** An authority on its way to another thread. `key` is a handle; its bytes are not in this object. */
export interface PackedAuthority {
  key: KeyObject;
  /** DER: intermediate, root. */
  chain: Uint8Array[];
  template: Uint8Array;
  bounds: { dns: DnsName[]; ip: IpPrefix[]; notBefore: bigint; notAfter: bigint; longestLifetime: bigint };
}

function named(limits: Limits): DnsName[] {
  return limits.dns.map((name) => ({ tag: "dns", name }));
}

const DEFAULT_LIFETIME = 86_400n;
/** What browsers accept of any leaf. */
const LONGEST_LIFETIME = 397n * 86_400n;
