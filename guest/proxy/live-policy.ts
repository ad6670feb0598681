import { type IdentityError, PrivateIdentity, TrustAnchors } from "sallyport:tls/identities@0.1.0";
import { attempt } from "../../src/bindings/errors.ts";
import { FolderError, Preopened } from "../../src/files/preopened.ts";
import { loadPolicy, type Policy, PolicyError, type Upstream } from "../../src/policy/index.ts";
import { parsePem } from "../../src/wire/pem.ts";
import { latin1 } from "../../src/wire/utf8.ts";
import { WireError } from "../../src/wire/wire-error.ts";

/** A policy that cannot be used. The message is for the operator. */
export class PolicyUnusable extends Error {
  readonly code = "ERR_SALLYPORT_POLICY_UNUSABLE";
}

/** The policy that holds now, with what it refers to. Connections that began under an earlier one see the new one too. */
export class LivePolicy {
  private state: Loaded | undefined;
  private readonly replaced = new Set<() => void>();

  /** @throws {PolicyUnusable} before the first */
  get policy(): Policy {
    return this.loaded.policy;
  }

  /** As the host sent it; `undefined` before the first. */
  get text(): string | undefined {
    return this.state?.text;
  }

  /** Whether there is one. */
  get isThere(): boolean {
    return this.state !== undefined;
  }

  /**
   * Put another policy in the place of this one.
   *
   * @throws {PolicyUnusable} with everything that is wrong with it; the old one stays
   */
  replace(text: string): void {
    const policy = load(text);
    const certificates = new Map<string, readonly Uint8Array[]>();
    if (policy.settings.anchors.size > 0) {
      using folders = new Preopened();
      for (const name of policy.settings.anchors.keys()) certificates.set(name, readAnchors(folders, name));
    }
    this.state = { text, policy, certificates, anchors: new Map(), identities: new Map() };
    for (const tell of this.replaced) tell();
  }

  /** Call `tell` whenever there is another policy, before anything else is done under it, until the returned function is called. */
  onReplaced(tell: () => void): () => void {
    this.replaced.add(tell);
    return () => this.replaced.delete(tell);
  }

  /** Whom an upstream has to be vouched for by; `undefined`: the host's own anchors. @throws {PolicyUnusable} */
  anchors({ anchors, onlyAnchors }: Upstream): TrustAnchors | undefined {
    if (anchors.length === 0) return undefined;
    const { certificates, anchors: made } = this.loaded;
    const key = `${onlyAnchors} ${anchors.join(" ")}`;
    const there = made.get(key);
    if (there !== undefined) return there;
    const ders = anchors.flatMap((name) => certificates.get(name) ?? []);
    const result = attempt<TrustAnchors, IdentityError>(() => TrustAnchors.fromX509([...ders], !onlyAnchors, []));
    if (result.tag === "err") throw new PolicyUnusable(`the anchors ${anchors.join(", ")} cannot be used: ${result.val}`);
    made.set(key, result.val);
    return result.val;
  }

  /** The client identity that an upstream is shown. @throws {PolicyUnusable} when the host did not grant it */
  identity({ identity: name }: Upstream): PrivateIdentity | undefined {
    if (name === undefined) return undefined;
    const { identities } = this.loaded;
    const there = identities.get(name);
    if (there !== undefined) return there;
    const opened = attempt<PrivateIdentity, IdentityError>(() => PrivateIdentity.open(name));
    if (opened.tag === "err") throw new PolicyUnusable(`the identity ${name} was not granted`);
    identities.set(name, opened.val);
    return opened.val;
  }

  private get loaded(): Loaded {
    if (this.state === undefined) throw new PolicyUnusable("there is no policy yet");
    return this.state;
  }
}

interface Loaded {
  readonly text: string;
  readonly policy: Policy;
  readonly certificates: ReadonlyMap<string, readonly Uint8Array[]>;
  /** By what they are made of. */
  readonly anchors: Map<string, TrustAnchors>;
  readonly identities: Map<string, PrivateIdentity>;
}

/** Where the host puts the certificate files of the policy, each under its name. */
const ANCHORS_FOLDER = "/anchors";

function load(text: string): Policy {
  try {
    return loadPolicy(text);
  } catch (error) {
    if (!(error instanceof PolicyError)) throw error;
    const faults = error.faults.slice(0, MAX_FAULTS).map(({ path, message }) => `${path}: ${message}`);
    throw new PolicyUnusable(faults.join("; "));
  }
}

function readAnchors(folders: Preopened, name: string): Uint8Array[] {
  try {
    const blocks = parsePem(latin1(folders.readFile(`${ANCHORS_FOLDER}/${name}.pem`)));
    const certificates = blocks.filter(({ label }) => label === "CERTIFICATE").map(({ bytes }) => bytes);
    if (certificates.length === 0) throw new PolicyUnusable(`the anchors ${name} hold no certificate`);
    return certificates;
  } catch (error) {
    if (error instanceof FolderError || error instanceof WireError) throw new PolicyUnusable(`the anchors ${name}: ${error.message}`);
    throw error;
  }
}

const MAX_FAULTS = 5;
