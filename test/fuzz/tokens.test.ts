import { expect, test } from "vitest";

import { decodeUtf8, latin1 } from "../../src/wire/utf8.ts";
import { JsonError, type JsonValue, readJsonExactly } from "../../src/json/read-json.ts";
import { TokenError } from "../../src/tokens/index.ts";
import { verifyStrictly } from "../../host/tokens/verify.ts";
import { mutatedBytes, seededRandom } from "../support/mutated-bytes.ts";
import { channel, claimsText, issuerOf, request, seedOf, tokenOf, verifierOf } from "../unit/tokens/tokens.ts";

/** FUZZ_COUNT inputs a test, from FUZZ_SEED on. A token costs more than claims do. */
const asked = process.env["FUZZ_COUNT"];
const count = Number(asked ?? 50_000);
const claimsCount = Number(asked ?? 100_000);
const firstSeed = Number(process.env["FUZZ_SEED"] ?? 1);
const timeout = Math.max(60_000, 2 * claimsCount);

const ops1 = issuerOf("ops-1");
const ops2 = issuerOf("ops-2", seedOf(8));

test(
  `none of ${count} changed tokens is accepted, and each is refused by an error of ours`,
  () => {
    // Many changes leave claims that read well: there the signature decides, and Node's is the faster one.
    const verifier = verifierOf([ops1, ops2], { verifySignature: verifyStrictly });
    const originals = [
      ops1.issuer.issue(request),
      ops2.issuer.issue({ ...request, subject: "bob", groups: [] }),
      ops1.issuer.issue({ ...request, channel: { ...channel, tlsExporter: new Uint8Array(32) } }),
      tokenOf(claimsText({ x: '[{"y":[null,true,-12]}]' }), ops1.nodeKey),
    ];
    const accepted: string[] = [];
    const outcomes = new Map<string, number>();
    const memory: number[] = [];
    for (let seed = firstSeed; seed < firstSeed + count; seed++) {
      const random = seededRandom(seed);
      let token = changed(originals, random);
      while (originals.includes(token)) token = changed(originals, random);
      const outcome = outcomeOf(() => verifier.verify(token, channel), seed);
      if (outcome === "read") accepted.push(token);
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
      if (seed % Math.ceil(count / 20) === 0) memory.push(process.memoryUsage().rss);
    }
    if (process.env["FUZZ_COUNT"] !== undefined)
      console.log("tokens", Object.fromEntries(outcomes), "MiB", memory.map((bytes) => bytes >> 20).join(" "));
    expect(accepted).toEqual([]);
    if (count < 10_000) return;
    for (const expected of ["missing-prefix", "malformed", "invalid-base64url", "invalid-claims", "unknown-issuer", "bad-signature"])
      expect(outcomes.get(expected), expected).toBeGreaterThan(0);
    // Whatever was allocated at first, the second half needs no more.
    expect(memory.at(-1)! - memory[memory.length >> 1]!).toBeLessThan(64 * 2 ** 20);
  },
  timeout,
);

test(
  `claims that were changed and signed again read as JSON.parse reads them, or are refused, on ${claimsCount} payloads`,
  () => {
    const outcomes = new Map<string, number>();
    const originals = documents.map((text) => Buffer.from(text));
    for (let seed = firstSeed; seed < firstSeed + claimsCount; seed++) {
      const random = seededRandom(seed);
      const bytes = document(random, originals);
      const outcome = compared(bytes, seed);
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    }
    if (process.env["FUZZ_COUNT"] !== undefined) console.log("JSON", Object.fromEntries(outcomes));
    if (claimsCount < 10_000) return;
    for (const expected of ["both read", "both refuse", "only we refuse: number", "only we refuse: duplicate", "only we refuse: surrogate"])
      expect(outcomes.get(expected), expected).toBeGreaterThan(0);
  },
  timeout,
);

/** Where ours and JSON.parse stand on a text. Throws where they stand in a way that is not intended. */
function compared(bytes: Uint8Array, seed: number): string {
  let text: string;
  try {
    text = decodeUtf8(bytes);
  } catch {
    return "no UTF-8";
  }
  const theirs = attempt(() => JSON.parse(text) as unknown);
  let ours: JsonValue<bigint>;
  try {
    ours = readJsonExactly(text);
  } catch (error) {
    if (!(error instanceof JsonError)) throw new Error(`seed ${seed}: ${String(error)}`, { cause: error });
    if (theirs === undefined) return "both refuse";
    if (error.code === "syntax" || !isIntended(error.code, text))
      throw new Error(`seed ${seed}: only we refuse, for ${error.code}: ${text}`, { cause: error });
    return `only we refuse: ${error.code}`;
  }
  if (theirs === undefined) throw new Error(`seed ${seed}: only we read ${text}`);
  expect(plain(ours), `seed ${seed}`).toEqual(theirs.value);
  return "both read";
}

