/**
 * A Promise whose job queue the guest drains itself.
 *
 * QuickJS never runs promise jobs while an export with a synchronous type is on the stack, so async functions are lowered
 * onto this class (see `install.ts`), and the reactor calls `drain` before each `poll`. Once `drain` returns nothing is
 * runnable any more: quiescence is exact, not a guess.
 *
 * Private members here and in the reactor are TypeScript's: the build lowers `#name` to a WeakMap, which costs a microsecond
 * an access on QuickJS.
 *
 * Follows ECMA-262, section 27.2, in what async functions and the combinators need. Left out: subclassing through
 * `Symbol.species`, and host reports of unhandled rejections (the reactor's `spawn` surfaces those).
 */
export class DrainedPromise<T> implements PromiseLike<T> {
  private state: State<T> = { tag: "pending", reactions: [] };

  /** @param executor called at once; what it throws rejects the promise unless it is settled already */
  constructor(executor: (resolve: (value: T | PromiseLike<T>) => void, reject: (reason?: unknown) => void) => void) {
    const { resolve, reject } = this.resolvers();
    try {
      executor(resolve, reject);
    } catch (error) {
      reject(error);
    }
  }

  // oxlint-disable-next-line unicorn/no-thenable -- this is the one class that is meant to be a thenable
  then<A = T, B = never>(
    onFulfilled?: ((value: T) => A | PromiseLike<A>) | null,
    onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): DrainedPromise<A | B> {
    const result = DrainedPromise.withResolvers<A | B>();
    this.react({
      fulfilled: (value) =>
        typeof onFulfilled === "function" ? settle(result, () => onFulfilled(value)) : result.resolve(value as unknown as A),
      rejected: (reason) => (typeof onRejected === "function" ? settle(result, () => onRejected(reason)) : result.reject(reason)),
    });
    return result.promise;
  }

  catch<B = never>(onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null): DrainedPromise<T | B> {
    return this.then(undefined, onRejected);
  }

  finally(onFinally?: (() => void) | null): DrainedPromise<T> {
    if (typeof onFinally !== "function") return this.then();
    return this.then(
      (value) => DrainedPromise.resolve(onFinally()).then(() => value),
      (reason) =>
        DrainedPromise.resolve(onFinally()).then((): T => {
          throw reason;
        }),
    );
  }

  get [Symbol.toStringTag](): string {
    return "Promise";
  }

  static resolve<T>(value?: T | PromiseLike<T>): DrainedPromise<T> {
    if (value instanceof DrainedPromise) return value;
    return new DrainedPromise<T>((resolve) => resolve(value as T));
  }

  static reject<T = never>(reason?: unknown): DrainedPromise<T> {
    return new DrainedPromise<T>((_, reject) => reject(reason));
  }

  static withResolvers<T>(): Resolvers<T> {
    let resolve!: (value: T | PromiseLike<T>) => void;
    let reject!: (reason?: unknown) => void;
    const promise = new DrainedPromise<T>((res, rej) => {
      resolve = res;
      reject = rej;
    });
    return { promise, resolve, reject };
  }

  static try<T, A extends unknown[]>(call: (...args: A) => T | PromiseLike<T>, ...args: A): DrainedPromise<T> {
    return new DrainedPromise<T>((resolve) => resolve(call(...args)));
  }

  static all<T>(values: Iterable<T | PromiseLike<T>>): DrainedPromise<T[]> {
    return collect<T, T>(values, (item, keep, result) => item.then(keep, result.reject));
  }

  static allSettled<T>(values: Iterable<T | PromiseLike<T>>): DrainedPromise<PromiseSettledResult<T>[]> {
    return collect<T, PromiseSettledResult<T>>(values, (item, keep) =>
      item.then(
        (value) => keep({ status: "fulfilled", value }),
        (reason) => keep({ status: "rejected", reason }),
      ),
    );
  }

  static race<T>(values: Iterable<T | PromiseLike<T>>): DrainedPromise<T> {
    return new DrainedPromise<T>((resolve, reject) => {
      for (const value of values) DrainedPromise.resolve(value).then(resolve, reject);
    });
  }

  static any<T>(values: Iterable<T | PromiseLike<T>>): DrainedPromise<T> {
    const first = DrainedPromise.withResolvers<T>();
    const failures = collect<T, unknown>(values, (item, keep) => item.then(first.resolve, keep));
    failures.then((errors) => first.reject(new AggregateError(errors, "every promise was rejected")), first.reject);
    return first.promise;
  }

