import { type Nanoseconds, type Scope, SECOND, timeout } from "../../src/reactor/index.ts";

/** Seconds of the policy as the reactor counts time. */
export function seconds(count: number): Nanoseconds {
  return BigInt(count) * SECOND;
}

/**
 * As `timeout`, for a task that makes something which has to be dropped: what comes too late is.
 *
 * @throws {TimedOut} @throws whatever the task throws
 */
export function within<T extends Disposable>(duration: Nanoseconds, task: (scope: Scope) => Promise<T>, parent?: Scope): Promise<T> {
  return timeout(
    duration,
    async (scope) => {
      const made = await task(scope);
      if (scope.reason === undefined) return made;
      made[Symbol.dispose]();
      throw scope.reason;
    },
    parent,
  );
}
