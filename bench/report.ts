/** Median and, in brackets, the extremes. */
export function spread(numbers: readonly number[], digits = 2): string {
  const sorted = numbers.toSorted((a, b) => a - b);
  return `${median(sorted).toFixed(digits)} (${sorted[0]!.toFixed(digits)}–${sorted.at(-1)!.toFixed(digits)})`;
}

export function median(numbers: readonly number[]): number {
  return quantile(numbers, 0.5);
}

/** @param share from 0 to 1 */
export function quantile(numbers: readonly number[], share: number): number {
  const sorted = numbers.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!;
}

/** Print one case: a line of text, or of JSON. */
export function report(name: string, figures: Record<string, string>, json: boolean): void {
  if (json) console.log(JSON.stringify({ name, ...figures }));
  else
    console.log(
      `${name}\n  ${Object.entries(figures)
        .map(([key, value]) => `${key} ${value}`)
        .join("   ")}`,
    );
}
