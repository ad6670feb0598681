import type { Host, HostFault } from "./host-name.ts";
import { parseHostPattern } from "./host-pattern.ts";
import { HostRules } from "./match.ts";
import { permits } from "./permitted.ts";
import type { HostPolicy, Policy } from "./policy.ts";
import { type Because, builtIn, type Reason } from "./reason.ts";

/** What a policy has for a host. */
export type Routed =
  | { readonly tag: "refused"; readonly because: Because }
  | {
      readonly tag: "found";
      readonly because: Because;
      readonly host: Host;
      /** `undefined`: the default mode. */
      readonly entry: HostPolicy | undefined;
      /** Whether a certificate for the host may be issued. */
      readonly mayIssue: boolean;
    };

/** Told of each step, for `explain`. */
export type Trace = (rule: string, what: string) => void;

/**
 * Find what a policy has for a host and port: names that are none, metadata services, the deny list, the allow list, the
 * first entry, the default mode; in this order. An address is let through only where a rule names it, since nothing else
 * says whose it is.
 */
export function routeOf(
  policy: Policy,
  host: Host | { readonly tag: "invalid"; readonly fault: HostFault },
  port: number,
  groups: readonly string[],
  trace: Trace = () => {},
): Routed {
  if (host.tag === "invalid") return refused(builtIn.names, host.fault, trace);
  if (!Number.isInteger(port) || port < 1 || port > 65_535) return refused(builtIn.names, "invalid-port", trace);
  if (metadataServices.matching(host, port).length > 0) return refused(builtIn.metadata, "metadata-service", trace);
  const denied = policy.deny.matching(host, port)[0];
  if (denied !== undefined) return refused(denied.path, "deny-list", trace);
  if (policy.allow !== undefined) {
    const allowed = policy.allow.matching(host, port)[0];
    if (allowed === undefined) return refused("$.allow", "not-in-allow-list", trace);
    trace(allowed.path, "is in the allow list");
  }
  return entryOf(policy, host, port, groups, trace);
}

function entryOf(policy: Policy, host: Host, port: number, groups: readonly string[], trace: Trace): Routed {
  const entries = policy.hosts.matching(host, port);
  const entry = entries.find(({ value }) => value.groups?.some((group) => groups.includes(group)) ?? true);
  for (const skipped of entry === undefined ? entries : entries.slice(0, entries.indexOf(entry)))
    trace(skipped.path, "is for clients of other groups");
  if (entry !== undefined) {
    const { value } = entry;
    trace(entry.path, `matches: mode ${value.mode}`);
    if (value.mode === "deny") return refused(value.id, "deny-mode", trace);
    return {
      tag: "found",
      because: { rule: value.id, reason: "host-listed" },
      host,
      entry: value,
      mayIssue: permits(policy.permitted, host),
    };
  }
  // What is said for some clients only is not then open to all others by default.
  if (entries.length > 0) return refused(entries[0]!.value.id, "group-required", trace);
  if (policy.defaultMode === "deny") return refused("$.default", "not-listed", trace);
  if (host.tag !== "dns") return refused(builtIn.addresses, "address-not-listed", trace);
  if (!policy.ports.includes(port)) return refused("$.ports", "port-not-listed", trace);
  trace("$.default", `applies: mode ${policy.defaultMode}`);
  return {
    tag: "found",
    because: { rule: "$.default", reason: "default-mode" },
    host,
    entry: undefined,
    mayIssue: permits(policy.permitted, host),
  };
}

function refused(rule: string, reason: Reason, trace: Trace): Routed {
  trace(rule, `refuses: ${reason}`);
  return { tag: "refused", because: { rule, reason } };
}

/**
 * Where clouds hand out credentials. The host refuses these addresses by itself, after look-up too; here they are refused
 * by name, so that a record says what was tried. No policy opens them.
 */
const metadataServices = new HostRules<undefined>();
for (const text of [
  "metadata.google.internal",
  "metadata.azure.internal",
  "instance-data.ec2.internal",
  "169.254.0.0/16",
  "fe80::/10",
  "100.100.100.200",
  "168.63.129.16",
  "192.0.0.192",
  "fd00:ec2::/32",
  "fd20:ce::254",
])
  metadataServices.add({ pattern: parseHostPattern(text), ports: "any", path: builtIn.metadata, value: undefined });
