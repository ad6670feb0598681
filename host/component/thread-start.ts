import { getCompileCacheDir } from "node:module";
import { dirname } from "node:path";
import { Worker } from "node:worker_threads";
import type { WorkerData } from "./messages.ts";

/** A worker thread that loads this host and then waits for the message `start`. */
export interface StartedThread {
  worker: Worker;
  /** One `Int32`: 0 until the worker has taken `start`, then counted up whenever its event loop has a turn. */
  beats: Int32Array;
}

/**
 * Start a thread before it is known what it will run: it takes longest of all that a start takes, and nothing that the
 * command line says changes it. The next `takeThread` for a guest with the standard streams of this process gets it; until
 * then it does not keep the process alive.
 */
export function startThreadAhead(): void {
  ahead ??= startThread(true);
}

/** End the thread that was started ahead, if nobody has taken it. */
export function dropThreadAhead(): void {
  void ahead?.worker.terminate();
  ahead = undefined;
}

/**
 * A thread, started ahead or now.
 *
 * @param inherit whether the guest's standard streams are those of the process
 */
export function takeThread(inherit: boolean): StartedThread {
  if (!inherit || ahead === undefined) return startThread(inherit);
  const taken = ahead;
  ahead = undefined;
  return taken;
}

let ahead: StartedThread | undefined;

/** JavaScript heap of a worker: beyond it the worker ends, not the process. Guest memory is not part of it. */
const WORKER_HEAP_MIB = 512;

function startThread(inherit: boolean): StartedThread {
  const heartbeat = new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT);
  const data: WorkerData = { heartbeat, inherit, compiled: getCompileCacheDir() };
  const entry = import.meta.url.endsWith(".ts") ? "worker.ts" : "worker-start.cjs";
  const worker = new Worker(new URL(`./${entry}`, import.meta.url), {
    name: "sallyport guest",
    workerData: data,
    execArgv: [],
    env: workerEnvironment(),
    stdin: true,
    stdout: true,
    stderr: true,
    resourceLimits: { maxOldGenerationSizeMb: WORKER_HEAP_MIB },
  });
  worker.unref();
  return { worker, beats: new Int32Array(heartbeat) };
}

/** Node caches compiled scripts in a thread only if told so where the thread starts. It halves the time to load the host. */
function workerEnvironment(): NodeJS.ProcessEnv {
  const cache = getCompileCacheDir();
  // What it names is the folder of this version of Node inside the cache.
  return cache === undefined ? process.env : { ...process.env, NODE_COMPILE_CACHE: dirname(cache) };
}
