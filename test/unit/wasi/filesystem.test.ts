import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { PreopenError, createImports } from "../../../host/index.ts";
import { assertUnmoved } from "../../../host/files/contained-path.ts";
import { Trap } from "../../../host/io/ledger.ts";
import type { Descriptor } from "../../../host/wasi/descriptor.ts";
import { HostInstance, bytes, readAll, text, witError } from "../../support/host-instance.ts";

let temp: string;
/** What is granted, and beside it what is not. */
let inside: string;
let outside: string;
let made: HostInstance;
let root: Descriptor;

beforeEach(() => {
  temp = mkdtempSync(join(tmpdir(), "sallyport-test-"));
  inside = join(temp, "inside");
  outside = join(temp, "outside");
  mkdirSync(join(inside, "sub", "deep"), { recursive: true });
  mkdirSync(outside);
  writeFileSync(join(inside, "file"), "content");
  writeFileSync(join(inside, "sub", "inner"), "inner content");
  writeFileSync(join(outside, "secret"), "secret");
  made = new HostInstance({ preopens: [{ host: inside, guest: "/data", write: true }] });
  root = open(made);
});
afterEach(() => {
  made.dispose();
  rmSync(temp, { recursive: true });
});

function open(of: HostInstance): Descriptor {
  return of.wasi["wasi:filesystem/preopens"].getDirectories()[0]![0];
}

const follow = { symlinkFollow: true };
const readOnly = { read: true };
const readWrite = { read: true, write: true };
const readFile = async (path: string, flags = follow) => text(await readAll(root.openAt(flags, path, {}, readOnly).readViaStream(0n)));

