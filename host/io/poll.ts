import { type Ledger, Resource, Trap } from "./ledger.ts";
import type { Readiness } from "./signal.ts";
import { breathe } from "./turn.ts";

/** wasi:io/poll `pollable`. */
export class Pollable extends Resource {
  readonly #readiness: Readiness;
  #onDrop: Set<() => void> | undefined;

  /** @param parent the stream or socket whose pollable this is; it must outlive it */
  constructor(ledger: Ledger, readiness: Readiness, parent?: Resource) {
    super(ledger, parent);
    this.#readiness = readiness;
  }

  ready(): boolean {
    return this.#readiness.ready();
  }

  async block(): Promise<void> {
    await breathe();
    await untilReady(this.#readiness);
  }

  listen(wake: () => void): () => void {
    return this.#readiness.listen(wake);
  }

  /** Call `gone` when the guest drops this, unless the returned function was called before. */
  onDrop(gone: () => void): () => void {
    const listeners = (this.#onDrop ??= new Set());
    const entry = () => gone();
    listeners.add(entry);
    return () => listeners.delete(entry);
  }

  protected override release(): void {
    const listeners = this.#onDrop;
    this.#onDrop = undefined;
    for (const gone of Array.from(listeners ?? [])) gone();
  }
}

/** Resolves once `readiness` is ready. */
export function untilReady(readiness: Readiness): Promise<void> | undefined {
  if (readiness.ready()) return undefined;
  return new Promise((resolve) => {
    const stop = readiness.listen(() => {
      if (!readiness.ready()) return;
      stop();
      resolve();
    });
  });
}

/**
 * wasi:io/poll `poll`: waits for any, returns the indices of all that are ready.
 *
 * After the first wake it looks again only once the event loop has run what was due, so that one return carries a batch:
 * a guest pays for each return, and with many connections most of them become ready together.
 */
export async function poll(pollables: Pollable[]): Promise<Uint32Array> {
  if (pollables.length === 0) throw new Trap("poll: the list is empty");
  await breathe();
  const ready = readyIndices(pollables);
  if (ready.length > 0) return ready;
  return await new Promise((resolve) => {
    const stops: (() => void)[] = [];
    let scheduled = false;
    const collect = () => {
      scheduled = false;
      const indices = readyIndices(pollables);
      if (indices.length === 0) return;
      for (const stop of stops) stop();
      resolve(indices);
    };
    const wake = () => {
      if (scheduled) return;
      scheduled = true;
      setImmediate(collect);
    };
    for (const pollable of new Set(pollables)) stops.push(pollable.listen(wake));
  });
}

function readyIndices(pollables: Pollable[]): Uint32Array {
  const indices: number[] = [];
  for (let i = 0; i < pollables.length; i++) if (pollables[i]!.ready()) indices.push(i);
  return Uint32Array.from(indices);
}
