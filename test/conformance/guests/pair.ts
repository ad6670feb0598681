import {
  Client,
  type ClientSuspension,
  type ClientSuspensionPoints,
  type IoStreams,
  Server,
  type ServerSuspension,
  type ServerSuspensionPoints,
  tlsErrorCode,
} from "sallyport:tls/connection@0.1.0";
import { PrivateIdentity, TrustAnchors } from "sallyport:tls/identities@0.1.0";
import { now } from "wasi:clocks/monotonic-clock@0.2.12";
import { isErrorValue } from "../../../src/bindings/errors.ts";
import { numberOfU64, u64 } from "../../../src/bindings/integers.ts";
import { bytesOf, errorText, outcomeText, textOf } from "./expect.ts";
import { type Link, link } from "./link.ts";
import { rest } from "./tcp.ts";
import type { Cleanup, Setting } from "./program.ts";

export const TLS12 = 0x0303;
export const TLS13 = 0x0304;

/** A run without any network. */
export const memory: Setting = { transport: "memory", peer: "", relayedEnding: undefined };

/** What a pair is made from; the defaults connect. */
export interface PairOptions {
  /** Both ends speak this version only. */
  version?: number;
  serverName?: string;
  client?: ClientSuspensionPoints;
  server?: ServerSuspensionPoints;
  /** Granted identity of the server; empty for none. */
  identity?: string;
  /** Whether the server asks for a client certificate. */
  asks?: "optional" | "required";
  /** Granted identity of the client. */
  clientIdentity?: string;
  configureClient?: (client: Client) => void;
  configureServer?: (server: Server) => void;
}

/** Either end. */
export type AnyEnd = End<Client> | End<Server>;

/** A client and a server of the host under test, joined by the transport of the run. Started. */
export class Pair {
  readonly client: End<Client>;
  readonly server: End<Server>;
  readonly link: Link;

  constructor(setting: Setting, cleanup: Cleanup, options: PairOptions = {}) {
    const client = makeClient(options);
    const server = makeServer(options);
    this.client = new End(client, client.streams());
    this.server = new End(server, server.streams());
    cleanup(() => {
      this.client.close();
      this.server.close();
    });
    this.link = link(setting, this.client.streams, this.server.streams, cleanup, () => nest(cleanup));
    this.server.tls.start();
    this.client.tls.start();
  }

  /** Pump until it holds. @throws with what both ends say if it never does */
  until(holds: () => boolean, what: string): void {
    const deadline = numberOfU64(now()) + PATIENCE;
    for (;;) {
      this.link.pump();
      if (holds()) return;
      if (numberOfU64(now()) > deadline) throw new Error(`never came: ${what}; client ${this.client.view()}; server ${this.server.view()}`);
      rest();
    }
  }

  /** Pump for some turns of the host, in which something else must not happen. */
  linger(turns = 12): void {
    for (let i = 0; i < turns; i++) {
      this.link.pump();
      rest();
    }
  }

  /** Until neither end will be suspended again, and both are done with the handshake. */
  establish(): this {
    this.until(() => this.client.isEstablished && this.server.isEstablished, "both ends established");
    return this;
  }

  /** Until both ends know how it ended. */
  ended(): [client: string, server: string] {
    this.until(() => this.client.outcome() !== "none" && this.server.outcome() !== "none", "both outcomes");
    return [this.client.outcome(), this.server.outcome()];
  }

  /** Take the client's next suspension. */
  suspendClient(): ClientSuspension {
    return this.#suspension(() => this.client.tls.suspend(), "a suspension of the client");
  }

  /** Take the server's next suspension. */
  suspendServer(): ServerSuspension {
    return this.#suspension(() => this.server.tls.suspend(), "a suspension of the server");
  }

  /** Say something in both directions, and hear it. */
  talk(): void {
    this.send(this.client, this.server, "from the client");
    this.send(this.server, this.client, "from the server");
  }

  send(from: AnyEnd, to: AnyEnd, text: string): void {
    from.write(text);
    let heard = "";
    this.until(() => (heard += to.read()).length >= text.length, `${JSON.stringify(text)} at the other end`);
    if (heard !== text) throw new Error(`heard ${JSON.stringify(heard)} where ${JSON.stringify(text)} was said`);
  }

  /** Read what `end` still receives, to its end: `text|closed` or `text|error`. */
  readToEnd(end: AnyEnd): string {
    let heard = "";
    this.until(() => {
      heard += end.read();
      return end.inputEnd !== undefined;
    }, "the end of what is received");
    return `${heard}|${end.inputEnd}`;
  }

