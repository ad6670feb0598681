import { type AuditLog, auditLine, type AuditRecord } from "./audit-log.ts";
import { LifeCounts, newLife } from "./instance-life.ts";

/** What of an instance's records is the host's alone: time, instance, and who says it. */
const RESERVED: ReadonlySet<string> = new Set(["time", "by", "instance", "cut"]);

/** Writes the records of one instance, the host's own and the component's. */
export class Recorder {
  /** Tells the instances apart that write to one file. */
  readonly instance: string;
  /** What is told of the instance once it is over, by whoever outlives it. */
  readonly life: LifeCounts;
  readonly #log: AuditLog | undefined;

  /**
   * @param log none: nothing is recorded, and everything may go on
   * @param life where somebody outside looks at it
   */
  constructor(log: AuditLog | undefined, life = new LifeCounts(newLife())) {
    this.#log = log;
    this.instance = life.instance;
    this.life = life;
  }

  /** Whether what cannot be recorded is refused. */
  get isStrict(): boolean {
    return this.#log?.isStrict === true;
  }

  /** Whether anything is kept at all. */
  get keepsRecords(): boolean {
    return this.#log !== undefined;
  }

  /**
   * Record something that the host did or saw.
   *
   * @returns false if it could not be written, and what it is about must not happen
   */
  host(event: string, fields: AuditRecord): boolean {
    const log = this.#log;
    if (log === undefined) return true;
    const record = this.#record("host", { event, ...fields });
    // What the host saw must be in the file before a guest runs on that could keep it from getting there.
    return this.life.during(() => log.write(record)) ?? false;
  }

  /**
   * Prepare what the component says, to be recorded as often as it says so.
   *
   * @returns `size`, in characters; `write` as `host`
   */
  component(fields: AuditRecord): { size: number; write: () => boolean } {
    const log = this.#log;
    if (log === undefined) return { size: 0, write: () => true };
    const line = auditLine(this.#record("component", fields));
    // Behind the time, which comes first.
    const rest = line.slice(line.indexOf(","));
    const write = () => log.writeSoon(`{"time":"${new Date().toISOString()}"${rest}`);
    return { size: line.length, write: () => this.life.during(write) ?? false };
  }

  #record(by: "host" | "component", fields: AuditRecord): AuditRecord {
    const record: Record<string, AuditRecord[string]> = { time: new Date().toISOString(), by, instance: this.instance };
    for (const key in fields) if (!RESERVED.has(key)) record[key] = fields[key];
    return record;
  }
}
