import { decodeBase64, encodeBase64 } from "./base64url.ts";
import { WireError } from "./wire-error.ts";

/** One block of a PEM text. */
export interface PemBlock {
  /** What stands after BEGIN, for example `CERTIFICATE`. */
  readonly label: string;
  readonly bytes: Uint8Array;
  /** Lines like `Proc-Type: 4,ENCRYPTED` of the old style of encrypted keys (RFC 1421); empty as a rule. */
  readonly headers: readonly string[];
  /** The block from BEGIN to END with its line ends, for a library that wants PEM. */
  readonly text: string;
}

/** Bounds of {@link parsePem}. */
export interface PemLimits {
  /** Characters of the whole text; default 4 Mi. */
  readonly length?: number;
  /** Number of blocks; default 4096. */
  readonly blocks?: number;
}

/**
 * Finds the blocks of a PEM text (RFC 7468). Text around blocks is passed over; a block that is begun has to be right: its
 * base64 canonical, its END the one of its BEGIN. A text without blocks gives an empty list.
 *
 * @throws WireError `invalid-pem`, and `too-large` past a limit
 */
export function parsePem(text: string, limits: PemLimits = {}): PemBlock[] {
  if (text.length > (limits.length ?? MAX_LENGTH)) throw new WireError("too-large", "the PEM text is too long");
  const blocks: PemBlock[] = [];
  for (let begin = nextBegin(text, 0); begin !== -1;) {
    if (blocks.length === (limits.blocks ?? MAX_BLOCKS)) throw new WireError("too-large", "the PEM text has too many blocks");
    const labelEnd = text.indexOf(DASHES, begin + BEGIN.length);
    const label = labelEnd === -1 ? "" : text.slice(begin + BEGIN.length, labelEnd);
    if (!/^[A-Z0-9](?:[A-Z0-9 ]{0,62}[A-Z0-9])?$/.test(label)) throw invalid("a BEGIN line is malformed");
    const bodyFrom = labelEnd + DASHES.length;
    const bodyEnd = text.indexOf(`\n${DASHES}`, bodyFrom);
    const endLine = `${DASHES}END ${label}${DASHES}`;
    if (bodyEnd === -1 || !text.startsWith(endLine, bodyEnd + 1)) throw invalid(`a ${label} block has no END of its own`);
    const end = bodyEnd + 1 + endLine.length;
    blocks.push({ label, ...parseBody(text.slice(bodyFrom, bodyEnd), label), text: `${text.slice(begin, end)}\n` });
    begin = nextBegin(text, end);
  }
  return blocks;
}

/** A PEM block with lines of 64 characters, ending in a line feed. */
export function encodePem(label: string, bytes: Uint8Array): string {
  const lines = encodeBase64(bytes).match(/.{1,64}/g) ?? [];
  return [`${BEGIN}${label}${DASHES}`, ...lines, `${DASHES}END ${label}${DASHES}`, ""].join("\n");
}

/** The next BEGIN at the start of a line. */
function nextBegin(text: string, from: number): number {
  if (from === 0 && text.startsWith(BEGIN)) return 0;
  const at = text.indexOf(`\n${BEGIN}`, from);
  return at === -1 ? -1 : at + 1;
}

function parseBody(body: string, label: string): { bytes: Uint8Array; headers: string[] } {
  const lines = body.split("\n").map((line) => line.trim());
  if (lines.shift() !== "") throw invalid("a BEGIN line is malformed");
  const headers = lines[0]?.includes(":") ? lines.splice(0, lines.indexOf("") + 1 || lines.length) : [];
  const bytes = decodeBase64(lines.join(""));
  if (bytes === undefined || bytes.length === 0) throw invalid(`the base64 of a ${label} block is malformed`);
  return { bytes, headers: headers.filter((line) => line !== "") };
}

function invalid(message: string): WireError {
  return new WireError("invalid-pem", message);
}

const DASHES = "-----";
const BEGIN = "-----BEGIN ";
const MAX_LENGTH = 0x40_0000;
const MAX_BLOCKS = 4096;