  #suspension<T>(suspend: () => T, what: string): T {
    let taken: T | undefined;
    this.until(() => {
      taken = attemptSuspend(suspend);
      return taken !== undefined;
    }, what);
    return taken!;
  }
}

/** One end of a pair. */
export class End<T extends Client | Server> {
  readonly tls: T;
  readonly streams: IoStreams;
  /** How `private-input` ended: `closed`, or the TLS error of its failure. */
  inputEnd: string | undefined;

  constructor(tls: T, streams: IoStreams) {
    this.tls = tls;
    this.streams = streams;
  }

  get isEstablished(): boolean {
    try {
      this.tls.peerIdentity()?.[Symbol.dispose]();
      return true;
    } catch (error) {
      if (isErrorValue(error)) return false;
      throw error;
    }
  }

  /** Write all of it; it must fit. */
  write(text: string): void {
    const bytes = bytesOf(text);
    if (numberOfU64(this.streams.privateOutput.checkWrite()) < bytes.length) throw new Error("private-output has no room");
    this.streams.privateOutput.write(bytes);
  }

  /** What has arrived. */
  read(): string {
    if (this.inputEnd !== undefined) return "";
    try {
      return textOf(this.streams.privateInput.read(u64(65_536)));
    } catch (error) {
      if (!isErrorValue(error)) throw error;
      this.inputEnd = streamErrorText(error.payload);
      return "";
    }
  }

  /** How many bytes have arrived and are now gone: for what is too much to be looked at. */
  skip(): number {
    try {
      return numberOfU64(this.streams.privateInput.skip(u64(MUCH)));
    } catch (error) {
      if (!isErrorValue(error)) throw error;
      return 0;
    }
  }

  outcome(): string {
    return outcomeText(this.tls.outcome());
  }

  view(): string {
    return `${this.isEstablished ? "established" : "not established"}, ${this.outcome()} (${this.tls.errorDetail() ?? "no detail"})`;
  }

  close(): void {
    this.streams.privateInput[Symbol.dispose]();
    this.streams.privateOutput[Symbol.dispose]();
    this.tls[Symbol.dispose]();
  }
}

export function makeClient(options: PairOptions = {}): Client {
  const client = new Client(options.serverName ?? "server.test", options.client ?? {});
  // What an earlier case left behind must not change this one.
  client.configureSessionUse(false);
  if (options.version !== undefined) client.configureProtocolVersions(options.version, options.version);
  if (options.clientIdentity !== undefined) {
    using identity = PrivateIdentity.open(options.clientIdentity);
    client.configureIdentities([identity]);
  }
  options.configureClient?.(client);
  return client;
}

export function makeServer(options: PairOptions = {}): Server {
  const server = new Server(options.server ?? {});
  if (options.identity !== "") {
    using identity = PrivateIdentity.open(options.identity ?? "server");
    server.configureIdentities([identity]);
  }
  if (options.version !== undefined) server.configureProtocolVersions(options.version, options.version);
  if (options.asks !== undefined) {
    using anchors = TrustAnchors.host();
    server.configureVerification({ mode: options.asks, anchors });
  }
  options.configureServer?.(server);
  return server;
}

/** What a stream's error means: `closed`, the TLS error of a failure, or `failed` for one that is not of TLS. */
export function streamErrorText(payload: unknown): string {
  const error = payload as { tag: string; val?: Parameters<typeof tlsErrorCode>[0] };
  if (error.tag === "closed") return "closed";
  const code = tlsErrorCode(error.val!);
  error.val![Symbol.dispose]();
  return code === undefined || code === null ? "failed" : errorText(code);
}

const MUCH = 1024 * 1024;

/** How long something may take to come about, in nanoseconds. */
const PATIENCE = 10_000_000_000;

function attemptSuspend<T>(suspend: () => T): T | undefined {
  try {
    return suspend();
  } catch (error) {
    if (isErrorValue(error) && error.payload === "not-ready") return undefined;
    throw error;
  }
}

/** An established connection in memory, whose private streams are a transport. */
function nest(cleanup: Cleanup): ReturnType<Parameters<typeof link>[4]> {
  const outer = new Pair(memory, cleanup).establish();
  const { client, server } = outer;
  return {
    client: { input: client.streams.privateInput, output: client.streams.privateOutput },
    server: { input: server.streams.privateInput, output: server.streams.privateOutput },
    pump: () => outer.link.pump(),
  };
}
