import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { builtProgram, type Crossover, crossover } from "../conformance/fixtures.ts";

/** The part of the conformance suite that has no TLS in it, on a host that nobody here wrote. */

const wasmtime = fileURLToPath(new URL("../../.cache/interop/wasmtime/wasmtime_cli/wasmtime", import.meta.url));
let component: string;
let peer: Crossover;

beforeAll(async () => {
  component = await builtProgram("wasi");
  peer = await crossover();
});
afterAll(async () => await peer?.close());

interface Outcome {
  code: number | string;
  lines: string[];
  stderr: string;
}

/** Run the program as a user of Wasmtime would; names are not granted, the network is. */
async function program(...args: string[]): Promise<Outcome> {
  const rest = ["run", "-S", "cli,tcp,inherit-network,allow-ip-name-lookup=n", component, `--peer=${peer.address}`, ...args];
  return await new Promise((resolve) => {
    execFile(wasmtime, rest, (error, stdout, stderr) => {
      resolve({ code: error?.code ?? 0, lines: stdout.split("\n").filter((line) => line !== ""), stderr });
    });
  });
}

describe("stock Wasmtime", () => {
  it("passes the conformance programs without TLS, every case", async () => {
    const { code, lines } = await program();
    const [plan, ...results] = lines;
    expect(results.filter((line) => !line.startsWith("ok "))).toEqual([]);
    expect({ code, plan }).toEqual({ code: 0, plan: `1..${results.length}` });
    expect(results.length).toBeGreaterThan(15);
  });

  it("ends the instance in the same cases as this host", async () => {
    const { lines } = await program("--list");
    const names = lines.filter((line) => line.startsWith("traps ")).map((line) => line.slice(6));
    expect(names.length).toBeGreaterThan(3);
    for (const name of names) {
      const { code, lines, stderr } = await program(name);
      expect({ name, lines }).toEqual({ name, lines: ["1..1", `trapping ${name}`] });
      expect(code).not.toBe(0);
      expect(stderr).toContain("wasm backtrace");
    }
  });
});
