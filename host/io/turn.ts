import { monotonicNow } from "./monotonic.ts";

/** How long guests may run on microtasks alone before the event loop gets a turn, in milliseconds. */
const TURN = 2;

let lastTurn = monotonicNow();

/**
 * Give the event loop a turn if it had none for a while. An async import that resolves at once only yields a microtask,
 * so a guest that polls what is always ready would otherwise keep every socket of the process from being served.
 */
export function breathe(): Promise<void> | undefined {
  const now = monotonicNow();
  if (now - lastTurn < TURN) return undefined;
  return new Promise((resolve) =>
    setImmediate(() => {
      lastTurn = monotonicNow();
      resolve();
    }),
  );
}
