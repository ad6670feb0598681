import { IdentityError } from "./identity-error.ts";

/** One PEM block (RFC 7468, RFC 1421). */
export interface PemBlock {
  /** For example `CERTIFICATE`. */
  label: string;
  /** The block as it stood, delimiters included: what OpenSSL needs for a key with encryption headers. */
  text: string;
  /** What the base64 says. `undefined` if the block has headers, which only encrypted keys of the old form have. */
  der: Uint8Array | undefined;
}

/** Blocks of one file. */
const MAX_BLOCKS = 4096;

const BEGIN = "-----BEGIN ";
const DASHES = "-----";

/**
 * All blocks of a PEM text. Text around the blocks is ignored.
 *
 * @param maxBytes of the whole text
 * @throws {IdentityError} `too-large`; `bad-format` for a block without end or with anything but base64 in it
 */
export function readPem(bytes: Uint8Array, maxBytes: number): PemBlock[] {
  if (bytes.length > maxBytes) throw new IdentityError("too-large", `PEM text of more than ${maxBytes} bytes`);
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
  const blocks: PemBlock[] = [];
  for (let at = text.indexOf(BEGIN); at >= 0; at = text.indexOf(BEGIN, at)) {
    if (blocks.length === MAX_BLOCKS) throw new IdentityError("too-large", `more than ${MAX_BLOCKS} PEM blocks`);
    const labelEnd = text.indexOf(DASHES, at + BEGIN.length);
    const label = text.slice(at + BEGIN.length, labelEnd);
    if (labelEnd < 0 || !/^[A-Z0-9][A-Z0-9 ]{0,63}$/.test(label))
      throw new IdentityError("bad-format", "a PEM block without a proper label");
    const start = labelEnd + DASHES.length;
    const end = `${DASHES}END ${label}${DASHES}`;
    const stop = text.indexOf(end, start);
    if (stop < 0) throw new IdentityError("bad-format", `a PEM block "${label}" without its END line`);
    const after = stop + end.length;
    blocks.push({ label, text: `${text.slice(at, after)}\n`, der: decode(text.slice(start, stop)) });
    at = after;
  }
  return blocks;
}

function decode(body: string): Uint8Array | undefined {
  if (body.includes(":")) return undefined;
  const base64 = body.replace(/[\r\n\t ]+/g, "");
  if (base64.length % 4 !== 0 || !/^[A-Za-z0-9+/]+={0,2}$/.test(base64))
    throw new IdentityError("bad-format", "a PEM block that is not base64");
  return new Uint8Array(Buffer.from(base64, "base64"));
}
