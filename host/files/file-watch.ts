import { statSync } from "node:fs";

/**
 * Tells of changes of files, by whatever means they are changed or replaced. They are changes since the files were read last:
 * `watchFile` of Node compares with what it finds a while after its call, and a change before that is never told.
 */
export class FileWatch implements Disposable {
  readonly #paths: readonly string[];
  #seen: readonly string[];
  #timer: NodeJS.Timeout | undefined;

  constructor(paths: readonly string[]) {
    this.#paths = paths;
    this.#seen = paths.map(versionOf);
  }

  /** To be called before the files are read: what changes from then on is told. */
  reading(): void {
    this.#seen = this.#paths.map(versionOf);
  }

  /** @param interval milliseconds between two looks */
  start(interval: number, onChange: () => void): void {
    clearInterval(this.#timer);
    this.#timer = setInterval(() => {
      const now = this.#paths.map(versionOf);
      if (now.every((version, index) => version === this.#seen[index])) return;
      this.#seen = now;
      onChange();
    }, interval).unref();
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}

/** What differs once a file was written or replaced, or cannot be looked at any more. */
function versionOf(path: string): string {
  try {
    const { dev, ino, size, mode, uid, mtimeNs, ctimeNs } = statSync(path, { bigint: true });
    return [dev, ino, size, mode, uid, mtimeNs, ctimeNs].join(" ");
  } catch (error) {
    return String((error as NodeJS.ErrnoException).code);
  }
}
