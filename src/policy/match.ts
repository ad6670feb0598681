import { type Host, hostText } from "./host-name.ts";
import { type HostPattern, patternContains } from "./host-pattern.ts";

/** The ports that a rule is for. */
export type Ports = readonly number[] | "any";

/** One pattern with what it stands for. */
export interface HostRule<T> {
  readonly pattern: HostPattern;
  readonly ports: Ports;
  /** Where it stands in the policy: `$.deny[2]`. */
  readonly path: string;
  readonly value: T;
}

/**
 * Rules for hosts, in an order that counts. A look-up costs a step per label of the name, however many rules there are;
 * address ranges are gone through one by one.
 */
export class HostRules<T> {
  private readonly byName = new Map<string, Ranked<T>[]>();
  private readonly networks: Ranked<T>[] = [];
  private count = 0;

  /** Add a rule behind those that are there. */
  add(rule: HostRule<T>): void {
    const ranked = { rule, rank: this.count++ };
    if (rule.pattern.tag === "network") {
      this.networks.push(ranked);
      return;
    }
    const same = this.byName.get(rule.pattern.name);
    if (same === undefined) this.byName.set(rule.pattern.name, [ranked]);
    else same.push(ranked);
  }

  get size(): number {
    return this.count;
  }

  /** Every rule for this host and port, in order. */
  matching(host: Host, port: number): HostRule<T>[] {
    const near = host.tag === "dns" ? this.atOrAbove(host.name) : this.networks;
    return inOrder(near.filter(({ rule }) => hasPort(rule.ports, port) && patternContains(rule.pattern, host)));
  }

  /** The first rule that is for every host and port that this pattern is for. */
  covering(pattern: HostPattern, ports: Ports): HostRule<T> | undefined {
    const near = pattern.tag === "name" ? this.atOrAbove(pattern.name) : this.networks;
    return inOrder(near.filter(({ rule }) => coversPorts(rule.ports, ports) && coversHosts(rule.pattern, pattern)))[0];
  }

  private atOrAbove(name: string): Ranked<T>[] {
    const found: Ranked<T>[] = [];
    for (let rest = name; ; rest = rest.slice(rest.indexOf(".") + 1)) {
      const here = this.byName.get(rest);
      if (here !== undefined) found.push(...here);
      if (!rest.includes(".")) return found;
    }
  }
}

/** Host and port as records and people have them. */
export function endpointText(host: Host, port: number): string {
  return host.tag === "ipv6" ? `[${host.text}]:${port}` : `${hostText(host)}:${port}`;
}

interface Ranked<T> {
  readonly rule: HostRule<T>;
  readonly rank: number;
}

function inOrder<T>(ranked: Ranked<T>[]): HostRule<T>[] {
  return ranked.sort((a, b) => a.rank - b.rank).map(({ rule }) => rule);
}

function hasPort(ports: Ports, port: number): boolean {
  return ports === "any" || ports.includes(port);
}

function coversPorts(outer: Ports, inner: Ports): boolean {
  return outer === "any" || (inner !== "any" && inner.every((port) => outer.includes(port)));
}

function coversHosts(outer: HostPattern, inner: HostPattern): boolean {
  if (outer.tag === "network" || inner.tag === "network") {
    if (outer.tag !== "network" || inner.tag !== "network") return false;
    return inner.prefix.length >= outer.prefix.length && patternContains(outer, inner.prefix.address);
  }
  if (inner.name === outer.name) return (outer.apex || !inner.apex) && (outer.below || !inner.below);
  return outer.below && inner.name.endsWith(`.${outer.name}`);
}
