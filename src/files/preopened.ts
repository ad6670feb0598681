import { getDirectories } from "wasi:filesystem/preopens@0.2.12";
import type { Descriptor, ErrorCode } from "wasi:filesystem/types@0.2.12";
import { dropInOrder } from "../bindings/drop.ts";
import { attempt } from "../bindings/errors.ts";
import { u64 } from "../bindings/integers.ts";
import { wellFormed } from "../bindings/text.ts";

/** The longest file that is read at once, in bytes. */
const MAX_FILE = 1024 * 1024;

/** A path that no preopened folder leads to, or a file that cannot be read. */
export class FolderError extends Error {
  readonly code = "ERR_SALLYPORT_FOLDER";
}

/** The folders that the embedder opened for this program. */
export class Preopened implements Disposable {
  private readonly folders: readonly (readonly [Descriptor, string])[] = getDirectories();

  /**
   * A folder to be owned by the caller.
   *
   * @param path `undefined`: the first one
   * @throws {FolderError}
   */
  folder(path: string | undefined): Descriptor {
    const first = this.folders[0];
    if (first === undefined) throw new FolderError("no folder was granted: grant one with --dir");
    const { folder, rest } = this.lookup(path ?? first[1]);
    const opened = attempt<Descriptor, ErrorCode>(() => folder.openAt({ symlinkFollow: true }, rest, { directory: true }, { read: true }));
    if (opened.tag === "err") throw new FolderError(`the folder ${path} cannot be opened: ${opened.val}`);
    return opened.val;
  }

  /** A whole small file. @throws {FolderError} */
  readFile(path: string): Uint8Array {
    const { folder, rest } = this.lookup(path);
    const read = attempt<Uint8Array, ErrorCode>(() => {
      using file = folder.openAt({ symlinkFollow: true }, rest, {}, { read: true });
      return readAll(file);
    });
    if (read.tag === "err") throw new FolderError(`${path} cannot be read: ${read.val}`);
    if (read.val.length > MAX_FILE) throw new FolderError(`${path} is longer than ${MAX_FILE} bytes`);
    return read.val;
  }

  [Symbol.dispose](): void {
    dropInOrder(...this.folders.map(([folder]) => folder));
  }

  /** The preopened folder whose name is the longest that `path` begins with. */
  private lookup(path: string): { folder: Descriptor; rest: string } {
    let best: { folder: Descriptor; rest: string; length: number } | undefined;
    for (const [folder, name] of this.folders) {
      const rest = below(path, name);
      if (rest !== undefined && name.length > (best?.length ?? -1)) best = { folder, rest, length: name.length };
    }
    if (best === undefined) throw new FolderError(`${path} is in no granted folder: grant it with --dir`);
    return { folder: best.folder, rest: wellFormed(best.rest) };
  }
}

function below(path: string, folder: string): string | undefined {
  if (path === folder) return ".";
  const prefix = folder.endsWith("/") ? folder : `${folder}/`;
  return path.startsWith(prefix) ? path.slice(prefix.length) : undefined;
}

/** One byte more than may be, so that the caller notices. */
function readAll(file: Descriptor): Uint8Array {
  const parts: Uint8Array[] = [];
  let length = 0;
  for (;;) {
    const [bytes, isEnd] = file.read(u64(MAX_FILE + 1 - length), u64(length));
    parts.push(bytes);
    length += bytes.length;
    if (isEnd || bytes.length === 0 || length > MAX_FILE) break;
  }
  const whole = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
