import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import type { Duplex } from "node:stream";
import { MessageChannel } from "node:worker_threads";
import { ownComponent } from "../cli/own-component.ts";
import { loadComponent } from "../component/cache.ts";
import { type ComponentCode, compileComponent } from "../component/instance.ts";
import type { SecretGrant } from "../gateway/secret-grants.ts";
import { PortDuplex } from "../net/port-duplex.ts";
import type { TlsGrants } from "../tls/grants.ts";
import { AuditTap } from "./audit-tap.ts";
import { askForTunnel, ProxyConnectError, type ProxyTarget, targetText } from "./in-process-client.ts";
import { PolicySource } from "./policy-source.ts";
import { RunningProxy } from "./running-proxy.ts";
import type { ProxySummary } from "./summary.ts";

export { AuthorityError } from "../authority/authority-error.ts";
export { AuditError } from "../gateway/audit-log.ts";
export type { SecretForm, SecretGrant } from "../gateway/secret-grants.ts";
export { type SecretSource, SecretSourceError } from "../gateway/secret-source.ts";
export { PolicyRefusedError } from "../policy/policy-component.ts";
export { PolicyFileError } from "../policy/policy-file.ts";
export { AnchorFileError } from "./policy-source.ts";
export { NeedsRestartError, NotStartedError } from "./running-proxy.ts";
export { ProxyConnectError, type ProxySummary, type ProxyTarget };

/** What a proxy in this process is made of. */
export interface ProxyOptions {
  /** The policy: the path of its file, or what would be in it. Paths in it are relative to the file, or to the working directory. */
  policy: string | object;
  /** Folder of a certification authority (`sallyport ca`). Without it one is made for this proxy, and its key never leaves it. */
  caFolder?: string;
  /**
   * In place of the policy's audit log: the path of a file, or a function that is given each record, in their order and soon after
   * it was written to a temporary file, which lives and grows as long as the proxy.
   */
  audit?: string | ((record: Record<string, unknown>) => void);
  /** Secrets that the policy names, with where they come from and may go. */
  secrets?: Record<string, SecretGrant>;
  /** Client identities that the policy names, and anchors in place of the system's. */
  tls?: Pick<TlsGrants, "identities" | "anchors" | "crls" | "systemAnchors">;
  /** Path of a component that decides in place of the policy's rules (`sallyport:policy/decisions`). */
  decide?: string;
  /** Threads that serve connections; 1 by default. */
  workers?: number;
  /** One line for people: what was refused, a worker that died. Standard error by default. */
  onLine?: (line: string) => void;
}

/** A proxy in this process, without a port. */
export interface Proxy extends AsyncDisposable {
  /** PEM: what clients of intercepted hosts have to trust. `undefined` where the policy intercepts nothing. */
  readonly ca: string | undefined;
  /** Variables by which clients know secrets, with their placeholders. */
  readonly placeholders: Readonly<Record<string, string>>;
  /**
   * A connection, as if a client had connected to the proxy and had sent `CONNECT target`. Where the policy intercepts, the TLS of
   * `ca` is spoken in it.
   *
   * @param target `host:port`, an IPv6 address in brackets
   * @throws {ProxyConnectError} what the proxy said in place of 200, or that it is closed
   */
  connect(target: string | ProxyTarget, options?: { signal?: AbortSignal }): Promise<Duplex>;
  /**
   * Take up another policy, or the file as it is now. Connections that it allows go on, others end.
   *
   * @throws {PolicyFileError} @throws {PolicyRefusedError} @throws {NeedsRestartError} and the old one stays
   */
  reload(policy?: object): Promise<void>;
  /** Take nothing new, let what runs finish for as long as the policy says (`drain_seconds`), and end. */
  close(): Promise<ProxySummary>;
}

