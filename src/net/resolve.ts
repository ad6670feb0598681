import { resolveAddresses } from "wasi:sockets/ip-name-lookup@0.2.12";
import type { Network } from "wasi:sockets/network@0.2.12";
import { dropInOrder } from "../bindings/drop.ts";
import { optional } from "../bindings/option.ts";
import { wellFormed } from "../bindings/text.ts";
import type { Scope } from "../reactor/cancel.ts";
import { Event } from "../reactor/event.ts";
import type { IpAddress } from "../wire/ip-address.ts";
import { ipFromWit } from "./socket-address.ts";
import { operate, SocketError, tryOperation } from "./socket-error.ts";

/** The most addresses of one name that are looked at. */
const MAX_ADDRESSES = 32;

/**
 * The addresses of a host, of both families, in the order in which to try them: families alternate, beginning with the
 * first one that the host named (RFC 8305, section 4).
 *
 * @param host a DNS name or an IP address
 * @throws {SocketError} `access-denied` without a grant, `name-unresolvable` also when there is no address
 */
export async function resolveHost(network: Network, host: string, scope?: Scope): Promise<IpAddress[]> {
  const operation = `resolve ${host}`;
  const answers = operate(operation, () => resolveAddresses(network, wellFormed(host)));
  const ready = new Event(() => answers.subscribe());
  const addresses: IpAddress[] = [];
  try {
    while (addresses.length < MAX_ADDRESSES) {
      const answer = tryOperation(operation, () => answers.resolveNextAddress());
      if (answer === undefined) {
        await ready.wait(scope);
        continue;
      }
      const address = optional(answer.value);
      if (address === undefined) break;
      addresses.push(ipFromWit(address));
    }
  } finally {
    dropInOrder(ready, answers);
  }
  if (addresses.length === 0) throw new SocketError(operation, "name-unresolvable");
  return alternating(addresses);
}

function alternating(addresses: IpAddress[]): IpAddress[] {
  const first = addresses.filter(({ tag }) => tag === addresses[0]!.tag);
  const second = addresses.filter(({ tag }) => tag !== addresses[0]!.tag);
  const result: IpAddress[] = [];
  for (let i = 0; i < addresses.length; i++) {
    if (first[i] !== undefined) result.push(first[i]!);
    if (second[i] !== undefined) result.push(second[i]!);
  }
  return result;
}
