import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { loadComponent } from "../../host/component/cache.ts";
import { type ComponentCode, compileComponent, type RunResult } from "../../host/component/instance.ts";
import type { InstanceOptions } from "../../host/component/messages.ts";
import { supervise } from "../../host/component/supervisor.ts";
import { builtComponent } from "../support/built-component.ts";

const here = dirname(fileURLToPath(import.meta.url));

/** The hostile guest, ready to be instantiated. @param memory the most that one instance may have, in bytes */
export async function hostileGuest(memory?: number): Promise<ComponentCode> {
  const file = await builtComponent({
    name: "hostile",
    entry: join(here, "guests/attack.ts"),
    wit: join(here, "guests/hostile.wit"),
    world: "hostile",
  });
  return await compileComponent(await loadComponent(readFileSync(file)), memory);
}

/** What became of an attack. */
export interface Aftermath {
  result: RunResult;
  lines: string[];
  stderr: string;
  refusals: string[];
}

/**
 * Let the guest do this in a worker of its own, under watch, as any guest runs.
 *
 * @param watchdog milliseconds; long, since a machine that does much else at once is no attack
 */
export async function attack(
  code: ComponentCode,
  args: string[],
  options: Partial<InstanceOptions> = {},
  watchdog = 20_000,
): Promise<Aftermath> {
  const refusals: string[] = [];
  const running = supervise({
    code,
    instance: { ...options, args: ["attack", ...args] },
    stdio: "pipe",
    watchdog,
    onRefusal: (line) => refusals.push(line),
  });
  running.stdin!.end();
  const [result, stdout, stderr] = await Promise.all([running.result, text(running.stdout!), text(running.stderr!)]);
  return { result, lines: stdout.split("\n").filter((line) => line !== ""), stderr, refusals };
}
