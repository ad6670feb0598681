import { readFileSync, statSync, unwatchFile, watchFile } from "node:fs";
import { dirname, resolve } from "node:path";
import { openPolicyComponent, type PolicyComponent, type PolicySettings } from "../policy/policy-component.ts";
import { readPolicyFile } from "../policy/policy-file.ts";

/** A policy that was read and found good. */
export interface ReadPolicy {
  text: string;
  settings: PolicySettings;
  /** PEM by name. */
  anchors: Map<string, string>;
}

/** A certificate file that the policy names cannot be used. */
export class AnchorFileError extends Error {
  override readonly name = "AnchorFileError";
  readonly code = "ERR_SALLYPORT_ANCHOR_FILE";
}

/** A policy file, read through the component that knows what a policy is. */
export class PolicySource implements Disposable {
  readonly file: string;
  readonly #component: PolicyComponent;
  #watched: (() => void) | undefined;

  private constructor(file: string, component: PolicyComponent) {
    this.file = resolve(file);
    this.#component = component;
  }

  /** @param component path of interception.wasm */
  static async open(file: string, component: string): Promise<PolicySource> {
    return new PolicySource(file, await openPolicyComponent(component));
  }

  /**
   * Read the file as it is now.
   *
   * @throws {PolicyFileError} @throws {PolicyRefusedError} @throws {AnchorFileError}
   */
  async read(): Promise<ReadPolicy> {
    const text = readPolicyFile(this.file);
    const settings = await (await this.#component.loadPolicy(text)).settings();
    return { text, settings, anchors: new Map(settings.anchors.map(([name, path]) => [name, readAnchors(name, this.pathOf(path))])) };
  }

  /** A path of the policy, which is relative to where the policy lies. */
  pathOf(path: string): string {
    return resolve(dirname(this.file), path);
  }

  /** Tell of changes, by whatever means the file is changed or replaced. */
  watch(onChange: () => void): void {
    this.#watched = onChange;
    watchFile(this.file, { interval: WATCH_INTERVAL, persistent: false }, onChange);
  }

  [Symbol.dispose](): void {
    if (this.#watched !== undefined) unwatchFile(this.file, this.#watched);
    this.#component[Symbol.dispose]();
  }
}

function readAnchors(name: string, path: string): string {
  try {
    if (statSync(path).size > MAX_ANCHORS) throw new AnchorFileError(`the anchors ${name}: ${path} is longer than ${MAX_ANCHORS} bytes`);
    return readFileSync(path, "latin1");
  } catch (cause) {
    if (cause instanceof AnchorFileError) throw cause;
    throw new AnchorFileError(`the anchors ${name}: ${path} cannot be read (${(cause as NodeJS.ErrnoException).code})`);
  }
}

/** What the component reads of one file. */
const MAX_ANCHORS = 1024 * 1024;
/** Milliseconds. */
const WATCH_INTERVAL = 1000;
