/** A pattern for paths, in parts. */
export interface PathPattern {
  readonly parts: readonly PathPart[];
  /** The same in lower case. */
  readonly folded: readonly PathPart[];
  /** As it stands in the policy. */
  readonly text: string;
}

type PathPart =
  /** `**`: any number of segments, none among them. */
  | { readonly tag: "any" }
  /** One segment, with something in place of the one `*` in it. `*` alone is one segment that is not empty. */
  | { readonly tag: "wild"; readonly head: string; readonly tail: string }
  | { readonly tag: "text"; readonly text: string };

/** A text is no path pattern. The message says what is accepted. */
export class PathPatternError extends Error {
  override readonly name = "PathPatternError";
  readonly code = "ERR_SALLYPORT_PATH_PATTERN";
}

/**
 * Parse `/a/*\/b/**`: segments as they read decoded, `*` for one segment or within one, `**` for any number of them. A slash
 * at the end means nothing, as in the paths that are matched.
 *
 * @throws {PathPatternError}
 */
export function parsePathPattern(text: string): PathPattern {
  if (!text.startsWith("/")) throw refused("a path pattern begins with /");
  // oxlint-disable-next-line no-control-regex -- refusing them is what this is for
  if (/[\\?#%\0-\x1f\x7f]/.test(text))
    throw refused("a path pattern is written decoded, without query: no % ? # \\ and control characters");
  const segments = text.replace(/\/$/, "").split("/").slice(1);
  if (segments.length > MAX_PARTS) throw refused(`a path pattern has at most ${MAX_PARTS} segments`);
  return { parts: segments.map(partOf), folded: segments.map((segment) => partOf(segment.toLowerCase())), text };
}

/**
 * Whether these parts of a pattern match these segments, all of them. To compare without case, hand over the parts and the
 * segments in lower case.
 */
export function pathMatches(parts: readonly PathPart[], segments: readonly string[]): boolean {
  let part = 0;
  let segment = 0;
  // Where to go on from when the latest `**` has to take one segment more. Only the latest ever has to.
  let retryPart = -1;
  let retrySegment = 0;
  while (segment < segments.length) {
    const here = parts[part];
    if (here?.tag === "any") {
      retryPart = ++part;
      retrySegment = segment;
    } else if (here !== undefined && partMatches(here, segments[segment]!)) {
      part++;
      segment++;
    } else if (retryPart !== -1) {
      part = retryPart;
      segment = ++retrySegment;
    } else return false;
  }
  return parts.slice(part).every(({ tag }) => tag === "any");
}

function partOf(segment: string): PathPart {
  if (segment === "") throw refused("a path pattern has no empty segments");
  if (segment === "." || segment === "..") throw refused("a path pattern has no . and .. segments: paths are matched without them");
  if (segment === "**") return { tag: "any" };
  const [head, tail, ...more] = segment.split("*");
  if (tail === undefined) return { tag: "text", text: segment };
  if (more.length > 0) throw refused("a segment of a path pattern has one * at most, or is ** and nothing else");
  return { tag: "wild", head: head!, tail };
}

function partMatches(part: PathPart, segment: string): boolean {
  if (part.tag === "text") return part.text === segment;
  if (part.tag === "any") return true;
  const { head, tail } = part;
  return segment.length >= head.length + tail.length && segment.startsWith(head) && segment.endsWith(tail);
}

function refused(message: string): PathPatternError {
  return new PathPatternError(message);
}

const MAX_PARTS = 64;
