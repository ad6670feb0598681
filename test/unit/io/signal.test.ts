import { describe, expect, it } from "vitest";
import { Signal } from "../../../host/io/signal.ts";

describe("a signal", () => {
  it.each([1, 2, 3])("tells each of %i listeners once a change, until it stops listening", (count) => {
    const signal = new Signal();
    const told = Array.from({ length: count }, () => 0);
    const stops = told.map((_, index) => signal.listen(() => void told[index]!++));
    signal.notify();
    expect(told).toEqual(Array.from({ length: count }, () => 1));
    stops[0]!();
    signal.notify();
    expect(told).toEqual([1, ...Array.from({ length: count - 1 }, () => 2)]);
    for (const stop of stops) stop();
    signal.notify();
    expect(told).toEqual([1, ...Array.from({ length: count - 1 }, () => 2)]);
  });

  it("tells a listener once that listens twice, and not at all after it stopped once", () => {
    for (const others of [0, 1]) {
      const signal = new Signal();
      for (let i = 0; i < others; i++) signal.listen(() => {});
      let told = 0;
      const wake = () => void told++;
      const stop = signal.listen(wake);
      signal.listen(wake);
      signal.notify();
      expect(told).toBe(1);
      stop();
      signal.notify();
      expect(told).toBe(1);
    }
  });

  it("does not tell of this change who begins to listen because of it", () => {
    for (const others of [0, 1]) {
      const signal = new Signal();
      for (let i = 0; i < others; i++) signal.listen(() => {});
      let told = 0;
      const stop = signal.listen(() => {
        stop();
        signal.listen(() => void told++);
      });
      signal.notify();
      expect(told).toBe(0);
      signal.notify();
      expect(told).toBe(1);
    }
  });

  it("does not tell of this change who was stopped because of it", () => {
    const signal = new Signal();
    let told = 0;
    const stops: (() => void)[] = [];
    signal.listen(() => stops.forEach((stop) => stop()));
    stops.push(signal.listen(() => void told++));
    signal.notify();
    expect(told).toBe(0);
  });

  it("holds while changes cause one another without an end in sight", async () => {
    const signal = new Signal();
    let left = 10_000;
    signal.listen(() => {
      if (left-- > 0) signal.notify();
    });
    signal.notify();
    await expect.poll(() => left).toBe(-1);
  });

  it("goes on telling after a listener threw", () => {
    const signal = new Signal();
    let told = 0;
    const stop = signal.listen(() => {
      throw new Error("of a listener");
    });
    expect(() => signal.notify()).toThrow("of a listener");
    stop();
    signal.listen(() => void told++);
    for (let i = 0; i < 100; i++) signal.notify();
    expect(told).toBe(100);
  });
});
