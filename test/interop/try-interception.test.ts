import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { inRepository } from "./peers/process.ts";

/** docs/proxy.md, "Try interception on one machine": every command of it, and what it is said to print. */
const [, section] = /^## Try interception on one machine\n(.*?)^## /ms.exec(readFileSync(inRepository("docs/proxy.md"), "utf8")) ?? [];
const folder = mkdtempSync(join(tmpdir(), "sallyport-try-"));
const program = inRepository("host/cli/bin.mjs");
const [start, ...rest] = blocks(section!, "console").map(stepsOf);
const serve = start!.at(-1)!;
let server: ChildProcess;
let port: number;
let authority: string;

beforeAll(async () => {
  port = await freePort();
  writeFileSync(join(folder, "policy.json"), onThisPort(blocks(section!, "json")[0]!), { mode: 0o600 });
  for (const { command } of start!.slice(0, -1)) expect(await shell(command)).toMatchObject({ code: 0 });
  let said = "";
  server = spawn("/bin/sh", ["-c", `exec ${inCheckout(serve.command)}`], { cwd: folder, env: environment() });
  for (const output of [server.stdout!, server.stderr!]) output.on("data", (chunk) => (said += String(chunk)));
  await vi.waitUntil(() => said.includes("listening on"), { timeout: 20_000 });
  for (const line of serve.printed) expect(said).toMatch(pattern(line));
  authority = /for this run only: (\S+)/.exec(said)![1]!;
});
afterAll(async () => {
  const over = new Promise((resolve) => server.once("close", resolve));
  server.kill();
  await over;
  rmSync(folder, { recursive: true, force: true });
});

describe("a newcomer's first interception", () => {
  const steps = rest.flat();

  it.each(steps.map((step) => [step.command, step.printed] as const))("%s", async (command, printed) => {
    const { code, output } = await shell(command.replace("/tmp/…/ca.pem", () => authority));
    expect([code, output]).toEqual([0, output]);
    for (const line of printed) expect(output).toMatch(pattern(line));
  });

  it("is told with what each command prints, and shows a refusal beside what goes through", () => {
    expect(serve.printed).not.toEqual([]);
    expect(steps.filter(({ printed }) => printed.length === 0).map(({ command }) => command)).toEqual(["cp /tmp/…/ca.pem local.pem"]);
    expect(steps.some(({ printed }) => printed.some((line) => line.includes("does not allow")))).toBe(true);
  });
});

interface Step {
  readonly command: string;
  /** Lines, `…` standing for anything. */
  readonly printed: readonly string[];
}

function blocks(text: string, language: string): string[] {
  return Array.from(text.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\``, "gms")), ([, block]) => block!);
}

function stepsOf(block: string): Step[] {
  const steps: { command: string; printed: string[] }[] = [];
  for (const line of block.split("\n").filter((text) => text !== "")) {
    if (line.startsWith("$ ")) steps.push({ command: line.slice(2), printed: [] });
    else steps.at(-1)!.printed.push(line);
  }
  return steps;
}

function pattern(line: string): RegExp {
  const parts = line.split("…").map((part) =>
    part
      .trim()
      .split(/\s+/)
      .map((word) => word.replaceAll(/[\\^$.*+?()[\]{}|]/g, "\\$&"))
      .join("\\s+"),
  );
  return new RegExp(`^${parts.join(".*")}$`, "m");
}

function shell(command: string): Promise<{ code: number | null; output: string }> {
  const child = spawn("/bin/sh", ["-c", inCheckout(command)], { cwd: folder, env: environment(), stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (output += String(chunk)));
  return new Promise((resolve) => child.once("close", (code) => resolve({ code, output })));
}

/** The command is not installed, and the port of the page may be taken. */
function inCheckout(command: string): string {
  return onThisPort(command).replace(/^sallyport /, () => `'${process.execPath}' '${program}' `);
}

function onThisPort(text: string): string {
  return text.replaceAll("127.0.0.1:8443", `127.0.0.1:${port}`);
}

/** A proxy of the machine's has no business on loopback. */
function environment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries({ ...process.env, TMPDIR: folder }).filter(([name]) => !/_proxy$/i.test(name)));
}

async function freePort(): Promise<number> {
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve));
  const address = taken.address();
  await new Promise((resolve) => taken.close(resolve));
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}
