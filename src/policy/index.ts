export {
  type ClientHelloRequest,
  type ConnectionDecision,
  type ConnectRequest,
  decideClientHello,
  decideConnect,
  decideRequest,
  type HttpRequest,
  type RequestDecision,
  type Route,
} from "./decide.ts";
export type { Edits, SecretPlacement } from "./endpoint-rules.ts";
export { explain, type Explanation, type Question } from "./explain.ts";
export { describeFault, type Host, type HostFault, hostText, parseHost } from "./host-name.ts";
export { loadPolicy } from "./load.ts";
export { endpointText } from "./match.ts";
export { type LeafPlan, planLeaf } from "./plan-leaf.ts";
export type { Front, HostPolicy, Permitted, Policy, Settings, Upstream } from "./policy.ts";
export { PolicyError, type PolicyFault } from "./policy-error.ts";
export { policySchema } from "./policy-file.ts";
export type { Because, Reason } from "./reason.ts";
export { type PathFault, type RequestPath, requestPath } from "./request-path.ts";
