/** DER of a tag and its content, lengths in their shortest form. */
export function tlv(tag: number, ...content: (number[] | Uint8Array)[]): number[] {
  const bytes = content.flatMap((part) => [...part]);
  if (bytes.length < 0x80) return [tag, bytes.length, ...bytes];
  const length: number[] = [];
  for (let rest = bytes.length; rest > 0; rest >>= 8) length.unshift(rest & 0xff);
  return [tag, 0x80 | length.length, ...length, ...bytes];
}

/** Parts of a certificate that need not make sense; every part is DER. */
export interface CertificateParts {
  version?: number[];
  serial?: number[];
  innerAlgorithm?: number[];
  outerAlgorithm?: number[];
  issuer?: number[];
  validity?: number[];
  subject?: number[];
  spki?: number[];
  /** Extension elements. */
  extensions?: number[][];
  /** After everything else within TBSCertificate. */
  rest?: number[];
}

const ascii = (text: string) => [...text].map((character) => character.charCodeAt(0));

/** A certificate of parts, with a signature of nothing. */
export function certificateBytes(parts: CertificateParts = {}): Uint8Array {
  const tbs = tlv(
    0x30,
    parts.version ?? tlv(0xa0, [2, 1, 2]),
    parts.serial ?? [2, 1, 5],
    parts.innerAlgorithm ?? ECDSA_SHA256,
    parts.issuer ?? nameBytes([[commonName("Issuer")]]),
    parts.validity ?? tlv(0x30, tlv(0x17, ascii("260101000000Z")), tlv(0x17, ascii("270101000000Z"))),
    parts.subject ?? nameBytes([[commonName("subject.example")]]),
    parts.spki ?? P256_SPKI,
    parts.extensions === undefined ? [] : tlv(0xa3, tlv(0x30, ...parts.extensions)),
    parts.rest ?? [],
  );
  return Uint8Array.from(tlv(0x30, tbs, parts.outerAlgorithm ?? ECDSA_SHA256, [3, 2, 0, 1]));
}

/** Name of relative names of attributes. */
export const nameBytes = (sets: number[][][]): number[] => tlv(0x30, ...sets.map((attributes) => tlv(0x31, ...attributes)));
export const attribute = (oid: number[], tag: number, value: number[]): number[] => tlv(0x30, tlv(6, oid), tlv(tag, value));
export const commonName = (text: string): number[] => attribute([0x55, 4, 3], 0x0c, [...new TextEncoder().encode(text)]);
export const extension = (oid: number[], value: number[], critical: number[] = []): number[] =>
  tlv(0x30, tlv(6, oid), critical, tlv(4, value));
export const time = (tag: number, text: string): number[] => tlv(tag, ascii(text));

const ECDSA_SHA256 = tlv(0x30, [6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2]);
const P256 = [6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
const EC = [6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
const P256_SPKI = tlv(0x30, tlv(0x30, EC, P256), tlv(3, [0, 4], new Uint8Array(64)));
