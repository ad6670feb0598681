import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { type AddressInfo, createServer, type Server } from "node:net";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import type { MessagePort } from "node:worker_threads";
import type { ComponentCode, RunResult } from "../component/instance.ts";
import type { InstanceOptions } from "../component/messages.ts";
import { type Supervised, supervise } from "../component/supervisor.ts";
import { pemOf, trustBundle } from "../authority/trust-bundle.ts";
import type { AuditGrant } from "../gateway/audit-log.ts";
import type { DeciderGrant } from "../gateway/decider.ts";
import type { SecretGrant } from "../gateway/secret-grants.ts";
import { checkSource } from "../gateway/secret-source.ts";
import { IN_PROCESS } from "../net/in-process.ts";
import type { PolicySettings } from "../policy/policy-component.ts";
import type { TlsGrants } from "../tls/grants.ts";
import { accessArguments, type TlsAccess } from "./access.ts";
import { clientEnvironment } from "./client-environment.ts";
import { openProxyAuthority, neededLimits, type ProxyAuthority } from "./proxy-authority.ts";
import { ProxyFiles } from "./proxy-files.ts";
import { withPlaceholders } from "./placeholder-secrets.ts";
import type { PolicySource, ReadPolicy } from "./policy-source.ts";
import { emptySummary, type ProxySummary, readSummary, sumOf } from "./summary.ts";

/** How to run a proxy. */
export interface ProxyStart {
  source: PolicySource;
  /** The component. */
  code: ComponentCode | Promise<ComponentCode>;
  /** `address:port` for CONNECT and plain HTTP; port 0 lets the system choose. May be missing where there is `access`. */
  listen: string | undefined;
  /** Whether this program is a client itself, by `connect`. */
  inProcess?: boolean;
  /** The same within TLS to the proxy itself. */
  access?: TlsAccess | undefined;
  /** `address:port` of listeners that take TLS as it comes. */
  direct: readonly string[];
  /** Whether clients have to show a token. */
  auth: boolean;
  /** Rules in place of the policy's. */
  decider?: DeciderGrant | undefined;
  /** Folder of the authority; one for this run without it. */
  caFolder: string | undefined;
  /** In place of the policy's. */
  auditFile: string | undefined;
  /** Threads that serve clients. */
  workers: number;
  tls: TlsGrants;
  secrets: Record<string, SecretGrant>;
  /** How whoever starts it gives what the policy names, for messages. */
  toGive: { identity: (name: string) => string; secret: (name: string) => string };
  /** One line for people. */
  tell: (line: string) => void;
}

/** A policy that the proxy cannot take up while it runs. */
export class NeedsRestartError extends Error {
  override readonly name = "NeedsRestartError";
  readonly code = "ERR_SALLYPORT_NEEDS_RESTART";
}

/** The component ended by itself before it took clients: it cannot listen, for example. The message is its own. */
export class NotStartedError extends Error {
  override readonly name = "NotStartedError";
  readonly code = "ERR_SALLYPORT_PROXY_NOT_STARTED";

  constructor(complaint: string) {
    super(`the proxy cannot start: ${complaint === "" ? "it did not say why" : complaint}`);
  }
}

/** A proxy that runs. */
export class RunningProxy {
  /** Where clients send CONNECT and plain HTTP, with the port that the system chose; empty where it listens nowhere. */
  readonly url: string;
  /** The same within TLS to the proxy itself. */
  readonly tlsUrls: readonly string[];
  /** PEM: what clients have to trust where it intercepts. */
  readonly ca: string | undefined;
  /** What clients need. */
  readonly environment: Record<string, string>;
  /** How the first worker that did not want to end did. */
  readonly ended: Promise<RunResult>;
  /** Where records go. */
  readonly auditFile: string | undefined;
  readonly #start: ProxyStart;
  readonly #settings: PolicySettings;
  readonly #authority: ProxyAuthority | undefined;
  readonly #files: ProxyFiles;
  readonly #workers: readonly ProxyWorker[];
  #policyText: string;
  #accessText: string | undefined;
  /** Changes are told one by one. */
  #lastReload: Promise<unknown> = Promise.resolve();