/** Whether the text has what the refusal is for, by a look that has nothing to do with the parser. */
function isIntended(code: string, text: string): boolean {
  if (code === "number") return /[0-9][.eE]|-0/.test(text);
  if (code === "surrogate") return /\\u[dD][89a-fA-F]/.test(text);
  if (code === "limit") return (text.match(/[[{]/g)?.length ?? 0) > 16;
  // A member twice: what JSON.parse makes of it has fewer members than the text has colons outside of strings.
  const colons = text.replaceAll(/"(?:[^"\\]|\\.)*"/g, '""').split(":").length - 1;
  return members(JSON.parse(text)) < colons;
}

function members(value: unknown): number {
  if (typeof value !== "object" || value === null) return 0;
  const inside = Object.values(value).reduce((sum: number, member) => sum + members(member), 0);
  return Array.isArray(value) ? inside : inside + Object.keys(value).length;
}

function plain(value: JsonValue<bigint>): unknown {
  if (typeof value === "bigint") return Number(value);
  // As JSON.parse does: a member called __proto__ is an own one.
  if (value instanceof Map) return Object.fromEntries(Array.from(value, ([name, member]) => [name, plain(member)]));
  return Array.isArray(value) ? value.map(plain) : value;
}

function attempt<T>(run: () => T): { value: T } | undefined {
  try {
    return { value: run() };
  } catch {
    return undefined;
  }
}

function outcomeOf(run: () => unknown, seed: number): string {
  try {
    run();
    return "read";
  } catch (error) {
    if (error instanceof TokenError) return error.code;
    throw new Error(`seed ${seed}: ${String(error)}`, { cause: error });
  }
}

/** A token with bytes changed in its text, in its payload or in its signature, or made of the parts of two. */
function changed(originals: string[], random: (limit: number) => number): string {
  const original = originals[random(originals.length)]!;
  const [payload = "", signature = ""] = original.slice(4).split(".");
  const again = (part: string) => Buffer.from(mutatedBytes(Buffer.from(part, "base64url"), random)).toString("base64url");
  switch (random(5)) {
    case 0:
      return latin1(mutatedBytes(Buffer.from(original, "latin1"), random));
    case 1:
      return `cap:${again(payload)}.${signature}`;
    case 2:
      return `cap:${payload}.${again(signature)}`;
    case 3: {
      const other = originals[random(originals.length)]!;
      return `cap:${payload}.${other.split(".")[1]!}`;
    }
    default: {
      // Only characters of the alphabet: these get past the decoder.
      const at = 4 + random(original.length - 4);
      return original.slice(0, at) + ALPHABET[random(64)]! + original.slice(at + 1);
    }
  }
}

/** A document made at random, or one of these with changes: to its bytes, or to its characters, which are text after that too. */
function document(random: (limit: number) => number, originals: Uint8Array[]): Uint8Array {
  const kind = random(8);
  if (kind < 3) return Buffer.from(generated(random, 0));
  const bytes = mutatedBytes(originals[random(originals.length)]!, random);
  return kind === 3 ? bytes : Buffer.from(latin1(bytes));
}

/** A random document, of more kinds of values than tokens have. */
function generated(random: (limit: number) => number, depth: number): string {
  const items = () => Array.from({ length: random(4) }, () => generated(random, depth + 1));
  const space = [" ", "", "", "\n", "\t"][random(5)]!;
  switch (random(depth > 5 ? 4 : 7)) {
    case 0:
      return ["null", "true", "false", "0", "-0", "1e5", "1.5", "-7"][random(8)]!;
    case 1:
      return String(random(2 ** 31))
        .repeat(1 + random(2))
        .replace(/^0+(?=.)/, "");
    case 2:
    case 3:
      return names[random(names.length)]!;
    case 4:
      return `[${space}${items().join(`${space},`)}${space}]`;
    default:
      return `{${space}${items()
        .map((item) => `${names[random(names.length)]!}${space}:${item}`)
        .join(",")}}`;
  }
}

const names = [
  '"a"',
  '"b"',
  String.raw`"\u0061"`,
  '"sub"',
  '"__proto__"',
  '""',
  '"ä\u{1f511}"',
  String.raw`"\ud83d\udd11"`,
  String.raw`"\ud83d"`,
  String.raw`"\"\\\n"`,
];
const documents = [
  claimsText(),
  claimsText({ x: '[1,-2,{"a":{"b":"\\u00e4"}},null,true,false]' }),
  claimsText({ sub: '"\\ud83d\\udd11 \u{1f511}"', exp: "18446744073709551615" }),
  '{"a":1,"b":[1.5,2e3],"c":{"a":1,"b":2}}',
];
const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
