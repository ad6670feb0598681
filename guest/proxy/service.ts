import type { Client, Clients } from "./clients.ts";
import type { Decider } from "./decider.ts";
import type { LeafCertificates } from "./leaf-certificates.ts";
import type { LivePolicy } from "./live-policy.ts";
import type { Upstreams } from "./upstreams.ts";

/** What all connections of the proxy share. */
export interface Service {
  readonly live: LivePolicy;
  readonly decider: Decider;
  /** `undefined`: nothing can be intercepted, since the host gave no certification authority. */
  readonly certificates: LeafCertificates | undefined;
  readonly upstreams: Upstreams;
  readonly clients: Clients;
  readonly summary: Summary;
  /** Secrets that clients send by a placeholder. */
  readonly byPlaceholder: ReadonlySet<string>;
  /** Tell the operator of something that should not happen. */
  readonly complain: (text: string) => void;
}

/** What the proxy did, for the end of it: its clients' connections, and the requests in them, each by itself. */
export interface Summary {
  tunnelled: number;
  intercepted: number;
  plain: number;
  denied: number;
  failed: number;
  /** Connections that showed no good token at first. */
  challenged: number;
  requests: number;
  deniedRequests: number;
  failedRequests: number;
}

/** Where a client wants to go. */
export interface Target {
  readonly host: string;
  readonly port: number;
}

/** As records have it. */
export function targetText({ host, port }: Target): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

/** The bounds of one client's request heads. */
export function headBounds({ live }: Service): { headBytes: number; headTime: bigint; idleTime: bigint } {
  const { limits, timeouts } = live.policy.settings;
  return { headBytes: limits.headBytes, headTime: BigInt(timeouts.head) * SECOND, idleTime: BigInt(timeouts.idle) * SECOND };
}

/** A client and the proxy that it is a client of. */
export interface Visit {
  readonly client: Client;
  readonly service: Service;
}

const SECOND = BigInt(1_000_000_000);
