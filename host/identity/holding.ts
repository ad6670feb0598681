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

  /** `undefined` past the limit. */
  hold(bytes: number): Holding | undefined {
    if (this.#held + bytes > this.#limit) return undefined;
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
