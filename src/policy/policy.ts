import type { IpPrefix } from "../wire/ip-address.ts";
import type { Edits, EndpointRules } from "./endpoint-rules.ts";
import type { Host } from "./host-name.ts";
import type { HostRules } from "./match.ts";
import type { RouteCache } from "./route-cache.ts";

/** A policy that was checked as a whole: every name in it refers to something, and no rule contradicts another. */
export interface Policy {
  readonly defaultMode: "deny" | "tunnel" | "intercept";
  /** What the default mode, and patterns of `allow` and `hosts` without a port, are for. */
  readonly ports: readonly number[];
  readonly deny: HostRules<undefined>;
  /** `undefined`: there is no such list, and everything gets past it. */
  readonly allow: HostRules<undefined> | undefined;
  readonly hosts: HostRules<HostPolicy>;
  readonly sniMismatch: "deny" | "decide";
  readonly ech: "deny" | "outer";
  /** What certificates may be issued for. */
  readonly permitted: Permitted;
  readonly settings: Settings;
  /** What was found for hosts of late. */
  readonly routes: RouteCache;
}

/** What is settled for the hosts of one entry. */
export interface HostPolicy {
  /** `$.hosts[2]`, or the name that the policy gives it. */
  readonly id: string;
  readonly mode: "tunnel" | "intercept" | "front" | "deny";
  /** Only for clients of one of these groups. */
  readonly groups: readonly string[] | undefined;
  readonly opaque: boolean;
  readonly sniMismatch: "deny" | "decide";
  readonly ech: "deny" | "outer";
  readonly upstream: Upstream;
  readonly front: Front | undefined;
  /** `undefined`: requests are not looked at. */
  readonly requests: RequestPolicy | undefined;
}

/** How the server is reached and what it has to show. */
export interface Upstream {
  /** ALPN protocols to offer, in order of preference. Never empty. */
  readonly alpn: readonly string[];
  /** Names of certificate files. */
  readonly anchors: readonly string[];
  /** Whether these are trusted alone. */
  readonly onlyAnchors: boolean;
  /** SHA-256 of SubjectPublicKeyInfo: 32 bytes each. Empty: none is asked for. */
  readonly pins: readonly Uint8Array[];
  /** Name of the client identity. */
  readonly identity: string | undefined;
}

/** A server that stands in front of the one that was asked for. */
export interface Front {
  readonly serverName: string;
  readonly verifyNames: readonly string[];
  readonly address: { readonly host: Host; readonly port: number } | undefined;
}

/** What is decided request by request. */
export interface RequestPolicy {
  readonly rules: EndpointRules;
  /** Made in requests that no rule is for; rules have their own, these included. */
  readonly edits: Edits;
}

/** Names and addresses for which certificates may be issued. */
export interface Permitted {
  /** DNS subtrees. */
  readonly names: readonly string[];
  readonly networks: readonly IpPrefix[];
  /** Whether the policy lists them, or they were taken from its intercepted hosts. */
  readonly isExplicit: boolean;
}

/** How much a component may make its host do, in a second unless it says otherwise. */
export interface Rates {
  readonly auditRecords: number;
  readonly auditRecordsPerConnection: number;
  readonly connections: number;
  readonly dials: number;
  readonly certificates: number;
  /** In all its life. */
  readonly certificateNames: number;
}

/** What is no decision, but for those who run the proxy. All times are in seconds. */
export interface Settings {
  readonly leafLifetime: number;
  readonly allowNetworks: readonly IpPrefix[];
  /** Certificate files by name; paths are relative to the policy's folder. */
  readonly anchors: ReadonlyMap<string, string>;
  readonly limits: { readonly connections: number; readonly headBytes: number; readonly leafCache: number };
  /** What the host takes of the component that runs the policy. */
  readonly rates: Rates;
  readonly tokens: { readonly endAtExpiry: boolean; readonly requireTlsExporter: boolean };
  readonly timeouts: {
    readonly head: number;
    readonly handshake: number;
    readonly connect: number;
    readonly idle: number;
    readonly drain: number;
  };
  readonly audit: {
    readonly path: string | undefined;
    readonly mode: "best-effort" | "strict";
    readonly fsync: "never" | "second" | "record";
  };
  /** Every secret and identity that a rule names, so that their absence is found before the first connection. */
  readonly secrets: readonly string[];
  readonly identities: readonly string[];
  /** Secrets that stand in requests by a placeholder, with the variables in which clients are given it. */
  readonly secretVariables: readonly { readonly secret: string; readonly variable: string }[];
}
