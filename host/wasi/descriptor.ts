import { createHash, randomBytes } from "node:crypto";
import {
  type BigIntStats,
  type Dir,
  type Dirent,
  fdatasyncSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  opendirSync,
  readSync,
  renameSync,
  rmdirSync,
  statSync,
  unlinkSync,
} from "node:fs";
import { dirname } from "node:path";
import { type ContainedPath, assertUnmoved, findContained } from "../files/contained-path.ts";
import { FileError, type FileErrorCode, fileErrorCode } from "../files/file-error.ts";
import { FileSink, FileSource, OpenFile, writeAll } from "../files/open-file.ts";
import { WitError } from "../io/error.ts";
import { InputStream } from "../io/input-stream.ts";
import { type Ledger, Resource } from "../io/ledger.ts";
import { OutputStream } from "../io/output-stream.ts";
import { type OnRefusal, refusalLine } from "../net/access.ts";
import { type Datetime, datetime } from "./clocks.ts";

export type DescriptorType =
  | "unknown"
  | "block-device"
  | "character-device"
  | "directory"
  | "fifo"
  | "symbolic-link"
  | "regular-file"
  | "socket";

export interface DescriptorFlags {
  read?: boolean;
  write?: boolean;
  fileIntegritySync?: boolean;
  dataIntegritySync?: boolean;
  requestedWriteSync?: boolean;
  mutateDirectory?: boolean;
}

export interface DescriptorStat {
  type: DescriptorType;
  linkCount: bigint;
  size: bigint;
  dataAccessTimestamp: Datetime;
  dataModificationTimestamp: Datetime;
  statusChangeTimestamp: Datetime;
}

interface PathFlags {
  symlinkFollow?: boolean;
}

interface OpenFlags {
  create?: boolean;
  directory?: boolean;
  exclusive?: boolean;
  truncate?: boolean;
}

/** A preopened directory and what may be done below it. */
export class Root {
  /** Absolute, without links. */
  readonly path: string;
  /** What the guest calls it. */
  readonly guest: string;
  readonly writable: boolean;
  /** Keys the metadata hashes, so that they tell nothing about the host's disk. */
  readonly hashKey = randomBytes(32);
  readonly #onRefusal: OnRefusal;

  constructor(path: string, guest: string, writable: boolean, onRefusal: OnRefusal) {
    this.path = path;
    this.guest = guest;
    this.writable = writable;
    this.#onRefusal = onRefusal;
  }

  /** @throws {FileError} read-only */
  expectWritable(): void {
    if (this.writable) return;
    this.#onRefusal(refusalLine(`change the read-only directory ${JSON.stringify(this.guest)}`, `--dir HOST:${this.guest}`));
    throw new FileError("read-only");
  }
}

type Target = { tag: "file"; file: OpenFile } | { tag: "directory"; path: string };

/**
 * wasi:filesystem/types `descriptor`. A directory is known by its path; from it nothing outside of it can be reached, not even
 * within the same preopen. Every method throws `WitError` with the WIT's `error-code`.
 */
export class Descriptor extends Resource {
  readonly #root: Root;
  readonly #target: Target;

  constructor(ledger: Ledger, root: Root, target: Target) {
    super(ledger);
    this.#root = root;
    this.#target = target;
  }

