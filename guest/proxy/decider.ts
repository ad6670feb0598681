import {
  type ClientHelloRequest,
  type ConnectionDecision,
  type ConnectRequest,
  decideClientHello,
  decideConnect,
  decideRequest,
  type HttpRequest,
  type RequestDecision,
} from "../../src/policy/index.ts";
import type { LivePolicy } from "./live-policy.ts";

/** Who decides: the three questions of `sallyport:policy/decisions`. `connection` is the client's number. */
export interface Decider {
  decideConnect(request: ConnectRequest, connection: number): ConnectionDecision | Promise<ConnectionDecision>;
  decideClientHello(request: ClientHelloRequest, connection: number): ConnectionDecision | Promise<ConnectionDecision>;
  decideRequest(request: HttpRequest, connection: number): RequestDecision | Promise<RequestDecision>;
  /** What to ask of a connection whenever the policy has changed; `undefined`: its decisions do not depend on it. */
  whenChanged(check: (now: Policies) => boolean): (() => boolean) | undefined;
  /** While this is the same object, the same question has the same answer; `undefined`: each is asked for by itself. */
  basis(): object | undefined;
}

/** The decisions of the policy that is there now. */
export interface Policies {
  decideConnect(request: ConnectRequest): ConnectionDecision;
  decideClientHello(request: ClientHelloRequest): ConnectionDecision;
}

/** The JSON policy, as it is at the moment of the question. */
export function policyDecider(live: LivePolicy): Decider {
  const policies: Policies = {
    decideConnect: (request) => decideConnect(live.policy, request),
    decideClientHello: (request) => decideClientHello(live.policy, request),
  };
  return {
    ...policies,
    decideRequest: (request) => decideRequest(live.policy, request),
    whenChanged: (check) => () => check(policies),
    basis: () => live.policy,
  };
}
