/** A certificate that was issued. */
export interface Issued<T> {
  /** What a server is configured with. */
  readonly identity: T;
  /** When it ends, in seconds since 1970. */
  readonly notAfter: number;
}

/** What a cache is made with. */
export interface LeafCacheOptions<T> {
  /** Certificates at a time; the one that was not asked for longest goes first. */
  readonly capacity: number;
  /** Seconds since 1970. */
  readonly now: () => number;
  /** How long before its end a certificate is issued anew, in seconds; at most a quarter of what it had left when it came. */
  readonly renewBefore: number;
  /** Called once for each certificate that is neither kept nor used any more: what the host holds for it can go. */
  readonly drop?: (identity: T) => void;
}

/** A certificate that somebody uses; it is there until this is disposed, whatever the cache keeps. */
export class Lease<T> implements Disposable {
  readonly identity: T;
  private held: Held<T> | undefined;

  constructor(held: Held<T>) {
    this.identity = held.identity!;
    this.held = held;
  }

  [Symbol.dispose](): void {
    this.held?.release();
    this.held = undefined;
  }
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
 * at the same time cause one certificate to be issued; failures are not kept. Nothing is held beyond that: what falls out of
 * the cache is dropped with its last use.
 */
export class LeafCache<T> {
  private readonly options: LeafCacheOptions<T>;
  /** In the order of their last use. */
  private readonly leaves = new Map<string, Held<T>>();
  private readonly pending = new Map<string, Pending<T>>();
  /** Counts how often everything was dropped. */
  private generation = 0;

  constructor(options: LeafCacheOptions<T>) {
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
   * @returns to be disposed when the certificate is in use no more
   * @throws {LeafExpiredError} and whatever `issue` rejects with
   */
  async obtain(key: string, issue: () => Promise<Issued<T>>): Promise<Lease<T>> {
    for (;;) {
      const kept = this.fresh(key);
      if (kept !== undefined) return new Lease(kept.use());
      const { generation } = this;
      const pending = this.issuedOnce(key, issue);
      // Counted now: whoever asked has it before it can be dropped.
      const held = pending.held.use();
      try {
        const issued = await pending.done;
        if (issued.notAfter <= this.options.now()) throw new LeafExpiredError();
        // What an authority issued that is gone by now would be of no use to the client.
        if (generation === this.generation) return new Lease(held);
      } catch (error) {
        held.release();
        throw error;
      }
      held.release();
    }
  }

  /**
   * As `obtain`, where certificates are issued at once. One that somebody waits for at the same time is issued twice.
   *
   * @throws {LeafExpiredError} and whatever `issue` throws
   */
  obtainNow(key: string, issue: () => Issued<T>): Lease<T> {
    const kept = this.fresh(key);
    if (kept !== undefined) return new Lease(kept.use());
    const { identity, notAfter } = issue();
    const held = new Held<T>(this.options.drop).use();
    held.identity = identity;
    if (notAfter <= this.options.now()) {
      held.release();
      throw new LeafExpiredError();
    }
    this.keep(key, notAfter, held);
    return new Lease(held);
  }

  /** Drop everything, and what is being issued: the certification authority is another one now. */
  clear(): void {
    this.generation++;
    const leaves = Array.from(this.leaves.values());
    this.leaves.clear();
    this.pending.clear();
    for (const leaf of leaves) leaf.forget();
  }

  /** A kept certificate that is far enough from its end, now the latest used. */
  private fresh(key: string): Held<T> | undefined {
    const leaf = this.leaves.get(key);
    if (leaf === undefined) return undefined;
    this.leaves.delete(key);
    if (this.options.now() >= leaf.renewAt) {
      leaf.forget();
      return undefined;
    }
    this.leaves.set(key, leaf);
    return leaf;
  }

  private issuedOnce(key: string, issue: () => Promise<Issued<T>>): Pending<T> {
    const waiting = this.pending.get(key);
    if (waiting !== undefined) return waiting;
    const held = new Held<T>(this.options.drop);
    const pending = { held, done: this.issueAndKeep(key, issue, held) };
    this.pending.set(key, pending);
    const done = () => {
      if (this.pending.get(key) === pending) this.pending.delete(key);
    };
    pending.done.then(done, done);
    return pending;
  }

  private async issueAndKeep(key: string, issue: () => Promise<Issued<T>>, held: Held<T>): Promise<Issued<T>> {
    const { generation } = this;
    const issued = await issue();
    held.identity = issued.identity;
    if (generation === this.generation) this.keep(key, issued.notAfter, held);
    return issued;
  }

  private keep(key: string, notAfter: number, held: Held<T>): void {
    const { now, renewBefore, capacity } = this.options;
    const left = notAfter - now();
    if (left <= 0 || capacity < 1) return;
    this.leaves.get(key)?.forget();
    this.leaves.set(key, held);
    held.keepUntil(notAfter - Math.min(renewBefore, left / 4));
    if (this.leaves.size <= capacity) return;
    const [oldest] = this.leaves;
    this.leaves.delete(oldest![0]);
    oldest![1].forget();
  }
}

interface Pending<T> {
  readonly held: Held<T>;
  readonly done: Promise<Issued<T>>;
}

/** A certificate, or one to come, with who has it: the cache, and those who use it. */
class Held<T> {
  identity: T | undefined;
  /** Seconds since 1970. */
  renewAt = 0;
  private isKept = false;
  private uses = 0;
  private readonly drop: ((identity: T) => void) | undefined;

  constructor(drop: ((identity: T) => void) | undefined) {
    this.drop = drop;
  }

  use(): this {
    this.uses++;
    return this;
  }

  release(): void {
    this.uses--;
    this.dropIfFree();
  }

  keepUntil(renewAt: number): void {
    this.renewAt = renewAt;
    this.isKept = true;
  }

  forget(): void {
    this.isKept = false;
    this.dropIfFree();
  }

  private dropIfFree(): void {
    if (this.isKept || this.uses > 0 || this.identity === undefined) return;
    const { identity } = this;
    this.identity = undefined;
    this.drop?.(identity);
  }
}
