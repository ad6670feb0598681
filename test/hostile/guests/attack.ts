import { getArguments } from "wasi:cli/environment@0.2.12";
import { getStdout } from "wasi:cli/stdout@0.2.12";
import { encodeUtf8 } from "../../../src/bindings/text.ts";
import { dialing } from "./dialing.ts";
import { exhausting } from "./exhausting.ts";
import { giants } from "./giants.ts";
import { keys } from "./keys.ts";
import { random } from "./random.ts";
import { served } from "./served.ts";
import { used } from "./used.ts";

/** Says a line that the test reads. */
export type Say = (line: string) => void;

/** What a guest does; the first argument names it. */
export type Attack = (args: string[], say: Say) => void;

const attacks: Record<string, Attack> = { ...exhausting, ...dialing, ...keys, ...giants, ...used, ...random, ...served };

export const run = {
  run(): void {
    const [, name = "", ...args] = getArguments();
    const attack = attacks[name];
    if (attack === undefined) throw new Error(`no attack is called ${name}`);
    attack(args, say);
  },
};

function say(line: string): void {
  const bytes = encodeUtf8(`${line}\n`);
  using out = getStdout();
  for (let at = 0; at < bytes.length; at += 4096) out.blockingWriteAndFlush(bytes.subarray(at, at + 4096));
}
