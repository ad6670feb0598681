import type { MessageParser, Part } from "../../../src/http1/index.ts";

/** A string of code points 0 to 255 as bytes. */
export function bytesOf(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

/** What a whole exchange came to: body bytes joined, parts in order. */
export interface Outcome<H> {
  interims: H[];
  head: H | undefined;
  framing: Extract<Part<H>, { tag: "head" }>["framing"] | undefined;
  body: string;
  trailers: string[][] | undefined;
  done: boolean;
  rest: string;
}

/** Push `input` in pieces and take every part. `close` says that the transport ends afterwards. */
export function parse<H>(
  parser: MessageParser<H>,
  input: string | Uint8Array,
  options: { pieces?: number[]; close?: boolean } = {},
): Outcome<H> {
  const bytes = typeof input === "string" ? bytesOf(input) : input;
  const outcome: Outcome<H> = { interims: [], head: undefined, framing: undefined, body: "", trailers: undefined, done: false, rest: "" };
  const take = () => {
    for (let part = parser.next(); part !== undefined; part = parser.next()) {
      if (part.tag === "interim") outcome.interims.push(part.head);
      if (part.tag === "head") [outcome.head, outcome.framing] = [part.head, part.framing];
      if (part.tag === "body") outcome.body += String.fromCharCode(...part.bytes);
      if (part.tag === "end") outcome.trailers = part.trailers && Array.from(part.trailers, (field) => [field.name, field.value]);
    }
  };
  let at = 0;
  for (const piece of [...(options.pieces ?? []), Infinity]) {
    const end = Math.min(bytes.length, at + piece);
    if (end === at) continue;
    if (!parser.done) {
      parser.push(bytes.subarray(at, end));
      take();
      outcome.rest += String.fromCharCode(...parser.rest());
    } else outcome.rest += String.fromCharCode(...bytes.subarray(at, end));
    at = end;
  }
  if (options.close === true) {
    parser.close();
    take();
  }
  outcome.done = parser.done;
  return outcome;
}

/** The `code` of what `call` throws. */
export function codeOf(call: () => unknown): string | undefined {
  try {
    call();
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
  return undefined;
}
