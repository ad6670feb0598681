import { readFile } from "node:fs/promises";
import { loadComponent } from "../component/cache.ts";
import { compileComponent, instantiate } from "../component/instance.ts";
import type { Rates } from "../gateway/rate-limit.ts";
import { createImports } from "../index.ts";

/** The WIT record `fault`. */
export interface PolicyFault {
  path: string;
  message: string;
}

/** The WIT record `because`. */
export interface Because {
  rule: string;
  reason: string;
}

/** The WIT record `question`. */
export interface PolicyQuestion {
  host: string;
  port: number;
  groups: string[];
  request: [method: string, path: string] | undefined;
}

/** The WIT record `explanation`. What belongs to a decision beside its reason is in the text. */
export interface PolicyExplanation {
  steps: { rule: string; what: string }[];
  connection: { tag: "tunnel" | "intercept" | "front"; val: object } | { tag: "deny"; val: Because };
  request: { tag: "allow"; val: { because: Because } } | { tag: "deny"; val: Because } | undefined;
  text: string;
}

/** The WIT record `settings`. Times are in seconds. */
export interface PolicySettings {
  permittedNames: string[];
  permittedNetworks: string[];
  leafLifetime: number;
  allowNetworks: string[];
  anchors: [name: string, path: string][];
  secrets: string[];
  identities: string[];
  secretVariables: [secret: string, variable: string][];
  connections: number;
  headBytes: number;
  leafCache: number;
  rates: Rates;
  headTimeout: number;
  handshakeTimeout: number;
  connectTimeout: number;
  idleTimeout: number;
  drainTimeout: number;
  auditPath: string | undefined;
  auditMode: "best-effort" | "strict";
  auditFsync: "never" | "each-second" | "each-record";
}

/** The WIT resource `policy`, as far as this host asks it. */
export interface LoadedPolicy {
  explain(question: PolicyQuestion): Promise<PolicyExplanation>;
  settings(): Promise<PolicySettings>;
}

/** An instance of the component that reads policies. */
export interface PolicyComponent extends Disposable {
  /** @throws {PolicyRefusedError} */
  loadPolicy(text: string): Promise<LoadedPolicy>;
  /** JSON Schema. */
  schema(): Promise<string>;
}

/** A policy that cannot be used. */
export class PolicyRefusedError extends Error {
  override readonly name = "PolicyRefusedError";
  readonly code = "ERR_SALLYPORT_POLICY";
  readonly faults: readonly PolicyFault[];

  constructor(faults: readonly PolicyFault[]) {
    super(faults.map(({ path, message }) => `${path}: ${message}`).join("\n"));
    this.faults = faults;
  }
}

/**
 * Load the component with `sallyport:policy/interception`, in this thread and with nothing granted: a policy is text that
 * somebody wrote, and is read in the sandbox.
 *
 * @param file path of the component
 */
export async function openPolicyComponent(file: string): Promise<PolicyComponent> {
  const code = await compileComponent(await loadComponent(await readFile(file)));
  const host = createImports();
  try {
    const { exports } = await instantiate(code, host.imports);
    const interception = exports["sallyport:policy/interception@0.1.0"] as Pick<PolicyComponent, "loadPolicy" | "schema"> | undefined;
    if (interception === undefined) throw new Error(`${file} does not export sallyport:policy/interception`);
    return {
      loadPolicy: (text) => interception.loadPolicy(text).catch(refuse),
      schema: () => interception.schema(),
      [Symbol.dispose]: () => host.dispose(),
    };
  } catch (error) {
    host.dispose();
    throw error;
  }
}

/** The error case of a result is thrown as its value, by some releases of the transpiler within an Error. */
function refuse(cause: unknown): never {
  const value = typeof cause === "object" && cause !== null && "payload" in cause ? cause.payload : cause;
  if (Array.isArray(value)) throw new PolicyRefusedError(value as PolicyFault[]);
  throw cause;
}
