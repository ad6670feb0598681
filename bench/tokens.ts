// What a capability token costs, beside Node's own verification of the signature, by turns in one run:
// `node bench/tokens.ts [--rounds N] [--smoke] [--json] [WORD…]`. Needs dist/components (npm run setup).
import { createPublicKey, verify } from "node:crypto";
import { parseArgs } from "node:util";
import { fileURLToPath } from "node:url";
import { SigningKey } from "../host/tokens/signing-key.ts";
import { openTokenComponent, type TokenChannel, type TokenComponent, type TokenVerifier } from "../host/tokens/token-component.ts";
import { verifyStrictly } from "../host/tokens/verify.ts";
import { Verifier } from "../src/tokens/index.ts";
import { median, report, spread } from "./report.ts";

/** How to run the cases. */
export interface TokenBenchOptions {
  /** The cases of which a word is part of the name; all of them if there is none. */
  words: readonly string[];
  rounds: number;
  /** That everything runs; the figures mean nothing. */
  smoke: boolean;
  json: boolean;
}

interface Case {
  name: string;
  /** In microseconds of processor time a token. */
  target?: string;
  /** Verify all of these once. */
  run(tokens: string[]): Promise<void> | void;
  /** Whether it has seen the tokens before, so that their signatures are remembered. */
  cached?: boolean;
}

/** Tokens a round: fewer than a verifier remembers. */
const COUNT = 200;
/** Over cached tokens, how often in a round: they take so much less. */
const PASSES = 5;

const key = SigningKey.generate("bench");
const publicKey = createPublicKey(key.publicPem());
const channel: TokenChannel = { certificateSha256: new Uint8Array(32).fill(1), tlsExporter: undefined };
const now = BigInt(Math.floor(Date.now() / 1000));

/** Run the wanted cases. */
export async function benchTokens({ words, rounds, smoke, json }: TokenBenchOptions): Promise<void> {
  const selfContained = await load("tokens");
  const hostAssisted = await load("tokens-host-assisted");
  const inNode = new Verifier({ audience: "bench", verifySignature: verifyStrictly, now: () => now });
  inNode.keyring.trust("bench", key.publicKey);
  const inComponent =
    ({ verifier }: Loaded) =>
    (tokens: string[]) =>
      verifyAll(verifier, tokens);
  const all: Case[] = [
    { name: "token: cached, in the self-contained component", target: "≤ 100 µs", run: inComponent(selfContained), cached: true },
    { name: "token: cached, in the host-assisted component", target: "≤ 100 µs", run: inComponent(hostAssisted), cached: true },
    {
      name: "token: a call of the component that looks at no token",
      run: (tokens) => askNothing(hostAssisted.verifier, tokens),
      cached: true,
    },
    { name: "token: new, in the host-assisted component", run: inComponent(hostAssisted) },
    { name: "token: new, in the self-contained component", run: inComponent(selfContained) },
    { name: "token: new, library in Node", run: (tokens) => tokens.forEach((token) => inNode.verify(token, channel)) },
  ];
  const cases = all.filter(({ name }) => words.length === 0 || words.some((word) => name.includes(word)));

  const taken = new Map(cases.map((one) => [one, { cpu: [] as number[], clock: [] as number[], native: [] as number[] }]));
  // The first round is for warming up.
  for (let round = smoke ? 0 : -1; round < rounds; round++) {
    for (const one of cases) {
      const tokens = freshTokens(smoke ? 20 : COUNT);
      if (one.cached === true) await one.run(tokens);
      const passes = one.cached === true ? PASSES : 1;
      const ours = await measure(tokens.length * passes, async () => {
        for (let pass = 0; pass < passes; pass++) await one.run(tokens);
      });
      const native = await measure(tokens.length, () => tokens.forEach(verifyInNode));
      if (round < 0) continue;
      const { cpu, clock, native: ratios } = taken.get(one)!;
      cpu.push(ours.cpu);
      clock.push(ours.clock);
      ratios.push(ours.cpu / native.cpu);
    }
  }
  for (const [{ name, target }, { cpu, clock, native }] of taken) {
    report(
      name,
      {
        cpu: `${spread(cpu, 0)} µs`,
        clock: `${median(clock).toFixed(0)} µs`,
        "of a signature's in Node": spread(native),
        ...(target === undefined ? {} : { target }),
      },
      json,
    );
  }
  for (const { component } of [selfContained, hostAssisted]) component[Symbol.dispose]();
}

/** Tokens that no verifier has seen. */
function freshTokens(count: number): string[] {
  return Array.from({ length: count }, () =>
    key.sign({ subject: `user-${made++}`, groups: ["BEAM", "OPS"], expiresAt: now + 3600n, audience: "bench", ...channel }),
  );
}
let made = 0;

/** Microseconds for each of `count`: of all of the process's threads, and by the clock. */
async function measure(count: number, run: () => Promise<void> | void): Promise<{ cpu: number; clock: number }> {
  const before = process.cpuUsage();
  const start = performance.now();
  await run();
  const { user, system } = process.cpuUsage(before);
  return { cpu: (user + system) / count, clock: ((performance.now() - start) * 1000) / count };
}

interface Loaded {
  component: TokenComponent;
  verifier: TokenVerifier;
}

async function load(name: string): Promise<Loaded> {
  const component = await openTokenComponent(fileURLToPath(new URL(`../dist/components/${name}.wasm`, import.meta.url)));
  const verifier = await component.tokens.createVerifier("bench");
  await verifier.trust("bench", key.publicKey);
  return { component, verifier };
}

async function verifyAll(verifier: TokenVerifier, tokens: string[]): Promise<void> {
  for (const token of tokens) await verifier.verify(token, channel);
}

/** As many calls, with as much text, and nothing behind them. */
async function askNothing(verifier: TokenVerifier, tokens: string[]): Promise<void> {
  for (const token of tokens) await verifier.untrust(token);
}

function verifyInNode(token: string): void {
  const dot = token.indexOf(".");
  const valid = verify(null, Buffer.from(token.slice(4, dot), "latin1"), publicKey, Buffer.from(token.slice(dot + 1), "base64url"));
  if (!valid) throw new Error("the bench's own token does not verify");
}

if (import.meta.main) {
  const { values, positionals: words } = parseArgs({
    allowPositionals: true,
    options: { smoke: { type: "boolean" }, rounds: { type: "string" }, json: { type: "boolean" } },
  });
  const smoke = values.smoke === true;
  await benchTokens({ words, rounds: Number(values.rounds ?? (smoke ? 1 : 15)), smoke, json: values.json === true });
}
