import type { Refusal } from "./proxy-auth.ts";
import { write } from "./records.ts";
import type { Visit } from "./service.ts";

/**
 * A client did not show what it has to show: count and record it.
 *
 * @param target where it wanted to go
 * @throws {NotRecorded}
 */
export function tellRefusal({ client, service }: Visit, { reason }: Refusal, target?: string): void {
  if (client.refusals++ === 0) service.summary.challenged++;
  write("authentication", client.id, {
    decision: "deny",
    clientAddress: client.address,
    ...(client.certificateSubject === undefined ? {} : { clientSubject: client.certificateSubject }),
    ...(target === undefined ? {} : { target }),
    reason,
  });
}
