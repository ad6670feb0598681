import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { ClientHelloRequest } from "sallyport:policy/decisions@0.1.0";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { policies, type Row, table } from "../../support/decision-table.ts";
import { python, pythonPackage } from "../../support/python-packages.ts";
import { main } from "../../../host/cli/main.ts";

const root = fileURLToPath(new URL("../../../", import.meta.url));
const work = mkdtempSync(join(tmpdir(), "sallyport-decisions-"));
let wasmtime: string;

beforeAll(async () => {
  wasmtime = await pythonPackage("wasmtime==50.0.1");
}, 300_000);
afterAll(() => rmSync(work, { recursive: true, force: true }));

describe("interception.wasm on Wasmtime, from Python", () => {
  it("gives every answer of the decision table", async () => {
    const texts = Object.fromEntries(Object.entries(policies).map(([name, policy]) => [name, JSON.stringify(policy)]));
    const answers = await ask(join(root, "dist/components/interception.wasm"), texts, table);
    const wrong = table.flatMap(({ answer, request }, index) => {
      const said = answers[index] ?? "nothing";
      return said === answer || said.startsWith(`${answer} `) ? [] : [`${JSON.stringify(request).slice(0, 100)}: ${said}`];
    });
    expect(wrong).toEqual([]);
    expect(answers).toHaveLength(table.length);
  }, 120_000);

  it("denies everything through decisions before a policy is installed", async () => {
    const answers = await ask(join(root, "dist/components/interception.wasm"), {}, examples);
    expect(new Set(answers)).toEqual(new Set(["deny no-policy built-in:no-policy"]));
  }, 60_000);
});

describe("the examples of one's own decisions", () => {
  it("build with sallyport build from TypeScript", async () => {
    const output = join(work, "typescript.wasm");
    const wit = join(root, "wit/policy/decisions.wit");
    const entry = join(root, "docs/examples/decisions-typescript/decisions.ts");
    expect(await main(["build", entry, "--wit", wit, "--world", "decider", "-o", output])).toBe(0);
    expect(await ask(output, {}, examples)).toEqual(expected);
  }, 120_000);

  it("build with componentize-py from Python", async () => {
    const componentize = await pythonPackage("componentize-py==0.25.1");
    const output = join(work, "python.wasm");
    const wit = join(root, "wit/policy/decisions.wit");
    const cwd = join(root, "docs/examples/decisions-python");
    await python([join(componentize, "bin/componentize-py"), "-d", wit, "-w", "decider", "componentize", "decisions", "-o", output], {
      packages: [componentize],
      cwd,
    });
    expect(await ask(output, {}, examples)).toEqual(expected);
  }, 300_000);
});

const connect = { host: "Example.com.", port: 443, groups: [] };
const hello: ClientHelloRequest = {
  serverName: { tag: "dns", val: "example.com" },
  ech: false,
  target: { host: "example.com", port: 443 },
  port: 443,
  groups: [],
};
const request = { host: "example.com", port: 443, secure: true, method: "GET", path: "/", authority: "example.com", groups: [] };
const examples: Omit<Row, "policy" | "answer">[] = [
  { ask: "connect", request: connect },
  { ask: "connect", request: { ...connect, port: 22 } },
  { ask: "connect", request: { ...connect, host: "example.com.evil.test" } },
  { ask: "hello", request: hello },
  { ask: "hello", request: { ...hello, ech: true } },
  { ask: "hello", request: { ...hello, serverName: { tag: "invalid" } } },
  { ask: "request", request },
  { ask: "request", request: { ...request, method: "POST" } },
  { ask: "request", request: { ...request, authority: undefined } },
];
const intercept = "intercept host-listed example example.com true http/1.1  false  ";
const expected = [
  intercept,
  "deny not-listed only-example",
  "deny not-listed only-example",
  intercept,
  "deny no-server-name hello",
  "deny no-server-name hello",
  "allow rule read-only   ",
  "deny rule read-only",
  "deny rule read-only",
];

async function ask(component: string, texts: Record<string, string>, rows: readonly object[]): Promise<string[]> {
  const script = join(root, "test/interop/peers/python-decisions.py");
  const printed = await python([script], { packages: [wasmtime], input: JSON.stringify({ component, policies: texts, rows }) });
  return printed.split("\n").slice(0, -1);
}
