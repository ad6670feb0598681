import { expect, it } from "vitest";
import { FramingError } from "../../host/forward/http1-head.ts";
import { MessageFramer, type Subject } from "../../host/forward/http1-message.ts";
import { HttpError, type MessageParser, requestParser, responseParser } from "../../src/http1/index.ts";

const COUNT = Number(process.env["FUZZ_COUNT"] ?? 20_000);
const SEED = Number(process.env["FUZZ_SEED"] ?? 1);

const responses = [
  "HTTP/1.1 200 OK\r\nContent-Length: 12\r\nContent-Type: text/plain\r\n\r\nhello, world",
  'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX: y\r\n\r\n5;ext="1"\r\nhello\r\n7\r\n, world\r\n0\r\nTrailer-A: 1\r\n\r\n',
  "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200\r\nConnection: close\r\n\r\nto the end",
  'HTTP/1.0 304 Not Modified\r\nETag: "1"\r\nContent-Length: 5\r\n\r\nHTTP/1.1',
  "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n\x81\x00",
  "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabcHTTP/1.1 200 OK\r\n\r\n",
  "HTTP/1.1 204 No Content\r\n\r\n",
];
const bodies = [
  "5\r\nhello\r\n0\r\n\r\nGET / HTTP/1.1\r\n",
  "a;x=y\r\n0123456789\r\n000\r\nA: b\r\nC: d\r\n\r\n",
  "1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\n\r\n",
];
const snippets = ["\r\n", "\n", "\r", "\0", ":", " ", "\t", ",", ";", "0", "1", "ffffffffffffff", "\r\n\r\n", "Content-Length: 3\r\n"];
snippets.push(
  "Transfer-Encoding: chunked\r\n",
  "transfer-encoding:\tCHUNKED \r\n",
  "Content-Length: 3, 3\r\n",
  "Connection: close\r\n",
  "\x7f",
  "\xff",
);

/** The guest's parser of a request stands in for one of a chunked body. */
const REQUEST = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

it("the host's framer and the guest library's parser accept the same messages, end them at the same byte, and differ on nothing, however they are split", () => {
  const random = generator(SEED);
  const counts = { done: 0, open: 0, refused: 0 };
  for (let round = 0; round < COUNT; round++) {
    const isResponse = random(3) > 0;
    const samples = isResponse ? responses : bodies;
    const bytes = mutate(samples[random(samples.length)]!, random);
    const method = ["GET", "HEAD", "CONNECT"][random(3)]!;
    const subject: Subject = isResponse
      ? { tag: "response", requestMethod: method, allowUpgrade: true }
      : { tag: "body", framing: { tag: "chunked" } };
    const parser = isResponse ? responseParser(method) : requestParser();
    if (!isResponse) {
      parser.push(latin1(REQUEST));
      parser.next();
    }
    const theirs = parsed(parser as MessageParser<unknown>, bytes);
    const whole = framed(new MessageFramer(subject), [bytes]);
    const split = framed(new MessageFramer(subject), pieces(bytes, random));
    if (whole !== theirs || split !== theirs)
      throw new Error(
        `round ${round} of seed ${SEED}: ${JSON.stringify({ theirs, whole, split, method, text: String.fromCharCode(...bytes) })}`,
      );
    counts[theirs.split(" ")[0] as keyof typeof counts]++;
  }
  if (COUNT > 100_000) console.log(counts);
  // The mutations are neither all harmless nor all fatal, or this would test little.
  expect(Math.min(counts.done, counts.open, counts.refused)).toBeGreaterThan(COUNT / 100);
}, 1_200_000);

