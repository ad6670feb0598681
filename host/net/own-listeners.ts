import type { AddressInfo } from "node:net";
import { type IpAddress, ipAddressOrUndefined, unmapped } from "../../src/wire/ip-address.ts";
import { classify } from "./address-class.ts";

/** Something that listens, or has stopped to. */
export interface Listening {
  /** `null` when it does not listen. */
  address(): AddressInfo | null;
}

/** What this thread listens on: a connection from here to there would be a loop. */
const listeners = new Set<Listening>();

/** @returns to be called when it stops */
export function listens(listener: Listening): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Whether a connection to this address would arrive at a listener of this thread. */
export function isOwnListener(address: IpAddress, port: number): boolean {
  const target = unmapped(address);
  for (const listener of listeners) {
    const at = listener.address();
    if (at === null || at.port !== port) continue;
    const bound = parsed(at.address);
    if (bound === undefined || bound.text === target.text) return true;
    const kind = classify(target);
    // Bound to every address of this machine, one of which this is. `0.0.0.0` as a target means the machine itself, too.
    if (classify(bound) === "unspecified" && (kind === "loopback" || kind === "unspecified" || isOwnAddress(target))) return true;
    if (kind === "unspecified" && classify(bound) === "loopback") return true;
  }
  return false;
}

function isOwnAddress(address: IpAddress): boolean {
  // Loaded where something listens at all.
  const { networkInterfaces } = process.getBuiltinModule("node:os");
  return Object.values(networkInterfaces()).some((all) => all?.some((it) => parsed(it.address)?.text === address.text));
}

function parsed(text: string): IpAddress | undefined {
  const address = ipAddressOrUndefined(text.replace(/%.*$/, ""));
  return address === undefined ? undefined : unmapped(address);
}
