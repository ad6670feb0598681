/** A timer that was set. */
export interface Timer {
  readonly deadline: bigint;
  readonly fire: () => void;
}

/**
 * Timers in order of their deadlines, so that a guest with a thousand idle times asks the host for one pollable and not for
 * a thousand. Deadlines are nanoseconds of the monotonic clock. Knows nothing of WASI.
 */
export class Timers {
  private readonly sorted: Timer[] = [];

  /** The earliest deadline; `undefined` if no timer is set. */
  get next(): bigint | undefined {
    return this.sorted[0]?.deadline;
  }

  get size(): number {
    return this.sorted.length;
  }

  /** Set a timer. Timers of one deadline fire in the order in which they were set. */
  set(deadline: bigint, fire: () => void): Timer {
    const timer = { deadline, fire };
    this.sorted.splice(this.firstAfter(deadline), 0, timer);
    return timer;
  }

  /** Take a timer out. Does nothing if it fired already. */
  clear(timer: Timer): void {
    for (let at = this.firstAfter(timer.deadline) - 1; at >= 0 && this.sorted[at]!.deadline === timer.deadline; at--) {
      if (this.sorted[at] !== timer) continue;
      this.sorted.splice(at, 1);
      return;
    }
  }

  /** Fire what is due at `now`. */
  fireDue(now: bigint): void {
    const due = this.sorted.splice(0, this.firstAfter(now));
    for (const timer of due) timer.fire();
  }

  /** Index of the first timer that is later than `deadline`. */
  private firstAfter(deadline: bigint): number {
    let low = 0;
    let high = this.sorted.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.sorted[middle]!.deadline <= deadline) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
