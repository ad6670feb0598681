import { type DerReader, derTag, type DerElement, readOid } from "./der.ts";
import { encodeHex } from "./hex.ts";
import { printable } from "./printable.ts";
import { decodeUtf8, latin1 } from "./utf8.ts";
import { WireError } from "./wire-error.ts";

/** A distinguished name for people to read. */
export interface DistinguishedName {
  /** In the manner of RFC 4514, most specific first, for example `CN=example.com,O=Example\, Inc.,C=DE`. Printable. */
  readonly text: string;
  /** The most specific common name, printable; undefined if there is none. Never to be matched against a host name. */
  readonly commonName: string | undefined;
  /** The name's DER: two names are compared by these bytes, not by the text. */
  readonly der: Uint8Array;
}

/**
 * Reads the Name that comes next (RFC 5280, section 4.1.2.4).
 *
 * @throws WireError `invalid-der`
 */
export function readDistinguishedName(parent: DerReader): DistinguishedName {
  const der = parent.upcoming();
  const sequence = parent.enter(derTag.sequence);
  const parts: string[] = [];
  let commonName: string | undefined;
  while (!sequence.done) {
    const set = sequence.enter(derTag.set);
    const attributes: string[] = [];
    do {
      const attribute = set.enter(derTag.sequence);
      const type = readOid(attribute.take(derTag.oid).content);
      const value = attribute.any();
      attribute.end();
      const text = textOf(value);
      if (type === COMMON_NAME && text !== undefined) commonName = printable(text);
      const written = text === undefined ? `#${encodeHex(value.bytes)}` : escapeValue(text);
      attributes.push(`${attributeNames.get(type) ?? type}=${written}`);
    } while (!set.done);
    parts.push(attributes.join("+"));
  }
  return { text: parts.toReversed().join(","), commonName, der };
}

/** The text of a string type; undefined for any other type, and for bytes that are not what the type says. */
function textOf(value: DerElement): string | undefined {
  switch (value.tag) {
    case derTag.utf8String:
      return decodeOrUndefined(value.content);
    case derTag.printableString:
    case derTag.ia5String:
    case derTag.numericString:
    case derTag.visibleString:
    // What certificates put into a TeletexString is Latin-1.
    case derTag.teletexString:
      return latin1(value.content);
    case derTag.bmpString:
      return wideText(value.content, 2);
    case derTag.universalString:
      return wideText(value.content, 4);
    default:
      return undefined;
  }
}

function decodeOrUndefined(bytes: Uint8Array): string | undefined {
  try {
    return decodeUtf8(bytes);
  } catch (error) {
    if (error instanceof WireError) return undefined;
    throw error;
  }
}

function wideText(bytes: Uint8Array, width: 2 | 4): string | undefined {
  if (bytes.length % width !== 0) return undefined;
  let text = "";
  for (let at = 0; at < bytes.length; at += width) {
    let point = 0;
    for (let index = 0; index < width; index++) point = point * 0x100 + bytes[at + index]!;
    if (point > 0x10_ffff) return undefined;
    text += String.fromCodePoint(point);
  }
  return text;
}

/** RFC 4514, section 2.4. */
function escapeValue(text: string): string {
  return printable(text)
    .replaceAll(/[,+"<>;]/g, "\\$&")
    .replace(/ $/, "\\$&")
    .replace(/^[# ]/, "\\$&");
}

const COMMON_NAME = "2.5.4.3";

const attributeNames: ReadonlyMap<string, string> = new Map([
  [COMMON_NAME, "CN"],
  ["2.5.4.4", "SN"],
  ["2.5.4.5", "serialNumber"],
  ["2.5.4.6", "C"],
  ["2.5.4.7", "L"],
  ["2.5.4.8", "ST"],
  ["2.5.4.9", "STREET"],
  ["2.5.4.10", "O"],
  ["2.5.4.11", "OU"],
  ["2.5.4.12", "title"],
  ["2.5.4.42", "GN"],
  ["2.5.4.97", "organizationIdentifier"],
  ["0.9.2342.19200300.100.1.1", "UID"],
  ["0.9.2342.19200300.100.1.25", "DC"],
  ["1.2.840.113549.1.9.1", "emailAddress"],
]);
