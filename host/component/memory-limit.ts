/** Bytes in a page of linear memory. */
export const PAGE = 0x1_0000;

/** The most pages that a 32-bit memory can have. */
const MOST_PAGES = 0x1_0000;

const MEMORY_SECTION = 5;

/** A core module declares more memory than the instance may have, or memory of a kind that this host does not run. */
export class MemoryLimitError extends Error {
  readonly code = "ERR_SALLYPORT_MEMORY_LIMIT";
}

/**
 * The module with its own memory bounded: `memory.grow` past the limit then fails inside the sandbox, where no check of
 * the host's could stop a guest that does not yield.
 *
 * @param module a core module that V8 will validate afterwards
 * @param limit bytes of linear memory
 * @throws {MemoryLimitError} when the module starts with more than that
 */
export function limitMemory(module: Uint8Array, limit: number): Uint8Array {
  const section = findSection(module, MEMORY_SECTION);
  if (section === undefined) return module;
  const reader = new Reader(module, section.start, section.end);
  const pages = Math.min(MOST_PAGES, Math.floor(limit / PAGE));
  const count = reader.leb();
  const body: number[] = [...leb(count)];
  for (let i = 0; i < count; i++) body.push(...limited(reader, pages));
  if (reader.at !== section.end) throw new MemoryLimitError("malformed memory section");
  return Buffer.concat(
    [module.subarray(0, section.header), [MEMORY_SECTION, ...leb(body.length)], body, module.subarray(section.end)].map(toBytes),
  );
}

/** One memory type: a byte of flags, the minimum, and the maximum if the flags say that there is one. */
function limited(reader: Reader, pages: number): number[] {
  const flags = reader.byte();
  const hasMaximum = flags === 0x01;
  if (flags !== 0x00 && !hasMaximum) throw new MemoryLimitError("shared, 64-bit and custom-page memories are not supported");
  const minimum = reader.leb();
  const maximum = hasMaximum ? reader.leb() : MOST_PAGES;
  if (minimum > pages) throw new MemoryLimitError(`the component starts with ${minimum * PAGE} bytes of memory, more than its limit`);
  return [0x01, ...leb(minimum), ...leb(Math.min(maximum, pages))];
}

function findSection(module: Uint8Array, id: number): { header: number; start: number; end: number } | undefined {
  const reader = new Reader(module, 8, module.length);
  while (reader.at < module.length) {
    const header = reader.at;
    const found = reader.byte();
    const size = reader.leb();
    const start = reader.at;
    if (found === id) return { header, start, end: start + size };
    reader.at = start + size;
  }
  return undefined;
}

class Reader {
  at: number;
  readonly #bytes: Uint8Array;
  readonly #end: number;

  constructor(bytes: Uint8Array, at: number, end: number) {
    this.#bytes = bytes;
    this.at = at;
    this.#end = Math.min(end, bytes.length);
  }

  byte(): number {
    if (this.at >= this.#end) throw new MemoryLimitError("truncated core module");
    return this.#bytes[this.at++]!;
  }

  /** An unsigned LEB128 of at most 32 bits. */
  leb(): number {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.byte();
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
    throw new MemoryLimitError("malformed number in a core module");
  }
}

function leb(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  while (rest >= 0x80) {
    bytes.push((rest % 0x80) | 0x80);
    rest = Math.floor(rest / 0x80);
  }
  return [...bytes, rest];
}

function toBytes(part: Uint8Array | number[]): Uint8Array {
  return part instanceof Uint8Array ? part : Uint8Array.from(part);
}