describe("files", () => {
  it("are found under the name the guest was given", () => {
    expect(made.wasi["wasi:filesystem/preopens"].getDirectories().map(([, name]) => name)).toEqual(["/data"]);
    expect(root.getType()).toBe("directory");
    expect(root.getFlags()).toEqual({ read: true, mutateDirectory: true });
  });

  it("are read from an offset to the end", async () => {
    const file = root.openAt(follow, "file", {}, readOnly);
    expect(text(await readAll(file.readViaStream(0n)))).toBe("content");
    expect(text(await readAll(file.readViaStream(3n)))).toBe("tent");
    expect(await readAll(file.readViaStream(100n))).toHaveLength(0);
    expect(file.read(4n, 2n)).toEqual([bytes("nten"), false]);
    expect(file.read(4n, 7n)).toEqual([new Uint8Array(0), true]);
  });

  it("are read whole when they are large, and stay open as long as a stream reads them", async () => {
    writeFileSync(join(inside, "large"), Buffer.alloc(1_000_000, 5));
    const file = root.openAt(follow, "large", {}, readOnly);
    const stream = file.readViaStream(0n);
    file[Symbol.dispose]();
    expect(await readAll(stream)).toHaveLength(1_000_000);
    expect(made.owned).toBe(1);
    stream[Symbol.dispose]();
    expect(made.owned).toBe(0);
  });

  it("are made, written at an offset, appended to and cut", async () => {
    const file = root.openAt(follow, "sub/new", { create: true, exclusive: true }, readWrite);
    const stream = file.writeViaStream(0n);
    stream.write(bytes("hello "));
    await stream.blockingWriteAndFlush(bytes("world"));
    stream[Symbol.dispose]();
    file.appendViaStream().write(bytes("!"));
    expect(file.write(bytes("W"), 6n)).toBe(1n);
    expect(readFileSync(join(inside, "sub/new"), "utf8")).toBe("hello World!");
    file.setSize(5n);
    file.syncData();
    file.sync();
    expect(file.stat()).toMatchObject({ type: "regular-file", size: 5n, linkCount: 1n });
    root.openAt(follow, "sub/new", { truncate: true }, { write: true });
    expect(readFileSync(join(inside, "sub/new"), "utf8")).toBe("");
  });

  it("are not written or read through a descriptor that was not opened for it", async () => {
    const reader = root.openAt(follow, "file", {}, readOnly);
    expect(await witError(() => reader.writeViaStream(0n))).toBe("bad-descriptor");
    expect(await witError(() => reader.appendViaStream())).toBe("bad-descriptor");
    expect(await witError(() => reader.write(bytes("x"), 0n))).toBe("bad-descriptor");
    expect(await witError(() => reader.setSize(0n))).toBe("bad-descriptor");
    const writer = root.openAt(follow, "file", {}, { write: true });
    expect(await witError(() => writer.readViaStream(0n))).toBe("bad-descriptor");
    expect(readFileSync(join(inside, "file"), "utf8")).toBe("content");
  });

  it("are listed, made, moved and removed", async () => {
    root.createDirectoryAt("made");
    root.renameAt("file", root, "made/moved");
    const sub = root.openAt({}, "sub", { directory: true }, { read: true });
    root.renameAt("made/moved", sub, "again");
    const names = [];
    const stream = sub.readDirectory();
    for (let it = stream.readDirectoryEntry(); it !== undefined; it = stream.readDirectoryEntry()) names.push(`${it.type} ${it.name}`);
    expect(names.sort()).toEqual(["directory deep", "regular-file again", "regular-file inner"]);
    sub.unlinkFileAt("again");
    root.removeDirectoryAt("made");
    expect(readdirSync(inside).sort()).toEqual(["sub"]);
    expect(await witError(() => root.removeDirectoryAt("sub"))).toBe("not-empty");
    expect(await witError(() => root.unlinkFileAt("sub"))).toBe("is-directory");
    expect(await witError(() => root.unlinkFileAt("file"))).toBe("no-entry");
  });

  it("are told apart by a hash that changes with them and says nothing about the disk", () => {
    const one = root.metadataHashAt({}, "file");
    expect(root.metadataHashAt({}, "file")).toEqual(one);
    expect(root.openAt({}, "file", {}, readOnly).metadataHash()).toEqual(one);
    expect(root.metadataHashAt({}, "sub/inner")).not.toEqual(one);
    expect(open(new HostInstance({ preopens: [{ host: inside, guest: "/" }] })).metadataHashAt({}, "file")).not.toEqual(one);
    expect(root.openAt({}, "file", {}, readOnly).isSameObject(root.openAt({}, "./sub/../file", {}, readOnly))).toBe(true);
  });

  it("answer the WIT's error for what cannot be opened", async () => {
    const error = (path: string, open = {}, flags: object = readOnly) => witError(() => root.openAt(follow, path, open, flags));
    expect(await error("none")).toBe("no-entry");
    expect(await error("")).toBe("no-entry");
    expect(await error("none/file")).toBe("no-entry");
    expect(await error("file/x")).toBe("not-directory");
    expect(await error("file/")).toBe("not-directory");
    expect(await error("file", { directory: true })).toBe("not-directory");
    expect(await error("file", { create: true, exclusive: true }, readWrite)).toBe("exist");
    expect(await error("sub", {}, readWrite)).toBe("is-directory");
    expect(await error("sub", { truncate: true }, readOnly)).toBe("is-directory");
    expect(await error("file", { truncate: true }, readOnly)).toBe("invalid");
    expect(await error("a\0b")).toBe("invalid");
    expect(await error("x".repeat(5000))).toBe("name-too-long");
    expect(await error("x".repeat(300))).toBe("name-too-long");
    expect(await witError(() => root.statAt({}, "none"))).toBe("no-entry");
    expect(await witError(() => root.openAt({}, "file", {}, readOnly).openAt({}, "x", {}, readOnly))).toBe("not-directory");
    expect(await witError(() => root.readViaStream(0n))).toBe("is-directory");
    expect(await witError(() => root.openAt({}, "file", {}, readOnly).readViaStream(2n ** 64n - 1n))).toBe("invalid");
  });

  it("have no links, times or hints to set", async () => {
    expect(await witError(() => root.symlinkAt())).toBe("unsupported");
    expect(await witError(() => root.linkAt())).toBe("unsupported");
    expect(await witError(() => root.readlinkAt())).toBe("unsupported");
    expect(await witError(() => root.setTimes())).toBe("unsupported");
    expect(await witError(() => root.setTimesAt())).toBe("unsupported");
  });

  it("are closed with the instance", () => {
    root.openAt({}, "file", {}, readOnly);
    root.readDirectory();
    expect(made.owned).toBe(2);
    made.dispose();
    expect(made.ledger.owned).toBe(0);
    expect(() => root.openAt({}, "file", {}, readOnly)).toThrow(Trap);
  });
});

