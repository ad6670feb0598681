// Runs somebody else's rules in a thread of their own. The other side of it is decision-thread.ts.
import { parentPort, workerData } from "node:worker_threads";
import { createImports } from "../index.ts";
import type { DecisionQuestion, FromDecisions, ToDecisions } from "./decision-thread.ts";
import { type ComponentCode, instantiate } from "./instance.ts";
import { sizeOf } from "./value-size.ts";

type Decisions = Record<"decideConnect" | "decideClientHello" | "decideRequest", (request: object) => Promise<unknown>>;

const port = parentPort!;
const functions = { connect: "decideConnect", "client-hello": "decideClientHello", request: "decideRequest" } as const;

// What a dead instance leaves behind is told with the answer.
process.on("unhandledRejection", () => {});

const decisions = await start(workerData as ComponentCode);
if (decisions !== undefined) {
  port.on("message", ({ question }: ToDecisions) => void answer(decisions, question));
  post({ tag: "ready" });
}

/** Nothing is granted: the component gets what it decides on. */
async function start(code: ComponentCode): Promise<Decisions | undefined> {
  try {
    const { exports } = await instantiate(code, createImports().imports);
    const name = Object.keys(exports).find((key) => /^sallyport:policy\/decisions(@|$)/.test(key));
    if (name !== undefined) return exports[name] as Decisions;
    post({ tag: "failed", reason: "the component does not export sallyport:policy/decisions" });
  } catch (cause) {
    post({ tag: "failed", reason: reasonOf(cause) });
  }
  return undefined;
}

async function answer(of: Decisions, { tag, val }: DecisionQuestion): Promise<void> {
  try {
    const decision = await of[functions[tag]](val);
    // One that big is no decision, and would fill the memory of whoever asked.
    post(sizeOf(decision, MAX_ANSWER) > MAX_ANSWER ? { tag: "invalid" } : { tag: "answer", decision });
  } catch (cause) {
    post({ tag: "failed", reason: reasonOf(cause) });
  }
}

function reasonOf(cause: unknown): string {
  const text = cause instanceof Error ? cause.message : String(cause);
  return text.replaceAll(/[^\x20-\x7e]+/g, " ").slice(0, 300);
}

function post(message: FromDecisions): void {
  port.postMessage(message);
}

const MAX_ANSWER = 64 * 1024;
