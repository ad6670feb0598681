/**
 * Whether a label in the form of an A-label (RFC 5890, section 2.3.2.1) is one: `xn--` and a Punycode text (RFC 3492) that
 * stands for something with at least one non-ASCII character. What only looks like one is read differently by different
 * resolvers.
 *
 * @param label in lower case
 */
export function isALabel(label: string): boolean {
  const encoded = label.slice(PREFIX.length);
  const dash = encoded.lastIndexOf("-");
  // A dash in front of everything stands for no basic characters at all, which has a spelling without it.
  if (!label.startsWith(PREFIX) || encoded === "" || dash === 0) return false;
  return decodes(encoded.slice(dash + 1), Math.max(dash, 0));
}

/** Whether a label has the prefix that is reserved for A-labels. */
export function hasALabelPrefix(label: string): boolean {
  return label.startsWith(PREFIX);
}

/** The decoder of RFC 3492, section 6.2, without the characters: only whether every delta adds up. */
function decodes(deltas: string, basicCount: number): boolean {
  let point = 0x80;
  let index = 0;
  let bias = 72;
  let count = basicCount;
  let at = 0;
  if (deltas === "") return false;
  while (at < deltas.length) {
    const start = index;
    let weight = 1;
    for (let k = BASE; ; k += BASE) {
      const digit = DIGITS.indexOf(deltas[at++] ?? "?");
      if (digit === -1) return false;
      index += digit * weight;
      if (index > MAX_INTEGER) return false;
      const threshold = Math.min(Math.max(k - bias, 1), 26);
      if (digit < threshold) break;
      weight *= BASE - threshold;
    }
    count++;
    bias = adapted(index - start, count, start === 0);
    point += Math.floor(index / count);
    index = (index % count) + 1;
    // Control characters, surrogates, and what is no character at all.
    if (point < 0xa0 || point > 0x10_ffff || (point >= 0xd800 && point <= 0xdfff)) return false;
  }
  return true;
}

function adapted(delta: number, count: number, first: boolean): number {
  let rest = Math.floor(delta / (first ? 700 : 2));
  rest += Math.floor(rest / count);
  let k = 0;
  for (; rest > 455; k += BASE) rest = Math.floor(rest / 35);
  return k + Math.floor((36 * rest) / (rest + 38));
}

const PREFIX = "xn--";
const BASE = 36;
const DIGITS = "abcdefghijklmnopqrstuvwxyz0123456789";
const MAX_INTEGER = 0x7fff_ffff;
