import { IdleWaits } from "./idle-waits.ts";
import { type Relayed, type RelayOptions, relayWaiting, type Side } from "./relay-waiting.ts";

/** As `relayWaiting`; the end is waited for in the host's queue, with those of all other relays. */
export async function relaySides(client: Side, server: Side, options: RelayOptions): Promise<Relayed> {
  return await relayWaiting((pollable, scope) => idle.wait(pollable, scope), client, server, options);
}

const idle = new IdleWaits();
