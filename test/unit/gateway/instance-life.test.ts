import { once } from "node:events";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { describe, expect, it } from "vitest";
import { AuditLog } from "../../../host/gateway/audit-log.ts";
import { LifeCounts, newLife } from "../../../host/gateway/instance-life.ts";
import { Recorder } from "../../../host/gateway/recorder.ts";

const place = () => join(mkdtempSync(join(tmpdir(), "life-")), "audit.jsonl");
const linesOf = (file: string) =>
  readFileSync(file, "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as { event: string; open?: number });

/** Begins and ends things for as long as it may, and says once that it no longer may. */
const RESTLESS = `
  import { parentPort, workerData } from "node:worker_threads";
  const { AuditLog } = await import(workerData.modules + "audit-log.ts");
  const { LifeCounts } = await import(workerData.modules + "instance-life.ts");
  const { Recorder } = await import(workerData.modules + "recorder.ts");
  const life = new LifeCounts(workerData.life);
  const recorder = new Recorder(AuditLog.open({ file: workerData.file }, life), life);
  const step = (event, by) => life.during(() => {
    const written = recorder.host(event, {});
    if (written) life.add("clients", by);
    return written;
  }) ?? false;
  let written = 0;
  while (step("accepted", 1) && (written % 3 === 0 || step("end", -1))) if (++written === 20) parentPort.postMessage("at work");
  parentPort.postMessage("refused");
`;

describe("the life of an instance", () => {
  it("has a last record that nothing follows and that the counts fit, while its thread still writes", async () => {
    const modules = new URL("../../../host/gateway/", import.meta.url).href;
    for (let round = 0; round < 5; round++) {
      const [file, life] = [place(), newLife()];
      const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(RESTLESS)}`), { workerData: { modules, file, life } });
      await once(worker, "message");
      const counts = new LifeCounts(life);
      counts.close(10_000);
      const log = AuditLog.open({ file });
      log.write({ event: "instance-ended", open: counts.count("clients") });
      log.close();
      expect(await once(worker, "message")).toEqual(["refused"]);
      await worker.terminate();
      const lines = linesOf(file);
      expect(lines.at(-1)!.event).toBe("instance-ended");
      const count = (event: string) => lines.filter((line) => line.event === event).length;
      expect(count("accepted") - count("end")).toBe(lines.at(-1)!.open);
      expect(count("accepted")).toBeGreaterThanOrEqual(20);
    }
  });

  it("refuses what comes later, also what waited for its turn", () => {
    const [file, life] = [place(), new LifeCounts(newLife())];
    const log = AuditLog.open({ file, mode: "best-effort" }, life);
    const recorder = new Recorder(log, life);
    expect(recorder.component({ event: "waits" }).write()).toBe(true);
    life.close(0);
    expect(recorder.host("late", {})).toBe(false);
    log.close();
    expect(log.lost).toBe(1);
    expect(readFileSync(file, "utf8")).toBe("");
  });

  it("lets what is within something that is under way be done", () => {
    const life = new LifeCounts(newLife());
    expect(life.during(() => life.during(() => 1))).toBe(1);
    expect(life.during(() => 2)).toBe(2);
    expect(() =>
      life.during(() => {
        throw new Error("no");
      }),
    ).toThrow("no");
    expect(life.during(() => 3)).toBe(3);
  });

  it("does not wait for a thread that was ended in the middle", () => {
    const shared = newLife();
    const [dead, outside] = [new LifeCounts(shared), new LifeCounts(shared)];
    dead.during(() => outside.close(0));
    expect(dead.during(() => 1)).toBeUndefined();
    // Would take longer than the test may.
    outside.close(3_600_000);
  });

  it("is not held up by the file: what cannot be written is told as before", () => {
    const [file, life] = [place(), new LifeCounts(newLife())];
    writeFileSync(file, "", { mode: 0o600 });
    const log = AuditLog.open({ file }, life);
    log.close();
    expect(new Recorder(log, life).host("late", {})).toBe(false);
    expect(life.during(() => 1)).toBe(1);
  });
});
