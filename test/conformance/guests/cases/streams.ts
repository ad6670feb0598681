import { getStdout } from "wasi:cli/stdout@0.2.12";
import { now, subscribeDuration } from "wasi:clocks/monotonic-clock@0.2.12";
import { poll, type Pollable } from "wasi:io/poll@0.2.12";
import { numberOfU64, u64 } from "../../../../src/bindings/integers.ts";
import { equal, that } from "../expect.ts";
import type { Case } from "../program.ts";
import { rest } from "../tcp.ts";

/** wasi:io and wasi:clocks as TLS stands on them. */
export const streams: Case[] = [
  {
    name: "clock: does not go back, and a duration takes no less than its time",
    run() {
      const before = numberOfU64(now());
      rest(20);
      that(numberOfU64(now()) - before >= 20_000_000, "20 ms are 20 ms");
    },
  },
  {
    name: "poll: names all that are ready and nothing else, in a list of any order",
    run() {
      const soon = [0, 1].map(() => subscribeDuration(u64(0)));
      const late = [0, 1].map(() => subscribeDuration(u64(3_600_000_000_000)));
      rest();
      equal(indices([late[0]!, soon[0]!, late[1]!, soon[1]!]), [1, 3], "ready");
      equal(indices([soon[1]!]), [0], "ready, one");
      equal([soon[0]!.ready(), late[0]!.ready()], [true, false], "asked one by one");
      for (const pollable of [...soon, ...late]) pollable[Symbol.dispose]();
    },
  },
  {
    name: "poll: one pollable may stand in the list more than once, and be used again",
    run() {
      using pollable = subscribeDuration(u64(0));
      for (let i = 0; i < 3; i++) equal(indices([pollable, pollable]), [0, 1], "ready");
      pollable.block();
      pollable.block();
    },
  },
  {
    name: "poll: waits for the first of them",
    run() {
      using late = subscribeDuration(u64(3_600_000_000_000));
      using soon = subscribeDuration(u64(5_000_000));
      equal(indices([late, soon]), [1], "ready");
    },
  },
  {
    name: "poll: a guest that always finds something ready does not starve a timer",
    run() {
      using always = subscribeDuration(u64(0));
      always.block();
      using timer = subscribeDuration(u64(5_000_000));
      const deadline = numberOfU64(now()) + 10_000_000_000;
      while (!indices([always, timer]).includes(1)) that(numberOfU64(now()) < deadline, "the timer fires");
    },
  },
  { name: "poll: an empty list ends the instance", traps: true, run: () => void poll([]) },
  {
    name: "output-stream: permits something, takes it, and flushes",
    run() {
      using out = getStdout();
      {
        using ready = out.subscribe();
        ready.block();
      }
      that(numberOfU64(out.checkWrite()) > 0, "something is permitted");
      out.write(new Uint8Array(0));
      out.blockingFlush();
      out.blockingWriteAndFlush(new Uint8Array(0));
    },
  },
  {
    name: "output-stream: more than 4096 bytes in a blocking write end the instance",
    traps: true,
    run: () => getStdout().blockingWriteAndFlush(new Uint8Array(4097).fill(10)),
  },
  {
    name: "output-stream: dropped before its pollable ends the instance",
    traps: true,
    run() {
      const out = getStdout();
      const pollable = out.subscribe();
      out[Symbol.dispose]();
      pollable.ready();
    },
  },
];

function indices(pollables: Pollable[]): number[] {
  return Array.from(poll(pollables));
}
