import { type Answer, Asked, type Failure, type Question } from "sallyport:gateway/decider@0.1.0";
import { u64 } from "../../src/bindings/integers.ts";
import { optional } from "../../src/bindings/option.ts";
import {
  clientHelloRequestValue,
  connectionDecision,
  connectRequestValue,
  httpRequestValue,
  InvalidDecision,
  requestDecision,
} from "../../src/interception/foreign-values.ts";
import { type ConnectionDecision, planLeaf, type Reason } from "../../src/policy/index.ts";
import { Event } from "../../src/reactor/index.ts";
import type { Decider } from "./decider.ts";
import type { LivePolicy } from "./live-policy.ts";

/**
 * The operator's own component. Whatever is wrong with it or its answers means no. Of the JSON policy only the settings hold:
 * limits, timeouts, anchors, and what certificates may be for.
 */
export function foreignDecider(live: LivePolicy): Decider {
  const connection = async (question: Question, id: number): Promise<ConnectionDecision> => {
    const answer = await ask(question, id);
    if (answer.tag !== "connection") return denied(answer.tag === "failed" ? answer.val : "invalid-answer");
    return checked(live, () => connectionDecision(answer.val));
  };
  return {
    decideConnect: (request, id) => connection({ tag: "connect", val: connectRequestValue(request) }, id),
    decideClientHello: (request, id) => connection({ tag: "client-hello", val: clientHelloRequestValue(request) }, id),
    async decideRequest(request, id) {
      const answer = await ask({ tag: "request", val: httpRequestValue(request) }, id);
      if (answer.tag !== "request") return denied(answer.tag === "failed" ? answer.val : "invalid-answer");
      try {
        return requestDecision(answer.val);
      } catch (error) {
        if (!(error instanceof InvalidDecision)) throw error;
        return denied("invalid-answer");
      }
    },
    // Its rules do not change with the policy, and nobody tells when they do.
    whenChanged: () => undefined,
    basis: () => undefined,
  };
}

async function ask(question: Question, connection: number): Promise<Answer> {
  using asked = Asked.ask(question, u64(connection));
  using ready = new Event(() => asked.subscribe());
  for (;;) {
    const answer = optional(asked.answer());
    if (answer !== undefined) return answer;
    await ready.wait();
  }
}

function checked(live: LivePolicy, read: () => ConnectionDecision): ConnectionDecision {
  let decision: ConnectionDecision;
  try {
    decision = read();
  } catch (error) {
    if (!(error instanceof InvalidDecision)) throw error;
    return denied("invalid-answer");
  }
  if (decision.tag !== "intercept" && decision.tag !== "front") return decision;
  const plan = planLeaf(live.policy, decision.host);
  if (plan.tag === "refused") return { tag: "deny", because: plan.because };
  // A name that stands for no file would otherwise mean the system's authorities.
  const isKnown = decision.upstream.anchors.every((name) => live.policy.settings.anchors.has(name));
  return isKnown ? decision : denied("invalid-answer");
}

function denied(reason: Failure): { tag: "deny"; because: { rule: string; reason: Reason } } {
  return { tag: "deny", because: { rule: "built-in:decider", reason: `decider-${reason}` as Reason } };
}
