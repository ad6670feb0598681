import { randomBytes } from "node:crypto";

/** A text that clients are given in place of a secret, for one run: worth nothing anywhere else. */
export function newPlaceholder(): string {
  return `${PREFIX}${randomBytes(24).toString("hex")}`;
}

/** Whether a text is a placeholder as `newPlaceholder` makes them. */
export function isPlaceholder(text: string): boolean {
  return WHOLE.test(text);
}

/** Where a placeholder stands that is none of the places for one. */
export interface Misplaced {
  /** The secret that it is for; `undefined` for one of another run, and what only looks like one. */
  secret: string | undefined;
  /** The field that it stands in; `undefined` for the target, and for a field's name. */
  field: string | undefined;
}

/** A part of a head: text as it is, or the place of a secret. */
export type HeadPart =
  | { tag: "text"; text: string }
  | { tag: "secret"; secret: string; field: string }
  /** Credentials of Basic authentication (RFC 7617), with the secret between these texts. */
  | { tag: "basic"; secret: string; field: string; before: string; after: string };

export type HeadReading = { tag: "parts"; parts: HeadPart[] } | { tag: "misplaced"; at: Misplaced } | { tag: "malformed" };

/**
 * Find the placeholders in the head of a request.
 *
 * @param head bytes as the code points 0 to 255; the request line first, or fields alone
 * @param secrets names of secrets by their placeholders
 * @param mayStand whether the place for this secret is in fields of this name, in lower case
 */
export function readHead(
  head: string,
  secrets: ReadonlyMap<string, string>,
  mayStand: (secret: string, field: string) => boolean,
): HeadReading {
  if (!mentions(head)) return { tag: "parts", parts: [{ tag: "text", text: head }] };
  const parts: HeadPart[] = [];
  for (const [index, line] of head.split("\r\n").entries()) {
    const end = index === 0 ? "" : "\r\n";
    if (!mentions(line)) {
      parts.push({ tag: "text", text: end + line });
      continue;
    }
    const [, name, before = "", rest = ""] = FIELD_LINE.exec(line) ?? [];
    const value = withoutBlanksBehind(rest);
    const after = rest.slice(value.length);
    const secret = secretIn(line, secrets);
    // What a server might read as the end of a line.
    if (CONTROLS.test(line)) return { tag: "malformed" };
    if (name === undefined) {
      // A first line is one of a request; anything else that is no field would be read in some other way by the server.
      if (index > 0) return { tag: "malformed" };
      return { tag: "misplaced", at: { secret, field: undefined } };
    }
    if (mentions(name)) return { tag: "misplaced", at: { secret, field: undefined } };
    const field = name.toLowerCase();
    const found = partsOf(value, field, secrets);
    if (found === undefined || !mayStand(found.secret, field)) return { tag: "misplaced", at: { secret, field } };
    parts.push({ tag: "text", text: `${end}${name}:${before}${found.before}` }, found.part, { tag: "text", text: found.after + after });
  }
  return { tag: "parts", parts };
}

/** Not by a regular expression: it would look at each run of blanks once for each blank in it. */
function withoutBlanksBehind(text: string): string {
  let end = text.length;
  while (end > 0 && (text[end - 1] === " " || text[end - 1] === "\t")) end--;
  return text.slice(0, end);
}

interface Found {
  secret: string;
  before: string;
  part: HeadPart;
  after: string;
}

/** The one placeholder of a field's value, if there is exactly one and it is known. */
function partsOf(value: string, field: string, secrets: ReadonlyMap<string, string>): Found | undefined {
  const [, scheme, encoded] = BASIC.exec(value) ?? [];
  if (scheme !== undefined) return basicOf(scheme, encoded!, field, secrets);
  const match = ANY.exec(value);
  const secret = match === null ? undefined : secrets.get(match[0]);
  if (match === null || secret === undefined) return undefined;
  const before = value.slice(0, match.index);
  const after = value.slice(match.index + match[0].length);
  // A part of a longer word, and a second one, are something else than a token that stands for itself.
  if (mentions(before) || mentions(after) || /\w$/.test(before) || /^\w/.test(after)) return undefined;
  return { secret, before, part: { tag: "secret", secret, field }, after };
}

function basicOf(scheme: string, encoded: string, field: string, secrets: ReadonlyMap<string, string>): Found | undefined {
  const credentials = Buffer.from(encoded, "base64").toString("latin1");
  const colon = credentials.indexOf(":");
  if (colon < 0) return undefined;
  const [user, password] = [credentials.slice(0, colon), credentials.slice(colon + 1)];
  const asPassword = secrets.get(password);
  if (asPassword !== undefined && !mentions(user)) {
    const part: HeadPart = { tag: "basic", secret: asPassword, field, before: `${user}:`, after: "" };
    return { secret: asPassword, before: scheme, part, after: "" };
  }
  const asUser = secrets.get(user);
  if (asUser === undefined || mentions(password)) return undefined;
  return { secret: asUser, before: scheme, part: { tag: "basic", secret: asUser, field, before: "", after: `:${password}` }, after: "" };
}

/** Whether a placeholder of whatever run stands in a text: as it is, percent-encoded or in base64. */
function mentions(text: string): boolean {
  if (holds(text)) return true;
  return (
    text.includes("%") &&
    holds(text.replaceAll(/%([0-9A-Fa-f]{2})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 16))))
  );
}

function holds(text: string): boolean {
  return text.includes(PREFIX) || IN_BASE64.some((piece) => text.includes(piece));
}

/** For records: which secret a misplaced placeholder is for, where that is easily seen. */
function secretIn(line: string, secrets: ReadonlyMap<string, string>): string | undefined {
  const found = ANY.exec(line)?.[0];
  return found === undefined ? undefined : secrets.get(found);
}

const PREFIX = "sallyport_placeholder_";
const ANY = /sallyport_placeholder_[0-9a-f]*/;
const WHOLE = /^sallyport_placeholder_[0-9a-f]{48}$/;
/** What base64 makes of the prefix in each of its three positions, without what depends on its neighbours. */
const IN_BASE64 = [0, 1, 2].map((offset) => {
  const encoded = Buffer.from(" ".repeat(offset) + PREFIX).toString("base64");
  const first = Math.ceil((offset * 8) / 6);
  return encoded.slice(first, Math.floor(((offset + PREFIX.length) * 8) / 6));
});
// oxlint-disable-next-line no-control-regex -- refusing them is what this is for
const CONTROLS = /[\0-\x08\x0a-\x1f\x7f]/;
const FIELD_LINE = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):([ \t]*)(.*)$/s;
const BASIC = /^(basic +)([A-Za-z0-9+/]+={0,2})$/i;