  private constructor(
    start: ProxyStart,
    policy: ReadPolicy,
    authority: ProxyAuthority | undefined,
    files: ProxyFiles,
    at: Addresses,
    token: string | undefined,
  ) {
    this.#start = start;
    this.#settings = policy.settings;
    this.#authority = authority;
    this.#files = files;
    this.#policyText = policy.text;
    this.tlsUrls = at.tls.map((address) => `https://${address}`);
    this.url = at.plain === undefined ? (this.tlsUrls[0] ?? "") : `http://${at.plain}`;
    const placeholders = withPlaceholders(start.secrets, policy.settings.secretVariables);
    const credentials = token === undefined || at.plain === undefined ? "" : `sallyport:${token}@`;
    this.ca = authority === undefined ? undefined : pemOf(authority.roots);
    const access = () => {
      const caFile = this.ca === undefined ? undefined : files.write("ca.pem", this.ca);
      const bundleFile = authority === undefined ? undefined : files.write("bundle.pem", trustBundle(authority.roots));
      return clientEnvironment({ url: this.url.replace("://", `://${credentials}`), caFile, bundleFile });
    };
    this.environment = { ...placeholders.environment, ...(this.url === "" ? {} : access()) };
    const instance = instanceOptions({ ...start, secrets: placeholders.secrets }, policy.settings, authority, files, at, token);
    this.auditFile = instance.gateway?.audit?.file;
    this.#workers = Array.from({ length: start.workers }, () => new ProxyWorker(start, instance, policy.text));
    this.ended = Promise.race(this.#workers.map(({ result }) => result));
    this.ended.catch(() => {});
  }

  /**
   * Start it; it takes clients when this resolves.
   *
   * @throws {PolicyFileError} @throws {PolicyRefusedError} @throws {AnchorFileError} what is wrong with the policy
   * @throws {AuthorityError} what is wrong with the authority
   * @throws {SecretSourceError} when a secret is not where it was said to be
   * @throws {UnusableError} @throws {NotStartedError} when no instance can be made, or it ends at once
   */
  static async start(start: ProxyStart): Promise<RunningProxy> {
    const policy = await start.source.read();
    checkGrants(start, policy.settings);
    for (const [name, { source }] of Object.entries(start.secrets)) checkSource(name, source);
    const authority = await openProxyAuthority(start.caFolder, policy.settings);
    const files = new ProxyFiles();
    const reserved: Reservation[] = [];
    try {
      for (const [name, pem] of policy.anchors) files.replaceAnchors(name, pem);
      const { access } = start;
      const trusted = access?.trust?.read();
      if (trusted !== undefined) files.replaceAccess("tokens.json", trusted);
      if (access !== undefined) files.replaceAccess("clients.pem", access.clientAuthorities);
      const at: { plain: string | undefined; tls: string[] } = { plain: undefined, tls: [] };
      for (const wanted of [start.listen, ...(access?.listen ?? [])].filter((address) => address !== undefined)) {
        const place = await reserve(wanted);
        reserved.push(place);
        if (wanted === start.listen && at.plain === undefined) at.plain = place.address;
        else at.tls.push(place.address);
      }
      const token = start.auth ? randomBytes(32).toString("hex") : undefined;
      const proxy = new RunningProxy(start, policy, authority, files, at, token);
      proxy.#accessText = trusted;
      await Promise.all(reserved.map((place) => place.release()));
      await Promise.all(proxy.#workers.map((worker) => worker.start()));
      return proxy;
    } catch (error) {
      await Promise.all(reserved.map((place) => place.release()));
      files[Symbol.dispose]();
      throw error;
    }
  }

  /**
   * Take up the policy file as it is now. Connections that it allows go on, others end.
   *
   * @throws what is wrong with it; the old one stays in force
   * @throws {NeedsRestartError} when it wants what was not granted at the start
   */
  async reload(): Promise<void> {
    const policy = await this.#start.source.read();
    this.#checkReload(policy.settings);
    for (const [name, pem] of policy.anchors) this.#files.replaceAnchors(name, pem);
    await this.#tellWorkers(policy.text);
    this.#policyText = policy.text;
  }

  /**
   * Take up the keyring and the revocations as they are now; they hold for new connections.
   *
   * @returns whether they say anything new
   * @throws {StateFileError} when they cannot be used; the old ones stay in force
   */
  async reloadAccess(): Promise<boolean> {
    const text = this.#start.access?.trust?.read();
    if (text === undefined || text === this.#accessText) return false;
    this.#files.replaceAccess("tokens.json", text);
    this.#accessText = text;
    await this.#tellWorkers(this.#policyText);
    return true;
  }

  /** Hand a client in this process to a worker. @param port owned from here on; the client has a `PortDuplex` on the other end */
  connect(port: MessagePort): void {
    this.#next = (this.#next + 1) % this.#workers.length;
    this.#workers[this.#next]!.connect(port);
  }
  #next = 0;

  #tellWorkers(policy: string): Promise<void> {
    const told = this.#lastReload.then(async () => void (await Promise.all(this.#workers.map((worker) => worker.reload(policy)))));
    this.#lastReload = told.catch(() => {});
    return told;
  }

  /** Take no new clients, let those that are there finish for as long as the policy says, and end. */
  async stop(): Promise<ProxySummary> {
    const deadline = this.#settings.drainTimeout * 1000 + LAST_WORDS;
    const summaries = await Promise.all(this.#workers.map((worker) => worker.stop(deadline)));
    this.#files[Symbol.dispose]();
    return sumOf(summaries);
  }

  /** The host's rules were made from the first policy, and hold whatever a later one says. */
  #checkReload(settings: PolicySettings): void {
    checkGrants(this.#start, settings);
    const needed = neededLimits(settings);
    if (needed !== undefined && this.#authority?.authority.bounds.limits.coversAll(needed) !== true)
      throw new NeedsRestartError("it intercepts names that the certification authority of this run is not for: restart the proxy");
    const changed = new Set<string>();
    for (const key of Object.keys(fixed) as (keyof typeof fixed)[])
      if (JSON.stringify(settings[key]) !== JSON.stringify(this.#settings[key])) changed.add(fixed[key]);
    if (changed.size > 0)
      throw new NeedsRestartError(`it changes what is settled when the proxy starts (${[...changed].join(", ")}): restart the proxy`);
  }
}

function checkGrants({ tls, secrets, toGive }: ProxyStart, settings: PolicySettings): void {
  const identity = settings.identities.find((name) => tls.identities?.[name] === undefined);
  if (identity !== undefined)
    throw new NeedsRestartError(`it shows servers the identity ${identity}, which was not given: ${toGive.identity(identity)}`);
  const secret = settings.secrets.find((name) => secrets[name] === undefined);
  if (secret !== undefined) throw new NeedsRestartError(`it places the secret ${secret}, which was not given: ${toGive.secret(secret)}`);
}

/** Settings that a reload cannot change, with the policy's members that they come from. */
const fixed = {
  allowNetworks: "allow_networks",
  secretVariables: "secrets",
  auditPath: "audit",
  auditMode: "audit",
  auditFsync: "audit",
  leafCache: "limits",
  rates: "limits",
} as const;

function instanceOptions(
  start: ProxyStart,
  settings: PolicySettings,
  authority: ProxyAuthority | undefined,
  files: ProxyFiles,
  at: Addresses,
  token: string | undefined,
): InstanceOptions {
  const listening = [...(at.plain === undefined ? [] : [at.plain]), ...at.tls, ...start.direct];
  return {
    args: [
      "proxy",
      ...(at.plain === undefined ? [] : ["--listen", at.plain]),
      ...(start.access === undefined ? [] : accessArguments(start.access, at.tls)),
      ...start.direct.flatMap((at) => ["--direct", at]),
      ...(start.inProcess === true ? ["--in-process", IN_PROCESS.text] : []),
      ...(token === undefined ? ["--no-auth"] : []),
    ],
    env: token === undefined ? {} : { SALLYPORT_PROXY_TOKEN: token },
    grants: { listen: [...listening, ...(start.inProcess === true ? [IN_PROCESS.text] : [])] },
    preopens: [
      { host: files.anchors, guest: "/anchors", write: false },
      { host: files.access, guest: "/access", write: false },
    ],
    tls: {
      handshakeTimeout: settings.handshakeTimeout * 1000,
      maxConnections: (start.access === undefined ? 2 : 3) * settings.connections + 64,
      ...start.tls,
      // A connection of this program has no handle that node:tls could be given.
      ...(start.inProcess === true ? { attach: false } : {}),
    },
    inProcess: start.inProcess === true,
    limits: { connections: 2 * settings.connections + 64, handles: 64 * settings.connections + 10_000 },
    reusePort: start.workers > 1,
    gateway: {
      dial: { allow: ["*"], allowNetworks: settings.allowNetworks, refuse: listening.filter((at) => !at.startsWith(":")) },
      secrets: start.secrets,
      rates: settings.rates,
      ...(start.decider === undefined ? {} : { decider: start.decider }),
      ...(authority === undefined ? {} : { authorities: { proxy: authority.authority.forWorker() } }),
      ...auditOf(start, settings),
    },
  };
}

function auditOf({ auditFile, source }: Pick<ProxyStart, "auditFile" | "source">, settings: PolicySettings): { audit?: AuditGrant } {
  const file = auditFile ?? (settings.auditPath === undefined ? undefined : source.pathOf(settings.auditPath));
  if (file === undefined) return {};
  const fsync = { never: "none", "each-second": "interval", "each-record": "each" } as const;
  return { audit: { file, mode: settings.auditMode, fsync: fsync[settings.auditFsync] } };
}

/** One worker of a proxy: a component that is followed by another one when it dies. */
class ProxyWorker {
  readonly result: Promise<RunResult>;
  readonly #supervised: Supervised;
  readonly #tell: (line: string) => void;
  #summary = emptySummary();
  #ready = Promise.withResolvers<void>();
  #reloaded: PromiseWithResolvers<string> | undefined;
  #lastComplaint = "";

  constructor(start: ProxyStart, instance: InstanceOptions, policy: string) {
    this.#tell = start.tell;
    this.#supervised = supervise({
      code: start.code,
      instance,
      stdio: "pipe",
      restart: true,
      onRefusal: start.tell,
      onRestart: (death, delay) => start.tell(`sallyport: a worker of the proxy died (${death.tag}); the next one starts in ${delay} ms`),
    });
    this.result = this.#supervised.result;
    this.#supervised.stdin?.end();
    this.#supervised.reload(policy);
    this.#follow(this.#supervised.stdout!, (line) => this.#said(line));
    this.#follow(this.#supervised.stderr!, (line) => {
      this.#lastComplaint = line.replace(/^proxy: /, "");
      this.#tell(`sallyport: ${line}`);
    });
  }

  /** Resolves when it takes clients. @throws {UnusableError} @throws {NotStartedError} @throws {Error} when it dies before */
  async start(): Promise<void> {
    const over = this.result.then((result) => {
      if (result.tag === "exit") throw new NotStartedError(this.#lastComplaint);
      const reason = result.tag === "trap" ? `: ${result.reason}` : "";
      throw new Error(`the proxy ended before it began (${result.tag}${reason}) ${this.#lastComplaint}`);
    });
    over.catch(() => {});
    await Promise.race([this.#ready.promise, over]);
  }

  /** @throws {Error} when the component does not take it */
  async reload(policy: string): Promise<void> {
    this.#reloaded = Promise.withResolvers();
    this.#supervised.reload(policy);
    const answer = await Promise.race([this.#reloaded.promise, this.result.then(() => "ended")]);
    if (!answer.startsWith("changed")) throw new Error(this.#lastComplaint || "the proxy does not take the policy");
  }

  connect(port: MessagePort): void {
    this.#supervised.connect(port);
  }

  async stop(deadline: number): Promise<ProxySummary> {
    await this.#supervised.stop(deadline).catch(() => {});
    // Its last line is on its way.
    if (this.#supervised.stdout?.readableEnded === false) await once(this.#supervised.stdout, "end").catch(() => {});
    return this.#summary;
  }

  #follow(source: Readable, onLine: (line: string) => void): void {
    createInterface({ input: source }).on("line", onLine);
  }

  #said(line: string): void {
    const [word, ...rest] = line.split(" ");
    const text = rest.join(" ");
    if (word === "ready") this.#ready.resolve();
    else if (word === "policy") this.#reloaded?.resolve(text);
    else if (word === "summary") this.#summary = readSummary(text);
  }
}

/** Where the proxy listens. */
interface Addresses {
  readonly plain: string | undefined;
  readonly tls: readonly string[];
}

interface Reservation {
  address: string;
  release(): Promise<void>;
}

/** Find a free port: every worker, and every one that follows another, has to listen on the same. */
async function reserve(listen: string): Promise<Reservation> {
  const match = /^(\[[0-9a-fA-F:.]+\]|[0-9.]*):([0-9]{1,5})$/.exec(listen);
  if (match === null || match[2] !== "0") return { address: listen, release: () => Promise.resolve() };
  const host = match[1]!;
  const server: Server = createServer();
  server.listen(0, host === "" ? "0.0.0.0" : host.replace(/^\[(.*)\]$/, "$1"));
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  let released: Promise<unknown> | undefined;
  return {
    address: `${host}:${port}`,
    release: async () => {
      released ??= new Promise((resolve) => server.close(resolve));
      await released;
    },
  };
}

/** Milliseconds beyond the drain. */
const LAST_WORDS = 2000;
