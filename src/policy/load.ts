import { JsonError, memberPath, readJson } from "../json/read-json.ts";
import type { HostPattern } from "./host-pattern.ts";
import { HostRules, type Ports } from "./match.ts";
import { permitsName, permitsRange } from "./permitted.ts";
import { hostPolicy } from "./load-host.ts";
import type { HostPolicy, Permitted, Policy, Settings } from "./policy.ts";
import { Faults, PolicyError } from "./policy-error.ts";
import { RouteCache } from "./route-cache.ts";
import { type PolicyFile, policyFile, policyVersion } from "./policy-file.ts";

/**
 * Load a policy from its JSON text. The rules are those of `docs/policy.schema.json`, and beyond them: no member twice, every
 * name refers to something, members stand only where they have a meaning, nothing is denied and listed at once, no entry
 * stands behind one that hides it, and certificates are needed only for what the certification authority may issue for.
 *
 * @throws {PolicyError} with everything that is wrong, each with its path
 */
export function loadPolicy(text: string): Policy {
  const file = readFile(text);
  const faults = new Faults();
  const ports = [...new Set(file.ports ?? [443])];
  const deny = rulesOf(file.deny, "$.deny", "any");
  const allow = file.allow === undefined ? undefined : rulesOf(file.allow, "$.allow", ports);
  const hosts = hostRules(file, ports, deny, faults);
  const permitted = permittedBy(file, faults);
  checkIntercepted(file, permitted, faults);
  const settings = settingsOf(file);
  checkSecrets(settings, faults);
  faults.throwIfAny();
  return {
    defaultMode: file.default,
    ports,
    deny,
    allow,
    hosts,
    sniMismatch: file.sni_mismatch,
    ech: file.ech,
    permitted,
    settings,
    routes: new RouteCache(),
  };
}

function readFile(text: string): PolicyFile {
  const faults = new Faults();
  try {
    const value = readJson(text);
    // What another version says is no fault of this one's.
    if (value instanceof Map && typeof value.get("version") === "number") policyVersion.read(value.get("version"), "$.version", faults);
    faults.throwIfAny();
    const file = policyFile.read(value, "$", faults);
    faults.throwIfAny();
    return file!;
  } catch (error) {
    if (!(error instanceof JsonError)) throw error;
    throw new PolicyError([{ path: error.path, message: error.message }]);
  }
}

function rulesOf(patterns: readonly HostPattern[] | undefined, path: string, portsIfNone: Ports): HostRules<undefined> {
  const rules = new HostRules<undefined>();
  for (const [index, pattern] of (patterns ?? []).entries())
    rules.add({ pattern, ports: portsOf(pattern, portsIfNone), path: `${path}[${index}]`, value: undefined });
  return rules;
}

function hostRules(file: PolicyFile, ports: Ports, deny: HostRules<undefined>, faults: Faults): HostRules<HostPolicy> {
  const rules = new HostRules<HostPolicy>();
  const ids = new Map<string, string>();
  for (const [index, entry] of (file.hosts ?? []).entries()) {
    const place = `$.hosts[${index}]`;
    const value = hostPolicy(entry, place, file, ids, faults);
    checkFront(value, place, deny, faults);
    for (const [at, pattern] of entry.match.entries()) {
      const here = { pattern, ports: portsOf(pattern, ports), path: `${place}.match[${at}]`, value };
      checkReachable(here, rules, deny, faults);
      rules.add(here);
    }
  }
  return rules;
}

/** A rule that can never be the one that counts is a mistake, and one that somebody relies on. */
function checkReachable(
  rule: { pattern: HostPattern; ports: Ports; path: string; value: HostPolicy },
  earlier: HostRules<HostPolicy>,
  deny: HostRules<undefined>,
  faults: Faults,
): void {
  const denied = deny.covering(rule.pattern, rule.ports);
  if (denied !== undefined && rule.value.mode !== "deny") faults.add(rule.path, `never reached: ${denied.path} denies all of it`);
  const hidden = earlier.covering(rule.pattern, rule.ports);
  // Entries for groups let other clients through to the next.
  if (hidden !== undefined && hidden.value.groups === undefined) faults.add(rule.path, `never reached: ${hidden.path} is for all of it`);
}

/** Where a connection really goes is not to be what the policy denies. */
function checkFront({ front }: HostPolicy, place: string, deny: HostRules<undefined>, faults: Faults): void {
  if (front === undefined) return;
  const { serverName, address } = front;
  const port = address?.port ?? 443;
  const named = deny.matching({ tag: "dns", name: serverName }, port)[0];
  if (named !== undefined) faults.add(`${place}.front.server_name`, `${named.path} denies it`);
  const reached = address === undefined ? undefined : deny.matching(address.host, port)[0];
  if (reached !== undefined) faults.add(`${place}.front.address`, `${reached.path} denies it`);
}

