import { randomBytes } from "node:crypto";

/** What a thread that outlives an instance can still tell of it. Survives `postMessage`, and is of one instance. */
export interface InstanceLife {
  /** By which its records name it. */
  readonly instance: string;
  /** @internal */
  readonly counts: SharedArrayBuffer;
}

/** What is counted of an instance. */
export type Counted = keyof typeof SLOTS;

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

  constructor({ counts }: InstanceLife) {
    this.#slots = new Int32Array(counts);
  }

  add(what: Counted, by: number): void {
    Atomics.add(this.#slots, SLOTS[what], by);
  }

  count(what: Counted): number {
    return Atomics.load(this.#slots, SLOTS[what]);
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
} as const;
const SLOT_COUNT = Object.keys(SLOTS).length;
