/** A JSON value. Numbers are integers, exact at any length; members keep their order. */
export type Json = null | boolean | bigint | string | Json[] | Map<string, Json>;

/** Why a text is refused. */
export type JsonErrorCode =
  /** Not JSON (RFC 8259), or something behind it. */
  | "syntax"
  /** A fraction, an exponent or `-0`: numbers that two readers could take for different ones. */
  | "number"
  /** A member's name twice in one object. */
  | "duplicate"
  /** Half of a surrogate pair: no text that could be encoded. */
  | "surrogate"
  /** Nested deeper than 16. */
  | "depth";

export class JsonError extends Error {
  override readonly name = "JsonError";
  readonly code: JsonErrorCode;

  constructor(code: JsonErrorCode) {
    super(sentences[code]);
    this.code = code;
  }
}

/**
 * Read JSON so that no two readers can take it for different things: what is refused beyond RFC 8259 is what other parsers
 * round, drop or replace silently.
 *
 * @throws {JsonError}
 */
export function parseStrictJson(text: string): Json {
  const reader = new Reader(text);
  reader.skipSpace();
  const value = reader.value(0);
  reader.skipSpace();
  if (reader.at !== text.length) throw new JsonError("syntax");
  return value;
}

class Reader {
  readonly text: string;
  /** Every string in the text is what stands between its quotes: there is nothing in it that a string may not hold or spell otherwise. */
  readonly isPlain: boolean;
  at = 0;

  constructor(text: string) {
    this.text = text;
    this.isPlain = !UNUSUAL.test(text) && text.isWellFormed();
  }

  value(depth: number): Json {
    switch (this.text[this.at]) {
      case '"':
        return this.string();
      case "{":
        return this.object(depth + 1);
      case "[":
        return this.array(depth + 1);
      case "t":
        return this.word("true", true);
      case "f":
        return this.word("false", false);
      case "n":
        return this.word("null", null);
      default:
        return this.number();
    }
  }

  skipSpace(): void {
    // Writers put no space there, and to find that out by a pattern costs as much as to read a string.
    if (this.text.charCodeAt(this.at) > 0x20) return;
    this.match(SPACE);
  }

  object(depth: number): Map<string, Json> {
    if (depth > MAX_DEPTH) throw new JsonError("depth");
    const members = new Map<string, Json>();
    this.at++;
    this.skipSpace();
    if (this.takes("}")) return members;
    for (;;) {
      if (this.text[this.at] !== '"') throw new JsonError("syntax");
      const name = this.string();
      if (members.has(name)) throw new JsonError("duplicate");
      this.skipSpace();
      if (!this.takes(":")) throw new JsonError("syntax");
      this.skipSpace();
      members.set(name, this.value(depth));
      this.skipSpace();
      if (this.takes("}")) return members;
      if (!this.takes(",")) throw new JsonError("syntax");
      this.skipSpace();
    }
  }

  array(depth: number): Json[] {
    if (depth > MAX_DEPTH) throw new JsonError("depth");
    const items: Json[] = [];
    this.at++;
    this.skipSpace();
    if (this.takes("]")) return items;
    for (;;) {
      items.push(this.value(depth));
      this.skipSpace();
      if (this.takes("]")) return items;
      if (!this.takes(",")) throw new JsonError("syntax");
      this.skipSpace();
    }
  }

  string(): string {
    if (this.isPlain) {
      const end = this.text.indexOf('"', this.at + 1);
      if (end === -1) throw new JsonError("syntax");
      const value = this.text.slice(this.at + 1, end);
      this.at = end + 1;
      return value;
    }
    const raw = this.match(STRING);
    if (raw === undefined) throw new JsonError("syntax");
    const body = raw.slice(1, -1);
    const value = body.includes("\\") ? body.replaceAll(ESCAPE, unescape) : body;
    if (!value.isWellFormed()) throw new JsonError("surrogate");
    return value;
  }

  number(): bigint {
    const digits = this.match(NUMBER);
    if (digits === undefined) throw new JsonError("syntax");
    if (!INTEGER.test(digits) || digits === "-0") throw new JsonError("number");
    return BigInt(digits);
  }

  word<T>(word: string, value: T): T {
    if (!this.text.startsWith(word, this.at)) throw new JsonError("syntax");
    this.at += word.length;
    return value;
  }

  takes(character: string): boolean {
    if (this.text[this.at] !== character) return false;
    this.at++;
    return true;
  }

  match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.text)?.[0];
    if (found !== undefined) this.at += found.length;
    return found;
  }
}

function unescape(escape: string): string {
  return escape[1] === "u" ? String.fromCharCode(Number.parseInt(escape.slice(2), 16)) : escapes[escape[1]!]!;
}

const escapes: Record<string, string> = { '"': '"', "\\": "\\", "/": "/", b: "\b", f: "\f", n: "\n", r: "\r", t: "\t" };

const sentences: Record<JsonErrorCode, string> = {
  syntax: "not JSON",
  number: "a number that is no plain integer",
  duplicate: "a member twice in one object",
  surrogate: "half of a surrogate pair",
  depth: "nested too deeply",
};

// Native patterns: a loop over characters costs several times as much in the sandbox's engine.
const SPACE = /[ \t\n\r]*/y;
// oxlint-disable no-control-regex -- control characters are what JSON forbids in strings
const UNUSUAL = /[\\\u0000-\u001f]/;
const STRING = /"[^"\\\u0000-\u001f]*(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\u0000-\u001f]*)*"/y;
const ESCAPE = /\\(?:u[0-9a-fA-F]{4}|.)/g;
const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const INTEGER = /^-?[0-9]+$/;

const MAX_DEPTH = 16;
