import { chmodSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** The folder of one running proxy: what its clients have to trust, and the certificates that its policy names. */
export class ProxyFiles implements Disposable {
  /** Seen by the component. */
  readonly anchors: string;
  /** Seen by the component: whom it lets in. */
  readonly access: string;
  readonly #folder: string;

  constructor() {
    // Made with mode 0700.
    this.#folder = mkdtempSync(join(tmpdir(), "sallyport-proxy-"));
    this.anchors = join(this.#folder, "anchors");
    this.access = join(this.#folder, "access");
    for (const folder of [this.anchors, this.access]) mkdirSync(folder, { mode: 0o700 });
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
    replace(join(this.anchors, `${name}.pem`), pem);
  }

  /** Put a file in the place of what tells the component whom to let in. */
  replaceAccess(name: "tokens.json" | "clients.pem", text: string): void {
    replace(join(this.access, name), text);
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

/** Whoever reads it sees the old file or the new one. */
function replace(path: string, text: string): void {
  writeFileSync(`${path}.new`, text, { mode: 0o600 });
  renameSync(`${path}.new`, path);
}
