import { getDirectories } from "wasi:filesystem/preopens@0.2.12";
import type { Descriptor, ErrorCode } from "wasi:filesystem/types@0.2.12";
import { attempt, type Result } from "../bindings/errors.ts";
import { dropInOrder } from "../bindings/drop.ts";
import { u64 } from "../bindings/integers.ts";
import { wellFormed } from "../bindings/text.ts";
import type { Scope } from "../reactor/cancel.ts";
import { Reader } from "../streams/reader.ts";

/** Why a file cannot be used: the error code of wasi:filesystem, or that no folder that holds it was granted. */
export class FileFailure extends Error {
  readonly code = "ERR_SALLYPORT_FILE";

  constructor(path: string, reason: string) {
    super(`${path}: ${reason}`);
  }
}

/** A path as the host understands it: relative to a folder that was granted. */
export interface Place {
  readonly folder: Descriptor;
  readonly path: string;
}

/** The folders that this program was granted. */
export class Files implements Disposable {
  readonly #folders: { descriptor: Descriptor; segments: string }[];

  constructor() {
    this.#folders = getDirectories().map(([descriptor, name]) => ({ descriptor, segments: normalize(name) }));
  }

  /** @throws {FileFailure} when no granted folder holds it */
  locate(path: string): Place {
    const wanted = normalize(path);
    let best: { descriptor: Descriptor; segments: string } | undefined;
    for (const folder of this.#folders) {
      if (holds(folder.segments, wanted) && (best === undefined || folder.segments.length > best.segments.length)) best = folder;
    }
    if (best === undefined) throw new FileFailure(path, "this component sees no folder with it; grant one with --dir");
    const rest = wanted.slice(best.segments.length).replace(/^\//, "");
    return { folder: best.descriptor, path: wellFormed(rest === "" ? "." : rest) };
  }

  /** All of a file. @throws {FileFailure} also if it is longer than `limit` bytes */
  async read(path: string, limit: number, scope?: Scope): Promise<Uint8Array> {
    const place = this.locate(path);
    const file = fileResult(path, () => place.folder.openAt({ symlinkFollow: true }, place.path, {}, { read: true }));
    let reader: Reader | undefined;
    try {
      reader = new Reader(fileResult(path, () => file.readViaStream(u64(0))));
      return await readAll(reader, path, limit, scope);
    } finally {
      dropInOrder(reader, file);
    }
  }

  [Symbol.dispose](): void {
    dropInOrder(...this.#folders.map(({ descriptor }) => descriptor));
  }
}

/** Everything up to the end of a stream. @throws {FileFailure} if that is more than `limit` bytes */
export async function readAll(reader: Reader, name: string, limit: number, scope?: Scope): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for (let bytes = await reader.read(undefined, scope); bytes !== undefined; bytes = await reader.read(undefined, scope)) {
    length += bytes.length;
    if (length > limit) throw new FileFailure(name, `longer than ${limit} bytes`);
    parts.push(bytes);
  }
  const whole = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Call wasi:filesystem. @throws {FileFailure} */
export function fileResult<T>(path: string, call: () => T): T {
  const result: Result<T, ErrorCode> = attempt(call);
  if (result.tag === "err") throw new FileFailure(path, result.val);
  return result.val;
}

/** Without `.` and empty segments; `..` stays, since what it means depends on the folder. */
function normalize(path: string): string {
  const segments = path.split("/").filter((segment) => segment !== "" && segment !== ".");
  return `${path.startsWith("/") ? "/" : ""}${segments.join("/")}`;
}

function holds(folder: string, path: string): boolean {
  if (folder === "") return !path.startsWith("/");
  return path === folder || path.startsWith(folder.endsWith("/") ? folder : `${folder}/`);
}
