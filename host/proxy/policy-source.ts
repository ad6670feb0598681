import { statSync } from "node:fs";
import { dirname, resolve } from "node:path";
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
  /** The file as it was when it was read last. */
  #seen: string | undefined;
  #watch: NodeJS.Timeout | undefined;

  private constructor(file: string | undefined, component: PolicyComponent) {
    this.#file = file === undefined ? undefined : resolve(file);
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
    if (this.#file !== undefined) this.#seen = versionOf(this.#file);
    const text = this.#file === undefined ? this.#text : readPolicyFile(this.#file);
    const settings = await (await this.#component.loadPolicy(text)).settings();
    return { text, settings, anchors: new Map(settings.anchors.map(([name, path]) => [name, readAnchors(name, this.pathOf(path))])) };
  }

  /** A path of the policy, which is relative to where the policy lies. */
  pathOf(path: string): string {
    return resolve(this.#folder, path);
  }

  /**
   * Tell of changes, by whatever means the file is changed or replaced. They are changes since the last `read`: what
   * `watchFile` compares with is the file as it finds it a while after its call.
   */
  watch(onChange: () => void): void {
    const file = this.#file;
    if (file === undefined) return;
    this.#watch = setInterval(() => {
      const version = versionOf(file);
      if (version === this.#seen) return;
      this.#seen = version;
      onChange();
    }, WATCH_INTERVAL).unref();
  }

  [Symbol.dispose](): void {
    clearInterval(this.#watch);
    this.#component[Symbol.dispose]();
  }
}

/** What differs once a file was written or replaced, or cannot be looked at any more. */
function versionOf(path: string): string {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = statSync(path, { bigint: true });
    return [dev, ino, size, mtimeNs, ctimeNs].join(" ");
  } catch (error) {
    return String((error as NodeJS.ErrnoException).code);
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
