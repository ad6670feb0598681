/** Which records somebody wants to see. */
export interface AuditFilter {
  /** A name, and those below it; an address. */
  host: string | undefined;
  /** `deny`, `allow`, `tunnel`, `intercept`, `front`. */
  decision: string | undefined;
}

/** Whether a record is about that. */
export function isWanted(record: Record<string, unknown>, { host, decision }: AuditFilter): boolean {
  if (decision !== undefined && record["decision"] !== decision) return false;
  return host === undefined || hostsOf(record).some((name) => name === host || name.endsWith(`.${host}`));
}

/**
 * A record as one line for people: time, connection, event, decision, where to, and the rest as `name=value`, in quotes where
 * a value holds blanks. Whatever would change how a terminal shows it is escaped.
 *
 * @param colours whether the line goes to a terminal
 */
export function auditText(record: Record<string, unknown>, colours: boolean): string {
  const { time, by, event, connection, decision } = record;
  const paint = (code: number, text: string) => (colours ? `\x1b[${code}m${text}\x1b[0m` : text);
  const isBad = decision === "deny" || record["error"] !== undefined || /refused|failed|lost/.test(String(event));
  const decided = plain(decision ?? "").padEnd(9);
  const where = plain(delimited(placeOf(record)));
  const rest = Object.entries(record).filter(([name, value]) => !SHOWN.has(name) && value !== undefined && value !== null);
  return [
    paint(DIM, plain(typeof time === "string" ? time.replace(/^\d{4}-\d\d-\d\dT([\d:.]+)Z$/, "$1") : "?").padEnd(12)),
    (connection === undefined ? "" : `#${plain(connection)}`).padStart(6),
    plain(`${by === "host" ? "host" : "comp"} ${shown(event ?? "?")}`).padEnd(24),
    isBad ? paint(RED, decided) : decision === undefined ? decided : paint(GREEN, decided),
    where.padEnd(32),
    rest.map(([name, value]) => `${plain(delimited(name))}=${plain(delimited(value))}`).join(" "),
  ]
    .join(" ")
    .trimEnd();
}

/** Without anything that changes how a line is shown. */
export function plain(value: unknown): string {
  const text = shown(value);
  const bounded = text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}…` : text;
  return bounded.toWellFormed().replaceAll(UNSHOWN, (character) => `\\u{${character.codePointAt(0)!.toString(16)}}`);
}

/** A record as JSON on one line, with the same care. */
export function auditJson(record: Record<string, unknown>): string {
  return JSON.stringify(record).replaceAll(UNSHOWN, (character) =>
    Array.from({ length: character.length }, (_, at) => `\\u${character.charCodeAt(at).toString(16).padStart(4, "0")}`).join(""),
  );
}

/** A text with blanks in quotes: peers choose what some say, and could write what looks like further values. */
function delimited(value: unknown): unknown {
  return typeof value === "string" && /[\s"=]/.test(value) ? JSON.stringify(value) : value;
}

function shown(value: unknown): string {
  return typeof value === "string" ? value : typeof value === "object" ? JSON.stringify(value) : String(value);
}

function placeOf(record: Record<string, unknown>): unknown {
  const { target, server_name: serverName, host, port, names } = record;
  if (host !== undefined) return port === undefined ? host : `${shown(host)}:${shown(port)}`;
  return target ?? serverName ?? (Array.isArray(names) ? names[0] : undefined) ?? "";
}

function hostsOf({ target, server_name: serverName, host, route, names }: Record<string, unknown>): string[] {
  const found = [serverName, host, route, ...(Array.isArray(names) ? names : []), hostOf(target)];
  return found.filter((name) => typeof name === "string").map((name) => name.toLowerCase());
}

function hostOf(target: unknown): unknown {
  return typeof target === "string" ? target.replace(/:\d+$/, "").replace(/^\[(.*)\]$/, "$1") : undefined;
}

/** What has a column of its own. */
const SHOWN: ReadonlySet<string> = new Set(["time", "by", "event", "connection", "decision", "target", "host", "port", "instance"]);
const UNSHOWN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;
const MAX_TEXT = 300;
const [RED, GREEN, DIM] = [31, 32, 2];
