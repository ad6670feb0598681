import { printable } from "../wire/printable.ts";
import { type ConnectionDecision, decideConnect, decideRequest, type RequestDecision } from "./decide.ts";
import { describeFault, hostText, parseHost } from "./host-name.ts";
import { routeOf } from "./locate.ts";
import { endpointText } from "./match.ts";
import { planLeaf } from "./plan-leaf.ts";
import type { Policy } from "./policy.ts";

/** What to explain. */
export interface Question {
  readonly host: string;
  readonly port: number;
  readonly groups: readonly string[];
  /** In plain HTTP if the port is 80. */
  readonly request: { readonly method: string; readonly path: string } | undefined;
}

/** How a decision comes about. */
export interface Explanation {
  /** What was looked at, in order. */
  readonly steps: readonly { readonly rule: string; readonly what: string }[];
  readonly connection: ConnectionDecision;
  /** If there is a request in the question, and the connection is not denied. */
  readonly request: RequestDecision | undefined;
  /** For people, a line each. */
  readonly text: string;
}

/** Explain what a policy does with a host, and with a request to it. */
export function explain(policy: Policy, question: Question): Explanation {
  const { port, groups } = question;
  const host = parseHost(question.host);
  const steps: { rule: string; what: string }[] = [];
  routeOf(policy, host, port, groups, (rule, what) => steps.push({ rule, what }));
  const connection = decideConnect(policy, question);
  const request = connection.tag === "deny" ? undefined : requestDecision(policy, question);
  const name = host.tag === "invalid" ? printable(question.host.slice(0, 300)) : endpointText(host, port);
  const lines = [
    `${name}: ${describeConnection(connection)}`,
    ...(host.tag === "invalid" ? [`  ${describeFault(host.fault)}`] : []),
    ...steps.map(({ rule, what }) => `  ${rule} ${what}`),
    ...(connection.tag === "intercept" || connection.tag === "front" ? routeLines(policy, connection) : []),
    ...(request === undefined ? [] : requestLines(policy, question, request)),
  ];
  return { steps, connection, request, text: lines.join("\n") };
}

function requestDecision(policy: Policy, question: Question): RequestDecision | undefined {
  if (question.request === undefined) return undefined;
  const { host, port, groups } = question;
  const parsed = parseHost(host);
  const authority = parsed.tag === "invalid" ? undefined : endpointText(parsed, port);
  return decideRequest(policy, { ...question.request, host, port, groups, authority, secure: port !== 80, upgrade: undefined });
}

function describeConnection(decision: ConnectionDecision): string {
  const { rule, reason } = decision.because;
  return `${decision.tag} (${reason}, by ${rule})`;
}

function routeLines(policy: Policy, decision: Extract<ConnectionDecision, { tag: "intercept" | "front" }>): string[] {
  const { upstream, inspect, host } = decision;
  const plan = planLeaf(policy, host);
  return [
    ...(plan.tag === "leaf" ? [`  certificate for ${plan.names.map(hostText).join(", ")}, valid ${plan.lifetime} s`] : []),
    `  offers ${upstream.alpn.join(", ")}; ${inspect ? "every request is decided on" : "requests are not looked at"}`,
    ...(decision.tag === "front" ? [`  in front: ${decision.front.serverName}`] : []),
    ...(upstream.anchors.length > 0 ? [`  trusts ${upstream.anchors.join(", ")}${upstream.onlyAnchors ? " alone" : " as well"}`] : []),
    ...(upstream.pins.length > 0 ? [`  the server's key has to be one of ${upstream.pins.length}`] : []),
    ...(upstream.identity === undefined ? [] : [`  shows the client identity ${upstream.identity}`]),
  ];
}

function requestLines(policy: Policy, question: Question, decision: RequestDecision): string[] {
  const { method, path } = question.request!;
  const { rule, reason } = decision.because;
  const lines = [`${printable(method)} ${printable(path)}: ${decision.tag} (${reason}, by ${rule})`];
  if (decision.tag === "deny") return lines;
  const { remove, set, secrets } = decision.edits;
  return [
    ...lines,
    ...remove.map((name) => `  takes out ${name}`),
    ...set.map(([name]) => `  sets ${name}`),
    ...secrets.map(({ secret, header }) => `  the host puts the secret ${secret} into ${header}${inPlaceOf(policy, secret)}`),
  ];
}

function inPlaceOf({ settings }: Policy, name: string): string {
  const variables = settings.secretVariables.filter(({ secret }) => secret === name);
  return variables.length === 0 ? "" : `, in place of the placeholder in ${variables.map(({ variable }) => variable).join(", ")}`;
}
