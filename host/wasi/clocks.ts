import type { Ledger } from "../io/ledger.ts";
import { Pollable } from "../io/poll.ts";
import type { Readiness } from "../io/signal.ts";

/** The WIT record wasi:clocks/wall-clock `datetime`. */
export interface Datetime {
  seconds: bigint;
  nanoseconds: number;
}

/** wasi:clocks for one instance. Timers are armed only while something waits for them. */
export function clocksImports(ledger: Ledger): ClocksImports {
  const now = () => process.hrtime.bigint();
  const at = (deadline: bigint) => new Pollable(ledger, until(deadline, ledger));
  return {
    "wasi:clocks/monotonic-clock": {
      now,
      resolution: () => 1n,
      subscribeInstant: (when) => at(when),
      subscribeDuration: (duration) => at(now() + duration),
    },
    "wasi:clocks/wall-clock": {
      now: () => datetime(BigInt(Date.now()) * 1_000_000n),
      resolution: () => ({ seconds: 0n, nanoseconds: 1_000_000 }),
    },
  };
}

export interface ClocksImports {
  "wasi:clocks/monotonic-clock": {
    /** Nanoseconds since a moment in the past. */
    now(): bigint;
    resolution(): bigint;
    subscribeInstant(when: bigint): Pollable;
    subscribeDuration(duration: bigint): Pollable;
  };
  "wasi:clocks/wall-clock": { now(): Datetime; resolution(): Datetime };
}

/** @param nanoseconds since 1970 */
export function datetime(nanoseconds: bigint): Datetime {
  const seconds = nanoseconds < 0n ? 0n : nanoseconds / SECOND;
  return { seconds, nanoseconds: nanoseconds < 0n ? 0 : Number(nanoseconds % SECOND) };
}

/** Ready once the monotonic clock has reached `deadline`, in nanoseconds. */
function until(deadline: bigint, ledger: Ledger): Readiness {
  const ready = () => process.hrtime.bigint() >= deadline;
  return {
    ready,
    listen: (wake) => {
      let timer: NodeJS.Timeout | undefined;
      const arm = () => {
        const left = (deadline - process.hrtime.bigint()) / 1_000_000n + 1n;
        timer = setTimeout(check, left < 0n ? 0 : left > LONGEST_TIMER ? Number(LONGEST_TIMER) : Number(left));
      };
      // Node's timers may fire up to a millisecond early and cannot run longer than 24 days.
      const check = () => (ready() ? wake() : arm());
      const release = ledger.own(() => clearTimeout(timer));
      arm();
      return () => {
        clearTimeout(timer);
        release();
      };
    },
  };
}

const SECOND = 1_000_000_000n;
const LONGEST_TIMER = 2n ** 31n - 1n;
