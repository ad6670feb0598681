import type { InstanceOptions } from "../component/messages.ts";
import type { RunResult } from "../component/instance.ts";
import { type AuditGrant, AuditLog } from "./audit-log.ts";
import { type InstanceLife, LifeCounts, newLife } from "./instance-life.ts";

/** An instance whose end is recorded from outside, by a thread that outlives it. */
export interface WatchedInstance {
  /** What it is to be made of. */
  options: InstanceOptions;
  /** Its run, whose end is to be recorded. It may reject. */
  follow(run: Promise<RunResult>): void;
}

/**
 * Have the end of an instance recorded, however it comes: an instance that is killed cannot say itself what it left open.
 * Written is one record `instance-ended` with the number of connections whose end was not recorded. None is written for an
 * instance that never opened its audit file, or has none.
 */
export function watchInstance(options: InstanceOptions): WatchedInstance {
  const audit = options.gateway?.audit;
  if (audit === undefined) return { options, follow: () => {} };
  const life = newLife();
  const over = (result?: RunResult) => {
    if (!running.delete(over)) return;
    writeEnd(audit, life, result);
  };
  return {
    options: { ...options, gateway: { ...options.gateway, life } },
    follow(run) {
      if (!listening) process.on("exit", endAll);
      listening = true;
      running.add(over);
      // It rejects where no instance could be made, which is told elsewhere.
      void run.then(over, () => over());
    },
  };
}

/** Instances that are not over. One listener for all: a process may have many. */
const running = new Set<() => void>();
let listening = false;

/** The process ends, and all its threads with it. */
function endAll(): void {
  for (const over of running) over();
}

function writeEnd(audit: AuditGrant, life: InstanceLife, result: RunResult | undefined): void {
  const counts = new LifeCounts(life);
  // Its thread still runs where the whole process ends: what it would write from now on is not in the counts.
  counts.close(result === undefined ? PATIENCE : 0);
  if (counts.count("begun") === 0) return;
  const untold = counts.count("untold");
  try {
    const log = AuditLog.open(audit);
    log.write({
      time: new Date().toISOString(),
      by: "host",
      instance: life.instance,
      event: "instance-ended",
      result: result?.tag ?? "unknown",
      reason: result?.tag === "trap" ? result.reason : result?.tag === "limit" ? result.which : undefined,
      exit_code: result?.tag === "exit" ? result.code : undefined,
      open_clients: counts.count("clients"),
      open_dials: counts.count("dials"),
      over_limits: untold > 0 ? untold : undefined,
    });
    log.close();
  } catch {
    // The file was good when the instance opened it. There is nothing left to refuse.
  }
}

/** Milliseconds for a write that is under way. */
const PATIENCE = 250;
