import { type PathPattern, pathMatches } from "./path-pattern.ts";
import type { RequestPath } from "./request-path.ts";

/** A rule for requests. */
export interface EndpointRule {
  /** `$.hosts[1].requests.rules[0]`, or the name that the policy gives it. */
  readonly id: string;
  readonly action: "allow" | "deny";
  /** Methods, or any. */
  readonly methods: readonly string[] | "any";
  readonly paths: readonly PathPattern[];
  /** Protocols in lower case to which the connection may be upgraded, `websocket` as a rule. */
  readonly upgrades: readonly string[];
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
  for (const rule of rules.rules) {
    if (!ruleMatches(rule, method, path)) continue;
    if (rule.action === "deny") return { action: "deny", id: rule.id, rule };
    allowed ??= rule;
  }
  if (allowed !== undefined) return { action: "allow", id: allowed.id, rule: allowed };
  return { action: rules.otherwise, id: rules.otherwiseId, rule: undefined };
}

/** Edits after each other: what the second sets or places wins. */
export function joinEdits(first: Edits, second: Edits | undefined): Edits {
  if (second === undefined) return first;
  const later = new Set([...second.set.map(([name]) => name), ...second.secrets.map(({ header }) => header)]);
  return {
    remove: [...new Set([...first.remove, ...second.remove])],
    set: [...first.set.filter(([name]) => !later.has(name)), ...second.set],
    secrets: [...first.secrets.filter(({ header }) => !later.has(header)), ...second.secrets],
  };
}

export const noEdits: Edits = { remove: [], set: [], secrets: [] };

function ruleMatches(rule: EndpointRule, method: string, path: RequestPath): boolean {
  const anyCase = rule.action === "deny";
  const { methods } = rule;
  const wanted = anyCase ? method.toUpperCase() : method;
  if (methods !== "any" && !methods.some((name) => (anyCase ? name.toUpperCase() : name) === wanted)) return false;
  if (rule.paths.some((pattern) => pathMatches(pattern, path.segments, anyCase))) return true;
  if (!anyCase || !path.text.includes(";")) return false;
  // Some servers cut path parameters off before they look a path up.
  const cut = path.segments.map((segment) => segment.split(";", 1)[0]!).filter((segment) => segment !== "");
  return rule.paths.some((pattern) => pathMatches(pattern, cut, anyCase));
}
