/** Whole numbers from 0 to `limit` - 1, the same for the same seed (mulberry32). */
export function seededRandom(seed: number): (limit: number) => number {
  let state = seed >>> 0;
  return (limit) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * limit);
  };
}

/** Up to four changes: bytes set, bits flipped, runs inserted, removed or repeated, the end cut off, numbers nudged. */
export function mutatedBytes(original: Uint8Array, random: (limit: number) => number): Uint8Array {
  let bytes = Array.from(original);
  for (let changes = random(5); changes > 0; changes--) {
    if (bytes.length === 0) bytes.push(random(256));
    const at = random(bytes.length);
    switch (random(8)) {
      case 0:
        bytes[at] = random(256);
        break;
      case 1:
        bytes[at] = bytes[at]! ^ (1 << random(8));
        break;
      case 2:
        bytes.splice(at, 0, ...Array.from({ length: 1 + random(5) }, () => random(256)));
        break;
      case 3:
        bytes.splice(at, 1 + random(5));
        break;
      case 4:
        bytes = bytes.slice(0, at + 1);
        break;
      case 5:
        bytes.splice(at, 0, ...bytes.slice(at, at + random(60)));
        break;
      case 6:
        bytes[at] = [0, 1, 2, 0x7f, 0x80, 0xfe, 0xff][random(7)]!;
        break;
      default:
        bytes[at] = (bytes[at]! + random(5) + 254) & 0xff;
    }
  }
  return Uint8Array.from(bytes);
}
