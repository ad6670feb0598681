import { expect, test } from "vitest";
import { type ClientHello, ClientHelloReader, parseClientHello } from "../../src/wire/client-hello.ts";
import { TlsWireError } from "../../src/wire/wire-error.ts";
import { capturedHellos } from "../support/captured-hellos.ts";
import * as build from "../support/hello-bytes.ts";
import { mutatedBytes, seededRandom } from "../support/mutated-bytes.ts";

/** FUZZ_COUNT inputs a test, from FUZZ_SEED on. A failure names the seed that repeats it alone with FUZZ_COUNT=1. */
const count = Number(process.env["FUZZ_COUNT"] ?? 20_000);
const firstSeed = Number(process.env["FUZZ_SEED"] ?? 1);

const rich = build.helloBytes({
  sessionId: [1, 2, 3],
  extensions: [
    [0x1a1a, []],
    ...build.defaultExtensions(),
    build.alpn("h2", "http/1.1"),
    [42, []],
    [0xfe0d, [0, 0, 1]],
    build.preSharedKey(),
  ],
});
const seeds = [...Object.values(capturedHellos).map((bytes) => bytes.subarray(5)), rich];
const timeout = Math.max(30_000, count);
/** The most that may be held: see the reader. A chunk of its own may come on top. */
const MAX_HELD = 0x4_0000;

test(
  `parseClientHello answers or throws its own error, on ${count} mutated hellos`,
  () => {
    const outcomes = new Map<string, number>();
    for (let seed = firstSeed; seed < firstSeed + count; seed++) {
      const random = seededRandom(seed);
      const input = mutated(seeds[random(seeds.length)]!, random);
      const outcome = outcomeOf(seed, () => {
        const hello = parseClientHello(input);
        checkParsed(hello, input);
        return hello;
      });
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    }
    if (process.env["FUZZ_COUNT"] !== undefined) console.log("parseClientHello", Object.fromEntries(outcomes));
    // Mutations that always or never parse would test nothing.
    if (count < 1000) return;
    for (const expected of ["parsed", "malformed-message", "illegal-parameter", "unsupported-version", "unexpected-message"]) {
      expect(outcomes.get(expected), expected).toBeGreaterThan(0);
    }
  },
  timeout,
);

test(
  `ClientHelloReader answers as parseClientHello does for any split, and stays small, on ${count} streams`,
  () => {
    const outcomes = new Map<string, number>();
    for (let seed = firstSeed; seed < firstSeed + count; seed++) {
      const random = seededRandom(seed ^ 0x5a5a_5a5a);
      const message = mutated(seeds[random(seeds.length)]!, random);
      // Every fourth stream is mutated below the records as well.
      const framed = build.records(message, 1 + random(random(2) === 0 ? 40 : 2000));
      const stream = random(4) === 0 ? mutated(framed, random) : framed;
      const reader = new ClientHelloReader();
      let pushed = 0;
      const outcome = outcomeOf(seed, () => {
        for (let at = 0; at < stream.length;) {
          const size = 1 + random(random(3) === 0 ? 8 : 4000);
          const answer = reader.push(stream.subarray(at, at + size));
          at += size;
          pushed = Math.min(at, stream.length);
          if (answer === "more") continue;
          checkParsed(answer, answer.raw);
          return answer;
        }
        return "more";
      });
      const whole =
        message.length >= 4 && message[0] === 1 && ((message[1]! << 16) | (message[2]! << 8) | message[3]!) === message.length - 4;
      if (stream === framed && whole && outcome !== outcomeOf(seed, () => parseClientHello(message))) {
        throw new Error(`seed ${seed}: the reader says ${outcome}, the parser does not`);
      }
      if (reader.received().length > MAX_HELD + 4000 || reader.received().length < pushed)
        throw new Error(`seed ${seed}: wrong bytes are held`);
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    }
    if (process.env["FUZZ_COUNT"] !== undefined) console.log("ClientHelloReader", Object.fromEntries(outcomes));
    if (count < 1000) return;
    for (const expected of ["parsed", "more", "malformed-message", "not-tls", "unexpected-message"]) {
      expect(outcomes.get(expected), expected).toBeGreaterThan(0);
    }
  },
  timeout,
);

test("ClientHelloReader holds no more than it says when a peer never ends", () => {
  for (const recordSize of [1, 2, 100, 0x4000]) {
    const reader = new ClientHelloReader();
    const endless = build.records(Uint8Array.of(1, 1, 0, 0, ...new Uint8Array(0x1_0000 - 1)), recordSize);
    let answer: unknown = "more";
    let pushed = 0;
    try {
      for (let at = 0; at < endless.length && answer === "more"; at += 500, pushed = at)
        answer = reader.push(endless.subarray(at, at + 500));
    } catch (error) {
      expect(error).toBeInstanceOf(TlsWireError);
      expect((error as TlsWireError).code).toBe("message-too-long");
    }
    expect(pushed).toBeGreaterThan(0);
    expect(reader.received().length).toBeLessThanOrEqual(MAX_HELD + 500);
  }
});

function outcomeOf(seed: number, run: () => ClientHello | "more"): string {
  try {
    return run() === "more" ? "more" : "parsed";
  } catch (error) {
    if (!(error instanceof TlsWireError)) throw new Error(`seed ${seed}`, { cause: error });
    if (error.alert < 1 || error.alert > 255) throw new Error(`seed ${seed}: no alert`, { cause: error });
    return error.code;
  }
}

/** What holds for every hello that parsed. */
function checkParsed(hello: ClientHello, raw: Uint8Array): void {
  const { serverName } = hello;
  const wellFormed =
    hello.raw === raw &&
    hello.random.length === 32 &&
    hello.sessionId.length <= 32 &&
    hello.cipherSuites.length > 0 &&
    hello.protocolVersions.length > 0 &&
    hello.alpnIds.every((id) => id.length > 0 && id.length <= 255) &&
    new Set(hello.extensions.map(({ type }) => type)).size === hello.extensions.length &&
    new Set(hello.keyShareGroups).size === hello.keyShareGroups.length &&
    (serverName.tag !== "dns" || /^(?=.{1,253}$)[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63})*$/.test(serverName.name));
  if (!wellFormed) throw new Error("a hello parsed that is not well-formed");
}

/** Mutated; half of the time the outer length of a message stays right, so that what is inside is reached. */
function mutated(original: Uint8Array, random: (limit: number) => number): Uint8Array {
  const bytes = mutatedBytes(original, random);
  if (original[0] !== 1 || bytes.length < 4 || random(2) === 0) return bytes;
  bytes.set(lengthOf(bytes.length - 4), 1);
  return bytes;
}

const lengthOf = (length: number) => [(length >> 16) & 0xff, (length >> 8) & 0xff, length & 0xff];
