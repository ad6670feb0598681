import type { Descriptor, DescriptorStat, ErrorCode } from "wasi:filesystem/types@0.2.12";
import { dropInOrder } from "../../src/bindings/drop.ts";
import { attempt } from "../../src/bindings/errors.ts";
import { numberOfU64, u64 } from "../../src/bindings/integers.ts";
import { optional } from "../../src/bindings/option.ts";
import { wellFormed } from "../../src/bindings/text.ts";
import type { InputStream } from "wasi:io/streams@0.2.12";
import { mediaType } from "./media-type.ts";
import { readRequestPath } from "./request-path.ts";

/** What a request target leads to. */
export type Found =
  | { tag: "file"; file: SiteFile }
  /** A folder was asked for as if it were a file: it is there with a slash. */
  | { tag: "add-slash" }
  | { tag: "refused"; status: 400 | 404 | 500 };

/** The files that are served: those below one folder, as far as the host lets them be opened. Folders are not listed. */
export class Site {
  private readonly folder: Descriptor;

  /** @param folder borrowed */
  constructor(folder: Descriptor) {
    this.folder = folder;
  }

  /** @param target path and query of a request */
  find(target: string): Found {
    const path = readRequestPath(target);
    if (path.tag === "malformed") return refused(400);
    if (path.tag === "hidden") return refused(404);
    const parts = path.isFolder ? [...path.parts, INDEX] : path.parts;
    const opened = this.open(parts.join("/"));
    if (opened.tag === "err") return refused(statusOf(opened.val));
    const descriptor = opened.val;
    const stat = attempt<DescriptorStat, ErrorCode>(() => descriptor.stat());
    if (stat.tag === "ok" && stat.val.type === "regular-file")
      return { tag: "file", file: new SiteFile(descriptor, stat.val, parts.at(-1)!) };
    descriptor[Symbol.dispose]();
    if (stat.tag === "err") return refused(statusOf(stat.val));
    if (stat.val.type !== "directory" || path.isFolder) return refused(404);
    return this.hasIndex(parts) ? { tag: "add-slash" } : refused(404);
  }

  /** Without this, a redirect would tell which folders there are. */
  private hasIndex(parts: readonly string[]): boolean {
    const index = this.open([...parts, INDEX].join("/"));
    if (index.tag === "err") return false;
    index.val[Symbol.dispose]();
    return true;
  }

  private open(path: string) {
    return attempt<Descriptor, ErrorCode>(() => this.folder.openAt({ symlinkFollow: true }, wellFormed(path), {}, { read: true }));
  }
}

/** An open file with what a response says of it. */
export class SiteFile implements Disposable {
  /** Bytes. */
  readonly size: number;
  /** Unix time of the last change, in whole seconds; `undefined` where the host does not tell. */
  readonly modified: number | undefined;
  readonly mediaType: string;
  /** An entity tag with its quotes (RFC 9110, section 8.8.3): changes with size and time. */
  readonly entityTag: string;
  private readonly descriptor: Descriptor;

  /** @param descriptor owned from here on */
  constructor(descriptor: Descriptor, stat: DescriptorStat, name: string) {
    const time = optional(stat.dataModificationTimestamp);
    this.descriptor = descriptor;
    this.size = numberOfU64(stat.size);
    this.modified = time === undefined ? undefined : numberOfU64(time.seconds);
    this.mediaType = mediaType(name);
    this.entityTag = `"${this.size.toString(36)}-${(this.modified ?? 0).toString(36)}-${(time?.nanoseconds ?? 0).toString(36)}"`;
  }

  /** The file's bytes from `offset` on; `undefined` if it can no longer be read. */
  stream(offset: number): InputStream | undefined {
    const stream = attempt<InputStream, ErrorCode>(() => this.descriptor.readViaStream(u64(offset)));
    return stream.tag === "ok" ? stream.val : undefined;
  }

  [Symbol.dispose](): void {
    dropInOrder(this.descriptor);
  }
}

const INDEX = "index.html";

function refused(status: 400 | 404 | 500): Found {
  return { tag: "refused", status };
}

/** What must not be seen looks like what is not there. */
function statusOf(code: ErrorCode): 404 | 500 {
  return NOT_THERE.has(code) ? 404 : 500;
}

const NOT_THERE: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "no-entry",
  "not-directory",
  "not-permitted",
  "access",
  "loop",
  "name-too-long",
  "invalid",
  "illegal-byte-sequence",
]);
