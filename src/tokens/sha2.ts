/** SHA-512 (FIPS 180-4) of byte strings put one after the other: 64 bytes. */
export function sha512(...parts: Uint8Array[]): Uint8Array {
  const bytes = padded(parts, 128);
  const state = Int32Array.from(initial);
  const words = new Int32Array(160);
  for (let at = 0; at < bytes.length; at += 128) block512(state, words, bytes, at);
  return bytesOfWords(state);
}

/** SHA-256 (FIPS 180-4): 32 bytes. */
export function sha256(...parts: Uint8Array[]): Uint8Array {
  const bytes = padded(parts, 64);
  const state = Int32Array.from({ length: 8 }, (_, index) => initial[2 * index]!);
  const words = new Int32Array(64);
  for (let at = 0; at < bytes.length; at += 64) block256(state, words, bytes, at);
  return bytesOfWords(state);
}

function padded(parts: Uint8Array[], block: number): Uint8Array {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  // The mark, and the length in bits: 16 bytes at 128, 8 at 64, of which no input that fits in memory needs more than 7.
  const bytes = new Uint8Array(Math.ceil((length + 1 + block / 8) / block) * block);
  let end = 0;
  for (const part of parts) {
    bytes.set(part, end);
    end += part.length;
  }
  bytes[end] = 0x80;
  let bits = length * 8;
  for (let at = bytes.length - 1; bits > 0; at--) {
    bytes[at] = bits % 256;
    bits = Math.floor(bits / 256);
  }
  return bytes;
}

function bytesOfWords(words: Int32Array): Uint8Array {
  const bytes = new Uint8Array(4 * words.length);
  for (let at = 0; at < bytes.length; at++) bytes[at] = words[at >> 2]! >>> (24 - 8 * (at & 3));
  return bytes;
}

/** Words of 64 bits are pairs here, the high half first: the engine has fast integers of 32 bits only. */
function block512(state: Int32Array, w: Int32Array, bytes: Uint8Array, from: number): void {
  for (let at = 0, byte = from; at < 32; at++, byte += 4)
    w[at] = (bytes[byte]! << 24) | (bytes[byte + 1]! << 16) | (bytes[byte + 2]! << 8) | bytes[byte + 3]!;
  for (let at = 32; at < 160; at += 2) {
    const xh = w[at - 30]!;
    const xl = w[at - 29]!;
    const yh = w[at - 4]!;
    const yl = w[at - 3]!;
    const s0h = ((xh >>> 1) | (xl << 31)) ^ ((xh >>> 8) | (xl << 24)) ^ (xh >>> 7);
    const s0l = ((xl >>> 1) | (xh << 31)) ^ ((xl >>> 8) | (xh << 24)) ^ ((xl >>> 7) | (xh << 25));
    const s1h = ((yh >>> 19) | (yl << 13)) ^ ((yl >>> 29) | (yh << 3)) ^ (yh >>> 6);
    const s1l = ((yl >>> 19) | (yh << 13)) ^ ((yh >>> 29) | (yl << 3)) ^ ((yl >>> 6) | (yh << 26));
    const low = (w[at - 31]! >>> 0) + (s0l >>> 0) + (w[at - 13]! >>> 0) + (s1l >>> 0);
    w[at] = w[at - 32]! + s0h + w[at - 14]! + s1h + ((low / WORD) | 0);
    w[at + 1] = low;
  }
  let [ah, al, bh, bl, ch, cl, dh, dl, eh, el, fh, fl, gh, gl, hh, hl] = state as unknown as number[] as Sixteen;
  for (let at = 0; at < 160; at += 2) {
    const s1h = ((eh >>> 14) | (el << 18)) ^ ((eh >>> 18) | (el << 14)) ^ ((el >>> 9) | (eh << 23));
    const s1l = ((el >>> 14) | (eh << 18)) ^ ((el >>> 18) | (eh << 14)) ^ ((eh >>> 9) | (el << 23));
    const low1 = (hl >>> 0) + (s1l >>> 0) + (((el & fl) ^ (~el & gl)) >>> 0) + (constants[at + 1]! >>> 0) + (w[at + 1]! >>> 0);
    const high1 = (hh + s1h + ((eh & fh) ^ (~eh & gh)) + constants[at]! + w[at]! + ((low1 / WORD) | 0)) | 0;
    const s0h = ((ah >>> 28) | (al << 4)) ^ ((al >>> 2) | (ah << 30)) ^ ((al >>> 7) | (ah << 25));
    const s0l = ((al >>> 28) | (ah << 4)) ^ ((ah >>> 2) | (al << 30)) ^ ((ah >>> 7) | (al << 25));
    const low2 = (low1 >>> 0) + (s0l >>> 0) + (((al & bl) ^ (al & cl) ^ (bl & cl)) >>> 0);
    const sum = (dl >>> 0) + (low1 >>> 0);
    hh = gh;
    hl = gl;
    gh = fh;
    gl = fl;
    fh = eh;
    fl = el;
    eh = (dh + high1 + (sum >= WORD ? 1 : 0)) | 0;
    el = sum | 0;
    dh = ch;
    dl = cl;
    ch = bh;
    cl = bl;
    bh = ah;
    bl = al;
    ah = (high1 + s0h + ((bh & ch) ^ (bh & dh) ^ (ch & dh)) + ((low2 / WORD) | 0)) | 0;
    al = low2 | 0;
  }
  const result = [ah, al, bh, bl, ch, cl, dh, dl, eh, el, fh, fl, gh, gl, hh, hl];
  for (let at = 0; at < 16; at += 2) {
    const low = (state[at + 1]! >>> 0) + (result[at + 1]! >>> 0);
    state[at] = state[at]! + result[at]! + (low >= WORD ? 1 : 0);
    state[at + 1] = low;
  }
}

