import { UsageError } from "./command.ts";

/**
 * A length of time as people write it: a whole number and s, m, h, d or w.
 *
 * @param flag named in the error
 * @returns seconds
 * @throws {UsageError}
 */
export function parseDuration(flag: string, text: string): bigint {
  const match = /^([1-9][0-9]{0,8})([smhdw])$/.exec(text);
  if (match === null) throw new UsageError(`${flag} takes a whole number and a unit: 90m, 12h, 30d or 8w`);
  return BigInt(match[1]!) * unitSeconds[match[2] as keyof typeof unitSeconds];
}

const unitSeconds = { s: 1n, m: 60n, h: 3600n, d: 86_400n, w: 604_800n } as const;