/**
 * Run an intercepting proxy that nobody but this program can connect to: the component and the host's guarantees are those of
 * `sallyport proxy`, and records call the client `in-process`. It keeps the process alive until it is closed.
 *
 * ```ts
 * await using proxy = await createProxy({ policy: "policy.json", audit: "audit.jsonl" });
 * const socket = tls.connect({ socket: await proxy.connect("example.com:443"), servername: "example.com", ca: proxy.ca });
 * ```
 *
 * @throws {PolicyFileError} @throws {PolicyRefusedError} @throws {AnchorFileError} what is wrong with the policy
 * @throws {AuthorityError} @throws {AuditError} @throws {NeedsRestartError} for an identity or a secret that was not given
 * @throws {SecretSourceError} for a secret that is not where it was said to be
 */
export async function createProxy(options: ProxyOptions): Promise<Proxy> {
  const { policy, audit, workers = 1 } = options;
  if (!Number.isInteger(workers) || workers < 1 || workers > 99) throw new RangeError("workers is a whole number from 1 to 99");
  const component = ownComponent("interception");
  const source = typeof policy === "string" ? await PolicySource.open(policy, component) : await PolicySource.of(policy, component);
  const tap = typeof audit === "function" ? new AuditTap(audit) : undefined;
  try {
    const decider = options.decide === undefined ? undefined : { code: await codeOf(options.decide, DECIDER_MEMORY) };
    const running = await RunningProxy.start({
      source,
      code: codeOf(ownComponent("proxy")),
      listen: undefined,
      inProcess: true,
      direct: [],
      auth: false,
      decider,
      caFolder: options.caFolder,
      auditFile: tap?.file ?? (typeof audit === "string" ? resolve(audit) : undefined),
      workers,
      tls: options.tls ?? {},
      secrets: options.secrets ?? {},
      toGive: {
        identity: (name) => `createProxy takes it as tls.identities[${JSON.stringify(name)}]`,
        secret: (name) => `createProxy takes it as secrets[${JSON.stringify(name)}]`,
      },
      tell: options.onLine ?? ((line) => process.stderr.write(`${line}\n`)),
    });
    tap?.start();
    return new InProcessProxy(running, source, tap);
  } catch (error) {
    source[Symbol.dispose]();
    tap?.[Symbol.dispose]();
    throw error;
  }
}

class InProcessProxy implements Proxy {
  readonly ca: string | undefined;
  readonly placeholders: Readonly<Record<string, string>>;
  readonly #running: RunningProxy;
  readonly #source: PolicySource;
  readonly #tap: AuditTap | undefined;
  #closed: Promise<ProxySummary> | undefined;

  constructor(running: RunningProxy, source: PolicySource, tap: AuditTap | undefined) {
    this.#running = running;
    this.#source = source;
    this.#tap = tap;
    this.ca = running.ca;
    this.placeholders = running.environment;
  }

  async connect(target: string | ProxyTarget, { signal }: { signal?: AbortSignal } = {}): Promise<Duplex> {
    const text = targetText(target);
    signal?.throwIfAborted();
    if (this.#closed !== undefined) throw new ProxyConnectError("ERR_SALLYPORT_PROXY_CLOSED", undefined, "the proxy was closed");
    const { port1, port2 } = new MessageChannel();
    this.#running.connect(port1);
    return await askForTunnel(new PortDuplex(port2, { allowHalfOpen: false }), text, signal);
  }

  reload(policy?: object): Promise<void> {
    return this.#source.during(policy, () => this.#running.reload());
  }

  close(): Promise<ProxySummary> {
    this.#closed ??= this.#end();
    return this.#closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #end(): Promise<ProxySummary> {
    try {
      return await this.#running.stop();
    } finally {
      this.#tap?.[Symbol.dispose]();
      this.#source[Symbol.dispose]();
    }
  }
}

async function codeOf(file: string, memory?: number): Promise<ComponentCode> {
  return await compileComponent(await loadComponent(await readFile(file)), memory);
}

/** Bytes. */
const DECIDER_MEMORY = 256 * 1024 * 1024;
