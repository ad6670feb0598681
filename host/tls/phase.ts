/**
 * The state machine of a connection, for both roles: state × event → state and effects. Pure: the engine feeds it events
 * and carries out the effects; nothing else decides what a connection may do next.
 */

/** A suspension point, named by what is decided at it. `verify` and `done` carry role-specific names in the WIT. */
export type Point = "client-hello" | "verify" | "done";

/** What a connection was made for. */
export interface Plan {
  role: "client" | "server";
  /** The points that the guest asked for. */
  points: ReadonlySet<Point>;
}

export type Phase =
  | { tag: "constructed" }
  /** Server: the client hello is not complete yet. */
  | { tag: "awaiting-hello" }
  /**
   * The TLS library runs the handshake.
   * `verified`: the peer was judged and let through, or shows no certificate. `finished`: the handshake messages are all in.
   */
  | { tag: "handshaking"; verified: boolean; finished: boolean }
  /** At a requested point. `suspended`: the guest holds the suspension. */
  | { tag: "held"; at: Point; suspended: boolean; acceptable: boolean; finished: boolean }
  | { tag: "established" }
  | { tag: "ended" };

export type Event =
  | { tag: "start" }
  /** Server: the client hello is complete. */
  | { tag: "hello" }
  /** The client hello was answered: the TLS library takes over. `verifies`: the peer will be asked for a certificate. */
  | { tag: "answered"; verifies: boolean }
  /** The peer is known and judged, and our next flight is withheld. */
  | { tag: "judged"; acceptable: boolean }
  /** No certificate will be shown: a resumed session. */
  | { tag: "not-shown" }
  /** The handshake is done on our side. */
  | { tag: "finished" }
  /** The guest took the suspension. */
  | { tag: "suspend" }
  /** The guest resumed. `overridden`: `accept-peer` named the whole verdict. */
  | { tag: "resume"; overridden: boolean }
  /** The connection failed, was aborted, or ended. */
  | { tag: "end" };

export type Effect =
  /** Client: give the connection to the TLS library. */
  | "connect"
  /** Server: choose identity, versions and ALPN, and give the connection to the TLS library. */
  | "answer"
  /** Let the withheld flight go. */
  | "release"
  /** Refuse the peer: send the alert of the verdict, and end. */
  | "refuse"
  /** Application data may move. */
  | "open";

export interface Step {
  phase: Phase;
  effects: Effect[];
}

export const initial: Phase = { tag: "constructed" };

/** The next phase, or `undefined` if the event is not allowed in this phase. */
export function step(phase: Phase, event: Event, plan: Plan): Step | undefined {
  if (event.tag === "end") return phase.tag === "ended" ? undefined : { phase: { tag: "ended" }, effects: [] };
  switch (phase.tag) {
    case "constructed":
      return event.tag === "start" ? started(plan) : undefined;
    case "awaiting-hello":
      return event.tag === "hello" ? helloComplete(plan) : undefined;
    case "handshaking":
      return handshaking(phase, event, plan);
    case "held":
      return held(phase, event, plan);
    case "established":
    case "ended":
      return undefined;
  }
}

/** Whether `suspend` would give a suspension now. */
export function canSuspend(phase: Phase): boolean {
  return phase.tag === "held" && !phase.suspended;
}

/** Whether no further point will be reached: `suspend` answers `closed` for good. */
export function pointsPassed(phase: Phase): boolean {
  return phase.tag === "established" || phase.tag === "ended";
}

/** Whether bytes from the peer may be given to the TLS library. */
export function feeds(phase: Phase): boolean {
  return phase.tag === "handshaking" || phase.tag === "established";
}

function started(plan: Plan): Step {
  return plan.role === "server"
    ? { phase: { tag: "awaiting-hello" }, effects: [] }
    : { phase: { tag: "handshaking", verified: false, finished: false }, effects: ["connect"] };
}

function helloComplete(plan: Plan): Step {
  return plan.points.has("client-hello")
    ? { phase: { tag: "held", at: "client-hello", suspended: false, acceptable: true, finished: false }, effects: [] }
    : answering();
}

/** The engine answers at once and says with `answered` whether a client certificate will be asked for. */
function answering(): Step {
  return { phase: { tag: "handshaking", verified: false, finished: false }, effects: ["answer"] };
}

function handshaking(phase: Phase & { tag: "handshaking" }, event: Event, plan: Plan): Step | undefined {
  switch (event.tag) {
    case "answered":
      return plan.role === "server" ? { phase: { ...phase, verified: !event.verifies }, effects: [] } : undefined;
    case "judged":
      if (phase.verified) return undefined;
      if (plan.points.has("verify"))
        return {
          phase: { tag: "held", at: "verify", suspended: false, acceptable: event.acceptable, finished: phase.finished },
          effects: [],
        };
      return event.acceptable ? verified(phase.finished, plan) : { phase: { tag: "ended" }, effects: ["refuse"] };
    case "not-shown":
      return phase.verified ? undefined : verified(phase.finished, plan);
    case "finished":
      if (phase.finished) return undefined;
      return phase.verified ? done(plan) : { phase: { ...phase, finished: true }, effects: [] };
    default:
      return undefined;
  }
}

function held(phase: Phase & { tag: "held" }, event: Event, plan: Plan): Step | undefined {
  switch (event.tag) {
    case "suspend":
      return phase.suspended ? undefined : { phase: { ...phase, suspended: true }, effects: [] };
    case "finished":
      // TLS 1.3: the library is done before our withheld flight has left.
      return phase.at === "verify" && !phase.finished ? { phase: { ...phase, finished: true }, effects: [] } : undefined;
    case "resume":
      if (!phase.suspended) return undefined;
      if (phase.at === "client-hello") return answering();
      if (phase.at === "done") return { phase: { tag: "established" }, effects: ["open"] };
      return phase.acceptable || event.overridden ? verified(phase.finished, plan) : { phase: { tag: "ended" }, effects: ["refuse"] };
    default:
      return undefined;
  }
}

function verified(finished: boolean, plan: Plan): Step {
  if (!finished) return { phase: { tag: "handshaking", verified: true, finished: false }, effects: ["release"] };
  const { phase, effects } = done(plan);
  return { phase, effects: ["release", ...effects] };
}

function done(plan: Plan): Step {
  return plan.points.has("done")
    ? { phase: { tag: "held", at: "done", suspended: false, acceptable: true, finished: true }, effects: [] }
    : { phase: { tag: "established" }, effects: ["open"] };
}