  readViaStream(offset: bigint): InputStream {
    return attempt(() => new InputStream(this.ledger, new FileSource(this.#readable(), position(offset))));
  }

  writeViaStream(offset: bigint): OutputStream {
    return attempt(() => new OutputStream(this.ledger, new FileSink(this.#writable(), position(offset))));
  }

  appendViaStream(): OutputStream {
    return attempt(() => new OutputStream(this.ledger, new FileSink(this.#writable(), "end")));
  }

  /** A hint, not taken. */
  advise(): void {
    attempt(() => this.#file());
  }

  syncData(): void {
    attempt(() => this.#target.tag === "file" && fdatasyncSync(this.#target.file.fd));
  }

  sync(): void {
    attempt(() => this.#target.tag === "file" && fsyncSync(this.#target.file.fd));
  }

  getFlags(): DescriptorFlags {
    if (this.#target.tag === "directory") return { read: true, mutateDirectory: this.#root.writable };
    const { read, write, sync } = this.#target.file.mode;
    return { read, write, fileIntegritySync: sync === "file", dataIntegritySync: sync === "data" };
  }

  getType(): DescriptorType {
    return this.#target.tag === "file" ? "regular-file" : "directory";
  }

  setSize(size: bigint): void {
    attempt(() => ftruncateSync(this.#writable().fd, position(size)));
  }

  setTimes(): void {
    throw unsupported();
  }

  read(length: bigint, offset: bigint): [Uint8Array, boolean] {
    return attempt(() => {
      const { fd } = this.#readable();
      const bytes = new Uint8Array(Number(length > MAX_READ ? MAX_READ : length));
      const count = readSync(fd, bytes, 0, bytes.length, position(offset));
      return [bytes.subarray(0, count), count === 0 && bytes.length > 0];
    });
  }

  write(buffer: Uint8Array, offset: bigint): bigint {
    return attempt(() => {
      writeAll(this.#writable().fd, buffer, position(offset));
      return BigInt(buffer.length);
    });
  }

  readDirectory(): DirectoryEntryStream {
    return attempt(() => {
      const path = this.#directory();
      assertUnmoved(path);
      return DirectoryEntryStream.open(this.ledger, path);
    });
  }

  createDirectoryAt(path: string): void {
    attempt(() => mkdirSync(this.#place(path).path));
  }

  stat(): DescriptorStat {
    return attempt(() => describe(this.#stats()));
  }

  statAt(pathFlags: PathFlags, path: string): DescriptorStat {
    return attempt(() => describe(this.#entry(pathFlags, path)));
  }

  setTimesAt(): void {
    throw unsupported();
  }

  linkAt(): void {
    throw unsupported();
  }

  openAt(pathFlags: PathFlags, path: string, openFlags: OpenFlags, flags: DescriptorFlags): Descriptor {
    return attempt(() => {
      const create = openFlags.create === true;
      const truncate = openFlags.truncate === true;
      const write = flags.write === true;
      if (write || create || truncate || flags.mutateDirectory === true) this.#root.expectWritable();
      if (flags.requestedWriteSync === true) throw new FileError("unsupported");
      const at = findContained(this.#directory(), path, pathFlags.symlinkFollow === true);
      if (at.entry?.isSymbolicLink()) throw new FileError("loop");
      if (at.entry !== undefined && create && openFlags.exclusive === true) throw new FileError("exist");
      if (at.entry?.isDirectory()) {
        if (write || truncate) throw new FileError("is-directory");
        return new Descriptor(this.ledger, this.#root, { tag: "directory", path: at.path });
      }
      if (at.directory || openFlags.directory === true || flags.mutateDirectory === true)
        throw new FileError(at.entry === undefined ? "no-entry" : "not-directory");
      if (truncate && !write) throw new FileError("invalid");
      const mode = {
        read: flags.read === true,
        write,
        create,
        truncate,
        exclusive: openFlags.exclusive === true,
        ...(flags.fileIntegritySync ? { sync: "file" as const } : flags.dataIntegritySync ? { sync: "data" as const } : {}),
      };
      return new Descriptor(this.ledger, this.#root, { tag: "file", file: OpenFile.open(at, mode, this.ledger) });
    });
  }

  readlinkAt(): string {
    throw unsupported();
  }

  removeDirectoryAt(path: string): void {
    attempt(() => rmdirSync(this.#place(path).path));
  }

  renameAt(oldPath: string, newDescriptor: Descriptor, newPath: string): void {
    attempt(() => renameSync(this.#place(oldPath).path, newDescriptor.#place(newPath).path));
  }

  symlinkAt(): void {
    throw unsupported();
  }

  unlinkFileAt(path: string): void {
    attempt(() => {
      const at = this.#place(path);
      if (at.entry?.isDirectory() || at.directory) throw new FileError("is-directory");
      unlinkSync(at.path);
    });
  }

  isSameObject(other: Descriptor): boolean {
    return attempt(() => {
      const [a, b] = [this.#stats(), other.#stats()];
      return a.dev === b.dev && a.ino === b.ino;
    });
  }

  metadataHash(): { lower: bigint; upper: bigint } {
    return attempt(() => this.#hash(this.#stats()));
  }

  metadataHashAt(pathFlags: PathFlags, path: string): { lower: bigint; upper: bigint } {
    return attempt(() => this.#hash(this.#entry(pathFlags, path)));
  }

  protected override release(): void {
    if (this.#target.tag === "file") this.#target.file.release();
  }

  #file(): OpenFile {
    if (this.#target.tag === "directory") throw new FileError("is-directory");
    return this.#target.file;
  }

  #readable(): OpenFile {
    const file = this.#file();
    if (!file.mode.read) throw new FileError("bad-descriptor");
    return file;
  }

  #writable(): OpenFile {
    const file = this.#file();
    if (!file.mode.write) throw new FileError("bad-descriptor");
    return file;
  }

  #directory(): string {
    if (this.#target.tag === "file") throw new FileError("not-directory");
    return this.#target.path;
  }

  #stats(): BigIntStats {
    if (this.#target.tag === "file") return fstatSync(this.#target.file.fd, { bigint: true });
    assertUnmoved(this.#target.path);
    return statSync(this.#target.path, { bigint: true });
  }

  #entry(pathFlags: PathFlags, path: string): BigIntStats {
    const at = findContained(this.#directory(), path, pathFlags.symlinkFollow === true);
    if (at.entry === undefined) throw new FileError("no-entry");
    if (at.directory && !at.entry.isDirectory()) throw new FileError("not-directory");
    return at.entry;
  }

  /** Where something is to be made, moved or removed. */
  #place(path: string): ContainedPath {
    const directory = this.#directory();
    this.#root.expectWritable();
    const at = findContained(directory, path, false);
    // The directory itself is what was granted, not what may be moved.
    if (at.path === directory) throw new FileError("not-permitted");
    assertUnmoved(dirname(at.path));
    return at;
  }

  #hash(stats: BigIntStats): { lower: bigint; upper: bigint } {
    const digest = createHash("sha256")
      .update(this.#root.hashKey)
      .update(`${stats.dev} ${stats.ino} ${stats.size} ${stats.mtimeNs}`)
      .digest();
    return { lower: digest.readBigUInt64LE(0), upper: digest.readBigUInt64LE(8) };
  }
}

/** wasi:filesystem/types `directory-entry-stream`. */
export class DirectoryEntryStream extends Resource {
  readonly #dir: Dir;
  readonly #disown: () => void;

  /** @throws what Node throws */
  static open(ledger: Ledger, path: string): DirectoryEntryStream {
    const dir = opendirSync(path);
    try {
      return new DirectoryEntryStream(ledger, dir);
    } catch (trap) {
      dir.closeSync();
      throw trap;
    }
  }

  private constructor(ledger: Ledger, dir: Dir) {
    super(ledger);
    this.#dir = dir;
    this.#disown = ledger.own(() => dir.closeSync());
  }

  readDirectoryEntry(): { type: DescriptorType; name: string } | undefined {
    return attempt(() => {
      const entry = this.#dir.readSync();
      return entry === null ? undefined : { type: typeOf(entry), name: entry.name.toWellFormed() };
    });
  }

  protected override release(): void {
    this.#disown();
    this.#dir.closeSync();
  }
}

/** @throws {FileError} invalid for what no file of this host can have */
function position(offset: bigint): number {
  if (offset > BigInt(Number.MAX_SAFE_INTEGER) - MAX_READ) throw new FileError("invalid");
  return Number(offset);
}

function describe(stats: BigIntStats): DescriptorStat {
  return {
    type: typeOf(stats),
    linkCount: stats.nlink,
    size: stats.size,
    dataAccessTimestamp: datetime(stats.atimeNs),
    dataModificationTimestamp: datetime(stats.mtimeNs),
    statusChangeTimestamp: datetime(stats.ctimeNs),
  };
}

function typeOf(entry: BigIntStats | Dirent): DescriptorType {
  if (entry.isFile()) return "regular-file";
  if (entry.isDirectory()) return "directory";
  if (entry.isSymbolicLink()) return "symbolic-link";
  if (entry.isFIFO()) return "fifo";
  if (entry.isSocket()) return "socket";
  if (entry.isBlockDevice()) return "block-device";
  return entry.isCharacterDevice() ? "character-device" : "unknown";
}

function attempt<T>(run: () => T): T {
  try {
    return run();
  } catch (cause) {
    // What is neither a file's error nor Node's is the instance's end (a limit) or a bug of ours.
    if (cause instanceof WebAssembly.RuntimeError || cause instanceof TypeError) throw cause;
    throw new WitError<FileErrorCode>(fileErrorCode(cause));
  }
}

function unsupported(): WitError<FileErrorCode> {
  return new WitError("unsupported");
}

/** What one `read` copies at most. */
const MAX_READ = 1024n * 1024n;