function portsOf(pattern: HostPattern, portsIfNone: Ports): Ports {
  if (pattern.port === undefined) return portsIfNone;
  return pattern.port === "any" ? "any" : [pattern.port];
}

/** What certificates may be issued for: what the policy lists, or else what its intercepted hosts need and nothing more. */
function permittedBy(file: PolicyFile, faults: Faults): Permitted {
  const intercepted = (file.hosts ?? []).filter(({ mode }) => mode === "intercept" || mode === "front").flatMap(({ match }) => match);
  const listed = file.ca.permit;
  if (file.default === "intercept" && listed === undefined)
    faults.add("$.default", "intercept needs $.ca.permit: the DNS subtrees that certificates may be issued for");
  for (const [index, name] of (listed ?? []).entries()) {
    if (!name.includes(".")) faults.add(`$.ca.permit[${index}]`, "a single label is too wide for a certification authority");
  }
  const names = listed ?? intercepted.flatMap((pattern) => (pattern.tag === "name" ? [pattern.name] : []));
  const networks = file.ca.permit_ip ?? intercepted.flatMap((pattern) => (pattern.tag === "network" ? [pattern.prefix] : []));
  return { names: [...new Set(names)], networks, isExplicit: listed !== undefined };
}

function checkIntercepted(file: PolicyFile, permitted: Permitted, faults: Faults): void {
  for (const [index, { mode, match }] of (file.hosts ?? []).entries()) {
    if (mode !== "intercept" && mode !== "front") continue;
    for (const [at, pattern] of match.entries()) {
      const place = `$.hosts[${index}].match[${at}]`;
      if (pattern.tag === "network") {
        if (!permitsRange(permitted, pattern.prefix))
          faults.add(place, "certificates for these addresses are not permitted: add them to $.ca.permit_ip");
        continue;
      }
      if (!pattern.name.includes(".")) faults.add(place, "no certificates are issued for a single label");
      else if (!permitsName(permitted, pattern.name))
        faults.add(place, "certificates for these names are not permitted: add them to $.ca.permit");
    }
  }
}

/** A placeholder that goes nowhere, and a variable with two values, are mistakes. */
function checkSecrets({ secrets, secretVariables }: Settings, faults: Faults): void {
  const taken = new Set<string>();
  for (const { secret, variable } of secretVariables) {
    const place = memberPath("$.secrets", secret);
    if (!secrets.includes(secret)) faults.add(place, "no rule says where this secret goes");
    if (taken.has(variable)) faults.add(`${place}.env`, `${variable} is set twice`);
    taken.add(variable);
  }
}

function settingsOf(file: PolicyFile): Settings {
  const { limits, timeouts, ca, audit, tokens } = file;
  const entries = file.hosts ?? [];
  const placements = entries.flatMap(({ requests }) => [
    ...(requests?.secrets ?? []),
    ...(requests?.rules ?? []).flatMap((rule) => rule.secrets ?? []),
  ]);
  const identities = entries.flatMap(({ upstream }) => (upstream?.identity === undefined ? [] : [upstream.identity]));
  return {
    leafLifetime: ca.leaf_seconds,
    allowNetworks: file.allow_networks ?? [],
    anchors: file.anchors ?? new Map(),
    limits: { connections: limits.connections, headBytes: limits.head_bytes, leafCache: limits.leaf_cache },
    rates: {
      auditRecords: limits.audit_records_per_second,
      auditRecordsPerConnection: limits.audit_records_per_connection,
      connections: limits.connections_per_second,
      dials: limits.dials_per_second,
      certificates: limits.certificates_per_second,
      certificateNames: limits.certificate_names,
    },
    tokens: { endAtExpiry: tokens.end_at_expiry, requireTlsExporter: tokens.require_tls_exporter },
    timeouts: {
      head: timeouts.head_seconds,
      handshake: timeouts.handshake_seconds,
      connect: timeouts.connect_seconds,
      idle: timeouts.idle_seconds,
      drain: timeouts.drain_seconds,
    },
    audit: { path: audit.path, mode: audit.mode, fsync: audit.fsync },
    secrets: [...new Set(placements.map(({ name }) => name))].sort(),
    identities: [...new Set(identities)].sort(),
    secretVariables: Array.from(file.secrets ?? [], ([secret, { env }]) => env.map((variable) => ({ secret, variable }))).flat(),
  };
}
