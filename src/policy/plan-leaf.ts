import { type Host, hostText } from "./host-name.ts";
import { permits } from "./permitted.ts";
import type { Policy } from "./policy.ts";
import { type Because, builtIn } from "./reason.ts";

/** A certificate to ask the host for. */
export type LeafPlan =
  | {
      readonly tag: "leaf";
      /** Exactly one: the name or address that the client asked for. */
      readonly names: readonly Host[];
      /** Seconds from now. The host cuts it to the end of its certification authority, and back-dates the start. */
      readonly lifetime: number;
      /** Under which a cache keeps it. */
      readonly key: string;
    }
  | { readonly tag: "refused"; readonly because: Because };

/** Plan the certificate for a host. Whether it is issued is decided by the host's own limits. */
export function planLeaf(policy: Policy, host: Host): LeafPlan {
  if (!permits(policy.permitted, host)) return { tag: "refused", because: { rule: builtIn.constraints, reason: "not-permitted-to-issue" } };
  return { tag: "leaf", names: [host], lifetime: policy.settings.leafLifetime, key: hostText(host) };
}
