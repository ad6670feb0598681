import { randomBytes } from "node:crypto";

/** What a thread that outlives an instance can still tell of it. Survives `postMessage`, and is of one instance. */
export interface InstanceLife {
  /** By which its records name it. */
  readonly instance: string;
  /** @internal */
  readonly counts: SharedArrayBuffer;
}

/** What is counted of an instance. */
export type Counted = Exclude<keyof typeof SLOTS, "writer">;

/** For an instance that is about to be made. */
export function newLife(): InstanceLife {
  return { instance: randomBytes(6).toString("hex"), counts: new SharedArrayBuffer(SLOT_COUNT * Int32Array.BYTES_PER_ELEMENT) };
}

/**
 * The counts of an instance: written by its own thread, and read by any other one, at any time. A thread that is ended from
 * outside has no last word; what it has open is known all the same.
 */
export class LifeCounts {
  readonly #slots: Int32Array;
  /** How many `during` are under way in this thread, one in the other. */
  #depth = 0;

  /** By which its records name it. */
  readonly instance: string;

  constructor({ instance, counts }: InstanceLife) {
    this.instance = instance;
    this.#slots = new Int32Array(counts);
  }

  add(what: Counted, by: number): void {
    Atomics.add(this.#slots, SLOTS[what], by);
  }

  count(what: Counted): number {
    return Atomics.load(this.#slots, SLOTS[what]);
  }

  /**
   * Do something that the last record of the instance has to come wholly after, or wholly before: a write, and the counts that
   * go with it. It may hold another of these.
   *
   * @returns what it returns; `undefined` if the last record is being written, and nothing may be any more
   */
  during<Result>(act: () => Result): Result | undefined {
    const isOutermost = this.#depth === 0;
    if (isOutermost && Atomics.compareExchange(this.#slots, SLOTS.writer, FREE, AT_WORK) !== FREE) return undefined;
    this.#depth++;
    try {
      return act();
    } finally {
      this.#depth--;
      if (isOutermost && Atomics.compareExchange(this.#slots, SLOTS.writer, AT_WORK, FREE) === AT_WORK)
        Atomics.notify(this.#slots, SLOTS.writer);
    }
  }

  /**
   * From another thread: the last record comes next. Waits until nothing is being written, or for as long as this.
   *
   * @param patience milliseconds; 0 for a thread that has ended already, wherever it was
   */
  close(patience: number): void {
    const until = performance.now() + patience;
    while (Atomics.compareExchange(this.#slots, SLOTS.writer, FREE, OVER) === AT_WORK) {
      const left = until - performance.now();
      if (left > 0) Atomics.wait(this.#slots, SLOTS.writer, AT_WORK, left);
      else Atomics.store(this.#slots, SLOTS.writer, OVER);
    }
  }
}

const SLOTS = {
  /** Whether it has an audit file: from then on its end has to be told. */
  begun: 0,
  /** Connections from clients, and to servers, whose end was not recorded. */
  clients: 1,
  dials: 2,
  /** What it did more of than it may and nobody has told of yet. */
  untold: 3,
  /** Whether the thread is writing, and whether it still may. */
  writer: 4,
} as const;
/** What `writer` says. */
const [FREE, AT_WORK, OVER] = [0, 1, 2];
const SLOT_COUNT = Object.keys(SLOTS).length;
