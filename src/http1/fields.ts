import { HttpError } from "./http-error.ts";

/** One field of a head or trailer. */
export interface Field {
  /** As it was written. */
  readonly name: string;
  /** In lower case, to compare. */
  readonly key: string;
  /** Without the white space around it; bytes as the code points 0 to 255. */
  readonly value: string;
}

/** The fields of one message in their order (RFC 9110, section 5). */
export class Fields implements Iterable<Field> {
  private readonly list: readonly Field[];
  private readonly values = new Map<string, string[]>();

  constructor(list: readonly Field[]) {
    this.list = list;
    // Framing, Host and Connection are all asked for, and mostly absent: one index costs less than a search for each.
    for (let i = 0; i < list.length; i++) {
      const { key, value } = list[i]!;
      const others = this.values.get(key);
      if (others === undefined) this.values.set(key, [value]);
      else others.push(value);
    }
  }

  get length(): number {
    return this.list.length;
  }

  has(name: string): boolean {
    return this.values.has(name.toLowerCase());
  }

  /** The first value of that name. */
  get(name: string): string | undefined {
    return this.values.get(name.toLowerCase())?.[0];
  }

  /** Every value of that name, one a field line. */
  getAll(name: string): readonly string[] {
    return this.values.get(name.toLowerCase()) ?? NONE;
  }

  /** The members of a comma-separated list over all fields of that name, in lower case: for `Connection` and the like. */
  tokens(name: string): readonly string[] {
    const values = this.getAll(name);
    if (values.length === 0) return NONE;
    return values
      .join(",")
      .toLowerCase()
      .split(",")
      .map(trim)
      .filter((member) => member !== "");
  }

  [Symbol.iterator](): Iterator<Field> {
    return this.list[Symbol.iterator]();
  }
}

const NONE: readonly string[] = [];

/**
 * Parse field lines strictly (RFC 9112, section 5): no folding, no white space before the colon, no control characters, so
 * no bare CR and no NUL.
 *
 * @throws {HttpError} ERR_SALLYPORT_HTTP_FIELD
 */
export function parseFields(lines: readonly string[], start: number): Fields {
  if (hasControls(start === 0 ? lines : lines.slice(start)))
    throw new HttpError("ERR_SALLYPORT_HTTP_FIELD", "a field holds a control character");
  const list: Field[] = [];
  for (let i = start; i < lines.length; i++) list.push(parseField(lines[i]!));
  return new Fields(list);
}

/** Whether any of these lines holds a control character other than a tab. One pass over all of them. */
export function hasControls(lines: readonly string[]): boolean {
  return CONTROLS.test(lines.join(""));
}

export function isToken(text: string): boolean {
  return TOKEN.test(text);
}

/** Whether this may stand as a field value that we write: visible ASCII, space and tab, no white space around it. */
export function isWritableValue(text: string): boolean {
  return WRITABLE.test(text) && trim(text) === text;
}

/** Without spaces and tabs around it, and only those. */
export function trim(text: string): string {
  let start = 0;
  let end = text.length;
  while (start < end && isBlank(text.charCodeAt(start))) start++;
  while (end > start && isBlank(text.charCodeAt(end - 1))) end--;
  return text.slice(start, end);
}

// oxlint-disable-next-line no-control-regex -- refusing them is what this is for
const CONTROLS = /[\0-\x08\x0a-\x1f\x7f]/;
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const WRITABLE = /^[\t\x20-\x7e]*$/;

/**
 * Names that were checked, with their keys: peers use the same few again and again. Bounded, since a peer chooses them.
 */
const KNOWN_NAMES = new Map<string, string>();
const MAX_KNOWN_NAMES = 256;
const MAX_KNOWN_LENGTH = 64;

function parseField(line: string): Field {
  const colon = line.indexOf(":");
  if (colon < 1) throw new HttpError("ERR_SALLYPORT_HTTP_FIELD", "a field line has no name");
  const name = line.slice(0, colon);
  return { name, key: keyOf(name), value: trim(line.slice(colon + 1)) };
}

function keyOf(name: string): string {
  const known = KNOWN_NAMES.get(name);
  if (known !== undefined) return known;
  // A folded line begins with white space, which is in no token either.
  if (!isToken(name)) throw new HttpError("ERR_SALLYPORT_HTTP_FIELD", "a field name is not a token");
  const key = name.toLowerCase();
  if (KNOWN_NAMES.size < MAX_KNOWN_NAMES && name.length <= MAX_KNOWN_LENGTH) KNOWN_NAMES.set(name, key);
  return key;
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09;
}
