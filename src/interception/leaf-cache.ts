/** A certificate that was issued. */
export interface Issued<T> {
  /** What a server is configured with. */
  readonly identity: T;
  /** When it ends, in seconds since 1970. */
  readonly notAfter: number;
}

/** What a cache is made with. */
export interface LeafCacheOptions {
  /** Certificates at a time; the one that was not asked for longest goes first. */
  readonly capacity: number;
  /** Seconds since 1970. */
  readonly now: () => number;
  /** How long before its end a certificate is issued anew, in seconds; at most a quarter of what it had left when it came. */
  readonly renewBefore: number;
}

/** A certificate came that has ended already. */
export class LeafExpiredError extends Error {
  override readonly name = "LeafExpiredError";
  readonly code = "ERR_SALLYPORT_LEAF_EXPIRED";

  constructor() {
    super("the certificate that was issued has ended already; the certification authority, or a clock, has to be looked at");
  }
}

/**
 * Certificates by the names that they are for. Bounded, since clients choose the names; connections that ask for one name
 * at the same time cause one certificate to be issued; failures are not kept.
 */
export class LeafCache<T> {
  private readonly options: LeafCacheOptions;
  /** In the order of their last use. */
  private readonly leaves = new Map<string, Leaf<T>>();
  private readonly pending = new Map<string, Promise<Issued<T>>>();
  /** Counts how often everything was dropped. */
  private generation = 0;

  constructor(options: LeafCacheOptions) {
    this.options = options;
  }

  /** How many certificates are kept. */
  get size(): number {
    return this.leaves.size;
  }

  /**
   * The certificate for a name: kept, or issued now.
   *
   * @param key the normalised name: `planLeaf` gives it
   * @param issue called at most once for all who wait for this name
   * @throws {LeafExpiredError} and whatever `issue` rejects with
   */
  async obtain(key: string, issue: () => Promise<Issued<T>>): Promise<T> {
    for (;;) {
      const kept = this.fresh(key);
      if (kept !== undefined) return kept;
      const { generation } = this;
      const issued = await this.issuedOnce(key, issue);
      if (issued.notAfter <= this.options.now()) throw new LeafExpiredError();
      // What an authority issued that is gone by now would be of no use to the client.
      if (generation === this.generation) return issued.identity;
    }
  }

  /** Drop everything, and what is being issued: the certification authority is another one now. */
  clear(): void {
    this.generation++;
    this.leaves.clear();
    this.pending.clear();
  }

  /** A kept certificate that is far enough from its end, now the latest used. */
  private fresh(key: string): T | undefined {
    const leaf = this.leaves.get(key);
    if (leaf === undefined) return undefined;
    this.leaves.delete(key);
    if (this.options.now() >= leaf.renewAt) return undefined;
    this.leaves.set(key, leaf);
    return leaf.identity;
  }

  private issuedOnce(key: string, issue: () => Promise<Issued<T>>): Promise<Issued<T>> {
    const waiting = this.pending.get(key);
    if (waiting !== undefined) return waiting;
    const issuing = this.issueAndKeep(key, issue);
    this.pending.set(key, issuing);
    const done = () => {
      if (this.pending.get(key) === issuing) this.pending.delete(key);
    };
    issuing.then(done, done);
    return issuing;
  }

  private async issueAndKeep(key: string, issue: () => Promise<Issued<T>>): Promise<Issued<T>> {
    const { generation } = this;
    const issued = await issue();
    if (generation === this.generation) this.keep(key, issued);
    return issued;
  }

  private keep(key: string, { identity, notAfter }: Issued<T>): void {
    const { now, renewBefore, capacity } = this.options;
    const left = notAfter - now();
    if (left <= 0 || capacity < 1) return;
    this.leaves.set(key, { identity, renewAt: notAfter - Math.min(renewBefore, left / 4) });
    if (this.leaves.size <= capacity) return;
    const [oldest] = this.leaves.keys();
    this.leaves.delete(oldest!);
  }
}

interface Leaf<T> {
  readonly identity: T;
  /** Seconds since 1970. */
  readonly renewAt: number;
}
