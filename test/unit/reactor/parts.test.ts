import { describe, expect, it } from "vitest";
import { Cancelled, Scope } from "../../../src/reactor/cancel.ts";
import { PollList } from "../../../src/reactor/poll-list.ts";
import { Timers } from "../../../src/reactor/timers.ts";

describe("the list that is polled", () => {
  const setup = (count: number) => {
    const woken: number[] = [];
    const list = new PollList<number>();
    const waits = Array.from({ length: count }, (_, i) => list.add(i, () => woken.push(i)));
    /** Polls once, with what is ready named by pollable. */
    const pollReady = (...ready: number[]) => list.pollOnce((all) => all.flatMap((p, index) => (ready.includes(p) ? [index] : [])));
    return { woken, list, waits, pollReady };
  };

  it("wakes what is ready, once, and keeps the rest", () => {
    const { woken, list, pollReady } = setup(5);
    expect(pollReady(0, 2, 4)).toBe(3);
    expect(woken.sort()).toEqual([0, 2, 4]);
    expect(list.size).toBe(2);
    pollReady(0, 1, 2, 3, 4);
    expect(woken.sort()).toEqual([0, 1, 2, 3, 4]);
  });

  it("never polls what was taken out, whatever the order", () => {
    for (let removed = 0; removed < 4; removed++) {
      const { woken, list, waits, pollReady } = setup(4);
      list.remove(waits[removed]!);
      list.remove(waits[removed]!);
      expect(list.size).toBe(3);
      pollReady(0, 1, 2, 3);
      expect(woken.sort()).toEqual([0, 1, 2, 3].filter((i) => i !== removed));
    }
  });

  it("does not wake a wait that another one takes out while both are ready, twice", () => {
    const { list } = setup(0);
    let wakes = 0;
    const first = list.add(1, () => {
      wakes++;
      list.remove(second);
    });
    const second = list.add(2, () => wakes++);
    list.pollOnce(() => [0, 1]);
    list.remove(first);
    expect({ wakes, size: list.size }).toEqual({ wakes: 2, size: 0 });
  });

  it("takes waits that are added while others are woken", () => {
    const { list } = setup(0);
    list.add(1, () => list.add(1, () => {}));
    list.pollOnce(() => [0]);
    expect(list.size).toBe(1);
  });
});

describe("timers", () => {
  it("fire in order of deadline, then of setting, and not before", () => {
    const log: string[] = [];
    const timers = new Timers();
    for (const [at, name] of [
      [30n, "c"],
      [10n, "a"],
      [20n, "b1"],
      [20n, "b2"],
    ] as const)
      timers.set(at, () => log.push(name));
    timers.fireDue(9n);
    expect(log).toEqual([]);
    timers.fireDue(20n);
    expect(log).toEqual(["a", "b1", "b2"]);
    expect({ next: timers.next, size: timers.size }).toEqual({ next: 30n, size: 1 });
  });

  it("do not fire once cleared, also among others of the same deadline; clearing again does nothing", () => {
    const log: number[] = [];
    const timers = new Timers();
    const set = Array.from({ length: 5 }, (_, i) => timers.set(7n, () => log.push(i)));
    timers.clear(set[2]!);
    timers.clear(set[2]!);
    timers.fireDue(7n);
    timers.clear(set[0]!);
    expect(log).toEqual([0, 1, 3, 4]);
    expect(timers.next).toBeUndefined();
  });
});

describe("a scope", () => {
  it("cancels what is inside and the scopes below, never the one above", () => {
    const log: string[] = [];
    const outer = new Scope();
    const inner = new Scope(outer);
    const innermost = new Scope(inner);
    outer.onCancel(() => log.push("outer"));
    innermost.onCancel(() => log.push("innermost"));
    inner.cancel();
    expect(log).toEqual(["innermost"]);
    expect(innermost.reason).toBeInstanceOf(Cancelled);
    expect(outer.reason).toBeUndefined();
    expect(() => innermost.throwIfCancelled()).toThrow(Cancelled);
  });

  it("tells late listeners and new scopes at once, with the first reason", () => {
    const scope = new Scope();
    const reason = new Error("first");
    scope.cancel(reason);
    scope.cancel(new Error("second"));
    let told: unknown;
    new Scope(scope).onCancel((why) => (told = why));
    expect(told).toBe(reason);
  });

  it("tells nobody who stopped listening, and nobody twice", () => {
    let calls = 0;
    const scope = new Scope();
    scope.onCancel(() => calls++)();
    scope.onCancel(() => calls++);
    scope.cancel();
    scope.cancel();
    expect(calls).toBe(1);
  });

  it("that was disposed leaves nothing behind in its parent", () => {
    let calls = 0;
    const outer = new Scope();
    {
      using inner = new Scope(outer);
      inner.onCancel(() => calls++);
    }
    outer.cancel();
    expect(calls).toBe(0);
  });
});
