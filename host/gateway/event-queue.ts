import { WitError } from "../io/error.ts";
import { type Ledger, Resource, Trap } from "../io/ledger.ts";
import { Pollable } from "../io/poll.ts";
import { Signal } from "../io/signal.ts";
import { breathe } from "../io/turn.ts";

/** The WIT enum `sallyport:gateway/event-queue.add-error`. */
export type AddError = "token-in-use" | "full" | "of-a-queue";

/** Pollables of queues. One queue inside another, a thousand deep, would be a call stack as deep at each wake. */
const ofQueues = new WeakSet<Pollable>();

/** The imports `sallyport:gateway/event-queue` of one instance. */
export function eventQueueImports(ledger: Ledger): { Queue: new () => EventQueue } {
  class Queue extends EventQueue {
    constructor() {
      super(ledger);
    }
  }
  return { Queue };
}

/**
 * The WIT resource `queue`: pollables under tokens. Work is done per change of what is armed and per token told, never per
 * entry: an armed entry listens, and puts itself among the hits when a wake finds it ready.
 */
export class EventQueue extends Resource {
  readonly #entries = new Map<number, Entry>();
  /** Armed entries that were ready when they were last looked at, in the order in which they became so. */
  readonly #hits = new Set<Entry>();
  readonly #changed = new Signal();
  #armed = 0;

  /** @throws {WitError<AddError>} */
  add(pollable: Pollable, token: number): void {
    const key = token >>> 0;
    if (ofQueues.has(pollable)) throw new WitError<AddError>("of-a-queue");
    if (this.#entries.has(key)) throw new WitError<AddError>("token-in-use");
    if (this.#entries.size >= this.ledger.limits.handles) throw new WitError<AddError>("full");
    const entry: Entry = { token: key, pollable, stop: undefined, forget: () => {} };
    this.#entries.set(key, entry);
    entry.forget = pollable.onDrop(() => this.remove(key));
    this.#arm(entry);
  }

  arm(tokens: ArrayLike<number>): void {
    for (let i = 0; i < tokens.length; i++) {
      const entry = this.#entries.get(tokens[i]! >>> 0);
      if (entry !== undefined && entry.stop === undefined) this.#arm(entry);
    }
  }

  remove(token: number): boolean {
    const entry = this.#entries.get(token >>> 0);
    if (entry === undefined) return false;
    this.#entries.delete(entry.token);
    this.#disarm(entry);
    entry.forget();
    return true;
  }

  len(): number {
    return this.#entries.size;
  }

  subscribe(): Pollable {
    const readiness = this.#changed.when(() => this.dropped || this.#hasHit());
    const pollable = new Pollable(this.ledger, readiness);
    ofQueues.add(pollable);
    return pollable;
  }

  take(max: number): Uint32Array {
    const limit = max >>> 0;
    const tokens: number[] = [];
    for (const entry of this.#hits) {
      if (tokens.length >= limit) break;
      if (entry.pollable.ready()) {
        tokens.push(entry.token);
        this.#disarm(entry);
      } else this.#hits.delete(entry);
    }
    return Uint32Array.from(tokens);
  }

  /** @throws {Trap} if nothing is armed */
  async wait(max: number): Promise<Uint32Array> {
    if (this.#armed === 0) throw new Trap("wait: nothing in the queue is armed");
    const limit = Math.max(1, max >>> 0);
    await breathe();
    const now = this.take(limit);
    if (now.length > 0) return now;
    return await new Promise((resolve) => {
      let scheduled = false;
      const collect = () => {
        scheduled = false;
        const tokens = this.take(limit);
        if (tokens.length === 0) return;
        stop();
        resolve(tokens);
      };
      // As `poll` does: what becomes ready in one turn of the event loop is told together.
      const stop = this.#changed.listen(() => {
        if (scheduled) return;
        scheduled = true;
        setImmediate(collect);
      });
    });
  }

  protected override release(): void {
    for (const entry of this.#entries.values()) {
      this.#disarm(entry);
      entry.forget();
    }
    this.#entries.clear();
    this.#changed.notify();
  }

  #arm(entry: Entry): void {
    this.#armed++;
    entry.stop = entry.pollable.listen(() => this.#look(entry));
    this.#look(entry);
  }

  #disarm(entry: Entry): void {
    if (entry.stop === undefined) return;
    entry.stop();
    entry.stop = undefined;
    this.#armed--;
    this.#hits.delete(entry);
  }

  #look(entry: Entry): void {
    if (this.#hits.has(entry) || !entry.pollable.ready()) return;
    this.#hits.add(entry);
    this.#changed.notify();
  }

  #hasHit(): boolean {
    for (const entry of this.#hits) {
      if (entry.pollable.ready()) return true;
      this.#hits.delete(entry);
    }
    return false;
  }
}

interface Entry {
  readonly token: number;
  readonly pollable: Pollable;
  /** Stops listening. Armed entries have it. */
  stop: (() => void) | undefined;
  /** Stops hearing of the pollable's drop. */
  forget: () => void;
}