describe("what is not granted", () => {
  const escapes = [
    "..",
    "../outside/secret",
    "sub/../../outside/secret",
    "./../inside/../outside/secret",
    "sub/deep/../../../outside/secret",
    "/etc/passwd",
    "//etc/passwd",
    "/",
  ];
  it.each(escapes)("is not reached by %s", async (path) => {
    expect(await witError(() => root.openAt(follow, path, {}, readOnly))).toBe("not-permitted");
    expect(await witError(() => root.statAt(follow, path))).toBe("not-permitted");
    expect(await witError(() => root.createDirectoryAt(path))).toBe("not-permitted");
    expect(await witError(() => root.unlinkFileAt(path))).toBe("not-permitted");
    expect(await witError(() => root.removeDirectoryAt(path))).toBe("not-permitted");
    expect(await witError(() => root.renameAt(path, root, "here"))).toBe("not-permitted");
    expect(await witError(() => root.renameAt("file", root, path))).toBe("not-permitted");
    expect(await witError(() => root.metadataHashAt(follow, path))).toBe("not-permitted");
    expect(existsSync(join(outside, "secret"))).toBe(true);
  });

  it("is not reached by a link, relative or absolute, last or in between", async () => {
    symlinkSync("../outside/secret", join(inside, "relative"));
    symlinkSync(join(outside, "secret"), join(inside, "absolute"));
    symlinkSync("../outside", join(inside, "directory"));
    symlinkSync("directory", join(inside, "chained"));
    symlinkSync("../../outside", join(inside, "sub", "up"));
    for (const path of ["relative", "absolute", "directory/secret", "chained/secret", "sub/up/secret", "directory/.", "directory/"]) {
      expect(await witError(() => root.openAt(follow, path, {}, readOnly))).toBe("not-permitted");
      expect(await witError(() => root.openAt(follow, path, { create: true, truncate: true }, readWrite))).toBe("not-permitted");
      expect(await witError(() => root.statAt(follow, path))).toBe("not-permitted");
    }
    expect(await witError(() => root.createDirectoryAt("directory/new"))).toBe("not-permitted");
    expect(await witError(() => root.unlinkFileAt("directory/secret"))).toBe("not-permitted");
    expect(await witError(() => root.renameAt("directory/secret", root, "mine"))).toBe("not-permitted");
    expect(readFileSync(join(outside, "secret"), "utf8")).toBe("secret");
    expect(readdirSync(outside)).toEqual(["secret"]);
  });

  it("is not made by creating a file over a link that leads out", async () => {
    symlinkSync("../outside/new", join(inside, "dangling"));
    expect(await witError(() => root.openAt(follow, "dangling", { create: true }, readWrite))).toBe("not-permitted");
    expect(await witError(() => root.openAt({}, "dangling", { create: true }, readWrite))).toBe("loop");
    expect(readdirSync(outside)).toEqual(["secret"]);
  });

  it("is not reached from a subdirectory, though it lies within the same preopen", async () => {
    const sub = root.openAt({}, "sub", { directory: true }, readOnly);
    expect(await witError(() => sub.openAt({}, "../file", {}, readOnly))).toBe("not-permitted");
    symlinkSync("../file", join(inside, "sub", "up"));
    expect(await witError(() => sub.openAt(follow, "up", {}, readOnly))).toBe("not-permitted");
    expect(await readFile("sub/up")).toBe("content");
  });

  it("is not reached by a directory that is swapped for a link after it was opened", async () => {
    const sub = root.openAt({}, "sub", { directory: true }, readOnly);
    renameSync(join(inside, "sub"), join(inside, "moved"));
    symlinkSync("../outside", join(inside, "sub"));
    expect(await witError(() => sub.openAt({}, "secret", {}, readOnly))).not.toBe("no error");
    expect(await witError(() => sub.readDirectory())).toBe("not-permitted");
    expect(await witError(() => sub.stat())).toBe("not-permitted");
    expect(await witError(() => sub.unlinkFileAt("secret"))).not.toBe("no error");
    expect(await witError(() => sub.createDirectoryAt("new"))).not.toBe("no error");
    expect(readdirSync(outside)).toEqual(["secret"]);
    expect(() => assertUnmoved(join(inside, "sub", "secret"))).toThrow();
  });

  it("includes devices and pipes, and none of them blocks", async () => {
    execFileSync("mkfifo", [join(inside, "pipe")]);
    expect(await witError(() => root.openAt({}, "pipe", {}, readOnly))).toBe("not-permitted");
    expect(root.statAt({}, "pipe").type).toBe("fifo");
  });

  it("includes the directory itself: it cannot be moved or removed", async () => {
    for (const path of [".", "sub/..", "./"]) {
      expect(await witError(() => root.removeDirectoryAt(path))).toBe("not-permitted");
      expect(await witError(() => root.renameAt(path, root, "x"))).toBe("not-permitted");
    }
  });
});

