import type { Socket } from "node:net";
import type { IpAddress } from "../../src/wire/ip-address.ts";
import { Dial } from "../net/dial.ts";
import { NetworkError } from "../net/network-error.ts";

/** The connection that won. */
export interface Winner {
  socket: Socket;
  address: IpAddress;
}

/** Milliseconds that an attempt has before the next one starts beside it (RFC 8305, section 5). */
const ATTEMPT_DELAY = 250;

/**
 * Try addresses in turn, families alternating (RFC 8305): the next attempt starts when one fails or after 250 ms, the first
 * connection wins, and the others are given up.
 *
 * @param addresses checked, at least one
 * @param signal aborted to give everything up; rejects with its reason
 * @throws {NetworkError} what the first address said, if all failed
 */
export function connectFirst(addresses: readonly IpAddress[], port: number, signal: AbortSignal): Promise<Winner> {
  const queue = alternating(addresses);
  const running = new Set<Dial>();
  let firstError: NetworkError | undefined;
  let timer: NodeJS.Timeout | undefined;
  const { promise, resolve, reject } = Promise.withResolvers<Winner>();
  const settle = (act: () => void) => {
    clearTimeout(timer);
    signal.removeEventListener("abort", onAbort);
    for (const dial of running) dial.cancel();
    running.clear();
    act();
  };
  const onAbort = () => settle(() => reject(signal.reason));
  const next = () => {
    clearTimeout(timer);
    const address = queue.shift();
    if (address === undefined) {
      if (running.size === 0) settle(() => reject(firstError ?? new NetworkError("unknown")));
      return;
    }
    const dial = new Dial({ address, port });
    running.add(dial);
    dial.changed.listen(() => {
      const state = dial.state();
      if (state.tag === "pending" || !running.delete(dial)) return;
      if (state.tag === "connected") return settle(() => resolve({ socket: state.socket, address }));
      firstError ??= state.error;
      next();
    });
    if (queue.length > 0) timer = setTimeout(next, ATTEMPT_DELAY);
  };
  if (signal.aborted) settle(() => reject(signal.reason));
  else {
    signal.addEventListener("abort", onAbort, { once: true });
    next();
  }
  return promise;
}

/** Beginning with the family of the first, which the resolver prefers. */
function alternating(addresses: readonly IpAddress[]): IpAddress[] {
  const [first] = addresses;
  const preferred = addresses.filter((address) => address.tag === first?.tag);
  const others = addresses.filter((address) => address.tag !== first?.tag);
  const all: IpAddress[] = [];
  for (let i = 0; i < Math.max(preferred.length, others.length); i++)
    for (const list of [preferred, others]) if (list[i] !== undefined) all.push(list[i]!);
  return all;
}
