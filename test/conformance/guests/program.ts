import { getArguments } from "wasi:cli/environment@0.2.12";
import { exitWithCode } from "wasi:cli/exit@0.2.12";
import { getStdout } from "wasi:cli/stdout@0.2.12";
import { encodeUtf8 } from "../../../src/bindings/text.ts";
import { Unsupported } from "./expect.ts";

/** How bytes travel between the two ends of a case. */
export type Transport = "memory" | "tcp" | "relay" | "nested";

/** What the command line says about the run. */
export interface Setting {
  transport: Transport;
  /** `address:port` of the peer, IPv4. Empty where none was given. */
  peer: string;
  /** How a server whose bytes the host moves sees a clean end, where that is known beforehand. */
  relayedEnding: string | undefined;
}

/** Everything that a case made and that must not outlive it, in the order in which it was made. */
export type Cleanup = (release: () => void) => void;

/** One thing that is tested. It throws what is wrong. */
export interface Case {
  name: string;
  /** The transports that the case is about; all of them unless given. */
  transports?: readonly Transport[];
  /** Whether the instance has to die of it: such a case runs alone, when it is named. */
  traps?: boolean;
  /** Whether it waits for one of the host's time limits: runs only when it is named. */
  isSlow?: boolean;
  run(setting: Setting, cleanup: Cleanup): void;
}

/**
 * The program around a list of cases: reads the command line, runs what it asks for, and speaks the line protocol that
 * README.md describes.
 */
export function program(cases: readonly Case[]): { run(): void } {
  return { run: () => runCases(cases) };
}

function runCases(cases: readonly Case[]): void {
  const args = getArguments().slice(1);
  const setting: Setting = {
    transport: (option(args, "transport") ?? "memory") as Transport,
    peer: option(args, "peer") ?? "",
    relayedEnding: option(args, "relayed-ending"),
  };
  const applicable = cases.filter(({ transports }) => transports?.includes(setting.transport) ?? true);
  if (args.includes("--list")) return applicable.forEach(list);
  const names = args.filter((arg) => !arg.startsWith("--"));
  const chosen = names.length === 0 ? applicable.filter(isOrdinary) : applicable.filter(({ name }) => names.includes(name));
  let failed = chosen.length < names.length;
  say(`1..${chosen.length}`);
  for (const it of chosen) failed = !runCase(it, setting) || failed;
  if (failed) exitWithCode(1);
}

function option(args: readonly string[], name: string): string | undefined {
  return args.find((arg) => arg.startsWith(`--${name}=`))?.slice(name.length + 3);
}

function isOrdinary(it: Case): boolean {
  return it.traps !== true && it.isSlow !== true;
}

function list(it: Case): void {
  say(`${it.traps === true ? "traps" : it.isSlow === true ? "slow" : "case"} ${it.name}`);
}

/** @returns whether it passed, or could not be asked of this host */
function runCase(it: Case, setting: Setting): boolean {
  if (it.traps === true) say(`trapping ${it.name}`);
  const releases: (() => void)[] = [];
  try {
    it.run(setting, (release) => releases.push(release));
    if (it.traps === true) throw new Error("the instance still lives");
    say(`ok ${it.name}`);
    return true;
  } catch (error) {
    if (error instanceof Unsupported) {
      say(`skip ${it.name}: unsupported ${error.feature}`);
      return true;
    }
    say(`not ok ${it.name}: ${reason(error)}`);
    return false;
  } finally {
    for (let release = releases.pop(); release !== undefined; release = releases.pop()) release();
  }
}

function reason(error: unknown): string {
  const { payload } = error as { payload?: unknown };
  if (payload !== undefined) return `an import answered ${JSON.stringify(payload)} ${(error as Error).stack ?? ""}`.replaceAll(/\s+/g, " ");
  return String((error as Error).message ?? error).replaceAll(/\s+/g, " ");
}

function say(line: string): void {
  const bytes = encodeUtf8(`${line}\n`);
  using out = getStdout();
  for (let at = 0; at < bytes.length; at += 4096) out.blockingWriteAndFlush(bytes.subarray(at, at + 4096));
}
