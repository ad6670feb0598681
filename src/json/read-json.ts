import { printable } from "../wire/printable.ts";

/** A JSON value. Numbers are whole and exact; members keep their order. */
export type JsonValue = null | boolean | number | string | readonly JsonValue[] | ReadonlyMap<string, JsonValue>;

/** Bounds on a text. */
export interface JsonLimits {
  /** UTF-16 code units of the whole text. */
  readonly length: number;
  /** How deep objects and arrays may nest. */
  readonly depth: number;
  /** Values of every kind together. */
  readonly values: number;
}

/** Why a text is refused. */
export type JsonErrorCode =
  /** Not JSON (RFC 8259), or something behind it. */
  | "syntax"
  /** A fraction, an exponent, `-0`, or a number past 2^53 - 1: what readers round differently. */
  | "number"
  /** A member's name twice in one object. */
  | "duplicate"
  /** Half of a surrogate pair. */
  | "surrogate"
  /** Longer, deeper or with more values than the limits allow. */
  | "limit";

/** A text is no JSON that every reader takes for the same thing. */
export class JsonError extends Error {
  override readonly name = "JsonError";
  readonly code: JsonErrorCode;
  /** Where, in the manner of `$.hosts[3].mode`. */
  readonly path: string;

  constructor(code: JsonErrorCode, path: string, message: string) {
    super(message);
    this.code = code;
    this.path = path;
  }
}

/**
 * Read JSON (RFC 8259) so that no two readers can take it for different things: beyond the grammar it refuses what others
 * round, drop or replace silently. Every error names the place.
 *
 * @throws {JsonError}
 */
export function readJson(text: string, limits: JsonLimits = defaultLimits): JsonValue {
  if (text.length > limits.length) throw new JsonError("limit", "$", `longer than ${limits.length} characters`);
  const reader = new Reader(text, limits);
  reader.skipSpace();
  const value = reader.value("$", 0);
  reader.skipSpace();
  if (!reader.atEnd()) throw reader.syntax("$", "something behind the value");
  return value;
}

/** The path of a member: `$.name`, or `$["odd name"]`. Names come from the file, so they are made printable. */
export function memberPath(path: string, name: string): string {
  return PLAIN_NAME.test(name) ? `${path}.${name}` : `${path}["${printable(name.slice(0, MAX_SHOWN)).replaceAll('"', "\\22")}"]`;
}

/** 1 MiB, 16 deep, 100,000 values. */
const defaultLimits: JsonLimits = { length: 0x10_0000, depth: 16, values: 100_000 };

class Reader {
  private readonly text: string;
  private readonly limits: JsonLimits;
  private at = 0;
  private values = 0;

  constructor(text: string, limits: JsonLimits) {
    this.text = text;
    this.limits = limits;
  }

  value(path: string, depth: number): JsonValue {
    if (++this.values > this.limits.values) throw new JsonError("limit", path, `more than ${this.limits.values} values`);
    switch (this.text[this.at]) {
      case '"':
        return this.string(path);
      case "{":
        return this.object(path, this.deeper(path, depth));
      case "[":
        return this.array(path, this.deeper(path, depth));
      case "t":
        return this.word(path, "true", true);
      case "f":
        return this.word(path, "false", false);
      case "n":
        return this.word(path, "null", null);
      default:
        return this.number(path);
    }
  }

  skipSpace(): void {
    this.match(SPACE);
  }

  atEnd(): boolean {
    return this.at === this.text.length;
  }

  syntax(path: string, what: string): JsonError {
    const before = this.text.slice(0, this.at);
    const line = before.split("\n").length;
    const column = this.at - before.lastIndexOf("\n");
    return new JsonError("syntax", path, `not JSON at line ${line}, column ${column}: ${what}`);
  }

  private deeper(path: string, depth: number): number {
    if (depth >= this.limits.depth) throw new JsonError("limit", path, `nested deeper than ${this.limits.depth}`);
    return depth + 1;
  }

  private object(path: string, depth: number): ReadonlyMap<string, JsonValue> {
    const members = new Map<string, JsonValue>();
    this.at++;
    this.skipSpace();
    if (this.takes("}")) return members;
    for (;;) {
      if (this.text[this.at] !== '"') throw this.syntax(path, "a member's name in quotes is expected");
      const name = this.string(path);
      const inner = memberPath(path, name);
      if (members.has(name)) throw new JsonError("duplicate", inner, "stands twice in its object");
      this.skipSpace();
      if (!this.takes(":")) throw this.syntax(inner, "a colon is expected");
      this.skipSpace();
      members.set(name, this.value(inner, depth));
      this.skipSpace();
      if (this.takes("}")) return members;
      if (!this.takes(",")) throw this.syntax(path, "a comma or } is expected");
      this.skipSpace();
    }
  }

  private array(path: string, depth: number): readonly JsonValue[] {
    const items: JsonValue[] = [];
    this.at++;
    this.skipSpace();
    if (this.takes("]")) return items;
    for (;;) {
      items.push(this.value(`${path}[${items.length}]`, depth));
      this.skipSpace();
      if (this.takes("]")) return items;
      if (!this.takes(",")) throw this.syntax(path, "a comma or ] is expected");
      this.skipSpace();
    }
  }

  private string(path: string): string {
    const raw = this.match(STRING);
    if (raw === undefined) throw this.syntax(path, "a text that does not end, or holds a bad escape or a control character");
    const body = raw.slice(1, -1);
    const value = body.includes("\\") ? body.replaceAll(ESCAPE, unescape) : body;
    if (!value.isWellFormed()) throw new JsonError("surrogate", path, "a text with half of a surrogate pair");
    return value;
  }

  private number(path: string): number {
    const digits = this.match(NUMBER);
    if (digits === undefined) throw this.syntax(path, "a value is expected");
    const value = Number(digits);
    if (!INTEGER.test(digits) || digits === "-0" || !Number.isSafeInteger(value))
      throw new JsonError("number", path, "a number that is not whole, or too large to be exact");
    return value;
  }

  private word<T>(path: string, word: string, value: T): T {
    if (!this.text.startsWith(word, this.at)) throw this.syntax(path, "a value is expected");
    this.at += word.length;
    return value;
  }

  private takes(character: string): boolean {
    if (this.text[this.at] !== character) return false;
    this.at++;
    return true;
  }

  private match(pattern: RegExp): string | undefined {
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

const PLAIN_NAME = /^[A-Za-z_$][A-Za-z0-9_$]{0,63}$/;
const MAX_SHOWN = 64;

// Native patterns: a loop over characters costs several times as much in the sandbox's engine.
const SPACE = /[ \t\n\r]*/y;
// oxlint-disable-next-line no-control-regex -- control characters are what JSON forbids here
const STRING = /"[^"\\\u0000-\u001f]*(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\u0000-\u001f]*)*"/y;
const ESCAPE = /\\(?:u[0-9a-fA-F]{4}|.)/g;
const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const INTEGER = /^-?[0-9]+$/;
