import { formatSocketAddress } from "../../src/net/socket-address.ts";
import type { TcpConnection } from "../../src/net/tcp-connection.ts";
import { type Nanoseconds, now, Scope } from "../../src/reactor/index.ts";
import type { Channel } from "../../src/tokens/index.ts";
import type { TokenHolder } from "./access-keys.ts";
import type { Door } from "./proxy-auth.ts";

/** One client connection. */
export interface Client {
  /** Its number in all records. */
  readonly id: number;
  readonly address: string;
  readonly began: Nanoseconds;
  /** Cancelled when the connection has to end: the policy no longer allows it, or the proxy stops. */
  readonly scope: Scope;
  /** Who is let in with it. */
  readonly door: Door;
  /** Of the token that it showed last. */
  groups: readonly string[];
  /** Whom that token vouches for. */
  holder: TokenHolder | undefined;
  /** How often it showed what was not accepted. */
  refusals: number;
  /** What its tokens can be bound to: nothing without TLS to the proxy itself. */
  channel: Channel;
  /** Of the certificate that it showed in TLS to the proxy itself. */
  certificateSubject: string | undefined;
  /**
   * Whether the policy still decides in the same way, as the connection goes on; asked after each change of the policy.
   * `undefined`: nothing has been decided yet.
   */
  stillAllowed: (() => boolean) | undefined;
  /** Cancelled when the client is between two requests and the proxy wants no further one. */
  readonly idle: Scope;
  /** What the end of the connection is recorded with. */
  readonly tally: { fromClient: number; toClient: number };
}

/** The policy was changed, and does not allow the connection any more. */
export class NoLongerAllowed extends Error {
  readonly code = "ERR_SALLYPORT_NO_LONGER_ALLOWED";

  constructor() {
    super("the policy was changed and does not allow this any more");
  }
}

/** Whoever the client's token vouches for is revoked. */
export class HolderRevoked extends Error {
  readonly code = "ERR_SALLYPORT_REVOKED";

  constructor() {
    super("the subject of the token was revoked");
  }
}

/** The token with which the client was let in has expired. */
export class TokenExpired extends Error {
  readonly code = "ERR_SALLYPORT_TOKEN_EXPIRED";

  constructor() {
    super("the token expired");
  }
}

/** The proxy stops, and the time for what was running is over. */
export class Stopped extends Error {
  readonly code = "ERR_SALLYPORT_STOPPED";

  constructor() {
    super("the proxy stopped");
  }
}

/** The clients that are there. */
export class Clients {
  private readonly all = new Set<Client>();
  private readonly stopping = new Scope();
  private count = 0;
  private onEmpty: (() => void) | undefined;

  /** How many are there. */
  get size(): number {
    return this.all.size;
  }

  /** How many came so far. */
  get total(): number {
    return this.count;
  }

  /** A client has come. */
  enter(address: string, door: Door): Client {
    const client = new Entered(++this.count, address, door, this.stopping);
    this.all.add(client);
    return client;
  }

  /** It has gone. */
  leave(client: Client): void {
    this.all.delete(client);
    client.scope[Symbol.dispose]();
    (client as Entered).endIdle();
    if (this.all.size === 0) this.onEmpty?.();
  }

  /** End those whose connection is no longer allowed. Returns how many. */
  reconsider(): number {
    const ended = Array.from(this.all).filter(({ stillAllowed }) => stillAllowed?.() === false);
    for (const client of ended) client.scope.cancel(new NoLongerAllowed());
    return ended.length;
  }

  /** End those of some holders. Returns how many. @param because with what each ends */
  expel(concerns: (holder: TokenHolder) => boolean, because: () => Error): number {
    const ended = Array.from(this.all).filter(({ holder }) => holder !== undefined && concerns(holder));
    for (const client of ended) client.scope.cancel(because());
    return ended.length;
  }

  /** Want no further request of anybody. */
  finish(): void {
    this.stopping.cancel(new Stopped());
  }

  /** End everything. */
  end(): void {
    for (const client of Array.from(this.all)) client.scope.cancel(new Stopped());
  }

  /** Resolves when nobody is there. */
  async untilEmpty(): Promise<void> {
    if (this.all.size > 0) await new Promise<void>((resolve) => (this.onEmpty = resolve));
  }
}

class Entered implements Client {
  readonly id: number;
  readonly address: string;
  readonly began = now();
  readonly scope = new Scope();
  readonly door: Door;
  groups: readonly string[] = [];
  holder: TokenHolder | undefined;
  refusals = 0;
  channel: Channel = {};
  certificateSubject: string | undefined;
  stillAllowed: (() => boolean) | undefined;
  readonly tally = { fromClient: 0, toClient: 0 };
  private readonly stopping: Scope;
  private own: Scope | undefined;

  constructor(id: number, address: string, door: Door, stopping: Scope) {
    this.id = id;
    this.address = address;
    this.door = door;
    this.stopping = stopping;
  }

  /** Made when it is asked for: most clients never wait for a request. */
  get idle(): Scope {
    return (this.own ??= new Scope(this.stopping));
  }

  endIdle(): void {
    this.own?.[Symbol.dispose]();
  }
}

/** The address of a client. One that has gone by now has none any more. */
export function addressOf(tcp: TcpConnection): string {
  try {
    return formatSocketAddress(tcp.remoteAddress);
  } catch {
    return "?";
  }
}
