import { Authority, type IssueError, type OpenError } from "sallyport:gateway/authorities@0.1.0";
import type { PrivateIdentity } from "sallyport:tls/identities@0.1.0";
import { now as wallClock } from "wasi:clocks/wall-clock@0.2.12";
import { attempt } from "../../src/bindings/errors.ts";
import { numberOfU64, u64 } from "../../src/bindings/integers.ts";
import { type Issued, LeafCache, type Lease } from "../../src/interception/leaf-cache.ts";
import { type Host, type LeafPlan, type Policy, planLeaf } from "../../src/policy/index.ts";
import { readSerialAndEnd } from "../../src/wire/certificate.ts";

/** A certificate for a name was not to be had. */
export class NotIssued extends Error {
  readonly code = "ERR_SALLYPORT_NOT_ISSUED";
  /** The host's reason, in a word. */
  readonly reason: string;

  constructor(reason: string) {
    super(`no certificate was issued: ${reason}`);
    this.reason = reason;
  }
}

/** What a client is shown. */
export interface Leaf {
  readonly identity: PrivateIdentity;
  /** Hexadecimal: by which the host's record of it is found. */
  readonly serial: string;
}

/** The certificates that clients are shown: planned by the policy, issued by the host, kept for as long as they are good. */
export class LeafCertificates {
  private readonly authority: Authority;
  private readonly cache: LeafCache<Leaf>;

  /** @throws {NotIssued} when the host gave no authority of that name */
  constructor(name: string, capacity: number) {
    const opened = attempt<Authority, OpenError>(() => Authority.open(name));
    if (opened.tag === "err") throw new NotIssued(`there is no certification authority called ${name}`);
    this.authority = opened.val;
    this.cache = new LeafCache({
      capacity: Math.min(capacity, MOST_HELD),
      now: seconds,
      renewBefore: RENEW_BEFORE,
      drop: ({ identity }) => identity[Symbol.dispose](),
    });
  }

  /** The certificate for this host, to be disposed when a connection was configured with it. @throws {NotIssued} */
  async leafFor(policy: Policy, host: Host): Promise<Lease<Leaf>> {
    const plan = planLeaf(policy, host);
    if (plan.tag === "refused") throw new NotIssued(plan.because.reason);
    return await this.cache.obtain(plan.key, () => Promise.resolve(this.issue(plan)));
  }

  /** As `leafFor`, where nothing can wait. @throws {NotIssued} */
  leafNow(policy: Policy, host: Host): Lease<Leaf> {
    const plan = planLeaf(policy, host);
    if (plan.tag === "refused") throw new NotIssued(plan.because.reason);
    return this.cache.obtainNow(plan.key, () => this.issue(plan));
  }

  private issue({ names, lifetime }: LeafPlan & { tag: "leaf" }): Issued<Leaf> {
    const issued = attempt<PrivateIdentity, IssueError>(() =>
      this.authority.issue({
        names: names.map((name) => (name.tag === "dns" ? { tag: "dns", val: name.name } : { tag: "ip", val: name.bytes })),
        lifetime: u64(lifetime),
        key: "p256",
      }),
    );
    if (issued.tag === "err") throw new NotIssued(issued.val);
    using chain = issued.val.publicIdentity();
    const { serial, notAfter } = readSerialAndEnd(chain.exportX509Chain()[0]!);
    return { identity: { identity: issued.val, serial }, notAfter: Number(notAfter) };
  }
}

function seconds(): number {
  return numberOfU64(wallClock().seconds);
}

/** The host lets an instance hold 4096 identities at a time, of which connections may hold some that left the cache. */
const MOST_HELD = 3072;
/** Seconds: as long as a connection that gets it may take to have use of it. */
const RENEW_BEFORE = 3600;
