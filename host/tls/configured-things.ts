import type { SharedBudget } from "./shared-budget.ts";

/** What a connection was configured with, and what it weighs in the host. */
export interface Thing {
  thing: unknown;
  /** Bytes. */
  size: number;
}

/** Charges an instance for what one of its connections was configured with: the handles may be dropped, and their own charge ends. */
export class ConfiguredThings {
  readonly #budget: SharedBudget;
  readonly #entered = new Map<"anchors" | "identities", readonly unknown[]>();

  constructor(budget: SharedBudget) {
    this.#budget = budget;
  }

  /** Charge for these in place of those before. @returns false past the limit; nothing has changed then */
  replace(as: "anchors" | "identities", things: readonly Thing[]): boolean {
    const entered = things.filter(({ thing, size }) => this.#budget.enter(thing, size)).map(({ thing }) => thing);
    if (entered.length < things.length) {
      for (const thing of entered) this.#budget.leave(thing);
      return false;
    }
    this.#leave(as);
    this.#entered.set(as, entered);
    return true;
  }

  release(): void {
    this.#leave("anchors");
    this.#leave("identities");
  }

  #leave(as: "anchors" | "identities"): void {
    for (const thing of this.#entered.get(as) ?? []) this.#budget.leave(thing);
    this.#entered.delete(as);
  }
}