  private react(reaction: Reaction<T>): void {
    const state = this.state;
    if (state.tag === "pending") state.reactions.push(reaction);
    else schedule(state, reaction);
  }

  private resolvers(): { resolve: (value: T | PromiseLike<T>) => void; reject: (reason?: unknown) => void } {
    let called = false;
    return {
      resolve: (value) => {
        if (called) return;
        called = true;
        this.resolveWith(value);
      },
      reject: (reason) => {
        if (called) return;
        called = true;
        this.settle({ tag: "rejected", reason });
      },
    };
  }

  private resolveWith(value: T | PromiseLike<T>): void {
    if ((value as unknown) === this) return this.settle({ tag: "rejected", reason: new TypeError("a promise cannot resolve to itself") });
    if ((typeof value !== "object" || value === null) && typeof value !== "function") {
      return this.settle({ tag: "fulfilled", value: value as T });
    }
    let then: unknown;
    try {
      then = (value as PromiseLike<T>).then;
    } catch (reason) {
      return this.settle({ tag: "rejected", reason });
    }
    if (typeof then !== "function") return this.settle({ tag: "fulfilled", value: value as T });
    enqueue(() => {
      const { resolve, reject } = this.resolvers();
      try {
        (then as (this: unknown, resolve: (value: T) => void, reject: (reason?: unknown) => void) => void).call(value, resolve, reject);
      } catch (error) {
        reject(error);
      }
    });
  }

  private settle(outcome: Settled<T>): void {
    const state = this.state;
    if (state.tag !== "pending") return;
    this.state = outcome;
    for (const reaction of state.reactions) schedule(outcome, reaction);
  }
}

/** What `DrainedPromise.withResolvers` returns. */
export interface Resolvers<T> {
  promise: DrainedPromise<T>;
  resolve: (value: T | PromiseLike<T>) => void;
  reject: (reason?: unknown) => void;
}

/**
 * Run jobs until none is left, including those that jobs add. Returns how many ran. A call from inside a job does nothing:
 * the outer call goes on anyway.
 */
export function drain(): number {
  if (draining) return 0;
  draining = true;
  let ran = 0;
  try {
    for (; ran < jobs.length; ran++) jobs[ran]!();
  } finally {
    // A job that throws is dropped like any job that ran; those behind it stay for the next call.
    jobs.splice(0, Math.min(ran + 1, jobs.length));
    draining = false;
  }
  return ran;
}

/** Add a job, as `queueMicrotask` does. */
export function enqueue(job: () => void): void {
  jobs.push(job);
}

type Settled<T> = { tag: "fulfilled"; value: T } | { tag: "rejected"; reason: unknown };
type State<T> = { tag: "pending"; reactions: Reaction<T>[] } | Settled<T>;

interface Reaction<T> {
  fulfilled: (value: T) => void;
  rejected: (reason: unknown) => void;
}

let draining = false;
const jobs: (() => void)[] = [];

function schedule<T>(outcome: Settled<T>, reaction: Reaction<T>): void {
  if (outcome.tag === "fulfilled") enqueue(() => reaction.fulfilled(outcome.value));
  else enqueue(() => reaction.rejected(outcome.reason));
}

function settle<T>(result: Resolvers<T>, call: () => T | PromiseLike<T>): void {
  let value: T | PromiseLike<T>;
  try {
    value = call();
  } catch (error) {
    return result.reject(error);
  }
  result.resolve(value);
}

/** The combinators that wait for all: `attach` says what an item keeps, and may settle the result itself. */
function collect<T, K>(
  values: Iterable<T | PromiseLike<T>>,
  attach: (item: DrainedPromise<T>, keep: (kept: K) => void, result: Resolvers<K[]>) => void,
): DrainedPromise<K[]> {
  const result = DrainedPromise.withResolvers<K[]>();
  const kept: K[] = [];
  let open = 1;
  const close = () => {
    if (--open === 0) result.resolve(kept);
  };
  try {
    let index = 0;
    for (const value of values) {
      const at = index++;
      open++;
      attach(
        DrainedPromise.resolve(value),
        (item) => {
          kept[at] = item;
          close();
        },
        result,
      );
    }
    close();
  } catch (error) {
    result.reject(error);
  }
  return result.promise;
}
