import { mkdirSync, renameSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { encodePem } from "../../src/wire/pem.ts";
import { readCertificate } from "../../src/wire/certificate.ts";
import { AuthorityError } from "./authority-error.ts";
import { caFiles, isThere, PUBLIC, readCaFolder, readCertificateFile, readKeyFile, writeCaFolder, writeKeyFile } from "./ca-folder.ts";
import { clock } from "./clock.ts";
import { type IssuingCa, type MadeCa, makeCa, renewCa } from "./issuing-ca.ts";
import { BACKDATE } from "./leaf-plan.ts";
import type { Limits } from "./limits.ts";
import { attempt, replaceFile, safeFolder, syncFolder } from "./private-file.ts";

/** What is to be made, and where the root's key goes. */
export interface StoreOptions {
  limits: Limits;
  /** Seconds of validity from now. */
  validity: bigint;
  /** Write the root's key there, for renewals; without it nobody will ever have it. */
  rootKeyFile?: string | undefined;
}

/** What a folder holds. */
export interface StoredCa {
  current: IssuingCa;
  /** Made by `rotate`, trusted already, and not in use before `confirmRotation`. */
  next: IssuingCa | undefined;
  /** The root of the authority before the current one, as long as it is valid: DER. */
  previousRoot: Uint8Array | undefined;
}

/**
 * An authority on the disk:
 *
 *     DIR/current/{root.pem,intermediate.pem,intermediate-key.pem}
 *     DIR/next/…       while a rotation waits for its confirmation
 *     DIR/previous/…   after it, without the key
 *
 * A step that fails or is cut short leaves the old state or the new one, and never overwrites a key.
 */
export class CaStore {
  readonly folder: string;

  constructor(folder: string) {
    this.folder = resolve(folder);
  }

  /**
   * Make an authority where there is none.
   *
   * @throws {AuthorityError} `exists`, also where only a part of one is left; `unsafe-file`, `cannot-write`, `bad-limits`
   */
  async create(options: StoreOptions): Promise<IssuingCa> {
    const left = ["current", "next", "previous"].filter((name) => isThere(join(this.folder, name)));
    if (left.length > 0)
      throw new AuthorityError("exists", `${this.folder}: holds an authority, or part of one (${left.join(", ")}): nothing is overwritten`);
    const made = await make(options);
    attempt("cannot-write", this.folder, () => mkdirSync(this.folder, { recursive: true, mode: 0o700 }));
    return this.#write("current", made, options.rootKeyFile);
  }

  /**
   * Everything, valid now or not.
   *
   * @throws {AuthorityError} what `readCaFolder` throws; `rotation` if a confirmation was cut short
   */
  read(): StoredCa {
    if (this.#isHalfConfirmed)
      throw new AuthorityError("rotation", `${this.folder}: a rotation was cut short: run sallyport ca rotate --confirm again`);
    const current = readCaFolder(this.#path("current"));
    const next = isThere(this.#path("next")) ? readCaFolder(this.#path("next")) : undefined;
    return { current, next, previousRoot: this.#previousRoot() };
  }

  /**
   * The authority to issue with.
   *
   * @param needed what it has to be permitted
   * @throws {AuthorityError} as `read`; `not-valid-now`, `not-covering`
   */
  load(needed?: Limits, now: bigint = clock()): IssuingCa {
    const { current } = this.read();
    current.assertValidAt(now);
    if (needed !== undefined) current.assertCovers(needed);
    return current;
  }

  /** The roots that clients have to trust, the current one first: DER. @throws {AuthorityError} as `read` */
  roots(): Uint8Array[] {
    const { current, next, previousRoot } = this.read();
    return [current.root, next?.root, previousRoot].filter((root) => root !== undefined);
  }

  /**
   * Give the current authority a new certificate with the same key.
   *
   * @param options.validity seconds from now; as long as the last one was by default
   * @throws {AuthorityError} as `read`; `key-mismatch`, `not-valid-now`
   */
  async renew(options: { rootKeyFile: string; validity?: bigint | undefined }): Promise<IssuingCa> {
    const { current } = this.read();
    const before = readCertificate(current.intermediate);
    const { validity = before.notAfter - before.notBefore - BACKDATE } = options;
    const renewed = await renewCa(current, readKeyFile(options.rootKeyFile), { validity });
    const file = join(safeFolder(this.#path("current")), caFiles.intermediate);
    replaceFile(file, encodePem("CERTIFICATE", renewed.intermediate), PUBLIC);
    return renewed;
  }

  /**
   * Make the authority that will follow the current one. From now on both roots are to be trusted.
   *
   * @param options.limits as the current ones by default
   * @throws {AuthorityError} as `read`; `rotation` if one is under way
   */
  async rotate({ limits, ...options }: Omit<StoreOptions, "limits"> & { limits?: Limits | undefined }): Promise<IssuingCa> {
    const { current, next } = this.read();
    if (next !== undefined)
      throw new AuthorityError("rotation", `${this.folder}: a rotation is under way: confirm it, or remove the folder next to give it up`);
    return this.#write("next", await make({ ...options, limits: limits ?? current.limits }), options.rootKeyFile);
  }

  /**
   * Use the new authority from now on, and destroy the key of the old one; its root stays trusted until it expires or
   * the next rotation is confirmed.
   *
   * @throws {AuthorityError} `rotation` if there is nothing to confirm; `cannot-write`; as `read`
   */
  confirmRotation(): IssuingCa {
    safeFolder(this.folder);
    const [current, next, previous] = [this.#path("current"), this.#path("next"), this.#path("previous")];
    if (isThere(next)) {
      readCaFolder(next).assertValidAt(clock());
      attempt("cannot-write", previous, () => {
        if (!this.#isHalfConfirmed) {
          rmSync(previous, { recursive: true, force: true });
          renameSync(current, previous);
        }
        renameSync(next, current);
      });
      syncFolder(this.folder);
    } else if (!isThere(join(previous, caFiles.key))) {
      throw new AuthorityError("rotation", `${this.folder}: no rotation waits for its confirmation: begin one with sallyport ca rotate`);
    }
    attempt("cannot-write", previous, () => rmSync(join(previous, caFiles.key), { force: true }));
    syncFolder(previous);
    return readCaFolder(current);
  }

  #write(name: "current" | "next", { ca, rootKey }: MadeCa, rootKeyFile: string | undefined): IssuingCa {
    safeFolder(this.folder);
    if (rootKeyFile !== undefined) writeKeyFile(rootKeyFile, rootKey);
    try {
      writeCaFolder(this.#path(name), ca);
    } catch (error) {
      if (rootKeyFile !== undefined) rmSync(rootKeyFile, { force: true });
      throw error;
    }
    return ca;
  }

  /** Between the two renames of a confirmation. */
  get #isHalfConfirmed(): boolean {
    return !isThere(this.#path("current")) && isThere(this.#path("next")) && isThere(this.#path("previous"));
  }

  #previousRoot(): Uint8Array | undefined {
    const file = join(this.#path("previous"), caFiles.root);
    if (!isThere(file)) return undefined;
    const root = readCertificateFile(file);
    return readCertificate(root).notAfter > clock() ? root : undefined;
  }

  #path(name: "current" | "next" | "previous"): string {
    return join(this.folder, name);
  }
}

async function make({ limits, validity, rootKeyFile }: StoreOptions): Promise<MadeCa> {
  // Without its key the root can do nothing that the intermediate cannot, so it need not outlive it.
  const rootValidity = rootKeyFile !== undefined && validity < LONG_VALIDITY ? LONG_VALIDITY : validity;
  return await makeCa({ limits, validity, rootValidity });
}

const LONG_VALIDITY = 3650n * 86_400n;
