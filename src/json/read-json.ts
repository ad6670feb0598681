import { printable } from "../wire/printable.ts";

/** A JSON value. Numbers are whole and exact; members keep their order. */
export type JsonValue<N = number> = null | boolean | N | string | readonly JsonValue<N>[] | ReadonlyMap<string, JsonValue<N>>;

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
  return new Reader(text, limits, safeInteger).document();
}

/**
 * The same with integers of any length, where a number may be one of 64 bits. The work for one grows faster than its length:
 * bound the text.
 *
 * @throws {JsonError} number only for a fraction, an exponent or `-0`
 */
export function readJsonExactly(text: string, limits: JsonLimits = defaultLimits): JsonValue<bigint> {
  return new Reader(text, limits, BigInt).document();
}

/** The path of a member: `$.name`, or `$["odd name"]`. Names come from the file, so they are made printable. */
export function memberPath(path: string, name: string): string {
  return PLAIN_NAME.test(name) ? `${path}.${name}` : `${path}["${printable(name.slice(0, MAX_SHOWN)).replaceAll('"', "\\22")}"]`;
}

/** 1 MiB, 16 deep, 100,000 values. */
const defaultLimits: JsonLimits = { length: 0x10_0000, depth: 16, values: 100_000 };

class Reader<N> {
  private readonly text: string;
  private readonly limits: JsonLimits;
  /** The value of an integer's digits; undefined for one that it cannot tell exactly. */
  private readonly integer: (digits: string) => N | undefined;
  /** Every string in the text is what stands between its quotes: nothing in it may not be in a string, or is spelled otherwise. */
  private readonly isPlain: boolean;
  /** Names and indices that lead to where the reader is: a path costs something, and only errors need it. */
  private readonly trail: (string | number)[] = [];
  private at = 0;
  private values = 0;

  constructor(text: string, limits: JsonLimits, integer: (digits: string) => N | undefined) {
    this.text = text;
    this.limits = limits;
    this.integer = integer;
    this.isPlain = text.length <= limits.length && !UNUSUAL.test(text) && text.isWellFormed();
  }

  document(): JsonValue<N> {
    if (this.text.length > this.limits.length) throw this.error("limit", `longer than ${this.limits.length} characters`);
    this.skipSpace();
    const value = this.value(0);
    this.skipSpace();
    if (this.at !== this.text.length) throw this.syntax("something behind the value");
    return value;
  }

  private value(depth: number): JsonValue<N> {
    if (++this.values > this.limits.values) throw this.error("limit", `more than ${this.limits.values} values`);
    switch (this.text[this.at]) {
      case '"':
        return this.string();
      case "{":
        return this.object(this.deeper(depth));
      case "[":
        return this.array(this.deeper(depth));
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

  private skipSpace(): void {
    // Writers put no space there, and to find that out by a pattern costs as much as to read a string.
    if (this.text.charCodeAt(this.at) > 0x20) return;
    this.match(SPACE);
  }

  private error(code: JsonErrorCode, message: string): JsonError {
    const path = this.trail.reduce<string>((path, step) => (typeof step === "number" ? `${path}[${step}]` : memberPath(path, step)), "$");
    return new JsonError(code, path, message);
  }

  private syntax(what: string): JsonError {
    const before = this.text.slice(0, this.at);
    const line = before.split("\n").length;
    const column = this.at - before.lastIndexOf("\n");
    return this.error("syntax", `not JSON at line ${line}, column ${column}: ${what}`);
  }

  private deeper(depth: number): number {
    if (depth >= this.limits.depth) throw this.error("limit", `nested deeper than ${this.limits.depth}`);
    return depth + 1;
  }

  private object(depth: number): ReadonlyMap<string, JsonValue<N>> {
    const members = new Map<string, JsonValue<N>>();
    this.at++;
    this.skipSpace();
    if (this.takes("}")) return members;
    for (;;) {
      if (this.text[this.at] !== '"') throw this.syntax("a member's name in quotes is expected");
      const name = this.string();
      this.trail.push(name);
      if (members.has(name)) throw this.error("duplicate", "stands twice in its object");
      this.skipSpace();
      if (!this.takes(":")) throw this.syntax("a colon is expected");
      this.skipSpace();
      members.set(name, this.value(depth));
      this.trail.pop();
      this.skipSpace();
      if (this.takes("}")) return members;
      if (!this.takes(",")) throw this.syntax("a comma or } is expected");
      this.skipSpace();
    }
  }

  private array(depth: number): readonly JsonValue<N>[] {
    const items: JsonValue<N>[] = [];
    this.at++;
    this.skipSpace();
    if (this.takes("]")) return items;
    for (;;) {
      this.trail.push(items.length);
      items.push(this.value(depth));
      this.trail.pop();
      this.skipSpace();
      if (this.takes("]")) return items;
      if (!this.takes(",")) throw this.syntax("a comma or ] is expected");
      this.skipSpace();
    }
  }

  private string(): string {
    if (this.isPlain) return this.plainString();
    const raw = this.match(STRING);
    if (raw === undefined) throw this.syntax(NO_STRING);
    const body = raw.slice(1, -1);
    const value = body.includes("\\") ? body.replaceAll(ESCAPE, unescape) : body;
    if (!value.isWellFormed()) throw this.error("surrogate", "a text with half of a surrogate pair");
    return value;
  }

  private plainString(): string {
    const end = this.text.indexOf('"', this.at + 1);
    if (end === -1) throw this.syntax(NO_STRING);
    const value = this.text.slice(this.at + 1, end);
    this.at = end + 1;
    return value;
  }

  private number(): N {
    const digits = this.match(NUMBER);
    if (digits === undefined) throw this.syntax("a value is expected");
    const value = INTEGER.test(digits) && digits !== "-0" ? this.integer(digits) : undefined;
    if (value === undefined) throw this.error("number", "a number that is not whole, or too large to be exact");
    return value;
  }

  private word<T>(word: string, value: T): T {
    if (!this.text.startsWith(word, this.at)) throw this.syntax("a value is expected");
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

function safeInteger(digits: string): number | undefined {
  const value = Number(digits);
  return Number.isSafeInteger(value) ? value : undefined;
}

function unescape(escape: string): string {
  return escape[1] === "u" ? String.fromCharCode(Number.parseInt(escape.slice(2), 16)) : escapes[escape[1]!]!;
}

const escapes: Record<string, string> = { '"': '"', "\\": "\\", "/": "/", b: "\b", f: "\f", n: "\n", r: "\r", t: "\t" };

const PLAIN_NAME = /^[A-Za-z_$][A-Za-z0-9_$]{0,63}$/;
const MAX_SHOWN = 64;
const NO_STRING = "a text that does not end, or holds a bad escape or a control character";

// Native patterns: a loop over characters costs several times as much in the sandbox's engine.
const SPACE = /[ \t\n\r]*/y;
// oxlint-disable-next-line no-control-regex -- what may stand in no string, or begins another spelling
const UNUSUAL = /[\\\u0000-\u001f]/;
// oxlint-disable-next-line no-control-regex -- control characters are what JSON forbids here
const STRING = /"[^"\\\u0000-\u001f]*(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\u0000-\u001f]*)*"/y;
const ESCAPE = /\\(?:u[0-9a-fA-F]{4}|.)/g;
const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const INTEGER = /^-?[0-9]+$/;
