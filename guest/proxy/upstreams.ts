import { optional } from "../../src/bindings/option.ts";
import type { Nanoseconds, Scope } from "../../src/reactor/index.ts";
import type { ConnectionDecision, Front, Host, Route } from "../../src/policy/index.ts";
import { hostText } from "../../src/policy/index.ts";
import { connectTls, RefusePeer, type TlsConnection, TlsError } from "../../src/tls/index.ts";
import { latin1 } from "../../src/wire/utf8.ts";
import { DialFailed, dialServer } from "./dialled.ts";
import { type LivePolicy, PolicyUnusable } from "./live-policy.ts";
import { within } from "./within.ts";

/** Where an intercepted connection goes on. */
export interface Destination {
  readonly route: Route;
  readonly front: Front | undefined;
  readonly port: number;
}

/** An intercepted connection's own way to the server. */
export interface UpstreamConnection extends Disposable {
  readonly tls: TlsConnection;
  /** What was connected to. */
  readonly address: string;
  /** What was negotiated. */
  readonly alpn: string | undefined;
}

/** Why there is no way to the server. */
export interface UpstreamFailure {
  /** In a word, for records: the host's reason of a dial, the error of a handshake. */
  readonly reason: string;
  /** One sentence for the client. */
  readonly message: string;
  readonly address: string | undefined;
  /** What to answer a request with. */
  readonly status: 403 | 502 | 504;
}

export type UpstreamResult =
  | { readonly tag: "ok"; readonly val: UpstreamConnection }
  | { readonly tag: "err"; readonly val: UpstreamFailure };

/** The destination of a decision; `undefined` for one that does not intercept. */
export function destinationOf(decision: ConnectionDecision, port: number): Destination | undefined {
  if (decision.tag !== "intercept" && decision.tag !== "front") return undefined;
  return { route: decision, front: decision.tag === "front" ? decision.front : undefined, port };
}

/** What the way to a server takes. */
export interface ConnectOptions {
  /** The client's number. */
  readonly connection: number;
  /** ALPN ids to offer; empty: none. */
  readonly alpn: readonly string[];
  readonly connectTime: Nanoseconds;
  readonly handshakeTime: Nanoseconds;
  readonly scope: Scope;
}

/** Makes the connections to servers, and remembers what they speak. */
export class Upstreams {
  private readonly live: LivePolicy;
  /** By route: the protocol that the server chose last, of those that the route allows. */
  private readonly chosen = new Map<string, string | undefined>();

  constructor(live: LivePolicy) {
    this.live = live;
  }

  /** The protocol that this server chose from all that the route allows; `undefined` if nobody asked it lately. */
  known(destination: Destination): { readonly alpn: string | undefined } | undefined {
    const key = keyOf(destination);
    return this.chosen.has(key) ? { alpn: this.chosen.get(key) } : undefined;
  }

  /** Remember what it chose. */
  learn(destination: Destination, alpn: string | undefined): void {
    const key = keyOf(destination);
    this.chosen.delete(key);
    this.chosen.set(key, alpn);
    if (this.chosen.size > MOST_KNOWN) this.chosen.delete(this.chosen.keys().next().value!);
  }

  /** What it is remembered for is no longer true. */
  forget(destination: Destination): void {
    this.chosen.delete(keyOf(destination));
  }

  /** Dial and shake hands. Never throws for what the network, the server or the host's rules do. */
  async connect(destination: Destination, options: ConnectOptions): Promise<UpstreamResult> {
    const { route, front, port } = destination;
    const to = front?.address ?? { host: route.host, port };
    let address: string | undefined;
    try {
      const tcp = await dialServer(hostText(to.host), to.port, {
        connection: options.connection,
        timeout: options.connectTime,
        scope: options.scope,
      });
      address = tcp.address;
      const tls = await within(
        options.handshakeTime,
        (scope) =>
          connectTls(tcp, front?.serverName ?? hostText(route.host), {
            alpn: options.alpn,
            ...this.expectations(destination),
            scope,
          }),
        options.scope,
      );
      const alpn = optional(tls.info.alpnId);
      return { tag: "ok", val: new Connected(tls, address, alpn === undefined ? undefined : latin1(alpn)) };
    } catch (error) {
      // It may have failed for the protocol: the next client's is asked for anew.
      this.forget(destination);
      return { tag: "err", val: failureOf(error, address) };
    }
  }

  /** What a server has to show, and is shown. @throws {PolicyUnusable} */
  expectations({ route: { upstream }, front }: Destination) {
    const identity = this.live.identity(upstream);
    const { pins } = upstream;
    return {
      anchors: this.live.anchors(upstream),
      ...(identity === undefined ? {} : { identities: [identity] }),
      ...(front === undefined || front.verifyNames.length === 0 ? {} : { names: [front.serverName, ...front.verifyNames] }),
      ...(pins.length === 0
        ? {}
        : {
            onServerIdentity: (server: { spkiFingerprint(): Uint8Array }) => {
              const shown = latin1(server.spkiFingerprint());
              if (!pins.some((pin) => latin1(pin) === shown)) throw new RefusePeer("the server's key is none of those that are pinned");
            },
          }),
    };
  }
}

/** One that is there. */
export class Connected implements UpstreamConnection {
  readonly tls: TlsConnection;
  readonly address: string;
  readonly alpn: string | undefined;

  constructor(tls: TlsConnection, address: string, alpn: string | undefined) {
    this.tls = tls;
    this.address = address;
    this.alpn = alpn;
  }

  [Symbol.dispose](): void {
    this.tls[Symbol.dispose]();
  }
}

/** What an error on the way to a server means. Errors that only a mistake in here can cause are thrown on. */
export function failureOf(error: unknown, address: string | undefined): UpstreamFailure {
  if (error instanceof DialFailed)
    return {
      reason: `dial: ${error.reason}`,
      message: error.message,
      address,
      status: error.isRefusal ? 403 : error.reason === "timeout" ? 504 : 502,
    };
  if (error instanceof TlsError)
    return {
      reason: error.reason.tag === "certificate" ? `certificate: ${error.reason.val}` : `tls: ${error.reason.tag}`,
      message: `the server's TLS was not acceptable: ${error.message}`,
      address,
      status: 502,
    };
  if (error instanceof RefusePeer) return { reason: "pin", message: error.message, address, status: 502 };
  if (error instanceof PolicyUnusable) return { reason: "policy", message: error.message, address, status: 502 };
  const { code, message } = error as { code?: string; message: string };
  if (code === "ERR_SALLYPORT_TIMEOUT") return { reason: "timeout", message: "the server took too long", address, status: 504 };
  if (code?.startsWith("ERR_SALLYPORT_") === true) return { reason: code, message, address, status: 502 };
  throw error;
}

/** One that has another upstream, another front or another name is another server. */
function keyOf({ route, front, port }: Destination): string {
  const { alpn, anchors, onlyAnchors, identity } = route.upstream;
  const place = front?.address === undefined ? "" : endpointOf(front.address);
  return [hostText(route.host), port, front?.serverName, place, alpn, anchors, onlyAnchors, identity].join("|");
}

function endpointOf({ host, port }: { host: Host; port: number }): string {
  return `${hostText(host)}:${port}`;
}

const MOST_KNOWN = 4096;