function block256(state: Int32Array, w: Int32Array, bytes: Uint8Array, from: number): void {
  for (let at = 0, byte = from; at < 16; at++, byte += 4)
    w[at] = (bytes[byte]! << 24) | (bytes[byte + 1]! << 16) | (bytes[byte + 2]! << 8) | bytes[byte + 3]!;
  for (let at = 16; at < 64; at++) {
    const x = w[at - 15]!;
    const y = w[at - 2]!;
    const s0 = turn(x, 7) ^ turn(x, 18) ^ (x >>> 3);
    const s1 = turn(y, 17) ^ turn(y, 19) ^ (y >>> 10);
    w[at] = w[at - 16]! + s0 + w[at - 7]! + s1;
  }
  let [a, b, c, d, e, f, g, h] = state as unknown as number[] as Eight;
  for (let at = 0; at < 64; at++) {
    const s1 = turn(e, 6) ^ turn(e, 11) ^ turn(e, 25);
    const first = (h + s1 + ((e & f) ^ (~e & g)) + constants[2 * at]! + w[at]!) | 0;
    const s0 = turn(a, 2) ^ turn(a, 13) ^ turn(a, 22);
    const second = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    h = g;
    g = f;
    f = e;
    e = (d + first) | 0;
    d = c;
    c = b;
    b = a;
    a = (first + second) | 0;
  }
  const result = [a, b, c, d, e, f, g, h];
  for (let at = 0; at < 8; at++) state[at] = state[at]! + result[at]!;
}

function turn(word: number, bits: number): number {
  return (word >>> bits) | (word << (32 - bits));
}

type Eight = [number, number, number, number, number, number, number, number];
type Sixteen = [...Eight, ...Eight];

const WORD = 0x1_0000_0000;

const primes = Array.from({ length: 408 }, (_, number) => number + 2).filter((number, _, all) =>
  all.every((other) => other * other > number || number % other !== 0),
);

/** The first 64 bits behind the point of the cube roots of the first 80 primes. SHA-256's constants are 64 of the high halves. */
const constants = fractions(primes.slice(0, 80), 3n);
/** The same of the square roots of the first 8. */
const initial = fractions(primes.slice(0, 8), 2n);

function fractions(numbers: number[], degree: bigint): Int32Array {
  return Int32Array.from(
    numbers.flatMap((number) => {
      const root = floorRoot(BigInt(number) << (64n * degree), degree);
      return [Number((root >> 32n) & 0xffff_ffffn), Number(root & 0xffff_ffffn)];
    }),
  );
}

/** The integer part of a square or cube root below 2^72, by bisection. */
function floorRoot(value: bigint, degree: bigint): bigint {
  let root = 0n;
  for (let bit = 1n << 71n; bit > 0n; bit >>= 1n) {
    const more = root | bit;
    if ((degree === 2n ? more * more : more * more * more) <= value) root = more;
  }
  return root;
}
