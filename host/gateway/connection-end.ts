import type { Socket } from "node:net";
import type { Ledger } from "../io/ledger.ts";
import { networkErrorCode } from "../net/network-error.ts";
import type { AuditRecord } from "./audit-log.ts";
import type { Recorder } from "./recorder.ts";

/** A connection whose end is to be recorded. */
export interface Begun {
  ledger: Ledger;
  recorder: Recorder;
  /** Who made it. */
  kind: "clients" | "dials";
  socket: Socket;
  /** When it began, on the clock of `performance.now`. */
  began: number;
  /** What its records have in common. */
  fields: AuditRecord;
}

/**
 * Record the end of a connection, once, however it comes: by either side, by the network, or with the instance. The guest
 * has no part in it, and hears of nothing.
 */
export function recordEnd({ ledger, recorder, kind, socket, began, fields }: Begun): void {
  let isOver = false;
  let failure: string | undefined;
  const end = (reason: string) => {
    if (isOver) return;
    isOver = true;
    disown();
    recorder.life.during(() => {
      recorder.host("end", {
        ...fields,
        bytes_sent: socket.bytesWritten,
        bytes_received: socket.bytesRead,
        duration_ms: Math.round(performance.now() - began),
        reason,
      });
      recorder.life.add(kind, -1);
    });
  };
  recorder.life.add(kind, 1);
  let disown = () => {};
  socket.once("error", (error) => (failure = networkErrorCode(error)));
  socket.once("close", () => end(failure ?? "closed"));
  disown = ledger.own(() => end("the instance ended"));
  if (socket.destroyed) end("closed");
}
