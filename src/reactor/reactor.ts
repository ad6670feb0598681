import "../bindings/install.ts";
import { poll, type Pollable } from "wasi:io/poll@0.2.12";
import { now as clockNow, subscribeInstant } from "wasi:clocks/monotonic-clock@0.2.12";
import { bigintOfU64, u64 } from "../bindings/integers.ts";
import { Cancelled, Scope, TimedOut } from "./cancel.ts";
import { PollList, type Wait } from "./poll-list.ts";
import { type Timer, Timers } from "./timers.ts";

/** Nanoseconds, as wasi:clocks counts time. */
export type Nanoseconds = bigint;

export const SECOND: Nanoseconds = BigInt(1_000_000_000);
export const MILLISECOND: Nanoseconds = BigInt(1_000_000);

/**
 * Resolves once `pollable` is ready. The pollable has to live until then: whoever drops it earlier cancels the wait first
 * (`Event` does).
 *
 * @throws {Cancelled} or the scope's reason when the scope is cancelled; the pollable is then no longer polled.
 */
export function wait(pollable: Pollable, scope?: Scope): Promise<void> {
  return suspended(scope, (wake) => {
    const entry = waits.add(pollable, wake);
    return () => waits.remove(entry);
  });
}

/** Resolves after `duration`. @throws the scope's reason when it is cancelled. */
export function sleep(duration: Nanoseconds, scope?: Scope): Promise<void> {
  return suspended(scope, (wake) => {
    const timer = setTimer(duration, wake);
    return () => clearTimer(timer);
  });
}

/** Call `fire` after `duration` unless the timer is cleared before; cheaper than a `sleep` that is mostly cancelled. */
export function setTimer(duration: Nanoseconds, fire: () => void): Timer {
  return timers.set(now() + duration, fire);
}

/** Clear a timer; does nothing if it fired already. */
export function clearTimer(timer: Timer): void {
  timers.clear(timer);
}

/** The monotonic clock. Only differences mean anything. */
export function now(): Nanoseconds {
  return bigintOfU64(clockNow());
}

/**
 * Run `task`, at most for `duration`. When the time is up its scope is cancelled and `TimedOut` is thrown at once; what the
 * task still answers is ignored.
 *
 * @throws {TimedOut}
 */
export async function timeout<T>(duration: Nanoseconds, task: (scope: Scope) => Promise<T>, parent?: Scope): Promise<T> {
  parent?.throwIfCancelled();
  const scope = new Scope(parent);
  const timer = setTimer(duration, () => scope.cancel(new TimedOut()));
  try {
    return await orCancelled(task(scope), scope);
  } finally {
    clearTimer(timer);
    scope[Symbol.dispose]();
  }
}

/**
 * The first of `tasks` to settle, however it settles; the others' scope is cancelled. What they still answer is ignored.
 */
export async function race<T>(tasks: ((scope: Scope) => Promise<T>)[], parent?: Scope): Promise<T> {
  parent?.throwIfCancelled();
  const scope = new Scope(parent);
  try {
    return await orCancelled(Promise.race(tasks.map((task) => task(scope))), scope);
  } finally {
    scope.cancel(new Cancelled("another task was first"));
  }
}

/**
 * Start a task that nobody awaits. An error out of it ends the program (`run` throws it) unless `onError` takes it:
 * nothing fails silently. `Cancelled` is not an error here, since it is the answer to a request of our own.
 */
export function spawn(task: () => Promise<void>, onError?: (error: unknown) => void): void {
  const failed = (error: unknown) => {
    if (error instanceof Cancelled) return;
    if (onError === undefined) return surface(error);
    try {
      onError(error);
    } catch (second) {
      surface(second);
    }
  };
  running++;
  Promise.resolve()
    .then(task)
    .then(undefined, failed)
    .then(() => {
      running--;
    });
}

/** What the reactor has under way. */
export interface Activity {
  /** Tasks of `spawn` that have not ended. */
  tasks: number;
  /** Waits for pollables. */
  waits: number;
  /** Timers. */
  timers: number;
}

export function activity(): Activity {
  const clock = alarm === undefined || alarm.entry.index < 0 ? 0 : 1;
  return { tasks: running, waits: waits.size - clock, timers: timers.size };
}

/** For `run`: the first error that a spawned task left behind. */
export function surfaced(): { error: unknown } | undefined {
  return failure;
}

/**
 * For `run`: block until something is ready and wake it.
 *
 * @throws {StalledError} when nothing is waited for, so that nothing would ever happen again.
 */
export function turn(): void {
  const alarm = armAlarm();
  if (waits.size === 0) throw new StalledError();
  waits.pollOnce(poll as (pollables: Pollable[]) => ArrayLike<number>);
  // The alarm left the list if it rang. An earlier timer, or none at all, needs another one or no look at the clock.
  if (alarm !== undefined && timers.next !== undefined) timers.fireDue(now());
}

/** For `run`, at the end: let go of the clock. Timers that are still set never fire. */
export function stop(): void {
  disarmAlarm();
}

/** Everything waits for something that no pollable and no timer will bring. */
export class StalledError extends Error {
  readonly code = "ERR_SALLYPORT_STALLED";

  constructor() {
    super("the program waits for something that can never happen: nothing is polled and no timer is set");
  }
}

const waits = new PollList<Pollable>();
const timers = new Timers();
let running = 0;
let failure: { error: unknown } | undefined;

/** The one pollable of the clock that stands for all timers. It may ring too early, never too late. */
let alarm: { deadline: Nanoseconds; pollable: Pollable; entry: Wait<Pollable> } | undefined;

function armAlarm(): typeof alarm {
  const next = timers.next;
  if (alarm !== undefined && (next === undefined || alarm.entry.index < 0 || next < alarm.deadline)) disarmAlarm();
  if (next === undefined || alarm !== undefined) return alarm;
  const pollable = subscribeInstant(u64(next));
  alarm = { deadline: next, pollable, entry: waits.add(pollable, () => {}) };
  return alarm;
}

function disarmAlarm(): void {
  if (alarm === undefined) return;
  waits.remove(alarm.entry);
  alarm.pollable[Symbol.dispose]();
  alarm = undefined;
}

function surface(error: unknown): void {
  failure ??= { error };
}

/** A promise that something wakes, or a scope rejects; whichever comes first undoes the other. */
function suspended(scope: Scope | undefined, start: (wake: () => void) => () => void): Promise<void> {
  return new Promise((resolve, reject) => {
    if (scope === undefined) {
      start(resolve);
      return;
    }
    if (scope.reason !== undefined) {
      reject(scope.reason);
      return;
    }
    let release = () => {};
    const stop = start(() => {
      release();
      resolve();
    });
    release = scope.onCancel((reason) => {
      stop();
      reject(reason);
    });
  });
}

/** `promise`, or the scope's reason as soon as that is cancelled. */
function orCancelled<T>(promise: Promise<T>, scope: Scope): Promise<T> {
  return new Promise((resolve, reject) => {
    const release = scope.onCancel(reject);
    promise.then(
      (value) => {
        release();
        resolve(value);
      },
      (error: unknown) => {
        release();
        reject(error);
      },
    );
  });
}
