import type { Socket } from "node:net";
import { ipAddressOrUndefined } from "../../src/wire/ip-address.ts";
import type { Ledger } from "../io/ledger.ts";
import { formatEndpoint } from "../net/endpoint.ts";
import { isFromOwnProcess } from "../net/in-process.ts";
import { recordEnd } from "./connection-end.ts";
import { defaultRates, RateLimit, type Rates } from "./rate-limit.ts";
import type { Recorder } from "./recorder.ts";

/** Told of each connection that is about to be handed to the guest. @returns whether it may be */
export type OnAccept = (socket: Socket) => boolean;

/**
 * Record each connection that an instance accepts, with its end and byte counts. The guest gets none whose beginning could not
 * be recorded where that has to be, nor more in a second than may be recorded: those are counted.
 *
 * @param rates `defaultRates` for what is not said
 */
export function recordAccepted(ledger: Ledger, recorder: Recorder, rates: Partial<Rates> = {}): OnAccept {
  if (!recorder.keepsRecords) return () => true;
  // Whoever can connect would fill the log, token or not.
  const rate = new RateLimit({ ledger, recorder }, "connections", rates.connections ?? defaultRates.connections);
  let count = 0;
  return (socket) => {
    if (!rate.take()) return false;
    const fields = {
      accepted: ++count,
      client: isFromOwnProcess(socket) ? "in-process" : endpointText(socket.remoteAddress, socket.remotePort),
      listener: endpointText(socket.localAddress, socket.localPort),
    };
    const begun = recorder.life.during(() => {
      if (!recorder.host("accepted", fields)) return false;
      recordEnd({ ledger, recorder, kind: "clients", socket, began: performance.now(), fields });
      return true;
    });
    return begun ?? false;
  };
}

/** In the spelling in which a guest sees it, too. */
export function endpointText(address: string | undefined, port: number | undefined): string | undefined {
  const parsed = address === undefined ? undefined : ipAddressOrUndefined(address.replace(/%.*$/, ""));
  return parsed === undefined || port === undefined ? undefined : formatEndpoint(parsed, port);
}
