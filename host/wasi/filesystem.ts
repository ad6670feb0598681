import { realpathSync, statSync } from "node:fs";
import type { HostContext } from "../context.ts";
import type { IoError } from "../io/error.ts";
import { Descriptor, DirectoryEntryStream, Root } from "./descriptor.ts";

/** A directory of the host that a guest sees. */
export interface Preopen {
  /** Path on the host. */
  host: string;
  /** What the guest calls it, `/data` say. */
  guest: string;
  /** Whether it may be changed. */
  write?: boolean;
}

/** A preopen that is no directory. */
export class PreopenError extends Error {
  override readonly name = "PreopenError";
  readonly code = "ERR_SALLYPORT_PREOPEN";
}

/**
 * wasi:filesystem for one instance: regular files and directories below what was preopened. Links, devices and pipes are
 * neither made nor opened; a link inside is followed as long as it stays inside.
 *
 * @throws {PreopenError}
 */
export function filesystemImports(context: HostContext, preopens: readonly Preopen[]): FilesystemImports {
  const roots = preopens.map(({ host, guest, write }) => new Root(rootPath(host), guest, write === true, context.onRefusal));
  return {
    "wasi:filesystem/preopens": {
      getDirectories: () => roots.map((root) => [new Descriptor(context.ledger, root, { tag: "directory", path: root.path }), root.guest]),
    },
    "wasi:filesystem/types": {
      Descriptor,
      DirectoryEntryStream,
      filesystemErrorCode: (error) => error.failure.filesystem,
    },
  };
}

export interface FilesystemImports {
  "wasi:filesystem/preopens": { getDirectories(): [Descriptor, string][] };
  "wasi:filesystem/types": {
    Descriptor: typeof Descriptor;
    DirectoryEntryStream: typeof DirectoryEntryStream;
    filesystemErrorCode(error: IoError): string | undefined;
  };
}

function rootPath(host: string): string {
  try {
    const path = realpathSync(host);
    if (statSync(path).isDirectory()) return path;
  } catch {
    // Said below.
  }
  throw new PreopenError(`--dir ${host}: there is no such directory`);
}
