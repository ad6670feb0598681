import { chmodSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** The folder of one running proxy: what its clients have to trust, and the certificates that its policy names. */
export class ProxyFiles implements Disposable {
  /** Seen by the component. */
  readonly anchors: string;
  readonly #folder: string;

  constructor() {
    // Made with mode 0700.
    this.#folder = mkdtempSync(join(tmpdir(), "sallyport-proxy-"));
    this.anchors = join(this.#folder, "anchors");
    mkdirSync(this.anchors, { mode: 0o700 });
    // Also where a second signal ends this process at once.
    process.once("exit", this.#remove);
  }

  /** Write what clients trust: read-only, since what a program trusts is nobody's to change. @returns the path */
  write(name: string, text: string): string {
    const path = join(this.#folder, name);
    writeFileSync(path, text, { mode: 0o400, flag: "wx" });
    return path;
  }

  /** Put certificates in the place of those of this name. */
  replaceAnchors(name: string, pem: string): void {
    const path = join(this.anchors, `${name}.pem`);
    writeFileSync(`${path}.new`, pem, { mode: 0o600 });
    renameSync(`${path}.new`, path);
  }

  [Symbol.dispose](): void {
    process.off("exit", this.#remove);
    this.#remove();
  }

  readonly #remove = () => {
    try {
      chmodSync(this.#folder, 0o700);
      rmSync(this.#folder, { recursive: true, force: true });
    } catch {
      // It is a temporary folder, and there is nobody left to tell.
    }
  };
}
