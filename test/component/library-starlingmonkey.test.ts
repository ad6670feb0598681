import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type BuiltGuest, buildGuest, startGuest } from "../support/guest-run.ts";

describe("the guest library on StarlingMonkey", () => {
  let guest: BuiltGuest;
  beforeAll(async () => {
    guest = await buildGuest({
      entry: "test/component/library-guests/scenarios.ts",
      wit: "test/component/library-guests",
      world: "library",
      engine: "starlingmonkey",
    });
  }, 180_000);
  afterAll(async () => await guest?.remove());

  it.each([
    ["order", 0, "3 fired, in order: true, early: 0"],
    ["many timers", 0, "1000 0"],
    ["timeout", 0, "true\nin time"],
    ["race", 0, "fast true"],
    ["cancelled before", 0, "Cancelled"],
    ["throws", 1, ""],
    ["spawn throws", 1, ""],
    ["stalls", 1, ""],
  ])("runs %j to exit code %i, and drops every handle", async (name, code, output) => {
    const run = startGuest(guest.code, { args: ["scenario", name] });
    expect(await run.ended).toEqual({ tag: "exit", code, handles: 0 });
    expect(run.stdout()).toContain(output);
  });

  it("says on standard error why a program failed", async () => {
    const run = startGuest(guest.code, { args: ["scenario", "spawn throws"] });
    await run.ended;
    expect(run.stderr()).toBe("scenario: thrown by a task\n");
  });
});
