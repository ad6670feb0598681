import { describe, expect, it } from "vitest";
import { HeadEdits, readPlainRequest } from "../../host/forward/http1-request.ts";
import { HttpError, requestParser } from "../../src/http1/index.ts";

/** A generator that gives the same numbers each time. */
function numbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

const PIECES = [
  "GET ",
  "POST ",
  "CONNECT ",
  "/",
  "/a?b=c",
  "*",
  "http://a/",
  " HTTP/1.1",
  " HTTP/1.0",
  "\r\n",
  "\r\n",
  "\n",
  "\r",
  "Host: a.test",
  "Host: ",
  "host : x",
];
const FIELDS = [
  "Host: a..b",
  "Host: A.test:8443",
  "Content-Length: 5",
  "Content-Length: 5, 5",
  "Content-Length: -1",
  "Transfer-Encoding: chunked",
  "Transfer-Encoding: CHUNKED",
  "Transfer-Encoding: x, chunked",
  "Connection: keep-alive",
  "Connection: close",
  "Connection: x",
  "X: 1",
  "X:\t1 ",
  " folded",
  "\0",
  "\x7f",
  "é",
  "Expect: 100-continue",
  ": ",
  "a",
];
const NO_EDITS = HeadEdits.from([], [])!;

function heads(count: number): string[] {
  const next = numbers(7);
  const any = (from: readonly string[]) => from[next(from.length)]!;
  return Array.from({ length: count }, (_, i) => {
    if (i % 4 === 0) return Array.from({ length: next(12) }, () => any([...PIECES, ...FIELDS])).join("");
    const lines = [`${any(["GET", "POST", "get", "DELETE"])} ${any(["/", "/a%20b?c", "//x", "*"])} HTTP/1.1`, "Host: a.test"];
    for (let left = next(5); left > 0; left--) lines.splice(1 + next(lines.length), 0, any(FIELDS));
    let text = `${lines.join("\r\n")}\r\n`;
    if (i % 3 === 0) {
      const at = next(text.length);
      text = text.slice(0, at) + any(["\r", "\n", " ", "\0", ":", "", "\t"]) + text.slice(at + 1);
    }
    return text;
  });
}

/** As the guest's parser reads it; `undefined` if it does not. */
function guestReads(text: string) {
  const parser = requestParser();
  try {
    parser.push(Uint8Array.from(text, (character) => character.charCodeAt(0) & 0xff));
    const part = parser.next();
    return part?.tag === "head" && parser.rest().length === 0 ? part : undefined;
  } catch (error) {
    if (error instanceof HttpError) return undefined;
    throw error;
  }
}

describe("a head that the host takes for plain", () => {
  it("is one that the guest's parser reads in the same way, before and after it is written anew", () => {
    let plain = 0;
    for (const head of heads(20_000)) {
      const request = readPlainRequest(head);
      if (request === undefined) continue;
      plain++;
      for (const text of [`${head}\r\n`, NO_EDITS.apply(request)]) {
        const read = guestReads(text);
        expect(read, JSON.stringify(text)).toMatchObject({
          framing: request.framing,
          head: { method: request.method, path: request.target, form: "origin", minorVersion: 1, persistent: true, expectsContinue: false },
        });
        expect(read!.head.fields.get("host")).toBe(request.host);
      }
      // Once more by its own reader: nothing is added or lost on the way.
      expect(readPlainRequest(NO_EDITS.apply(request).slice(0, -2))).toEqual(request);
    }
    expect(plain).toBeGreaterThan(500);
  });
});
