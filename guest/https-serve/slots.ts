import type { Scope } from "../../src/reactor/index.ts";

/** A number of places, each of which one at a time may hold. Waited for by one caller at a time. */
export class Slots {
  private readonly size: number;
  private taken = 0;
  private onFree: (() => void) | undefined;
  private onAllFree: (() => void) | undefined;

  constructor(size: number) {
    this.size = size;
  }

  /** Resolves when there is a place to take. @throws the scope's reason when it is cancelled */
  async untilFree(scope: Scope): Promise<void> {
    scope.throwIfCancelled();
    if (this.taken < this.size) return;
    await new Promise<void>((resolve, reject) => {
      const release = scope.onCancel(reject);
      this.onFree = () => {
        release();
        resolve();
      };
    });
  }

  take(): void {
    this.taken++;
  }

  give(): void {
    this.taken--;
    const onFree = this.onFree;
    this.onFree = undefined;
    onFree?.();
    if (this.taken === 0) this.onAllFree?.();
  }

  /** Resolves when no place is taken. */
  async untilAllFree(): Promise<void> {
    if (this.taken > 0) await new Promise<void>((resolve) => (this.onAllFree = resolve));
  }
}
