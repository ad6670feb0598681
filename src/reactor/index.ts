export { Cancelled, Scope, TimedOut } from "./cancel.ts";
export { Event } from "./event.ts";
export {
  activity,
  type Activity,
  clearTimer,
  MILLISECOND,
  type Nanoseconds,
  now,
  race,
  SECOND,
  setTimer,
  sleep,
  spawn,
  StalledError,
  timeout,
  wait,
} from "./reactor.ts";
export { RunFailed, runMain, type RunOptions } from "./run.ts";
export type { Timer } from "./timers.ts";
