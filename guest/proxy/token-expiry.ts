import { MILLISECOND, type Scope, sleep } from "../../src/reactor/index.ts";
import type { AccessKeys } from "./access-keys.ts";
import { type Clients, TokenExpired } from "./clients.ts";
import type { LivePolicy } from "./live-policy.ts";

/**
 * End the connections of clients as their tokens expire, where the policy of the moment wants that.
 *
 * @param over ends this
 * @throws {Cancelled} then
 */
export async function endExpired(keys: AccessKeys, clients: Clients, live: LivePolicy, over: Scope): Promise<void> {
  for (;;) {
    await sleep(INTERVAL, over);
    // The clock of expiry may be set while the proxy runs, so it is looked at and not waited for.
    if (live.policy.settings.tokens.endAtExpiry)
      clients.expel(
        (holder) => keys.hasExpired(holder),
        () => new TokenExpired(),
      );
  }
}

/** Expiry is in whole seconds. */
const INTERVAL = BigInt(500) * MILLISECOND;
