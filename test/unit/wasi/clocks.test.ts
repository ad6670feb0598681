import { afterEach, describe, expect, it, vi } from "vitest";
import { poll } from "../../../host/io/poll.ts";
import { HostInstance, block } from "../../support/host-instance.ts";

const made = new HostInstance();
afterEach(() => expect(made.owned).toBe(0));
const clock = made.wasi["wasi:clocks/monotonic-clock"];

describe("clocks", () => {
  it("go forward", () => {
    const before = clock.now();
    expect(clock.now()).toBeGreaterThanOrEqual(before);
    expect(clock.resolution()).toBeGreaterThan(0n);
  });

  it("tell the time of day in seconds and nanoseconds", () => {
    const { seconds, nanoseconds } = made.wasi["wasi:clocks/wall-clock"].now();
    expect(Math.abs(Number(seconds) - Date.now() / 1000)).toBeLessThan(5);
    expect(nanoseconds).toBeLessThan(1_000_000_000);
  });

  it("are ready at once for a time that has come", () => {
    expect(clock.subscribeDuration(0n).ready()).toBe(true);
    expect(clock.subscribeInstant(0n).ready()).toBe(true);
    expect(clock.subscribeInstant(clock.now()).ready()).toBe(true);
  });

  it("are not ready before their time, and never wake early", async () => {
    const before = clock.now();
    const pollable = clock.subscribeDuration(3_500_000n);
    expect(pollable.ready()).toBe(false);
    await block(pollable);
    expect(clock.now() - before).toBeGreaterThanOrEqual(3_500_000n);
  });

  it("take a time that never comes", () => {
    expect(clock.subscribeDuration(2n ** 64n - 1n).ready()).toBe(false);
    expect(clock.subscribeInstant(2n ** 64n - 1n).ready()).toBe(false);
  });

  it("let a poll return for the earlier of two times, and disarm the later", async () => {
    const never = clock.subscribeDuration(2n ** 64n - 1n);
    expect([...(await poll([never, clock.subscribeDuration(1_000_000n)]))]).toEqual([1]);
  });

  it("wait longer than a timer of the system can run", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "hrtime"] });
    try {
      const day = 86_400_000;
      let woken = false;
      void clock
        .subscribeDuration(BigInt(60 * day) * 1_000_000n)
        .block()
        .then(() => (woken = true));
      await new Promise(setImmediate);
      await vi.advanceTimersByTimeAsync(59 * day);
      expect(woken).toBe(false);
      await vi.advanceTimersByTimeAsync(2 * day);
      expect(woken).toBe(true);
    } finally {
      vi.useRealTimers();
    }
  });
});
