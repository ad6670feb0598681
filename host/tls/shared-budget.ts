/** Bytes that one instance makes the host keep through its connections, what several of them share counted once. */
export class SharedBudget {
  readonly #limit: number;
  readonly #held = new Map<unknown, { weight: number; users: number }>();
  #total = 0;

  /** @param limit bytes; one thing alone may be more */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Bytes held now. */
  get total(): number {
    return this.#total;
  }

  /** One more user of `thing`. @returns false past the limit */
  enter(thing: unknown, weight: number): boolean {
    const known = this.#held.get(thing);
    if (known === undefined && weight > 0 && this.#total > 0 && this.#total + weight > this.#limit) return false;
    if (known === undefined) {
      this.#held.set(thing, { weight, users: 1 });
      this.#total += weight;
    } else known.users++;
    return true;
  }

  /** One user less. */
  leave(thing: unknown): void {
    const known = this.#held.get(thing);
    if (known === undefined || --known.users > 0) return;
    this.#held.delete(thing);
    this.#total -= known.weight;
  }
}
