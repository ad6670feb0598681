import { expect, test } from "vitest";
import { restartDelay } from "../../../host/component/supervisor.ts";

test("the first deaths are followed by a restart at once", () => {
  expect(restartDelay([0])).toBe(0);
  expect(restartDelay([0, 1, 2, 3, 4])).toBe(0);
});

test("deaths that go on double the wait, up to a bound", () => {
  const deaths = Array.from({ length: 20 }, (_, i) => i);
  expect([6, 7, 8, 20].map((count) => restartDelay(deaths.slice(0, count)))).toEqual([100, 200, 400, 5000]);
});

test("deaths long ago do not count", () => {
  expect(restartDelay([0, 1, 2, 3, 4, 5, 60_000])).toBe(0);
});
