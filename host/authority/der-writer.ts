/** One DER element (X.690) with a definite length in its shortest form. @param tag the identifier octet */
export function der(tag: number, ...parts: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const part of parts) length += part.length;
  const header = [tag, ...lengthOctets(length)];
  const bytes = new Uint8Array(header.length + length);
  bytes.set(header);
  let at = header.length;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** A Time as RFC 5280, section 4.1.2.5, wants it: UTCTime up to 2049, GeneralizedTime after. @param seconds Unix time, 1950 or later */
export function derTime(seconds: bigint): Uint8Array {
  const digits = new Date(Number(seconds) * 1000).toISOString().replaceAll(/[-:T]|\..*$/g, "");
  const isLate = Number(digits.slice(0, 4)) >= 2050;
  return der(isLate ? 0x18 : 0x17, Buffer.from(`${isLate ? digits : digits.slice(2)}Z`, "latin1"));
}

function lengthOctets(length: number): number[] {
  if (length < 0x80) return [length];
  const octets: number[] = [];
  for (let rest = length; rest > 0; rest = Math.floor(rest / 0x100)) octets.unshift(rest % 0x100);
  return [0x80 | octets.length, ...octets];
}
