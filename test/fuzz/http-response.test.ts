import { expect, it } from "vitest";
import { HttpError, requestParser, responseParser } from "../../src/http1/index.ts";
import type { MessageParser } from "../../src/http1/index.ts";

const COUNT = Number(process.env["FUZZ_COUNT"] ?? 20_000);
const SEED = Number(process.env["FUZZ_SEED"] ?? 1);

const responses = [
  "HTTP/1.1 200 OK\r\nContent-Length: 12\r\nContent-Type: text/plain\r\n\r\nhello, world",
  'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX: y\r\n\r\n5;ext="1"\r\nhello\r\n7\r\n, world\r\n0\r\nTrailer-A: 1\r\n\r\n',
  "HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\nHTTP/1.1 200 OK\r\nConnection: close\r\n\r\nto the end",
  'HTTP/1.0 304 Not Modified\r\nETag: "1"\r\n\r\n',
  "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n\x81\x00",
];
const requests = [
  "GET /a?b HTTP/1.1\r\nHost: example.com\r\nAccept: */*\r\n\r\n",
  "POST http://example.com/ HTTP/1.1\r\nHost: example.com\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
  "CONNECT [::1]:443 HTTP/1.1\r\nHost: [::1]:443\r\n\r\n\x16\x03\x01",
  "\r\nPOST / HTTP/1.1\r\nHost: x:1\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\nabc",
];
const snippets = [
  "\r\n",
  "\n",
  "\r",
  "\0",
  ":",
  " ",
  "\t",
  ",",
  ";",
  "0",
  "ffffffffffffff",
  "\r\n\r\n",
  "Content-Length: 3\r\n",
  "Transfer-Encoding: chunked\r\n",
];

it("no mutation of a response or request gets anything out of the parser but parts or its error, however it is split", () => {
  const random = generator(SEED);
  const counts = { done: 0, open: 0, refused: 0 };
  for (let round = 0; round < COUNT; round++) {
    const isResponse = random(2) === 0;
    const samples = isResponse ? responses : requests;
    const bytes = mutate(samples[random(samples.length)]!, random);
    const method = ["GET", "HEAD", "CONNECT"][random(3)]!;
    const make = () => (isResponse ? responseParser(method) : requestParser()) as MessageParser<unknown>;
    const whole = outcome(make(), [bytes]);
    const split = outcome(make(), pieces(bytes, random));
    if (whole.summary !== split.summary)
      throw new Error(`round ${round} of seed ${SEED}: ${JSON.stringify([whole, split, String.fromCharCode(...bytes)])}`);
    counts[whole.kind]++;
  }
  if (COUNT > 100_000) console.log(counts);
  // The mutations are neither all harmless nor all fatal, or this would test little.
  expect(Math.min(counts.done, counts.open, counts.refused)).toBeGreaterThan(COUNT / 100);
}, 600_000);

it("holds no more than a head whatever comes: the parser of an endless head gives up", () => {
  const random = generator(SEED);
  for (const line of ["A: b\r\n", "A", "\r\n", `A: ${"b".repeat(9000)}\r\n`]) {
    const parser = requestParser();
    const chunk = Uint8Array.from(line.repeat(1 + random(5)), (character) => character.charCodeAt(0));
    let pushed = 0;
    expect(() => {
      while (pushed < 1_000_000) {
        parser.push(chunk);
        pushed += chunk.length;
        parser.next();
      }
    }).toThrow(HttpError);
    expect(pushed).toBeLessThan(130_000);
  }
});

interface Result {
  kind: "done" | "open" | "refused";
  summary: string;
}

/** Parts in order, body bytes joined: what must not depend on the split. */
function outcome(parser: MessageParser<unknown>, chunks: Uint8Array[]): Result {
  const seen: string[] = [];
  let body = 0;
  let rest = 0;
  let kind: Result["kind"] = "open";
  try {
    for (const chunk of chunks) {
      if (parser.done) {
        rest += chunk.length;
        continue;
      }
      parser.push(chunk);
      for (let part = parser.next(), steps = 0; part !== undefined; part = parser.next()) {
        if (++steps > 2 * chunk.length + 4) throw new Error("more parts than bytes");
        if (part.tag !== "body") seen.push(JSON.stringify(part.tag === "end" ? part.trailers?.length : part));
        else if (part.bytes.length === 0) throw new Error("an empty body part");
        else for (const byte of part.bytes) body = (Math.imul(body, 31) + byte) | 0;
      }
      rest += parser.rest().length;
    }
    if (parser.done) kind = "done";
    else parser.close();
  } catch (error) {
    if (!(error instanceof HttpError)) throw error;
    kind = error.code === "ERR_SALLYPORT_HTTP_TRUNCATED" ? "open" : "refused";
    // What was left behind a fault depends on the split; what came before it does not.
    return { kind, summary: `${kind} ${seen.join()} ${body}` };
  }
  return { kind, summary: `${kind} ${seen.join()} ${body} ${rest}` };
}

function mutate(sample: string, random: Random): Uint8Array {
  let text = sample;
  for (let edits = random(4); edits > 0; edits--) {
    const at = random(text.length + 1);
    const snippet = snippets[random(snippets.length)]!;
    const way = random(5);
    if (way === 0) text = text.slice(0, at) + String.fromCharCode(random(256)) + text.slice(at + 1);
    if (way === 1) text = text.slice(0, at) + text.slice(at + 1 + random(4));
    if (way === 2) text = text.slice(0, at) + snippet + text.slice(at);
    if (way === 3) text = text.slice(0, at);
    if (way === 4) text = text.slice(0, at) + text.slice(random(at + 1), at) + text.slice(at);
  }
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

function pieces(bytes: Uint8Array, random: Random): Uint8Array[] {
  const result: Uint8Array[] = [];
  const largest = 1 + random(30);
  for (let at = 0; at < bytes.length;) {
    const end = Math.min(bytes.length, at + 1 + random(largest));
    result.push(bytes.subarray(at, end));
    at = end;
  }
  return result;
}

type Random = (below: number) => number;

/** Numbers that a seed fixes (xorshift). */
function generator(seed: number): Random {
  let state = seed | 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}
