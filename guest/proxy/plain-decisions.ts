import type { Event } from "sallyport:gateway/audit@0.1.0";
import { Edits as HostEdits, type HttpError, type Request } from "sallyport:gateway/http@0.1.0";
import { dropInOrder } from "../../src/bindings/drop.ts";
import { attempt } from "../../src/bindings/errors.ts";
import { wellFormed } from "../../src/bindings/text.ts";
import type { Edits, HttpRequest, RequestDecision } from "../../src/policy/index.ts";
import type { Passed } from "./conversation.ts";
import { decided, pathOf, put, recordOf } from "./records.ts";
import { targetText, type Visit } from "./service.ts";

/** A decision on a request that was not served yet. */
export interface Unserved {
  readonly decision: RequestDecision;
  readonly isRecorded: boolean;
}

/**
 * The decisions on the plain requests of one connection to one server. A client asks for the same few things again and again:
 * what was decided on them holds for as long as the policy does, and so does the record of it. When one comes again, the host is
 * told that it holds always, and asks no more.
 */
export class PlainDecisions implements Disposable {
  private readonly visit: Visit;
  private readonly question: (request: Request) => HttpRequest;
  private readonly known = new Map<string, Known>();
  private readonly edits = new Map<Edits, HostEdits>();
  private basis: object | undefined;
  /** What was decided on last. */
  private current: Known | undefined;
  private unserved: (Unserved & { readonly question: HttpRequest; readonly basis: object | undefined }) | undefined;

  constructor(visit: Visit, question: (request: Request) => HttpRequest) {
    this.visit = visit;
    this.question = question;
  }

  /**
   * Decide, and record it if the request may go on as it is.
   *
   * @returns `undefined` if there is more to do than that
   * @throws {NotRecorded}
   */
  decide(request: Request): Passed | undefined | Promise<Passed | undefined> {
    const { client, service } = this.visit;
    const basis = service.decider.basis();
    if (basis === undefined || basis !== this.basis) this.forget(basis);
    const key = keyOf(request);
    const known = this.known.get(key);
    if (known !== undefined) return { edits: this.allow(known), always: known.event };
    const question = this.question(request);
    const decision = service.decider.decideRequest(question, client.id);
    return decision instanceof Promise ? decision.then((late) => this.take(key, question, late)) : this.take(key, question, decision);
  }

  /** A request did not go on after all, and comes again. */
  notAnswered(request: Request): void {
    const key = keyOf(request);
    const known = this.current?.key === key ? this.current : this.known.get(key);
    if (known !== undefined) this.unserved = { ...known, isRecorded: true, basis: this.basis };
  }

  /** What was decided on the last request if that is what is asked now: it was not served, and has been read again. */
  takeUnserved(question: HttpRequest): Unserved | undefined {
    const { unserved } = this;
    this.unserved = undefined;
    if (unserved === undefined || unserved.basis !== this.visit.service.decider.basis()) return undefined;
    return isSame(unserved.question, question) ? unserved : undefined;
  }

  [Symbol.dispose](): void {
    this.forget(undefined);
  }

  private take(key: string, question: HttpRequest, decision: RequestDecision): Passed | undefined {
    const { client } = this.visit;
    const edits = decision.tag === "allow" && decision.edits.secrets.length === 0 ? this.editsOf(decision.edits) : undefined;
    if (edits === undefined) {
      this.unserved = { question, decision, isRecorded: false, basis: this.basis };
      return undefined;
    }
    const event = recordOf("request", client.id, {
      ...decided(decision, decision.because),
      method: question.method,
      path: pathOf(question),
      target: targetText(question),
    });
    const known = { key, question, decision, edits, event };
    if (this.known.size >= MOST_KNOWN) this.known.clear();
    if (this.basis !== undefined && key.length <= MOST_KEY) this.known.set(key, known);
    // Only what comes again is worth telling the host: that costs as much as the record does.
    return { edits: this.allow(known), always: undefined };
  }

  private allow(known: Known): HostEdits {
    this.current = known;
    this.visit.service.summary.requests++;
    put(known.event);
    return known.edits;
  }

  private editsOf(edits: Edits): HostEdits | undefined {
    const made = this.edits.get(edits);
    if (made !== undefined) return made;
    const set = edits.set.map(([name, value]): [string, string] => [wellFormed(name), wellFormed(value)]);
    const result = attempt<HostEdits, HttpError>(() => HostEdits.make(edits.remove.map(wellFormed), set));
    if (result.tag === "err") return undefined;
    this.edits.set(edits, result.val);
    return result.val;
  }

  private forget(basis: object | undefined): void {
    this.basis = basis;
    this.known.clear();
    const made = Array.from(this.edits.values());
    this.edits.clear();
    dropInOrder(...made);
  }
}

interface Known {
  readonly key: string;
  readonly question: HttpRequest;
  readonly decision: RequestDecision;
  readonly edits: HostEdits;
  readonly event: Event;
}

function keyOf({ method, host, target }: Request): string {
  return `${method} ${host} ${target}`;
}

function isSame(a: HttpRequest, b: HttpRequest): boolean {
  return a.method === b.method && a.path === b.path && a.authority === b.authority && a.upgrade === b.upgrade;
}

/** Of thousands of connections each keeps so much. The host keeps no more of them. */
const MOST_KNOWN = 16;
const MOST_KEY = 512;
