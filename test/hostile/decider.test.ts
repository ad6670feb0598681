import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { recordsOf, temporaryFolder } from "../support/gateway-instance.ts";
import { type BuiltGuest, buildGuest, startGuest } from "../support/guest-run.ts";
import { gatewayGuest } from "./gateway-guest.ts";

const folder = temporaryFolder();
let guest: BuiltGuest;
let rules: BuiltGuest;
beforeAll(async () => {
  guest = await gatewayGuest();
  rules = await buildGuest({
    entry: "test/component/proxy/guests/decider.ts",
    wit: "wit/policy/decisions.wit",
    world: "decider",
  });
});
afterAll(async () => {
  folder.remove();
  await guest.remove();
  await rules.remove();
});

let files = 0;
async function attack(how: string, options: { without?: boolean } = {}) {
  const file = folder.path(`audit-${++files}`);
  const run = startGuest(guest.code, {
    args: ["attack", "decide", how],
    gateway: {
      audit: { file, fsync: "none" },
      ...(options.without === true ? {} : { decider: { code: rules.code, timeout: 500 } }),
    },
  });
  const result = await run.ended;
  const lines = run.stdout().split("\n").slice(0, -1);
  const records = recordsOf(file);
  const count = (event: string) => records.filter((record) => record["event"] === event).length;
  const over = records.filter(({ event }) => event === "over-limit").reduce((sum, record) => sum + Number(record["count"]), 0);
  return { result, lines, records, count, over };
}

describe("a hostile component that asks somebody else's rules", () => {
  it("gets an answer to a question, and the same one as often as it asks for it", async () => {
    const { result, lines } = await attack("again");
    expect(lines).toEqual(["tunnel tunnel tunnel"]);
    expect(result).toMatchObject({ tag: "exit", code: 0 });
  });

  it("cannot send more than 2 MiB, and those who ask after it are answered", async () => {
    const { lines, records } = await attack("oversized");
    expect(lines).toEqual(["failed(too-large)", "failed(too-large)", "failed(too-large)", "tunnel"]);
    expect(records.filter(({ event }) => event === "decision-failed")).toMatchObject(
      Array.from({ length: 3 }, () => ({ by: "host", failure: "too-large" })),
    );
  });

  it("cannot have more than 16 MiB wait", async () => {
    const { lines } = await attack("fill");
    expect(lines[0]).toMatch(/^failed\(too-many\) \d+$/);
    expect(Number(lines[0]!.split(" ")[1])).toBeGreaterThanOrEqual(10);
  });

  it("cannot have more than 1024 wait, nor fill the log with what it is refused: the rest is counted", async () => {
    const { lines, count, over } = await attack("flood");
    const refused = Number(/too-many (\d+)/.exec(lines[0]!)![1]);
    expect(refused).toBeGreaterThanOrEqual(3000 - 1024);
    expect(count("decision-failed") + over).toBeGreaterThanOrEqual(refused);
    expect(count("decision-failed")).toBeLessThan(refused / 2);
  });

  it("hears of no rules where none were given, and a question without is a failure that the host records", async () => {
    const { lines, count } = await attack("again", { without: true });
    expect(lines).toEqual(["failed(trap) failed(trap) failed(trap)"]);
    expect(count("decision-failed")).toBe(1);
  });

  it("leaves nothing behind that asks on: questions that it drops are over with it", async () => {
    const { result, lines } = await attack("drop");
    expect(lines).toEqual(["dropped"]);
    expect(result).toMatchObject({ tag: "exit", code: 0 });
  });
});
