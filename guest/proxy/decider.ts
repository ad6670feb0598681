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

/** Who decides: the three questions of `sallyport:policy/decisions`. */
export interface Decider {
  decideConnect(request: ConnectRequest): ConnectionDecision;
  decideClientHello(request: ClientHelloRequest): ConnectionDecision;
  decideRequest(request: HttpRequest): RequestDecision;
}

/** The JSON policy, as it is at the moment of the question. */
export function policyDecider(live: LivePolicy): Decider {
  return {
    decideConnect: (request) => decideConnect(live.policy, request),
    decideClientHello: (request) => decideClientHello(live.policy, request),
    decideRequest: (request) => decideRequest(live.policy, request),
  };
}
