import { decodeUtf8 } from "../../src/bindings/text.ts";
import { WireError } from "../../src/wire/wire-error.ts";

/** What a request target means below the served folder. */
export type RequestPath =
  /** `parts` are decoded names, none of them hidden; `isFolder` if the path ends in a slash. */
  | { tag: "path"; parts: readonly string[]; isFolder: boolean }
  /** Nothing that is served has such a name. */
  | { tag: "hidden" }
  /** No client sends this by mistake, or it is no path at all. */
  | { tag: "malformed" };

/**
 * Reads the path of a request target. It is decoded once; what still looks encoded afterwards is just a name. Dot segments,
 * which clients resolve before they ask, NUL and other controls, and encoded slashes are malformed; names that begin with a
 * dot are hidden, and so is an empty name between two slashes.
 *
 * @param target path and query, as `RequestHead.path`
 */
export function readRequestPath(target: string): RequestPath {
  const path = target.split("?", 1)[0]!;
  if (!path.startsWith("/")) return { tag: "malformed" };
  const parts: string[] = [];
  for (const segment of path.slice(1).split("/")) {
    const name = decodeSegment(segment);
    if (name === undefined || name === "." || name === ".." || UNSAFE.test(name)) return { tag: "malformed" };
    parts.push(name);
  }
  const isFolder = parts.at(-1) === "";
  if (isFolder) parts.pop();
  if (parts.some((name) => name === "" || name.startsWith("."))) return { tag: "hidden" };
  return { tag: "path", parts, isFolder };
}

/** Slashes and backslashes separate names on some system; controls are in no name that is served. */
// oxlint-disable-next-line no-control-regex -- refusing them is what this is for
const UNSAFE = /[\0-\x1f\x7f/\\]/;

function decodeSegment(segment: string): string | undefined {
  if (!segment.includes("%")) return segment;
  const bytes: number[] = [];
  for (let i = 0; i < segment.length; i++) {
    if (segment[i] !== "%") {
      bytes.push(segment.charCodeAt(i));
      continue;
    }
    const digits = segment.slice(i + 1, i + 3);
    if (!/^[0-9A-Fa-f]{2}$/.test(digits)) return undefined;
    bytes.push(Number.parseInt(digits, 16));
    i += 2;
  }
  try {
    return decodeUtf8(Uint8Array.from(bytes));
  } catch (error) {
    if (error instanceof WireError) return undefined;
    throw error;
  }
}
