import { type PathPattern, pathMatches } from "./path-pattern.ts";
import type { RequestPath } from "./request-path.ts";

/** A rule for requests. */
export interface EndpointRule {
  /** `$.hosts[1].requests.rules[0]`, or the name that the policy gives it. */
  readonly id: string;
  readonly action: "allow" | "deny";
  /** Methods, or any; in upper case if the rule denies. */
  readonly methods: readonly string[] | "any";
  readonly paths: readonly PathPattern[];
  /** Protocols in lower case to which the connection may be upgraded, `websocket` as a rule. */
  readonly upgrades: readonly string[];
  /** Those of the host and then those of the rule. */
  readonly edits: Edits;
}

/** What is changed in the head of an allowed request. */
export interface Edits {
  /** Names of fields that are taken out, in lower case. */
  readonly remove: readonly string[];
  /** Fields that are put in; others of the same name are taken out. */
  readonly set: readonly (readonly [name: string, value: string])[];
  readonly secrets: readonly SecretPlacement[];
}

/** A secret that the host puts into a request, by its name. The client's own fields of that name are taken out. */
export interface SecretPlacement {
  readonly secret: string;
  /** In lower case. */
  readonly header: string;
}

/** The rules of one host. */
export interface EndpointRules {
  readonly rules: readonly EndpointRule[];
  /** What happens to a request that no rule is for. */
  readonly otherwise: "allow" | "deny";
  /** `$.hosts[1].requests.default`. */
  readonly otherwiseId: string;
}

/** What the rules say of one request. */
export interface EndpointVerdict {
  readonly action: "allow" | "deny";
  readonly id: string;
  /** The rule, unless it was the default. */
  readonly rule: EndpointRule | undefined;
}

/**
 * Apply the rules: one that denies wins, then the first that allows, then the default. Rules that deny are compared without
 * case, since the server behind may not care, and without path parameters too; rules that allow are compared exactly.
 */
export function applyEndpointRules(rules: EndpointRules, method: string, path: RequestPath): EndpointVerdict {
  let allowed: EndpointRule | undefined;
  let loose: LooseRequest | undefined;
  for (const rule of rules.rules) {
    if (rule.action === "deny") {
      loose ??= looseRequest(method, path);
      if (denies(rule, loose)) return { action: "deny", id: rule.id, rule };
    } else if (allowed === undefined && allows(rule, method, path)) allowed = rule;
  }
  if (allowed !== undefined) return { action: "allow", id: allowed.id, rule: allowed };
  return { action: rules.otherwise, id: rules.otherwiseId, rule: undefined };
}

/** Edits after each other: what the second sets or places wins. */
export function joinEdits(first: Edits, second: Edits): Edits {
  const later = new Set([...second.set.map(([name]) => name), ...second.secrets.map(({ header }) => header)]);
  return {
    remove: [...new Set([...first.remove, ...second.remove])],
    set: [...first.set.filter(([name]) => !later.has(name)), ...second.set],
    secrets: [...first.secrets.filter(({ header }) => !later.has(header)), ...second.secrets],
  };
}

export const noEdits: Edits = { remove: [], set: [], secrets: [] };

function allows({ methods, paths }: EndpointRule, method: string, path: RequestPath): boolean {
  if (methods !== "any" && !methods.includes(method)) return false;
  return paths.some(({ parts }) => pathMatches(parts, path.segments));
}

/** A request as a server might take it that is not strict. */
interface LooseRequest {
  readonly method: string;
  /** Each in lower case: as it is, and without path parameters, which some servers cut off before they look a path up. */
  readonly paths: readonly (readonly string[])[];
}

function looseRequest(method: string, path: RequestPath): LooseRequest {
  const folded = path.segments.map((segment) => segment.toLowerCase());
  const paths = [folded];
  if (path.text.includes(";")) paths.push(folded.map((segment) => segment.split(";", 1)[0]!).filter((segment) => segment !== ""));
  return { method: method.toUpperCase(), paths };
}

function denies({ methods, paths }: EndpointRule, request: LooseRequest): boolean {
  if (methods !== "any" && !methods.includes(request.method)) return false;
  return paths.some(({ folded }) => request.paths.some((segments) => pathMatches(folded, segments)));
}
