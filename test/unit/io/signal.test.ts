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

describe("bytes that are offered", () => {
  const bytes = Uint8Array.of(1, 2, 3);

  it("go to who takes them at the moment, as lent or as its own", () => {
    const signal = new Signal();
    const taken: [Uint8Array, boolean][] = [];
    signal.take((...offered) => taken.push(offered) > 0);
    expect([signal.offer(bytes), signal.offer(bytes, true)]).toEqual([true, true]);
    expect(taken).toEqual([
      [bytes, false],
      [bytes, true],
    ]);
  });

  it("are nobody's while nobody takes them, or who does will not", () => {
    const signal = new Signal();
    expect(signal.offer(bytes)).toBe(false);
    const stop = signal.take(() => false);
    expect(signal.offer(bytes)).toBe(false);
    stop();
    expect(signal.offer(bytes)).toBe(false);
  });

  it("do not stop going to the next taker because the one before stops late", () => {
    const signal = new Signal();
    const stop = signal.take(() => false);
    signal.take(() => true);
    stop();
    expect(signal.offer(bytes)).toBe(true);
  });

  it("are not taken while changes cause one another without an end in sight", () => {
    const signal = new Signal();
    let deepest = 0;
    const offer = (level: number): boolean => {
      deepest = Math.max(deepest, level);
      signal.take(() => offer(level + 1));
      return signal.offer(bytes);
    };
    expect(offer(0)).toBe(false);
    expect(deepest).toBeLessThan(100);
  });

  it("are offered again after a taker threw", () => {
    const signal = new Signal();
    const stop = signal.take(() => {
      throw new Error("of a taker");
    });
    for (let i = 0; i < 100; i++) expect(() => signal.offer(bytes)).toThrow("of a taker");
    stop();
    signal.take(() => true);
    expect(signal.offer(bytes)).toBe(true);
  });
});
