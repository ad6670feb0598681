import { type DecisionFailure, type DecisionQuestion, DecisionThread } from "../component/decision-thread.ts";
import type { ComponentCode } from "../component/instance.ts";
import { Resource, Trap } from "../io/ledger.ts";
import { Pollable } from "../io/poll.ts";
import { Signal } from "../io/signal.ts";
import { type LimitContext, RateLimit } from "./rate-limit.ts";

/** Rules that answer in place of a policy. */
export interface DeciderGrant {
  /** Exports `sallyport:policy/decisions`. */
  code: ComponentCode;
  /** Milliseconds that an answer may take; 1000 by default. */
  timeout?: number;
}

/** The WIT variant `sallyport:gateway/decider.answer`. */
export type DeciderAnswer =
  | { tag: "connection"; val: unknown }
  | { tag: "request"; val: unknown }
  | { tag: "failed"; val: DecisionFailure | "not-recorded" };

/** The imports `sallyport:gateway/decider` of one instance. */
export function deciderImports(context: LimitContext, grant: DeciderGrant | undefined): Record<string, unknown> {
  const { ledger, recorder } = context;
  const failures = new RateLimit(context, "failed-decisions", FAILURES_A_SECOND);
  const thread = grant === undefined ? undefined : new DecisionThread(grant.code, grant.timeout ?? DEFAULT_TIMEOUT);
  if (thread !== undefined) ledger.own(() => thread.close());

  class Asked extends Resource {
    readonly #changed = new Signal();
    #answer: DeciderAnswer | undefined;

    static ask(question: DecisionQuestion, connection: bigint): Asked {
      const asked = new Asked(ledger);
      void asked.#follow(question, connection);
      return asked;
    }

    subscribe(): Pollable {
      return new Pollable(
        ledger,
        this.#changed.when(() => this.#answer !== undefined),
      );
    }

    answer(): DeciderAnswer | undefined {
      return this.#answer;
    }

    async #follow({ tag, val }: DecisionQuestion, connection: bigint): Promise<void> {
      const decided = thread === undefined ? NONE : await thread.ask({ tag, val });
      if (decided.tag === "decision") this.#answer = { tag: tag === "request" ? "request" : "connection", val: decided.val };
      else {
        const { failure, reason } = decided;
        const label = connection > BigInt(Number.MAX_SAFE_INTEGER) ? undefined : Number(connection);
        // Whoever asks without end must not fill the log with what it is refused.
        const recorded = !failures.take() || recorder.host("decision-failed", { connection: label, question: tag, failure, reason });
        this.#answer = { tag: "failed", val: recorded ? failure : "not-recorded" };
      }
      this.#changed.notify();
    }
  }
  return { present: () => thread !== undefined, Asked };
}

/**
 * The interface `sallyport:policy/decisions`, as whoever asks imports it for the types of its questions: nobody is behind its
 * functions.
 */
export const decisionTypes: Record<string, () => never> = { decideConnect: nobody, decideClientHello: nobody, decideRequest: nobody };

function nobody(): never {
  throw new Trap("decisions are asked for through sallyport:gateway/decider");
}

const NONE = { tag: "failed", failure: "trap", reason: "there is no such component" } as const;
const DEFAULT_TIMEOUT = 1000;
const FAILURES_A_SECOND = 100;
