/** One wait: an entry of the list that `poll` gets. */
export interface Wait<P> {
  readonly pollable: P;
  /** Called once, when the pollable is ready; the wait has left the list by then. */
  readonly wake: () => void;
  /** Where it stands in the list; -1 once it left. */
  index: number;
}

/**
 * The pollables that are waited for, as the one array that `poll` takes. Entering and leaving cost the same however many
 * there are; nothing is rebuilt per poll. Knows nothing of WASI: `P` is whatever `poll` polls.
 */
export class PollList<P> {
  private readonly pollables: P[] = [];
  private readonly waits: Wait<P>[] = [];

  get size(): number {
    return this.waits.length;
  }

  add(pollable: P, wake: () => void): Wait<P> {
    const wait = { pollable, wake, index: this.waits.length };
    this.pollables.push(pollable);
    this.waits.push(wait);
    return wait;
  }

  /** Take a wait out without waking it. Does nothing if it left already. */
  remove(wait: Wait<P>): void {
    const index = wait.index;
    if (index < 0) return;
    wait.index = -1;
    const lastPollable = this.pollables.pop()!;
    const lastWait = this.waits.pop()!;
    if (lastWait === wait) return;
    this.pollables[index] = lastPollable;
    this.waits[index] = lastWait;
    lastWait.index = index;
  }

  /** Poll, take out what is ready, wake it. Returns how many were. */
  pollOnce(poll: (pollables: P[]) => ArrayLike<number>): number {
    const indices = poll(this.pollables);
    const ready: Wait<P>[] = [];
    for (let i = 0; i < indices.length; i++) ready.push(this.waits[indices[i]!]!);
    for (const wait of ready) this.remove(wait);
    for (const wait of ready) wait.wake();
    return ready.length;
  }
}