it("gives up on what never ends a line, a head or its trailers, and holds no more than the bound", () => {
  const response: Subject = { tag: "response", requestMethod: "GET", allowUpgrade: false };
  const chunked: Subject = { tag: "body", framing: { tag: "chunked" } };
  for (const [subject, start, more] of [
    [response, "", "x"],
    [response, "HTTP/1.1 200 OK\r\n", "A: b\r\n"],
    [response, "HTTP/1.1 200 OK\r\n", `A: ${"b".repeat(15_000)}\r\n`],
    [response, "", "HTTP/1.1 100 Continue\r\n\r\n"],
    [chunked, "", "1"],
    [chunked, "0;", "x"],
    [chunked, "0\r\n", "A: b\r\n"],
    [chunked, "", `1;${"x".repeat(1000)}\r\na\r\n`],
  ] as const) {
    const framer = new MessageFramer(subject);
    const out: Uint8Array[] = [];
    let pushed = 0;
    expect(() => {
      framer.push(latin1(start), out);
      for (const chunk = latin1(more); pushed < 1_000_000; pushed += chunk.length) framer.push(chunk, out);
    }).toThrow(FramingError);
    expect(pushed).toBeLessThan(70_000);
  }
});

/** How it ended, where, and with what: the same line for both. */
function line(kind: string, used: number, status: number | undefined, interim: number, flags: string): string {
  return kind === "refused" ? "refused" : `${kind} ${used} ${status} ${interim} ${flags}`;
}

function framed(framer: MessageFramer, chunks: Uint8Array[]): string {
  const out: Uint8Array[] = [];
  let used = 0;
  let expected: Uint8Array = new Uint8Array(0);
  try {
    for (const chunk of chunks) {
      if (framer.done) break;
      used += framer.push(chunk, out);
    }
    expected = Buffer.concat(chunks).subarray(0, used);
    const given = Buffer.concat(out);
    // Everything up to the end, or up to a block that is not complete: nothing else, and nothing twice.
    if (!given.equals(framer.done ? expected : expected.subarray(0, given.length))) throw new Error("other bytes came out than went in");
    const { status, interim, reusable, upgraded, endedByClose } = framer.message;
    const summary = (kind: string) => line(kind, used, status, interim, `${reusable} ${upgraded} ${endedByClose}`);
    if (framer.done) return summary("done");
    try {
      framer.close();
      return summary("done");
    } catch (error) {
      if (!(error instanceof FramingError) || error.code !== "truncated") throw error;
      return summary("open");
    }
  } catch (error) {
    if (!(error instanceof FramingError)) throw error;
    return "refused";
  }
}

function parsed(parser: MessageParser<unknown>, bytes: Uint8Array): string {
  let status: number | undefined;
  let interim = 0;
  let flags = "true false false";
  let used = bytes.length;
  try {
    parser.push(bytes);
    for (let part = parser.next(); part !== undefined; part = parser.next()) {
      if (part.tag === "interim") interim++;
      if (part.tag === "head") {
        const head = part.head as { status: number; reusable: boolean; upgraded: boolean };
        status = head.status;
        flags = `${head.reusable} ${head.upgraded} ${part.framing.tag === "close"}`;
      }
    }
    used -= parser.rest().length;
    if (parser.done) return line("done", used, status, interim, flags);
    parser.close();
    return line("done", used, status, interim, flags);
  } catch (error) {
    if (!(error instanceof HttpError)) throw error;
    return error.code === "ERR_SALLYPORT_HTTP_TRUNCATED" ? line("open", used, status, interim, flags) : "refused";
  }
}

function latin1(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

function mutate(sample: string, random: Random): Uint8Array {
  let text = sample;
  for (let edits = random(4); edits > 0; edits--) {
    const at = random(text.length + 1);
    const snippet = snippets[random(snippets.length)]!;
    const way = random(6);
    if (way === 0) text = text.slice(0, at) + String.fromCharCode(random(256)) + text.slice(at + 1);
    if (way === 1) text = text.slice(0, at) + text.slice(at + 1 + random(4));
    if (way === 2) text = text.slice(0, at) + snippet + text.slice(at);
    if (way === 3) text = text.slice(0, at);
    if (way === 4) text = text.slice(0, at) + text.slice(random(at + 1), at) + text.slice(at);
    // Where a whole field has its place.
    if (way === 5) text = text.replace("\r\n", () => `\r\n${snippets[random(snippets.length)]!}`);
  }
  return latin1(text);
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
