import { type Edits, type EndpointRule, joinEdits, noEdits } from "./endpoint-rules.ts";
import { parsePathPattern } from "./path-pattern.ts";
import type { Front, HostPolicy, RequestPolicy, Upstream } from "./policy.ts";
import type { Faults } from "./policy-error.ts";
import type { EditsEntry, EndpointEntry, HostEntry, PolicyFile } from "./policy-file.ts";

/**
 * What one entry of `hosts` settles.
 *
 * @param ids names of entries and rules that are taken, with their places
 * @param faults where members that have no meaning in the entry's mode, and names of nothing, are added
 */
export function hostPolicy(entry: HostEntry, place: string, file: PolicyFile, ids: Map<string, string>, faults: Faults): HostPolicy {
  checkMembers(entry, place, faults);
  return {
    id: idOf(entry.id, place, ids, faults),
    mode: entry.mode,
    groups: entry.groups,
    opaque: entry.opaque,
    sniMismatch: entry.sni_mismatch ?? file.sni_mismatch,
    ech: entry.ech ?? file.ech,
    upstream: upstreamOf(entry, place, file, faults),
    front: frontOf(entry),
    requests: entry.requests === undefined ? undefined : requestsOf(entry.requests, `${place}.requests`, ids, faults),
  };
}

/** What hosts that no entry is for have: nothing beyond the defaults. */
export const defaultUpstream: Upstream = { alpn: ["h2", "http/1.1"], anchors: [], onlyAnchors: false, pins: [], identity: undefined };

/** Members that would do nothing are faults: somebody thinks that they do something. */
function checkMembers(entry: HostEntry, place: string, faults: Faults): void {
  const { mode } = entry;
  const terminates = mode === "intercept" || mode === "front";
  if (!terminates) {
    for (const member of ["alpn", "upstream", "requests"] as const) {
      if (entry[member] !== undefined) faults.add(`${place}.${member}`, `has no meaning in mode ${mode}: intercept and front read it`);
    }
  }
  if (mode !== "tunnel" && entry.opaque) faults.add(`${place}.opaque`, `has no meaning in mode ${mode}: tunnel reads it`);
  if (mode === "tunnel" && entry.opaque) {
    for (const member of ["sni_mismatch", "ech"] as const) {
      if (entry[member] !== undefined) faults.add(`${place}.${member}`, "has no meaning with opaque: no hello is looked at");
    }
  }
  if (mode === "front" && entry.front === undefined) faults.add(`${place}.front`, "is missing: mode front needs it");
  if (mode !== "front" && entry.front !== undefined) faults.add(`${place}.front`, `has no meaning in mode ${mode}: front reads it`);
  if (terminates && entry.requests !== undefined && entry.alpn?.includes("h2"))
    faults.add(`${place}.alpn`, "h2 is not offered to hosts with rules for requests: leave it out");
}

function upstreamOf(entry: HostEntry, place: string, file: PolicyFile, faults: Faults): Upstream {
  const { anchors = [], only_anchors: onlyAnchors = false, pins = [], identity } = entry.upstream ?? {};
  for (const [index, name] of anchors.entries()) {
    if (file.anchors?.has(name) !== true) faults.add(`${place}.upstream.anchors[${index}]`, "there is no such name in $.anchors");
  }
  if (onlyAnchors && anchors.length === 0) faults.add(`${place}.upstream.only_anchors`, "needs anchors: nothing would be trusted");
  const alpn = entry.requests === undefined ? (entry.alpn ?? defaultUpstream.alpn) : ["http/1.1"];
  return { alpn: [...new Set(alpn)], anchors, onlyAnchors, pins, identity };
}

function frontOf({ front }: HostEntry): Front | undefined {
  if (front === undefined) return undefined;
  return { serverName: front.server_name, verifyNames: front.verify_names ?? [], address: front.address };
}

function requestsOf(requests: NonNullable<HostEntry["requests"]>, place: string, ids: Map<string, string>, faults: Faults): RequestPolicy {
  const edits = editsOf(requests, place, faults);
  const rules = (requests.rules ?? []).map((rule, index) => endpointRule(rule, `${place}.rules[${index}]`, edits, ids, faults));
  return {
    rules: { rules, otherwise: requests.default, otherwiseId: `${place}.default` },
    edits,
  };
}

function endpointRule(entry: EndpointEntry, place: string, common: Edits, ids: Map<string, string>, faults: Faults): EndpointRule {
  if (entry.action === "deny") {
    for (const member of ["set_headers", "remove_headers", "secrets", "upgrades"] as const) {
      if (entry[member] !== undefined) faults.add(`${place}.${member}`, "has no meaning in a rule that denies");
    }
  }
  const methods = entry.methods ?? ["*"];
  return {
    id: idOf(entry.id, place, ids, faults),
    action: entry.action,
    methods: methods.includes("*") ? "any" : methods.map((name) => (entry.action === "deny" ? name.toUpperCase() : name)),
    paths: entry.paths ?? [parsePathPattern("/**")],
    upgrades: entry.upgrades ?? [],
    edits: joinEdits(common, editsOf(entry, place, faults)),
  };
}

function editsOf(entry: EditsEntry, place: string, faults: Faults): Edits {
  const { set_headers: set = [], remove_headers: remove = [], secrets = [] } = entry;
  if (set.length + remove.length + secrets.length === 0) return noEdits;
  const seen = new Map<string, string>();
  const targets = [
    ...set.map(({ name }, index) => [name, `${place}.set_headers[${index}]`] as const),
    ...remove.map((name, index) => [name, `${place}.remove_headers[${index}]`] as const),
    ...secrets.map(({ header }, index) => [header, `${place}.secrets[${index}]`] as const),
  ];
  for (const [name, path] of targets) {
    const earlier = seen.get(name);
    if (earlier !== undefined) faults.add(path, `${earlier} is about the same field`);
    else seen.set(name, path);
  }
  return {
    remove,
    set: set.map(({ name, value }) => [name, value] as const),
    secrets: secrets.map(({ name, header }) => ({ secret: name, header })),
  };
}

function idOf(id: string | undefined, place: string, ids: Map<string, string>, faults: Faults): string {
  if (id === undefined) return place;
  const earlier = ids.get(id);
  if (earlier !== undefined) faults.add(`${place}.id`, `${earlier} has the same: records could not tell them apart`);
  else ids.set(id, place);
  return id;
}
