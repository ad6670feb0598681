import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loadComponent } from "../../host/component/cache.ts";
import { type ComponentCode, compileComponent } from "../../host/component/instance.ts";
import type { TlsGrants } from "../../host/index.ts";
import { startGuest } from "../support/guest-run.ts";
import { builtProgram, type Crossover, crossover, suiteGrants } from "./fixtures.ts";

let code: ComponentCode;
let grants: TlsGrants;
let peer: Crossover;

beforeAll(async () => {
  code = await compileComponent(await loadComponent(readFileSync(await builtProgram("tls"))));
  grants = await suiteGrants();
  peer = await crossover();
});
afterAll(async () => await peer?.close());

const configurations = [
  ["attached", true],
  ["detached", false],
] as const;

/** Run the program; what it said, line by line, and how it ended. */
async function program(args: string[], tls: Partial<TlsGrants>) {
  const run = startGuest(code, {
    args: ["tls", ...args],
    grants: { allowNet: [peer.address] },
    tls: { ...grants, ...tls },
  });
  const { handles, ...result } = await run.ended;
  return {
    lines: run
      .stdout()
      .split("\n")
      .filter((line) => line !== ""),
    result,
    handles,
    stderr: run.stderr(),
  };
}

/** The names that `--list` gives of one kind. */
async function listed(kind: string): Promise<string[]> {
  const { lines } = await program(["--list"], {});
  return lines.filter((line) => line.startsWith(`${kind} `)).map((line) => line.slice(kind.length + 1));
}

describe.each(configurations)("the TLS suite, %s", (_, attach) => {
  it.each(["memory", "tcp", "relay", "nested"])(
    "passes over %s, every case of it",
    async (transport) => {
      const { lines, result, handles, stderr } = await program(
        [
          `--transport=${transport}`,
          `--peer=${peer.address}`,
          // A socket that node:tls has cannot tell: by this the two configurations are known to differ.
          `--relayed-ending=${attach ? "unauthenticated" : "authenticated"}`,
        ],
        { attach },
      );
      const [plan, ...results] = lines;
      expect(results.filter((line) => !line.startsWith("ok "))).toEqual([]);
      expect({ result, stderr, plan }).toEqual({ result: { tag: "exit", code: 0 }, stderr: "", plan: `1..${results.length}` });
      expect(results.length).toBeGreaterThan(100);
      expect(handles).toBe(0);
    },
    120_000,
  );

  it("keeps wasi:io as strict as it is elsewhere: each of these ends the instance", async () => {
    const names = await listed("traps");
    expect(names.length).toBeGreaterThan(4);
    for (const name of names) {
      const { lines, result } = await program([name], { attach });
      expect({ name, lines, ending: result.tag }).toEqual({ name, lines: ["1..1", `trapping ${name}`], ending: "trap" });
    }
  });

  it("limits the time of handshakes, and not that of suspensions", async () => {
    const names = await listed("slow");
    const { lines } = await program(names, { attach, handshakeTimeout: 700 });
    expect(lines).toEqual([`1..${names.length}`, ...names.map((name) => `ok ${name}`)]);
  });
});

describe("the line protocol", () => {
  it("says which cases there are, and fails for one that there is not", async () => {
    expect((await listed("case")).length).toBeGreaterThan(100);
    expect(await program(["no such case"], {})).toMatchObject({ lines: ["1..0"], result: { tag: "exit", code: 1 } });
  });

  it("says `not ok` with a reason, and ends with 1, where a host lacks what a case is about", async () => {
    const name = "a verdict is overridden with the grant, and shows as overridden";
    const { lines, result } = await program([name], { allowInvalid: [] });
    expect({ first: lines[0], result }).toEqual({ first: "1..1", result: { tag: "exit", code: 1 } });
    expect(lines[1]).toMatch(`not ok ${name}: an import answered {"tag":"not-permitted"}`);
  });
});
