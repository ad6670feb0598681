import { AuditReader } from "../../proxy/audit-reader.ts";
import { type AuditFilter, auditJson, auditText, isWanted, plain } from "../../proxy/audit-text.ts";
import { type Command, CommandError, exitCodes, parseCommandLine, textOf, UsageError } from "../command.ts";

export const command: Command = {
  help: `sallyport audit: read the audit log of a proxy

Usage: sallyport audit tail FILE [flags]

One line a record: time (UTC), connection, who says it (the host or the component) and what, decision, where to, and the rest.
Control characters are escaped; colours are for terminals only, and not with NO_COLOR set.

  -n, --lines N      the last N records that are wanted (default 10; 0 for none, "all" for all of them)
  -f, --follow       go on with what is written from then on, also in a file that takes this one's place; ends with SIGINT
  --json             as JSON, one object a line
  --host NAME        only what is about this host and those below it
  --decision WORD    only what was decided so: allow, deny, tunnel, intercept, front

Exit codes: 0; 65 a line was no record, or longer than 64 KiB: each is named on standard error and left out; 66 the file cannot
be read.

Examples:
  sallyport audit tail audit.jsonl -f --decision deny
  sallyport audit tail audit.jsonl -n all --host api.github.com --json | jq .path`,

  async run(args) {
    const parsed = parseCommandLine(args, {
      lines: { type: "string", short: "n" },
      follow: { type: "boolean", short: "f" },
      json: { type: "boolean" },
      host: { type: "string" },
      decision: { type: "string" },
    });
    const [verb, file, ...more] = parsed.operands;
    if (verb !== "tail" || file === undefined || more.length > 0 || parsed.rest !== undefined)
      throw new UsageError("audit takes tail and one file: sallyport audit tail FILE");
    const filter: AuditFilter = {
      host: textOf(parsed, "host")?.toLowerCase().replace(/\.$/, ""),
      decision: decisionOf(textOf(parsed, "decision")),
    };
    const colours = process.stdout.isTTY && (process.env["NO_COLOR"] ?? "") === "";
    const show = parsed.flags["json"] === true ? auditJson : (record: Record<string, unknown>) => auditText(record, colours);
    const most = linesOf(textOf(parsed, "lines") ?? "10");
    const output = new Output();
    using reader = open(file);
    let isDamaged = false;
    const wanted = function* (lines: ReturnType<AuditReader["read"]>) {
      for (const line of lines) {
        if (line.tag === "record") {
          if (isWanted(line.record, filter)) yield show(line.record);
          continue;
        }
        isDamaged = true;
        process.stderr.write(`sallyport: ${plain(file)}: line ${line.line} is left out: ${line.why}\n`);
      }
    };
    const follow = parsed.flags["follow"] === true;
    try {
      const last = new Last(most, (line) => output.write(line));
      for (const line of wanted(reader.read())) await last.add(line);
      if (!follow) for (const line of wanted(reader.end())) await last.add(line);
      await last.flush();
      if (follow) {
        const stopped = untilStopped();
        while (!(await stopped.after(INTERVAL)) && !output.isClosed) for (const line of wanted(reader.read())) await output.write(line);
      }
    } catch (cause) {
      throw unreadable(file, cause);
    }
    return isDamaged ? exitCodes.data : exitCodes.ok;
  },
};

function open(file: string): AuditReader {
  try {
    return new AuditReader(file);
  } catch (cause) {
    throw unreadable(file, cause);
  }
}

function unreadable(file: string, cause: unknown): unknown {
  const { code, syscall } = cause as NodeJS.ErrnoException;
  return syscall === undefined ? cause : new CommandError(exitCodes.noInput, `${plain(file)} cannot be read: ${code}`);
}

/** Standard output, whose reader may be slow or go away. */
class Output {
  isClosed = false;

  constructor() {
    process.stdout.on("error", () => (this.isClosed = true));
  }

  async write(line: string): Promise<void> {
    if (this.isClosed || process.stdout.write(`${line}\n`)) return;
    await new Promise<void>((resolve) => {
      const done = () => {
        process.stdout.off("drain", done).off("error", done);
        resolve();
      };
      process.stdout.once("drain", done).once("error", done);
    });
  }
}

/** The last lines of many. */
class Last {
  readonly #most: number;
  readonly #write: (line: string) => Promise<void>;
  #lines: string[] = [];

  constructor(most: number, write: (line: string) => Promise<void>) {
    this.#most = most;
    this.#write = write;
  }

  async add(line: string): Promise<void> {
    if (this.#most === Infinity) return await this.#write(line);
    this.#lines.push(line);
    // Not with each line: what is cut off moves everything behind it.
    if (this.#lines.length > 2 * this.#most + 64) this.#cut();
  }

  async flush(): Promise<void> {
    this.#cut();
    for (const line of this.#lines) await this.#write(line);
    this.#lines = [];
  }

  #cut(): void {
    this.#lines = this.#most === 0 ? [] : this.#lines.slice(-this.#most);
  }
}

function linesOf(text: string): number {
  if (text === "all") return Infinity;
  if (!/^[0-9]{1,5}$/.test(text)) throw new UsageError('--lines takes a number up to 99999, or "all"');
  return Number(text);
}

function decisionOf(text: string | undefined): string | undefined {
  if (text !== undefined && !DECISIONS.includes(text)) throw new UsageError(`--decision is one of ${DECISIONS.join(", ")}`);
  return text;
}

/** Whether a signal came, asked again and again. */
function untilStopped(): { after(milliseconds: number): Promise<boolean> } {
  const stopped = Promise.withResolvers<boolean>();
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => stopped.resolve(true));
  return {
    after: async (milliseconds) => {
      let timer: NodeJS.Timeout | undefined;
      const passed = new Promise<boolean>((resolve) => (timer = setTimeout(resolve, milliseconds, false)));
      const result = await Promise.race([stopped.promise, passed]);
      clearTimeout(timer);
      return result;
    },
  };
}

const DECISIONS = ["allow", "deny", "tunnel", "intercept", "front"];
/** Milliseconds. */
const INTERVAL = 200;