describe("links inside", () => {
  it("are followed where asked for, and always on the way", async () => {
    symlinkSync("sub", join(inside, "link"));
    symlinkSync("link/inner", join(inside, "chain"));
    expect(await readFile("chain")).toBe("inner content");
    expect(await readFile("link/inner", { symlinkFollow: false })).toBe("inner content");
    expect(root.statAt({}, "chain").type).toBe("symbolic-link");
    expect(root.statAt(follow, "chain").type).toBe("regular-file");
    expect(await witError(() => root.openAt({}, "chain", {}, readOnly))).toBe("loop");
  });
  it("may be removed as what they are", () => {
    symlinkSync("../outside/secret", join(inside, "out"));
    root.unlinkFileAt("out");
    expect(existsSync(join(outside, "secret"))).toBe(true);
    expect(existsSync(join(inside, "out"))).toBe(false);
  });
  it("end a circle with an error", async () => {
    symlinkSync("b", join(inside, "a"));
    symlinkSync("a", join(inside, "b"));
    symlinkSync("self/x", join(inside, "self"));
    expect(await witError(() => root.openAt(follow, "a", {}, readOnly))).toBe("loop");
    expect(await witError(() => root.statAt(follow, "self"))).toBe("loop");
  });
});

describe("a read-only preopen", () => {
  it("refuses every change, and says so in one line", async () => {
    const reader = new HostInstance({ preopens: [{ host: inside, guest: "/data" }] });
    const dir = open(reader);
    const changes = [
      () => dir.openAt(follow, "new", { create: true }, readOnly),
      () => dir.openAt(follow, "file", {}, readWrite),
      () => dir.openAt(follow, "file", { truncate: true }, readOnly),
      () => dir.openAt(follow, "sub", {}, { read: true, mutateDirectory: true }),
      () => dir.createDirectoryAt("new"),
      () => dir.unlinkFileAt("file"),
      () => dir.removeDirectoryAt("sub/deep"),
      () => dir.renameAt("file", dir, "other"),
      () => root.renameAt("file", dir, "other"),
      () => dir.renameAt("file", root, "other"),
      () => dir.openAt({}, "sub", {}, readOnly).createDirectoryAt("new"),
    ];
    for (const change of changes) expect(await witError(change)).toBe("read-only");
    expect(reader.refusals[0]).toBe('sallyport: refused: change the read-only directory "/data"; grant it with --dir HOST:/data');
    expect(reader.refusals).toHaveLength(changes.length);
    expect(dir.getFlags()).toEqual({ read: true, mutateDirectory: false });
    expect(readdirSync(inside).sort()).toEqual(["file", "sub"]);
    reader.dispose();
  });

  it("is read", async () => {
    const dir = open(new HostInstance({ preopens: [{ host: inside, guest: "/data" }] }));
    expect(text(dir.openAt(follow, "file", {}, readOnly).read(100n, 0n)[0])).toBe("content");
  });
});

describe("preopens", () => {
  it("are nothing by default", () => expect(new HostInstance().wasi["wasi:filesystem/preopens"].getDirectories()).toEqual([]));
  it.each(["none", "file"])("must be directories: %s", (name) => {
    expect(() => createImports({ preopens: [{ host: join(inside, name), guest: "/" }] })).toThrow(PreopenError);
  });
  it("may themselves be given by a link", async () => {
    symlinkSync(inside, join(temp, "link"));
    const dir = open(new HostInstance({ preopens: [{ host: join(temp, "link"), guest: "/" }] }));
    expect(text(dir.openAt(follow, "file", {}, readOnly).read(100n, 0n)[0])).toBe("content");
  });
});

it("a failed write to a file is an error with its filesystem code", async () => {
  const file = root.openAt({}, "file", {}, readWrite);
  const stream = file.writeViaStream(BigInt(Number.MAX_SAFE_INTEGER) - 2n ** 21n);
  stream.write(bytes("x"));
  let failure: unknown;
  try {
    stream.checkWrite();
  } catch (error) {
    failure = (error as { payload: { val: never } }).payload.val;
  }
  expect(made.wasi["wasi:filesystem/types"].filesystemErrorCode(failure as never)).toBe("file-too-large");
});
