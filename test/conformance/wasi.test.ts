import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loadComponent } from "../../host/component/cache.ts";
import { type ComponentCode, compileComponent } from "../../host/component/instance.ts";
import { startGuest } from "../support/guest-run.ts";
import { builtProgram, type Crossover, crossover } from "./fixtures.ts";

let code: ComponentCode;
let peer: Crossover;

beforeAll(async () => {
  code = await compileComponent(await loadComponent(readFileSync(await builtProgram("wasi"))));
  peer = await crossover();
});
afterAll(async () => await peer?.close());

async function program(args: string[]) {
  const run = startGuest(code, { args: ["wasi", `--peer=${peer.address}`, ...args], grants: { allowNet: [peer.address] } });
  const { handles, ...result } = await run.ended;
  return {
    lines: run
      .stdout()
      .split("\n")
      .filter((line) => line !== ""),
    result,
    handles,
  };
}

describe("what TLS stands on", () => {
  it("passes the part of the suite that any Preview 2 runtime passes", async () => {
    const { lines, result, handles } = await program([]);
    const [plan, ...results] = lines;
    expect(results.filter((line) => !line.startsWith("ok "))).toEqual([]);
    expect({ result, plan, handles }).toEqual({ result: { tag: "exit", code: 0 }, plan: `1..${results.length}`, handles: 0 });
    expect(results.length).toBeGreaterThan(15);
  });

  it("ends the instance where wasi:io says that it must", async () => {
    const { lines } = await program(["--list"]);
    const names = lines.filter((line) => line.startsWith("traps ")).map((line) => line.slice(6));
    expect(names.length).toBeGreaterThan(3);
    for (const name of names) {
      const { lines, result } = await program([name]);
      expect({ name, lines, ending: result.tag }).toEqual({ name, lines: ["1..1", `trapping ${name}`], ending: "trap" });
    }
  });
});
