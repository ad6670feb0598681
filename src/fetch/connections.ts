import { formatSocketAddress } from "../net/socket-address.ts";
import { connectTcp } from "../net/connect.ts";
import type { TcpConnection } from "../net/tcp-connection.ts";
import type { HttpUrl } from "../http1/url.ts";
import { bracketed } from "../http1/url.ts";
import type { Scope } from "../reactor/cancel.ts";
import type { Channel, TlsConnector } from "./binding.ts";
import { connectFailure, handshakeFailure } from "./failure.ts";
import { type Handshake, newHandshake } from "./handshake.ts";
import type { ConnectTo } from "./options.ts";

/** A connection with what was learnt when it was made. */
export interface Connection {
  channel: Channel;
  handshake: Handshake;
  /** Whether it has carried a request before. */
  reused: boolean;
}

/** Told of a handshake when it is over, whether or not it succeeded. */
export type OnHandshake = (handshake: Handshake, failure: unknown) => Promise<void>;

/** Makes connections, and keeps those that can carry another request: one for each origin. */
export class Connections implements Disposable {
  readonly #connector: TlsConnector;
  readonly #connectTo: readonly ConnectTo[];
  readonly #observe: boolean;
  readonly #onHandshake: OnHandshake;
  readonly #idle = new Map<string, Connection>();

  constructor(connector: TlsConnector, options: { connectTo: readonly ConnectTo[]; observe: boolean; onHandshake: OnHandshake }) {
    this.#connector = connector;
    this.#connectTo = options.connectTo;
    this.#observe = options.observe;
    this.#onHandshake = options.onHandshake;
  }

  /**
   * A connection for a URL: one that is idle, or a new one.
   *
   * @param useIdentity whether the server may be shown the client's certificate
   * @param fresh whether it has to be a new one
   * @throws {FetchError}
   */
  async acquire(url: HttpUrl, useIdentity: boolean, fresh: boolean, scope: Scope): Promise<Connection> {
    const key = keyOf(url, useIdentity);
    const idle = this.#idle.get(key);
    this.#idle.delete(key);
    if (idle !== undefined) {
      if (!fresh && isQuiet(idle.channel)) return { ...idle, reused: true };
      idle.channel[Symbol.dispose]();
    }
    return await this.#connect(url, useIdentity, scope);
  }

  /** The connection is free for another request. */
  release(url: HttpUrl, useIdentity: boolean, connection: Connection): void {
    const key = keyOf(url, useIdentity);
    const other = this.#idle.get(key);
    if (other !== undefined) close(other.channel);
    this.#idle.set(key, connection);
  }

  [Symbol.dispose](): void {
    for (const { channel } of this.#idle.values()) close(channel);
    this.#idle.clear();
  }

  async #connect(url: HttpUrl, useIdentity: boolean, scope: Scope): Promise<Connection> {
    const { host, port } = dialled(url, this.#connectTo);
    let transport: TcpConnection | undefined;
    let handshake: Handshake;
    try {
      transport = await connectTcp(host, port, scope);
      handshake = newHandshake(url.host, formatSocketAddress(transport.remoteAddress));
    } catch (error) {
      transport?.[Symbol.dispose]();
      throw connectFailure(scope.reason ?? error, host, `${bracketed(host)}:${port}`);
    }
    try {
      const channel = await this.#connector.connect(transport, url.host, { handshake, observe: this.#observe, useIdentity, scope });
      await this.#onHandshake(handshake, undefined);
      return { channel, handshake, reused: false };
    } catch (error) {
      const failure = handshakeFailure(scope.reason ?? error, url.host);
      await this.#onHandshake(handshake, failure);
      throw failure;
    }
  }
}

/** Close a connection gracefully. */
export function close(channel: Channel): void {
  channel.end();
  channel[Symbol.dispose]();
}

/** Nothing has come since the last answer, least of all the end: whatever came would be no answer to the next request. */
function isQuiet(channel: Channel): boolean {
  try {
    return channel.reader.tryRead()?.length === 0;
  } catch {
    return false;
  }
}

function keyOf(url: HttpUrl, useIdentity: boolean): string {
  return `${url.host} ${url.port} ${useIdentity}`;
}

function dialled(url: HttpUrl, rules: readonly ConnectTo[]): { host: string; port: number } {
  const rule = rules.find(({ from }) => (from.host ?? url.host) === url.host && (from.port ?? url.port) === url.port);
  return { host: rule?.to.host ?? url.host, port: rule?.to.port ?? url.port };
}
