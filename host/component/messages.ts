import type { MessagePort } from "node:worker_threads";
import type { ImportsOptions } from "../index.ts";
import type { ComponentCode, RunResult } from "./instance.ts";

/** What an instance is granted, as values that survive `postMessage`: the worker makes the imports from them. */
export type InstanceOptions = Omit<ImportsOptions, "stdin" | "stdout" | "stderr" | "resolver" | "onRefusal">;

/** How a worker is made. */
export interface WorkerData {
  /** One `Int32`: 0 until `start` is taken, then counted up whenever the worker's event loop has a turn. */
  heartbeat: SharedArrayBuffer;
  /** Whether the guest's standard streams are those of the process. */
  inherit: boolean;
  /** A folder of the user's own for what V8 compiles of this host, if there is one. */
  compiled: string | undefined;
}

/** From the supervisor to a worker. */
export type ToWorker =
  | {
      tag: "start";
      code: ComponentCode;
      options: InstanceOptions;
      /** As of `SuperviseOptions`. */
      brief: boolean;
      /** How often it is to count its heartbeat, in milliseconds. */
      interval: number;
      /** Whether refusals are wanted as messages. They go to standard error otherwise, in order with what the guest writes there. */
      refusals: boolean;
    }
  /** Nobody reads this output any more. */
  | { tag: "output-closed"; output: "stdout" | "stderr" }
  /** What a component hears of that listens (`sallyport:gateway/control`). */
  | { tag: "reload"; policy: string }
  | { tag: "revoke"; subject: string }
  /** A client in the own process has come. */
  | { tag: "connection"; port: MessagePort }
  /** End by yourself, within so many milliseconds; at once if the component does not listen. */
  | { tag: "stop"; deadline: number };

/** From a worker to its supervisor. */
export type FromWorker =
  /** The guest wants to read standard input. */
  | { tag: "stdin" }
  /** Something that was not granted was asked for; one line for people. */
  | { tag: "refusal"; line: string }
  /** The run is over and all output has left the worker. */
  | { tag: "done"; result: RunResult }
  /** The instance could not be made from these options and this component. */
  | { tag: "unusable"; code: string; message: string };
