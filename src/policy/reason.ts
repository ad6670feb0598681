import type { HostFault } from "./host-name.ts";
import type { PathFault } from "./request-path.ts";

/** Why something was decided, in a word for records. Stable. */
export type Reason =
  /** Let through: an entry of `hosts` is for the host, a rule or a default is for the request. */
  | "host-listed"
  | "default-mode"
  | "rule"
  | "default-rule"
  /** Nothing in the policy is for requests to that host. */
  | "no-request-rules"
  /** Refused: the host. */
  | "deny-list"
  | "deny-mode"
  | "not-in-allow-list"
  | "not-listed"
  | "port-not-listed"
  | "address-not-listed"
  | "metadata-service"
  | "group-required"
  | "invalid-port"
  | HostFault
  /** Refused: the hello. */
  | "no-server-name"
  | "invalid-server-name"
  | "server-name-mismatch"
  | "encrypted-client-hello"
  | "not-permitted-to-issue"
  /** Refused: the request. */
  | "host-mismatch"
  | "invalid-method"
  | "upgrade-not-allowed"
  | "not-intercepted"
  | "front-without-tls"
  | "secret-without-tls"
  | PathFault;

/** The rule that decided, and why. There always is one: what is no rule of the policy has a name that begins with `built-in:`. */
export interface Because {
  readonly rule: string;
  readonly reason: Reason;
}

/** Rules that no policy changes. */
export const builtIn = {
  names: "built-in:names",
  metadata: "built-in:metadata",
  addresses: "built-in:addresses",
  hello: "built-in:hello",
  constraints: "built-in:constraints",
  requests: "built-in:requests",
} as const;
