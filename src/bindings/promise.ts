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
  /** One of PENDING, FULFILLED, REJECTED. Number and field, not an object: every await of a guest makes one of these. */
  private status = PENDING;
  /** The value or the reason. */
  private result: unknown = undefined;
  /** What waits; most promises have at most one. */
  private reactions: Reaction | Reaction[] | undefined = undefined;

  /** @param executor called at once; what it throws rejects the promise unless it is settled already */
  constructor(executor: (resolve: (value: T | PromiseLike<T>) => void, reject: (reason?: unknown) => void) => void) {
    if (executor === NOTHING) return;
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
    const result = new DrainedPromise<A | B>(NOTHING);
    this.react({
      fulfilled: (value) =>
        typeof onFulfilled === "function" ? result.settleBy(() => onFulfilled(value as T)) : result.settle(FULFILLED, value),
      rejected: (reason) =>
        typeof onRejected === "function" ? result.settleBy(() => onRejected(reason)) : result.settle(REJECTED, reason),
    });
    return result;
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

  /**
   * Run a generator as the body of an async function: what it yields is awaited. What the build's own helper does with four
   * closures and two promises a step, without them.
   *
   * @param start makes the generator; what it throws rejects the promise
   */
  static drive<T>(start: () => Generator<unknown, T, unknown>): DrainedPromise<T> {
    const promise = new DrainedPromise<T>(NOTHING);
    let generator: Generator<unknown, T, unknown>;
    try {
      generator = start();
    } catch (reason) {
      promise.settle(REJECTED, reason);
      return promise;
    }
    const step = (method: "next" | "throw", argument: unknown): void => {
      let yielded: IteratorResult<unknown, T>;
      try {
        yielded = generator[method](argument);
      } catch (reason) {
        promise.settle(REJECTED, reason);
        return;
      }
      if (yielded.done === true) promise.resolveWith(yielded.value);
      else DrainedPromise.resolve(yielded.value).react(body);
    };
    const body: Reaction = { fulfilled: (value) => step("next", value), rejected: (reason) => step("throw", reason) };
    step("next", undefined);
    return promise;
  }

  private react(reaction: Reaction): void {
    if (this.status !== PENDING) schedule(reaction, this.status, this.result);
    else if (this.reactions === undefined) this.reactions = reaction;
    else if (Array.isArray(this.reactions)) this.reactions.push(reaction);
    else this.reactions = [this.reactions, reaction];
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
        this.settle(REJECTED, reason);
      },
    };
  }

  private resolveWith(value: unknown): void {
    if (value === this) return this.settle(REJECTED, new TypeError("a promise cannot resolve to itself"));
    if ((typeof value !== "object" || value === null) && typeof value !== "function") return this.settle(FULFILLED, value);
    let then: unknown;
    try {
      then = (value as PromiseLike<unknown>).then;
    } catch (reason) {
      return this.settle(REJECTED, reason);
    }
    if (typeof then !== "function") return this.settle(FULFILLED, value);
    enqueue(() => {
      const { resolve, reject } = this.resolvers();
      try {
        (then as (this: unknown, resolve: (value: T) => void, reject: (reason?: unknown) => void) => void).call(value, resolve, reject);
      } catch (error) {
        reject(error);
      }
    });
  }

  private settleBy(call: () => unknown): void {
    let value: unknown;
    try {
      value = call();
    } catch (reason) {
      return this.settle(REJECTED, reason);
    }
    this.resolveWith(value);
  }

  private settle(status: number, result: unknown): void {
    if (this.status !== PENDING) return;
    this.status = status;
    this.result = result;
    const waiting = this.reactions;
    this.reactions = undefined;
    if (Array.isArray(waiting)) for (const reaction of waiting) schedule(reaction, status, result);
    else if (waiting !== undefined) schedule(waiting, status, result);
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
  let at = 0;
  try {
    while (at < jobs.length) {
      const job = jobs[at] as (() => void) | Reaction;
      const status = jobs[at + 1] as number;
      const result = jobs[at + 2];
      at += 3;
      ran++;
      if (typeof job === "function") job();
      else if (status === FULFILLED) job.fulfilled(result);
      else job.rejected(result);
    }
  } finally {
    // A job that throws is dropped like any job that ran; those behind it stay for the next call.
    jobs.splice(0, at);
    draining = false;
  }
  return ran;
}

/** Add a job, as `queueMicrotask` does. */
export function enqueue(job: () => void): void {
  jobs.push(job, PENDING, undefined);
}

interface Reaction {
  fulfilled: (value: unknown) => void;
  rejected: (reason: unknown) => void;
}

const PENDING = 0;
const FULFILLED = 1;
const REJECTED = 2;

/** The executor of a promise that this module settles itself. */
const NOTHING = () => {};

let draining = false;

/** Three entries a job: a function or a reaction, and with the latter the status and result to call it with. */
const jobs: unknown[] = [];

function schedule(reaction: Reaction, status: number, result: unknown): void {
  jobs.push(reaction, status, result);
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
