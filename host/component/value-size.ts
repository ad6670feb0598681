/**
 * About how much memory a value of the component model takes: characters and bytes, and 8 for everything else.
 *
 * @param most where counting may stop: what is returned is then more than that
 */
export function sizeOf(value: unknown, most: number): number {
  if (typeof value === "string") return 8 + value.length;
  if (value instanceof Uint8Array) return value.length;
  if (typeof value !== "object" || value === null) return 8;
  let size = 8;
  for (const part of Object.values(value)) {
    size += sizeOf(part, most);
    if (size > most) break;
  }
  return size;
}
