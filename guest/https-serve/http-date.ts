/** A date as HTTP writes it (RFC 9110, section 5.6.7). @param seconds Unix time */
export function httpDate(seconds: number): string {
  const iso = isoTime(seconds);
  const [year, month, day] = iso.slice(0, 10).split("-");
  const weekday = WEEKDAYS[(Math.floor(seconds / 86_400) + 4) % 7]!;
  return `${weekday}, ${day} ${MONTHS[Number(month) - 1]} ${year} ${iso.slice(11, 19)} GMT`;
}

/** Unix time in seconds; `undefined` for anything but the one form that is written today. */
export function parseHttpDate(text: string): number | undefined {
  const match = /^[A-Z][a-z]{2}, ([0-9]{2}) ([A-Z][a-z]{2}) ([0-9]{4}) ([0-9]{2}):([0-9]{2}):([0-9]{2}) GMT$/.exec(text);
  const month = match === null ? -1 : MONTHS.indexOf(match[2]!);
  if (month < 0) return undefined;
  const [, day, , year, hour, minute, second] = match!;
  const time = Date.UTC(Number(year), month, Number(day), Number(hour), Number(minute), Number(second)) / 1000;
  return Number.isFinite(time) ? time : undefined;
}

/** `2026-01-31T12:00:00Z`. @param seconds Unix time */
export function isoTime(seconds: number): string {
  return `${new Date(seconds * 1000).toISOString().slice(0, 19)}Z`;
}

const WEEKDAYS = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
