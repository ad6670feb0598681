import type { Ledger } from "../io/ledger.ts";
import type { Recorder } from "./recorder.ts";

/**
 * How much one instance, or who connects to it, may make the host do. A component that was taken over has a price, and it is
 * this.
 */
export interface Rates {
  /** Records of its own in a second, each counted once for every KiB that it begins. */
  auditRecords: number;
  /** Of these, those of one connection. */
  auditRecordsPerConnection: number;
  /** Connections of clients that are accepted in a second; others are reset. */
  connections: number;
  /** Dials in a second, refused ones too. */
  dials: number;
  /** Certificates in a second, refused ones too. */
  certificates: number;
  /** Different names in certificates, in all its life. */
  certificateNames: number;
}

/** Far above what a proxy does at full load. */
export const defaultRates: Rates = {
  auditRecords: 10_000,
  auditRecordsPerConnection: 2000,
  connections: 5000,
  dials: 1000,
  certificates: 500,
  certificateNames: 100_000,
};

/** What limits of one instance share. */
export interface LimitContext {
  ledger: Ledger;
  recorder: Recorder;
}

/**
 * So many a second and no more. What comes on top of that is counted and told by the host in one record `over-limit` for each
 * second in which there was something: it must not fill the log that it would be recorded in.
 */
export class RateLimit {
  readonly #context: LimitContext;
  readonly #what: string;
  readonly #perSecond: number;
  #since = -Infinity;
  #taken = 0;
  #excess = 0;
  #timer: NodeJS.Timeout | undefined;
  #disown = () => {};

  /** @param what for the record */
  constructor(context: LimitContext, what: string, perSecond: number) {
    this.#context = context;
    this.#what = what;
    this.#perSecond = perSecond;
  }

  /** Whether it may be done once more. @param cost how often it counts */
  take(cost = 1): boolean {
    const now = performance.now();
    if (now - this.#since >= SECOND) {
      this.#tell();
      this.#since = now;
      this.#taken = 0;
    }
    if (this.#taken + cost > this.#perSecond) {
      this.refuse();
      return false;
    }
    this.#taken += cost;
    return true;
  }

  /** Count something that was refused for another reason of the same kind. */
  refuse(): void {
    this.#context.recorder.life.add("untold", 1);
    if (this.#excess++ > 0) return;
    // A guest that gives this thread no turn is told of by whoever ends it.
    this.#timer = setTimeout(() => this.#tell(), SECOND).unref();
    this.#disown = this.#context.ledger.own(() => this.#tell());
  }

  #tell(): void {
    const count = this.#excess;
    if (count === 0) return;
    this.#excess = 0;
    clearTimeout(this.#timer);
    this.#disown();
    const { recorder } = this.#context;
    recorder.host("over-limit", { limit: this.#what, most: this.#perSecond, count });
    recorder.life.add("untold", -count);
  }
}

/** As `RateLimit`, for each connection by its number. */
export class ConnectionRateLimit {
  readonly #perSecond: number;
  readonly #limit: RateLimit;
  readonly #taken = new Map<number, number>();
  #since = -Infinity;

  constructor(context: LimitContext, what: string, perSecond: number) {
    this.#perSecond = perSecond;
    this.#limit = new RateLimit(context, what, perSecond);
  }

  take(connection: number, cost = 1): boolean {
    const now = performance.now();
    if (now - this.#since >= SECOND) {
      this.#since = now;
      this.#taken.clear();
    }
    const taken = (this.#taken.get(connection) ?? 0) + cost;
    if (taken > this.#perSecond) {
      this.#limit.refuse();
      return false;
    }
    this.#taken.set(connection, taken);
    return true;
  }
}

/** The certificates that an instance may have issued. */
export class IssueLimit {
  readonly #perSecond: RateLimit;
  readonly #names: RateLimit;
  readonly #most: number;
  readonly #seen = new Set<string>();

  constructor(context: LimitContext, { certificates, certificateNames }: Rates) {
    this.#perSecond = new RateLimit(context, "certificates", certificates);
    this.#names = new RateLimit(context, "certificate-names", certificateNames);
    this.#most = certificateNames;
  }

  /** Whether one more may be issued, for these names. */
  allows(names: readonly string[]): boolean {
    if (!this.#perSecond.take()) return false;
    const fresh = names.reduce((count, name) => (this.#seen.has(name) ? count : count + 1), 0);
    if (this.#seen.size + fresh <= this.#most) return true;
    this.#names.refuse();
    return false;
  }

  /** It was. */
  issued(names: readonly string[]): void {
    for (const name of names) this.#seen.add(name);
  }
}

/** Milliseconds. */
const SECOND = 1000;
