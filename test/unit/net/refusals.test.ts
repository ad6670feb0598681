import { describe, expect, it } from "vitest";
import { limitRefusals } from "../../../host/net/refusals.ts";

function heard(): { lines: string[]; refuse: (count: number) => void; wait: (milliseconds: number) => void } {
  const lines: string[] = [];
  let time = 0;
  const tell = limitRefusals(
    (line) => lines.push(line),
    () => time,
  );
  return {
    lines,
    refuse: (count) => {
      for (let i = 0; i < count; i++) tell(`refusal ${i}`);
    },
    wait: (milliseconds) => (time += milliseconds),
  };
}

describe("refusals", () => {
  it("are all told where there are few", () => {
    const { lines, refuse, wait } = heard();
    for (let second = 0; second < 5; second++) {
      refuse(100);
      wait(1000);
    }
    expect(lines).toHaveLength(500);
    expect(lines.every((line) => line.startsWith("refusal "))).toBe(true);
  });

  it("are counted where a guest asks in a loop, which is said at once", () => {
    const { lines, refuse, wait } = heard();
    refuse(1_000_000);
    wait(999);
    refuse(1);
    expect(lines).toHaveLength(101);
    expect(lines.at(-1)).toBe("sallyport: more than 100 refusals in a second; the others are counted only");
  });

  it("are told again in the next second, with the number of those that were not", () => {
    const { lines, refuse, wait } = heard();
    refuse(250);
    wait(1000);
    refuse(1);
    expect(lines.slice(101)).toEqual(["sallyport: 150 refusals were not shown", "refusal 0"]);
    wait(1000);
    refuse(1);
    expect(lines.slice(103)).toEqual(["refusal 0"]);
  });
});
