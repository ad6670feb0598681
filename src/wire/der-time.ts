import { derTag, type DerElement } from "./der.ts";
import { latin1 } from "./utf8.ts";
import { WireError } from "./wire-error.ts";

/**
 * Reads a Time of RFC 5280, section 4.1.2.5: UTCTime or GeneralizedTime in UTC with seconds, without fractions.
 *
 * @returns Unix time in seconds; negative before 1970
 * @throws WireError `invalid-der` for any other form, and for a date that no calendar has
 */
export function readTime(element: DerElement): bigint {
  const text = latin1(element.content);
  if (element.tag === derTag.utcTime) {
    if (!/^[0-9]{12}Z$/.test(text)) throw invalid();
    // RFC 5280, section 4.1.2.5.1: two-digit years from 50 on are of the last century.
    return secondsOf(`${Number(text.slice(0, 2)) < 50 ? "20" : "19"}${text}`);
  }
  if (element.tag !== derTag.generalizedTime || !/^[0-9]{14}Z$/.test(text)) throw invalid();
  return secondsOf(text);
}

function secondsOf(digits: string): bigint {
  const part = (from: number, to: number) => Number(digits.slice(from, to));
  const [year, month, day] = [part(0, 4), part(4, 6), part(6, 8)];
  const [hour, minute, second] = [part(8, 10), part(10, 12), part(12, 14)];
  const isLeap = (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0;
  const longest = month === 2 && isLeap ? 29 : (daysOfMonth[month - 1] ?? 0);
  if (day < 1 || day > longest || hour > 23 || minute > 59 || second > 59) throw invalid();
  // A year of the same place in the 400-year cycle keeps Date away from years below 100, which it takes for 19xx.
  const seconds = BigInt(Math.floor(Date.UTC(year + 400, month - 1, day, hour, minute, second) / 1000));
  return seconds - SECONDS_OF_400_YEARS;
}

function invalid(): WireError {
  return new WireError("invalid-der", "a time is not a UTCTime or GeneralizedTime of a certificate");
}

const daysOfMonth = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
const SECONDS_OF_400_YEARS = 146_097n * 86_400n;
