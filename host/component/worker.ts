// Runs one instance in a worker thread. The supervisor's side of it is guest-thread.ts.
import { type MessagePort, parentPort, workerData } from "node:worker_threads";
import { compileOnce } from "./brief-run.ts";
import { type ControlChannel, createImports, type Imports } from "../index.ts";
import { type Instance, type RunResult, runCommand } from "./instance.ts";
import type { FromWorker, ToWorker, WorkerData } from "./messages.ts";
import { loadScript, rememberCompiled } from "./script.ts";
import { guestStdio } from "./stdio.ts";

const { heartbeat, inherit } = workerData as WorkerData;
const port = parentPort!;
const beats = new Int32Array(heartbeat);
const stdio = guestStdio(inherit, () => post({ tag: "stdin" }));

let instance: Instance | undefined;
let dispose = () => {};
let control: ControlChannel | undefined;
let inProcess: Imports["inProcess"];
let script: string | undefined;
let ended = false;
let putFlagsBack = () => {};
let alsoSettled = () => {};

/** After this time a guest that runs on has started, in milliseconds. V8 later forgets what only the start needed. */
const SETTLED = 2000;

/** Have `then` called when a start is over that went well: what V8 compiled by then is worth keeping. */
export function onSettled(then: () => void): void {
  alsoSettled = then;
}

// A dead instance's calls answer with promises that are rejected already; once its fate is known they are no news.
process.on("unhandledRejection", (cause) => {
  if (!ended) throw cause;
});

port.on("message", (message: ToWorker) => {
  if (message.tag === "start") void start(message);
  else if (message.tag === "output-closed") stdio[message.output].destroy();
  else if (message.tag === "reload") control?.reload(message.policy);
  else if (message.tag === "revoke") revoke(message.subject);
  else if (message.tag === "connection") connect(message.port);
  else if (control?.isOpen === true) control.stop(message.deadline);
  else void end({ tag: "stopped" });
});

function revoke(subject: string): void {
  // A component that listens and does not take what it is told would go on serving whom it must not.
  if (control?.revoke(subject) === false && control.isOpen) void end({ tag: "trap", reason: "the guest does not take revocations" });
}

function connect(client: MessagePort): void {
  if (ended || inProcess === undefined) client.close();
  else inProcess.connect(client);
}

async function start({ code, options, brief, interval, refusals }: Extract<ToWorker, { tag: "start" }>): Promise<void> {
  // Each memory is bounded by itself (memory-limit.ts); a component with several is held to the sum here.
  const onBeat = () => {
    if (instance !== undefined && instance.memoryUsed() > code.memory) void end({ tag: "limit", which: "memory" });
  };
  // Also what keeps the thread alive while the guest waits for something that may never come.
  Atomics.store(beats, 0, 1);
  setInterval(() => {
    Atomics.add(beats, 0, 1);
    onBeat();
  }, interval);
  try {
    // The guest hears of a refusal after this: what it then says about it must not come first.
    const onRefusal = refusals ? (line: string) => post({ tag: "refusal", line }) : (line: string) => stdio.stderr.write(`${line}\n`);
    const imports = createImports({ ...options, ...stdio, onRefusal });
    dispose = () => imports.dispose();
    control = imports.control;
    inProcess = imports.inProcess;
    script = code.script;
    await loadScript(script);
    if (brief) putFlagsBack = compileOnce();
    setTimeout(remember, SETTLED).unref();
    await end(await runCommand(code, imports.imports, { started: (started) => (instance = started) }));
  } catch (cause) {
    const error = cause as { code?: unknown; message?: unknown };
    post({ tag: "unusable", code: String(error.code ?? "ERR_SALLYPORT_HOST"), message: String(error.message ?? cause) });
    process.exit();
  }
}

async function end(result: RunResult): Promise<void> {
  if (ended) return;
  ended = true;
  dispose();
  await stdio.flushed();
  post({ tag: "done", result });
  // A run that failed may have come to little of what others run.
  if (result.tag === "exit" && result.code === 0) remember();
  process.exit();
}

/** So that the next start is faster. Not before the start is over. */
function remember(): void {
  putFlagsBack();
  if (script !== undefined) rememberCompiled(script);
  alsoSettled();
}

function post(message: FromWorker): void {
  port.postMessage(message);
}
