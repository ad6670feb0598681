import { type IpAddress, ipAddressOrUndefined } from "../../src/wire/ip-address.ts";
import { WitError } from "../io/error.ts";
import { InputStream } from "../io/input-stream.ts";
import { type Ledger, Resource } from "../io/ledger.ts";
import { OutputStream } from "../io/output-stream.ts";
import { Pollable } from "../io/poll.ts";
import { Signal } from "../io/signal.ts";
import { type Resolver, systemResolver } from "../net/name-lookup.ts";
import { type NetworkErrorCode, networkErrorCode } from "../net/network-error.ts";
import { TcpConnection } from "../net/tcp-socket.ts";
import { recordEnd } from "./connection-end.ts";
import { type DialName, type DialRules, parseDialName, type Refusal } from "./dial-rules.ts";
import { connectFirst, type Winner } from "./happy-eyeballs.ts";
import type { RateLimit } from "./rate-limit.ts";
import type { Recorder } from "./recorder.ts";

/** The WIT variant `sallyport:gateway/dial.dial-error`. */
export type DialError =
  | { tag: "refused"; val: Refusal }
  | {
      tag:
        | "invalid-name"
        | "name-unresolvable"
        | "resolver-failure"
        | "connection-refused"
        | "unreachable"
        | "timeout"
        | "failed"
        | "too-many"
        | "not-recorded"
        | "would-block"
        | "finished";
    };

/** The WIT record `options`. */
interface DialOptions {
  connection?: bigint;
  /** Nanoseconds. */
  timeout?: bigint;
}

/** The WIT record `connection`. */
export interface DialledConnection {
  id: bigint;
  address: string;
  input: InputStream;
  output: OutputStream;
}

/** What the host knows of a connection that it dialled. */
export interface Dialled {
  /** The host's number of the dial. */
  readonly id: number;
  /** What the guest calls it. */
  readonly connection: number | undefined;
  /** Name or address as it was asked for, in the one spelling. */
  readonly host: string;
  readonly port: number;
}

/** What dials of one instance need and share. */
export interface DialContext {
  ledger: Ledger;
  recorder: Recorder;
  /** `undefined`: nothing may be dialled. */
  rules: DialRules | undefined;
  resolver?: Resolver | undefined;
  /** The connections that were dialled, for what has to know where a stream leads. */
  dialled: WeakMap<TcpConnection, Dialled>;
  /** How many are begun in a second. */
  rate: RateLimit;
}

/** The imports `sallyport:gateway/dial` of one instance. */
export function dialImports(dialler: Dialler): Record<string, object> {
  class Dialing extends DialingResource {}
  return {
    Dialing,
    dial: (text: string, port: number, { connection, timeout }: DialOptions): DialingResource =>
      new Dialing(dialler.context, dialler.dial(text, port, labelOf(connection), timeoutOf(timeout))),
  };
}

/** Makes the dials of one instance, for its guest and for host code that acts for it. */
export class Dialler {
  readonly context: DialContext;
  #count = 0;
  #running = 0;

  constructor(context: DialContext) {
    this.context = context;
  }

