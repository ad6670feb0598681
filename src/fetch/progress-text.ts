/**
 * One line: a bar where the end is known, bytes, and the average rate.
 *
 * @param total bytes, if the end is known
 * @param elapsed nanoseconds since the beginning
 */
export function progressText(bytes: number, total: number | undefined, elapsed: bigint): string {
  const seconds = Number(elapsed) / 1e9;
  const rate = seconds > 0 ? `  ${size(bytes / seconds)}/s` : "";
  if (total === undefined || total === 0) return `${size(bytes)}${rate}`;
  const part = Math.min(1, bytes / total);
  const filled = Math.round(part * WIDTH);
  const percent = `${Math.floor(part * 100)}`.padStart(3);
  return `${percent}% [${"#".repeat(filled)}${" ".repeat(WIDTH - filled)}] ${size(bytes)} of ${size(total)}${rate}`;
}

function size(bytes: number): string {
  for (const [unit, factor] of UNITS) if (bytes >= factor) return `${(bytes / factor).toFixed(1)} ${unit}`;
  return `${Math.round(bytes)} B`;
}

const UNITS: [string, number][] = [
  ["GiB", 2 ** 30],
  ["MiB", 2 ** 20],
  ["KiB", 2 ** 10],
];
const WIDTH = 30;
