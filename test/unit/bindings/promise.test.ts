/* oxlint-disable unicorn/no-thenable, unicorn/no-unnecessary-await -- thenables and turns of the engine's queue are what is tested */
import { afterEach, describe, expect, it } from "vitest";
import { drain, DrainedPromise, enqueue } from "../../../src/bindings/promise.ts";

afterEach(() => {
  drain();
});

/** What a promise came to once nothing is runnable any more. */
function settled<T>(promise: PromiseLike<T>): PromiseSettledResult<T> | "pending" {
  let result: PromiseSettledResult<T> | "pending" = "pending";
  promise.then(
    (value) => (result = { status: "fulfilled", value }),
    (reason: unknown) => (result = { status: "rejected", reason }),
  );
  drain();
  return result;
}

const fulfilled = <T>(value: T) => ({ status: "fulfilled", value });
const rejected = (reason: unknown) => ({ status: "rejected", reason });

/** The same program on both kinds of promise: the order in which its steps ran. */
async function orderOn(P: PromiseConstructor, flush: () => void): Promise<string[]> {
  const log: string[] = [];
  const step = (name: string) => () => void log.push(name);
  const thenable = { then: (resolve: (value: number) => void) => (step("assimilated")(), resolve(1)) };
  P.resolve().then(step("a1")).then(step("a2")).then(step("a3"));
  P.resolve(thenable).then(step("thenable"));
  P.resolve(P.resolve()).then(step("same"));
  new P((resolve) => resolve(P.resolve())).then(step("adopted"));
  P.reject(new Error("x")).catch(step("caught")).finally(step("finally")).then(step("after finally"));
  P.all([1, P.resolve(2)]).then(step("all"));
  P.race([new P(() => {}), P.resolve()]).then(step("race"));
  P.any([P.reject(new Error("no")), P.resolve()]).then(step("any"));
  P.allSettled([P.reject(new Error("no"))]).then(step("allSettled"));
  log.push("end of script");
  flush();
  for (let i = 0; i < 50; i++) await null;
  return log;
}

describe("a drained promise", () => {
  it("runs reactions in the order that the engine's own promises do", async () => {
    const own = await orderOn(DrainedPromise as unknown as PromiseConstructor, drain);
    const native = await orderOn(Promise, () => {});
    expect(own).toEqual(native);
  });

  it("runs nothing before it is drained, and everything that became runnable then", () => {
    const log: number[] = [];
    DrainedPromise.resolve().then(() => {
      log.push(1);
      enqueue(() => log.push(2));
    });
    expect(log).toEqual([]);
    expect(drain()).toBe(2);
    expect(log).toEqual([1, 2]);
    expect(drain()).toBe(0);
  });

  it("works under await of the engine, as any thenable", async () => {
    const promise = DrainedPromise.withResolvers<number>();
    const waiting = (async () => (await promise.promise) + 1)();
    promise.resolve(1);
    await null;
    drain();
    await expect(waiting).resolves.toBe(2);
  });

  it("settles once: what comes later changes nothing", () => {
    const { promise, resolve, reject } = DrainedPromise.withResolvers<number>();
    resolve(1);
    reject(new Error("late"));
    resolve(2);
    expect(settled(promise)).toEqual(fulfilled(1));
  });

  it("follows the promise that it was resolved with, whatever is said to it meanwhile", () => {
    const inner = DrainedPromise.withResolvers<number>();
    const outer = DrainedPromise.withResolvers<number>();
    outer.resolve(inner.promise);
    outer.resolve(2);
    outer.reject(new Error("too late"));
    expect(settled(outer.promise)).toBe("pending");
    inner.resolve(1);
    expect(settled(outer.promise)).toEqual(fulfilled(1));
  });

  it("stays as it is when its thenable answers twice, or throws after it answered", () => {
    const twice = { then: (resolve: (value: number) => void, reject: (reason: unknown) => void) => (resolve(1), resolve(2), reject(3)) };
    const throws = {
      then: (resolve: (value: number) => void) => {
        resolve(1);
        throw new Error("late");
      },
    };
    expect(settled(DrainedPromise.resolve(twice as PromiseLike<number>))).toEqual(fulfilled(1));
    expect(settled(DrainedPromise.resolve(throws as unknown as PromiseLike<number>))).toEqual(fulfilled(1));
  });

  it("rejects with what its executor, a reaction or a getter named then throws", () => {
    const error = new Error("thrown");
    const fail = () => {
      throw error;
    };
    expect(settled(new DrainedPromise(fail))).toEqual(rejected(error));
    expect(settled(DrainedPromise.resolve(1).then(fail))).toEqual(rejected(error));
    expect(settled(DrainedPromise.reject(1).catch(fail))).toEqual(rejected(error));
    expect(settled(DrainedPromise.resolve(1).finally(fail))).toEqual(rejected(error));
    expect(settled(DrainedPromise.resolve(Object.defineProperty({}, "then", { get: fail })))).toEqual(rejected(error));
    expect(settled(DrainedPromise.try(fail))).toEqual(rejected(error));
  });

  it("rejects when it is resolved with itself", () => {
    const { promise, resolve } = DrainedPromise.withResolvers<unknown>();
    resolve(promise);
    expect(settled(promise)).toMatchObject({ status: "rejected", reason: { name: "TypeError" } });
  });

  it("passes values and errors through reactions that are no functions", () => {
    expect(settled(DrainedPromise.resolve(1).then(null, undefined))).toEqual(fulfilled(1));
    expect(settled(DrainedPromise.reject(2).then())).toEqual(rejected(2));
    expect(settled(DrainedPromise.reject(2).finally(() => 3))).toEqual(rejected(2));
    expect(settled(DrainedPromise.resolve(2).finally(null))).toEqual(fulfilled(2));
  });

  it("combines: all, allSettled, race, any, and their empty forms", () => {
    expect(settled(DrainedPromise.all([1, DrainedPromise.resolve(2)]))).toEqual(fulfilled([1, 2]));
    expect(settled(DrainedPromise.all([1, DrainedPromise.reject(2)]))).toEqual(rejected(2));
    expect(settled(DrainedPromise.all([]))).toEqual(fulfilled([]));
    expect(settled(DrainedPromise.allSettled([1, DrainedPromise.reject(2)]))).toEqual(fulfilled([fulfilled(1), rejected(2)]));
    expect(settled(DrainedPromise.race([]))).toBe("pending");
    expect(settled(DrainedPromise.any([]))).toMatchObject({ status: "rejected", reason: { errors: [] } });
    expect(settled(DrainedPromise.any([DrainedPromise.reject(1), DrainedPromise.reject(2)]))).toMatchObject({ reason: { errors: [1, 2] } });
  });

  it("rejects a combination of something that cannot be iterated", () => {
    const nothing = undefined as unknown as Iterable<number>;
    expect(settled(DrainedPromise.all(nothing))).toMatchObject({ status: "rejected", reason: { name: "TypeError" } });
    expect(settled(DrainedPromise.race(nothing))).toMatchObject({ status: "rejected", reason: { name: "TypeError" } });
  });

  it("loses only the job that throws, not those behind it", () => {
    const log: string[] = [];
    enqueue(() => {
      throw new Error("a job of our own failed");
    });
    enqueue(() => log.push("behind"));
    expect(() => drain()).toThrow("a job of our own failed");
    drain();
    expect(log).toEqual(["behind"]);
  });

  it("is not drained again from inside a job", () => {
    const log: number[] = [];
    enqueue(() => {
      enqueue(() => log.push(2));
      expect(drain()).toBe(0);
      log.push(1);
    });
    drain();
    expect(log).toEqual([1, 2]);
  });
});