  /**
   * Begin to dial.
   *
   * @param connection the guest's number, for the records
   * @param timeout milliseconds
   * @throws {WitError<DialError>}
   */
  dial(text: string, port: number, connection: number | undefined, timeout: number): Attempt {
    const { context } = this;
    const name = port === 0 ? undefined : parseDialName(text);
    if (name === undefined) throw dialError("invalid-name");
    if (!context.rate.take()) throw dialError("too-many");
    const dialled: Dialled = { id: ++this.#count, connection, host: textOf(name), port };
    if (this.#running >= MAX_RUNNING) throw dialError("too-many");
    const refusal = context.rules === undefined ? "not-granted" : context.rules.refuseName(name, port);
    if (refusal !== undefined) throw refusedNow(context, dialled, refusal);
    this.#running++;
    const attempt = new Attempt(context, context.rules!, name, dialled, timeout);
    void attempt.over.then(() => this.#running--);
    return attempt;
  }
}

/** The WIT resource `dialing`. */
class DialingResource extends Resource {
  readonly #attempt: Attempt;
  #taken = false;

  constructor({ ledger }: DialContext, attempt: Attempt) {
    super(ledger);
    this.#attempt = attempt;
  }

  subscribe(): Pollable {
    const attempt = this.#attempt;
    return new Pollable(
      this.ledger,
      attempt.changed.when(() => attempt.outcome !== undefined),
    );
  }

  /** @throws {WitError<DialError>} */
  finish(): DialledConnection {
    const { outcome, dialled } = this.#attempt;
    if (this.#taken) throw dialError("finished");
    if (outcome === undefined) throw dialError("would-block");
    this.#taken = true;
    if (outcome.tag === "failed") throw new WitError(outcome.error);
    const { connection, address } = outcome;
    return {
      id: BigInt(dialled.id),
      address: address.text,
      input: new InputStream(this.ledger, connection.source),
      output: new OutputStream(this.ledger, connection.sink),
    };
  }

  protected override release(): void {
    if (!this.#taken) this.#attempt.giveUp();
  }
}

/** How a dial went. */
export type Outcome = { tag: "connected"; connection: TcpConnection; address: IpAddress } | { tag: "failed"; error: DialError };

/** One dial: lookup, check, connect, in one go and within one time. */
export class Attempt {
  /** Notified when the outcome is known. */
  readonly changed = new Signal();
  /** Resolves when nothing is under way any more. */
  readonly over: Promise<void>;
  readonly dialled: Dialled;
  readonly #context: DialContext;
  readonly #rules: DialRules;
  readonly #abort = new AbortController();
  readonly #began = performance.now();
  #outcome: Outcome | undefined;

  constructor(context: DialContext, rules: DialRules, name: DialName, dialled: Dialled, timeout: number) {
    this.dialled = dialled;
    this.#context = context;
    this.#rules = rules;
    const disown = context.ledger.own(() => this.#abort.abort(GIVEN_UP));
    const timer = setTimeout(() => this.#abort.abort(TIMED_OUT), timeout);
    this.over = this.#run(name).finally(() => {
      clearTimeout(timer);
      disown();
    });
  }

  get outcome(): Outcome | undefined {
    return this.#outcome;
  }

  /** Nobody wants it any more. */
  giveUp(): void {
    this.#abort.abort(GIVEN_UP);
    if (this.#outcome?.tag === "connected") this.#outcome.connection.abort();
  }

  async #run(name: DialName): Promise<void> {
    const { dialled } = this;
    try {
      const addresses = name.tag === "address" ? [name.address] : await this.#lookUp(name.name);
      const refused = this.#rules.refuseAnswer(addresses, dialled.port);
      if (refused !== undefined) throw refusedNow(this.#context, dialled, refused.refusal, refused.address);
      // Before, not after: a connection that cannot be recorded must not come about.
      if (!this.#record("dial", { addresses: addresses.map((address) => address.text) })) throw dialError("not-recorded");
      const winner = await connectFirst(addresses, dialled.port, this.#abort.signal);
      if (this.#abort.signal.aborted) {
        winner.socket.destroy();
        throw this.#abort.signal.reason;
      }
      this.#settle({ tag: "connected", connection: this.#adopt(winner), address: winner.address });
    } catch (cause) {
      const error = errorOf(cause);
      if (error.tag !== "refused" && error.tag !== "not-recorded")
        this.#record("dial-failed", { reason: cause === GIVEN_UP ? "given up" : error.tag, duration_ms: this.#elapsed });
      this.#settle({ tag: "failed", error });
    }
  }

  async #lookUp(name: string): Promise<IpAddress[]> {
    const { signal } = this.#abort;
    const resolve = this.#context.resolver ?? systemResolver;
    let answers: readonly string[];
    try {
      answers = await Promise.race([resolve(name), rejection(signal)]);
    } catch (cause) {
      throw signal.aborted ? signal.reason : dialError(lookupError(networkErrorCode(cause)));
    }
    // All are looked at: one that is refused refuses the name, wherever it stands.
    const addresses = answers.map((answer) => ipAddressOrUndefined(answer.replace(/%.*$/, "")));
    const known = addresses.filter((address) => address !== undefined);
    if (known.length === 0) throw dialError("name-unresolvable");
    const refused = this.#rules.refuseAnswer(known, this.dialled.port);
    if (refused !== undefined) throw refusedNow(this.#context, this.dialled, refused.refusal, refused.address);
    return known.slice(0, MAX_ADDRESSES);
  }

  /** The instance owns the socket; its end is recorded however it comes. */
  #adopt({ socket, address }: Winner): TcpConnection {
    const { ledger, recorder } = this.#context;
    const fields = { ...describe(this.dialled), upstream: address.text };
    recordEnd({ ledger, recorder, kind: "dials", socket, began: this.#began, fields });
    const disown = ledger.own(() => socket.destroy());
    socket.once("close", disown);
    const connection = new TcpConnection(socket);
    this.#context.dialled.set(connection, this.dialled);
    return connection;
  }

  #record(event: string, fields: Record<string, string | number | readonly string[] | undefined>): boolean {
    return this.#context.recorder.host(event, { ...describe(this.dialled), ...fields });
  }

  get #elapsed(): number {
    return Math.round(performance.now() - this.#began);
  }

  #settle(outcome: Outcome): void {
    this.#outcome = outcome;
    this.changed.notify();
  }
}

/** What the records of a dial have in common. */
export function describe({ connection, id, host, port }: Dialled): {
  connection: number | undefined;
  dial: number;
  host: string;
  port: number;
} {
  return { connection, dial: id, host, port };
}

/** Record a refusal. @returns what to throw */
function refusedNow({ recorder }: DialContext, dialled: Dialled, refusal: Refusal, address?: IpAddress): WitError<DialError> {
  recorder.host("dial-refused", { ...describe(dialled), reason: refusal, upstream: address?.text });
  return new WitError<DialError>({ tag: "refused", val: refusal });
}

function dialError(tag: Exclude<DialError["tag"], "refused">): WitError<DialError> {
  return new WitError<DialError>({ tag });
}

function errorOf(cause: unknown): DialError {
  if (cause instanceof WitError) return (cause as WitError<DialError>).payload;
  if (cause === TIMED_OUT) return { tag: "timeout" };
  switch (networkErrorCode(cause)) {
    case "connection-refused":
      return { tag: "connection-refused" };
    case "remote-unreachable":
      return { tag: "unreachable" };
    case "timeout":
      return { tag: "timeout" };
    default:
      return { tag: "failed" };
  }
}

function lookupError(code: NetworkErrorCode): "name-unresolvable" | "resolver-failure" {
  return code === "name-unresolvable" ? code : "resolver-failure";
}

function rejection(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason as Error);
    else signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
  });
}

function textOf(name: DialName): string {
  return name.tag === "address" ? name.address.text : name.name;
}

/** A number of the guest's, if it is one that records can have. */
export function labelOf(connection: bigint | undefined): number | undefined {
  return connection === undefined || connection > BigInt(Number.MAX_SAFE_INTEGER) ? undefined : Number(connection);
}

/** Milliseconds, no more than a dial may take. */
export function timeoutOf(nanoseconds: bigint | undefined): number {
  return nanoseconds === undefined ? MAX_TIMEOUT : Math.min(MAX_TIMEOUT, Number(nanoseconds / 1_000_000n));
}

const TIMED_OUT = new Error("the dial took too long");
const GIVEN_UP = new Error("the dial was given up");
/** Milliseconds. */
const MAX_TIMEOUT = 30_000;
const MAX_RUNNING = 1024;
/** Addresses of one name that are tried. */
const MAX_ADDRESSES = 16;
