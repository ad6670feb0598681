/** What is wrong with a message; the WIT's words (`sallyport:gateway/http.http-error`). */
export type FramingFault = "start-line" | "field" | "framing" | "chunk" | "too-large" | "upgrade" | "truncated";

/** A message that cannot be moved. Holds no byte of it. */
export class FramingError extends Error {
  override readonly name = "FramingError";
  readonly code: FramingFault;

  constructor(code: FramingFault) {
    super(`HTTP message: ${code}`);
    this.code = code;
  }
}

/** How the body of a message is delimited (RFC 9112, section 6.3). */
export type BodyFraming = { tag: "none" } | { tag: "length"; length: number } | { tag: "chunked" } | { tag: "close" };

/** What of a response's head decides on how the connection goes on. */
export interface ResponseFraming {
  status: number;
  framing: BodyFraming;
  /** A head that another one follows (1xx, but for 101). */
  interim: boolean;
  /** The connection is that of another protocol from here on. */
  upgraded: boolean;
  /** Whether the sender keeps the connection. */
  reusable: boolean;
}

/** Bounds, the same as those of the guest library's parser: the two have to accept the same messages. */
export const limits = {
  /** Bytes of a head, line ends included. */
  head: 64 * 1024,
  /** Bytes of a line of it. */
  line: 16 * 1024,
  fields: 100,
  interim: 16,
  /** Bytes of trailers, line ends included. */
  trailers: 16 * 1024,
  /** Bytes of one chunk's size line, and of all extensions of a message. */
  chunkLine: 1024,
  chunkExtensions: 16 * 1024,
} as const;

/**
 * Read the lines of a response's head.
 *
 * @param lines without their ends, the status line first; bytes as the code points 0 to 255
 * @throws {FramingError} `start-line`, `field`, `framing`
 */
export function readResponseHead(lines: readonly string[], requestMethod: string): ResponseFraming {
  const [startLine = "", ...fieldLines] = lines;
  const match = CONTROLS.test(startLine) ? null : STATUS_LINE.exec(startLine);
  if (match === null) throw new FramingError("start-line");
  const fields = readFields(fieldLines);
  const isHttp11 = match[1] === "1";
  const status = Number(match[2]);
  const declared = declaredFraming(fields, isHttp11);
  const mayHaveBody = status >= 200 && status !== 204;
  if (!mayHaveBody && declared?.tag === "chunked") throw new FramingError("framing");
  const upgraded = status === 101 || (requestMethod === "CONNECT" && status >= 200 && status < 300);
  const hasBody = mayHaveBody && status !== 304 && requestMethod !== "HEAD" && !upgraded;
  const framing = hasBody ? (declared ?? ({ tag: "close" } as const)) : ({ tag: "none" } as const);
  return {
    status,
    framing,
    interim: status < 200 && status !== 101,
    upgraded,
    reusable: !upgraded && framing.tag !== "close" && persists(fields, isHttp11),
  };
}

/** Read the lines of trailers. @throws {FramingError} `field` */
export function checkTrailers(lines: readonly string[]): void {
  const fields = readFields(lines);
  // They would change how the message was to be read (RFC 9110, section 6.5.1).
  for (const name of ["content-length", "transfer-encoding", "host"]) if (fields.has(name)) throw new FramingError("field");
}

/** Values by lower-case name, in their order. */
type Fields = ReadonlyMap<string, readonly string[]>;

function readFields(lines: readonly string[]): Fields {
  const fields = new Map<string, string[]>();
  for (const line of lines) {
    // A line that begins with white space continues the one before, for those who still fold: its name is no token.
    const match = CONTROLS.test(line) ? null : FIELD_LINE.exec(line);
    if (match === null) throw new FramingError("field");
    const name = match[1]!.toLowerCase();
    const values = fields.get(name);
    if (values === undefined) fields.set(name, [match[2]!]);
    else values.push(match[2]!);
  }
  return fields;
}

function declaredFraming(fields: Fields, isHttp11: boolean): BodyFraming | undefined {
  const codings = fields.get("transfer-encoding");
  const lengths = fields.get("content-length");
  if (codings !== undefined) {
    const isChunked = codings.length === 1 && trimmed(codings[0]!).toLowerCase() === "chunked";
    if (lengths !== undefined || !isHttp11 || !isChunked) throw new FramingError("framing");
    return { tag: "chunked" };
  }
  if (lengths === undefined) return undefined;
  // The same length twice says one thing (RFC 9112, section 6.3, rule 5).
  const [length, ...others] = listOf(lengths);
  if (length === undefined || others.some((other) => other !== length) || !/^[0-9]{1,16}$/.test(length)) throw new FramingError("framing");
  const value = Number(length);
  if (value > Number.MAX_SAFE_INTEGER) throw new FramingError("framing");
  return { tag: "length", length: value };
}

function persists(fields: Fields, isHttp11: boolean): boolean {
  const options = listOf(fields.get("connection") ?? []).map((option) => option.toLowerCase());
  return !options.includes("close") && (isHttp11 || options.includes("keep-alive"));
}

function listOf(values: readonly string[]): string[] {
  return values.join(",").split(",").map(trimmed);
}

/** Without the spaces and tabs around it; `trim` takes more away than HTTP calls white space. */
function trimmed(text: string): string {
  let start = 0;
  let end = text.length;
  while (start < end && isBlank(text.charCodeAt(start))) start++;
  while (end > start && isBlank(text.charCodeAt(end - 1))) end--;
  return text.slice(start, end);
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09;
}

// oxlint-disable-next-line no-control-regex -- refusing them is what this is for
const CONTROLS = /[\0-\x08\x0a-\x1f\x7f]/;
/** Many servers leave out the space before an empty reason, and nothing can be misread by that. */
const STATUS_LINE = /^HTTP\/1\.([01]) ([1-5][0-9][0-9])(?: .*)?$/s;
const FIELD_LINE = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):(.*)$/s;
