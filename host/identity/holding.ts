import { Trap } from "../io/ledger.ts";

/** A charge that ends with the resource it was made for. */
export interface Holding {
  end(): void;
}

/** Bytes that one instance makes the host keep: handles alone would not bound them, since one may hold megabytes. */
export class HoldingLimit {
  readonly #limit: number;
  #held = 0;

  /** @param limit bytes */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Bytes held now. */
  get held(): number {
    return this.#held;
  }

  /** @throws {Trap} past the limit, as for handles */
  hold(bytes: number): Holding {
    if (this.#held + bytes > this.#limit) throw new Trap(`limit reached: this instance holds ${this.#held} bytes of certificates`);
    this.#held += bytes;
    let live = true;
    return {
      end: () => {
        if (live) this.#held -= bytes;
        live = false;
      },
    };
  }
}
