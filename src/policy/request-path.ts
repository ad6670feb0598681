import { decodeUtf8 } from "../wire/utf8.ts";
import { WireError } from "../wire/wire-error.ts";

/** The path of a request as rules see it: segments without slashes, decoded, with dots resolved. */
export interface RequestPath {
  readonly tag: "path";
  /** None for the root. */
  readonly segments: readonly string[];
  /** As text: `/a/b`, and `/` for the root. No slash at the end. */
  readonly text: string;
}

/** Why a path is one that two servers could read differently, or that is no path. */
export type PathFault =
  /** Does not begin with a slash: `*`, a URL, nothing. */
  | "no-path"
  /** More than 16,384 characters, or 256 segments. */
  | "path-too-long"
  /** A character that a request target cannot carry: blanks, controls, non-ASCII, `#`. */
  | "path-character"
  /** `%` without two hexadecimal digits. */
  | "bad-percent-encoding"
  /** An encoded slash or backslash, or a plain backslash: separators to some servers and not to others. */
  | "hidden-separator"
  /** An encoded control character, NUL among them. */
  | "encoded-control-character"
  /** Still percent-encoded after decoding once. */
  | "doubly-encoded"
  /** The decoded bytes are not UTF-8. */
  | "path-not-utf-8"
  /** `..` with nothing left to leave. */
  | "above-root"
  /** Dots with path parameters behind them (`..;x`), which some servers resolve. */
  | "dots-with-parameters";

/**
 * Normalise the target of a request for matching: the query is cut off, percent-encoding decoded once, repeated slashes
 * are one, `.` and `..` resolved, a slash at the end dropped. What servers are known to read in more than one way is no
 * path at all, so that no rule is passed by spelling. Never throws.
 */
export function requestPath(target: string): RequestPath | { readonly tag: "invalid"; readonly fault: PathFault } {
  if (target.length > MAX_PATH) return invalid("path-too-long");
  const end = target.indexOf("?");
  const raw = end === -1 ? target : target.slice(0, end);
  // Most paths have nothing to normalise, and one pattern says so.
  if (PLAIN.test(target)) return plain(raw);
  if (!raw.startsWith("/")) return invalid("no-path");
  if (!/^[\x21-\x7e]*$/.test(target) || target.includes("#")) return invalid("path-character");
  const decoded = raw.includes("%") ? decodeOnce(raw) : raw;
  if (typeof decoded !== "string") return decoded;
  if (decoded.includes("\\")) return invalid("hidden-separator");
  return resolved(decoded);
}

function plain(path: string): ReturnType<typeof requestPath> {
  const segments = path.slice(1).split("/");
  return segments.length > MAX_SEGMENTS ? invalid("path-too-long") : { tag: "path", segments, text: path };
}

/** Cut at slashes, dots resolved. */
function resolved(path: string): ReturnType<typeof requestPath> {
  const segments: string[] = [];
  for (const segment of path.split("/")) {
    if (segment === "" || segment === ".") continue;
    if (segment === "..") {
      if (segments.pop() === undefined) return invalid("above-root");
      continue;
    }
    if (/^\.{1,2};/.test(segment)) return invalid("dots-with-parameters");
    segments.push(segment);
  }
  if (segments.length > MAX_SEGMENTS) return invalid("path-too-long");
  return { tag: "path", segments, text: `/${segments.join("/")}` };
}

function decodeOnce(raw: string): string | ReturnType<typeof invalid> {
  if (/%(?![0-9A-Fa-f]{2})/.test(raw)) return invalid("bad-percent-encoding");
  if (/%(?:2f|5c)/i.test(raw)) return invalid("hidden-separator");
  if (/%(?:[01][0-9a-f]|7f)/i.test(raw)) return invalid("encoded-control-character");
  const bytes = raw.replaceAll(/%(..)/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  let text: string;
  try {
    text = decodeUtf8(Uint8Array.from(bytes, (character) => character.charCodeAt(0)));
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    return invalid("path-not-utf-8");
  }
  return /%[0-9A-Fa-f]{2}/.test(text) ? invalid("doubly-encoded") : text;
}

function invalid(fault: PathFault): { readonly tag: "invalid"; readonly fault: PathFault } {
  return { tag: "invalid", fault };
}

/** Segments that are not empty, do not begin with a dot and hold nothing that is encoded or cut off; and any query. */
const PLAIN = /^(?:\/[A-Za-z0-9!$&'()*+,:=@_~-][A-Za-z0-9!$&'()*+,.:=@_~-]*)+(?:\?[\x21\x22\x24-\x7e]*)?$/;

const MAX_PATH = 0x4000;
const MAX_SEGMENTS = 256;
