import { dirname, resolve } from "node:path";
import { FileWatch } from "../files/file-watch.ts";
import { readRegularFile, RegularFileError } from "../files/regular-file.ts";
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

/** A policy file, or a policy without one, read through the component that knows what a policy is. */
export class PolicySource implements Disposable {
  /** Where its paths begin. */
  readonly #folder: string;
  /** `undefined`: the policy is `#text`. */
  readonly #file: string | undefined;
  readonly #component: PolicyComponent;
  #text = "";
  readonly #watch: FileWatch | undefined;

  private constructor(file: string | undefined, component: PolicyComponent) {
    this.#file = file === undefined ? undefined : resolve(file);
    this.#watch = this.#file === undefined ? undefined : new FileWatch([this.#file]);
    this.#folder = this.#file === undefined ? process.cwd() : dirname(this.#file);
    this.#component = component;
  }

  /** @param component path of interception.wasm */
  static async open(file: string, component: string): Promise<PolicySource> {
    return new PolicySource(file, await openPolicyComponent(component));
  }

  /** A policy that lies in no file. @param component path of interception.wasm */
  static async of(policy: object, component: string): Promise<PolicySource> {
    const source = new PolicySource(undefined, await openPolicyComponent(component));
    source.#text = JSON.stringify(policy);
    return source;
  }

  /** Have another policy be read, if there is one; what was there before comes back where taking it up fails. */
  async during(policy: object | undefined, takeUp: () => Promise<void>): Promise<void> {
    if (policy === undefined) return await takeUp();
    if (this.#file !== undefined) throw new TypeError("the policy is a file: change that");
    const before = this.#text;
    this.#text = JSON.stringify(policy);
    try {
      await takeUp();
    } catch (error) {
      this.#text = before;
      throw error;
    }
  }

  /**
   * Read the policy as it is now.
   *
   * @throws {PolicyFileError} @throws {PolicyRefusedError} @throws {AnchorFileError}
   */
  async read(): Promise<ReadPolicy> {
    this.#watch?.reading();
    const text = this.#file === undefined ? this.#text : readPolicyFile(this.#file);
    const settings = await (await this.#component.loadPolicy(text)).settings();
    return { text, settings, anchors: new Map(settings.anchors.map(([name, path]) => [name, readAnchors(name, this.pathOf(path))])) };
  }

  /** A path of the policy, which is relative to where the policy lies. */
  pathOf(path: string): string {
    return resolve(this.#folder, path);
  }

  /** Tell of changes of the file since the last `read`. */
  watch(onChange: () => void): void {
    this.#watch?.start(WATCH_INTERVAL, onChange);
  }

  [Symbol.dispose](): void {
    this.#watch?.[Symbol.dispose]();
    this.#component[Symbol.dispose]();
  }
}

function readAnchors(name: string, path: string): string {
  try {
    return Buffer.from(readRegularFile(path, MAX_ANCHORS)).toString("latin1");
  } catch (cause) {
    if (cause instanceof RegularFileError) throw new AnchorFileError(`the anchors ${name}: ${cause.message}`);
    throw new AnchorFileError(`the anchors ${name}: ${path} cannot be read (${(cause as NodeJS.ErrnoException).code})`);
  }
}

/** What the component reads of one file. */
const MAX_ANCHORS = 1024 * 1024;
/** Milliseconds. */
const WATCH_INTERVAL = 1000;
