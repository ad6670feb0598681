import { type Ledger, Resource } from "../io/ledger.ts";
import { Pollable } from "../io/poll.ts";
import { Signal } from "../io/signal.ts";

/** The WIT variant `sallyport:gateway/control.event`. Times are nanoseconds from the moment it is taken. */
export type ControlEvent = { tag: "reload"; val: string } | { tag: "stop"; val: bigint } | { tag: "revoked"; val: string };

/** Revocations that may wait for the guest, and characters of one. */
const MAX_REVOCATIONS = 65_536;
const MAX_SUBJECT = 4096;
/** Characters of a policy. */
const MAX_POLICY = 16 * 1024 * 1024;

/** The host's side of `sallyport:gateway/control`: what one instance is still to be told. Bounded, whether it listens or not. */
export class ControlChannel {
  /** Notified when there is something to take. */
  readonly changed = new Signal();
  #policy: string | undefined;
  /** When the instance is to be gone, on the clock of `performance.now`. */
  #deadline: number | undefined;
  #stopTold = false;
  /** What waits, in order; the policy's place is `undefined`. */
  readonly #waiting = new Set<string | undefined>();
  #opened = false;

  /** Whether the instance ever listened. One that did not hears nothing, and has to be ended from outside. */
  get isOpen(): boolean {
    return this.#opened;
  }

  /**
   * A new policy. It takes the place of one that was not taken yet.
   *
   * @returns false if it is longer than 16 MiB
   */
  reload(policy: string): boolean {
    if (policy.length > MAX_POLICY) return false;
    this.#waiting.delete(undefined);
    this.#waiting.add(undefined);
    this.#policy = policy.toWellFormed();
    this.changed.notify();
    return true;
  }

  /** To end within `deadline` milliseconds. Said once; later only a nearer deadline counts, while the first was not taken. */
  stop(deadline: number): void {
    const at = performance.now() + Math.max(0, deadline);
    this.#deadline = Math.min(this.#deadline ?? Infinity, at);
    this.changed.notify();
  }

  /**
   * A subject that must not be served any more.
   *
   * @returns false if it was not taken in: longer than 4096 characters, or 65,536 wait already. An instance that does not
   *   take them has to be ended then, since it would go on serving somebody who was revoked.
   */
  revoke(subject: string): boolean {
    if (subject.length > MAX_SUBJECT || (this.#waiting.size >= MAX_REVOCATIONS && !this.#waiting.has(subject))) return false;
    this.#waiting.add(subject.toWellFormed());
    this.changed.notify();
    return true;
  }

  /** @internal for the resource */
  open(): void {
    this.#opened = true;
  }

  /** Whether `next` has something. */
  get hasNext(): boolean {
    return this.#waiting.size > 0 || (this.#deadline !== undefined && !this.#stopTold);
  }

  /** The next event, which is taken. */
  next(): ControlEvent | undefined {
    if (this.#deadline !== undefined && !this.#stopTold) {
      this.#stopTold = true;
      const left = Math.max(0, this.#deadline - performance.now());
      return { tag: "stop", val: BigInt(Math.round(Math.min(left, MAX_DEADLINE) * 1e6)) };
    }
    for (const subject of this.#waiting) {
      this.#waiting.delete(subject);
      if (subject !== undefined) return { tag: "revoked", val: subject };
      const policy = this.#policy!;
      this.#policy = undefined;
      return { tag: "reload", val: policy };
    }
    return undefined;
  }
}

/** The imports `sallyport:gateway/control` of one instance. */
export function controlImports(ledger: Ledger, control: ControlChannel): Record<string, object> {
  class Channel extends Resource {
    static open(): Channel {
      control.open();
      return new Channel(ledger);
    }

    subscribe(): Pollable {
      return new Pollable(
        ledger,
        control.changed.when(() => control.hasNext),
      );
    }

    next(): ControlEvent | undefined {
      return control.next();
    }
  }
  return { Channel };
}

/** Milliseconds; in nanoseconds it stays an integer that a JavaScript guest reads exactly. */
const MAX_DEADLINE = 9e9;
