/**
 * A violation of the component model's or wasi:io's rules by the guest. Reaches the guest as a trap: the instance is dead.
 */
export class Trap extends WebAssembly.RuntimeError {
  override readonly name = "Trap";
}

/** Bounds on what one instance may hold. */
export interface InstanceLimits {
  /** Live resources of all kinds: streams, pollables, sockets, connections, identities. */
  handles: number;
  /** Live TLS connections. */
  connections: number;
}

export const defaultLimits: InstanceLimits = { handles: 100_000, connections: 10_000 };

/** What one instance holds at the moment, against its limits. Every host resource of the instance is entered here. */
export class Ledger {
  /** Whether dropping a parent before its children traps, as wasi:io on Wasmtime does. */
  readonly strict: boolean;
  readonly limits: InstanceLimits;
  #handles = 0;
  #counts = new Map<string, number>();
  #owned: Set<() => void> | undefined = new Set();
  #last: (() => void)[] = [];

  constructor(options: { strict?: boolean; limits?: Partial<InstanceLimits> } = {}) {
    this.strict = options.strict ?? true;
    this.limits = { ...defaultLimits, ...options.limits };
  }

  /** Live resources. */
  get handles(): number {
    return this.#handles;
  }

  /** Live resources of one class. */
  count(kind: string): number {
    return this.#counts.get(kind) ?? 0;
  }

  /** @throws {Trap} when the instance is past its limit. */
  enter(kind: string): void {
    if (this.#owned === undefined) throw new Trap("this instance has been closed");
    if (this.#handles >= this.limits.handles) throw new Trap(`limit reached: this instance already holds ${this.limits.handles} handles`);
    this.#handles++;
    this.#counts.set(kind, this.count(kind) + 1);
  }

  leave(kind: string): void {
    this.#handles--;
    this.#counts.set(kind, this.count(kind) - 1);
  }

  /**
   * Enter something of the operating system that the instance holds: a socket, a file, an armed timer. If the instance has been
   * closed, `close` is called at once.
   *
   * @param close releases it; called at most once, and not after the returned function was.
   * @returns to be called when it has been released by other means.
   */
  own(close: () => void): () => void {
    const owned = this.#owned;
    if (owned === undefined) {
      close();
      return () => {};
    }
    const entry = () => close();
    owned.add(entry);
    return () => owned.delete(entry);
  }

  /** As `own`, for what has to outlive everything else that the instance owns: it is released after that. */
  ownLast(close: () => void): void {
    if (this.#owned === undefined) close();
    else this.#last.push(close);
  }

  /** What the instance holds of the operating system. */
  get owned(): number {
    return this.#owned?.size ?? 0;
  }

  /** The instance is gone: release everything it owns. From here on it can hold nothing more. */
  close(): void {
    const owned = this.#owned;
    this.#owned = undefined;
    for (const close of owned ?? []) close();
    owned?.clear();
    for (const close of this.#last.splice(0)) close();
  }
}

/** A host object that a guest holds a handle to. jco calls `Symbol.dispose` when the guest drops the handle. */
export abstract class Resource {
  readonly ledger: Ledger;
  readonly #kind: string;
  #parent: Resource | undefined;
  #children = 0;
  #dropped = false;

  /** @param parent a resource that must outlive this one */
  constructor(ledger: Ledger, parent?: Resource) {
    this.ledger = ledger;
    this.#kind = new.target.name;
    ledger.enter(this.#kind);
    this.#parent = parent;
    if (parent !== undefined) parent.#children++;
  }

  get hasChildren(): boolean {
    return this.#children > 0;
  }

  get dropped(): boolean {
    return this.#dropped;
  }

  /** Release what the resource holds. Called once. */
  protected release(): void {}

  /** @throws {Trap} if children are alive and the instance is strict. */
  [Symbol.dispose](): void {
    if (this.#dropped) return;
    if (this.#children > 0 && this.ledger.strict)
      throw new Trap(`resource has children: drop the pollables and streams of this ${this.#kind} first`);
    this.#dropped = true;
    this.ledger.leave(this.#kind);
    if (this.#parent !== undefined) this.#parent.#children--;
    this.#parent = undefined;
    this.release();
  }
}
