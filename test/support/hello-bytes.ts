/** What {@link helloBytes} writes. Everything has a default that makes a well-formed hello of TLS 1.3. */
export interface HelloParts {
  type?: number;
  legacyVersion?: number;
  random?: Uint8Array;
  sessionId?: number[];
  suites?: number[];
  compression?: number[];
  /** Type and data, in order; `undefined` leaves the whole block out. */
  extensions?: [number, number[]][];
  noExtensions?: boolean;
  /** After the extensions, inside the message. */
  trailing?: number[];
}

/** A ClientHello message with its handshake header, of parts that need not make sense. */
export function helloBytes(parts: HelloParts = {}): Uint8Array {
  const block = (parts.extensions ?? defaultExtensions()).flatMap(([type, data]) => [...u16(type), ...vector(2, data)]);
  const body = [
    ...u16(parts.legacyVersion ?? 0x0303),
    ...(parts.random ?? new Uint8Array(32).fill(7)),
    ...vector(1, parts.sessionId ?? []),
    ...vector(2, (parts.suites ?? [0x1301, 0xc02b]).flatMap(u16)),
    ...vector(1, parts.compression ?? [0]),
    ...(parts.noExtensions ? [] : vector(2, block)),
    ...(parts.trailing ?? []),
  ];
  return Uint8Array.from([parts.type ?? 1, ...vector(3, body)]);
}

/** supported_versions 1.3, one group with a key, one scheme, and a server name. */
export function defaultExtensions(): [number, number[]][] {
  return [serverName("example.com"), supportedVersions(0x0304), groups(0x001d), schemes(0x0403), keyShare(0x001d)];
}

export const serverName = (name: string): [number, number[]] => [0, vector(2, [0, ...vector(2, ascii(name))])];
export const supportedVersions = (...versions: number[]): [number, number[]] => [43, vector(1, versions.flatMap(u16))];
export const groups = (...ids: number[]): [number, number[]] => [10, vector(2, ids.flatMap(u16))];
export const schemes = (...ids: number[]): [number, number[]] => [13, vector(2, ids.flatMap(u16))];
export const alpn = (...ids: string[]): [number, number[]] => [
  16,
  vector(
    2,
    ids.flatMap((id) => vector(1, ascii(id))),
  ),
];
export const keyShare = (...ids: number[]): [number, number[]] => [
  51,
  vector(
    2,
    ids.flatMap((id) => [...u16(id), ...vector(2, [1, 2, 3, 4])]),
  ),
];
export const preSharedKey = (): [number, number[]] => [
  41,
  [...vector(2, [...vector(2, [1, 2, 3]), 0, 0, 0, 0]), ...vector(2, vector(1, Array<number>(32).fill(5)))],
];

/** Bytes with a length prefix of `prefix` bytes. */
export function vector(prefix: 1 | 2 | 3, content: number[]): number[] {
  const length: number[] = [];
  for (let index = prefix - 1; index >= 0; index--) length.push((content.length >> (8 * index)) & 0xff);
  return [...length, ...content];
}

/** One record for each `size` bytes of payload. */
export function records(payload: Uint8Array, size: number = 0x4000, type: number = 22, version: number = 0x0301): Uint8Array {
  const bytes: number[] = [];
  for (let at = 0; at < payload.length; at += size) {
    bytes.push(type, ...u16(version), ...vector(2, [...payload.subarray(at, at + size)]));
  }
  return Uint8Array.from(bytes);
}

export const u16 = (value: number): number[] => [(value >> 8) & 0xff, value & 0xff];
export const ascii = (text: string): number[] => [...text].map((character) => character.charCodeAt(0));
