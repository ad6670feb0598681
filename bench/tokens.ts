// Rates of token verification, each beside Node's own Ed25519 verification in the same rounds:
// `node bench/tokens.ts [ROUNDS]`. Prints the median of the rounds. Needs dist/components (npm run setup).
import { createPublicKey, verify } from "node:crypto";
import { fileURLToPath } from "node:url";
import { Verifier } from "../src/tokens/index.ts";
import { SigningKey } from "../host/tokens/signing-key.ts";
import { openTokenComponent, type TokenChannel, type TokenComponent, type TokenVerifier } from "../host/tokens/token-component.ts";
import { verifyStrictly } from "../host/tokens/verify.ts";

const rounds = Number(process.argv[2] ?? 9);
/** Tokens a round: fewer than a verifier remembers. */
const COUNT = 200;

const key = SigningKey.generate("bench");
const publicKey = createPublicKey(key.publicPem());
const channel: TokenChannel = { certificateSha256: new Uint8Array(32).fill(1), tlsExporter: undefined };
const now = BigInt(Math.floor(Date.now() / 1000));

/** Tokens that no verifier has seen. */
let made = 0;
function freshTokens(): string[] {
  return Array.from({ length: COUNT }, () =>
    key.sign({ subject: `user-${made++}`, groups: ["BEAM", "OPS"], expiresAt: now + 3600n, audience: "bench", ...channel }),
  );
}

interface Arm {
  name: string;
  /** Verify all of these once. */
  run(tokens: string[]): Promise<void> | void;
  /** Whether it sees the same tokens again, so that their signatures are remembered. */
  repeats?: boolean;
}

const components = { "self-contained": await load("tokens"), "host-assisted": await load("tokens-host-assisted") };
const inNode = new Verifier({ audience: "bench", verifySignature: verifyStrictly, now: () => now });
inNode.keyring.trust("bench", key.publicKey);

const arms: Arm[] = [
  { name: "node:crypto, signature alone", run: (tokens) => tokens.forEach(verifyInNode) },
  ...Object.entries(components).flatMap(([name, { verifier }]): Arm[] => [
    { name: `${name} component`, run: (tokens) => verifyAll(verifier, tokens) },
    { name: `${name} component, remembered`, run: (tokens) => verifyAll(verifier, tokens), repeats: true },
  ]),
  { name: "library in Node, host's verification", run: (tokens) => tokens.forEach((token) => inNode.verify(token, channel)) },
];

const times = new Map<string, number[]>(arms.map(({ name }) => [name, []]));
for (let round = -1; round < rounds; round++) {
  for (const { name, run, repeats } of arms) {
    const tokens = freshTokens();
    if (repeats) await run(tokens);
    const start = performance.now();
    await run(tokens);
    // The first round is for warming up.
    if (round >= 0) times.get(name)!.push(((performance.now() - start) * 1000) / COUNT);
  }
}

const native = median(times.get(arms[0]!.name)!);
console.log(`${rounds} rounds of ${COUNT} tokens of ${freshTokens()[0]!.length} characters, median`);
for (const [name, values] of times) {
  const time = median(values);
  console.log(`${name.padEnd(40)} ${time.toFixed(0).padStart(6)} µs  ${(native / time).toFixed(2)} of native  ${Math.round(1e6 / time)}/s`);
}
for (const { component } of Object.values(components)) component[Symbol.dispose]();

async function load(name: string): Promise<{ component: TokenComponent; verifier: TokenVerifier }> {
  const component = await openTokenComponent(fileURLToPath(new URL(`../dist/components/${name}.wasm`, import.meta.url)));
  const verifier = await component.tokens.createVerifier("bench");
  await verifier.trust("bench", key.publicKey);
  return { component, verifier };
}

async function verifyAll(verifier: TokenVerifier, tokens: string[]): Promise<void> {
  for (const token of tokens) await verifier.verify(token, channel);
}

function verifyInNode(token: string): void {
  const dot = token.indexOf(".");
  const valid = verify(null, Buffer.from(token.slice(4, dot), "latin1"), publicKey, Buffer.from(token.slice(dot + 1), "base64url"));
  if (!valid) throw new Error("the bench's own token does not verify");
}

function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1]!;
}
