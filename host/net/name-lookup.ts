import { type IpAddress, ipAddressOrUndefined } from "../../src/wire/ip-address.ts";
import { Signal } from "../io/signal.ts";
import type { NetworkAccess } from "./access.ts";
import { parseHostName } from "./host-name.ts";
import { NetworkError, networkErrorCode } from "./network-error.ts";

/** How names become addresses: their literals, in the order in which to try them. Rejects as node:dns does. */
export type Resolver = (name: string) => Promise<readonly string[]>;

/** What the operating system says, hosts file included, both families. */
export const systemResolver: Resolver = (name) => {
  // Loaded at the first name: many a thread never sees one.
  const { lookup } = process.getBuiltinModule("node:dns");
  return new Promise((resolve, reject) => {
    lookup(name, { all: true, order: "verbatim" }, (error, answers) => {
      if (error === null) resolve(answers.map((answer) => answer.address));
      else reject(error);
    });
  });
};

/** The outcome of a lookup. */
export type LookupState = { tag: "pending" } | { tag: "found"; addresses: readonly IpAddress[] } | { tag: "failed"; error: NetworkError };

/** Looks names up for one instance, within its grants. */
export class NameLookup {
  readonly #access: NetworkAccess;
  readonly #resolve: Resolver;
  #running = 0;

  constructor(access: NetworkAccess, resolve: Resolver = systemResolver) {
    this.#access = access;
    this.#resolve = resolve;
  }

  /**
   * Begin to look up a name. An IP literal is its own answer and needs no grant until it is connected to.
   *
   * @param port where it is known already: the name must then be granted for it.
   * @throws {NetworkError} invalid-argument, access-denied
   */
  start(text: string, port?: number): Lookup {
    const literal = ipAddressOrUndefined(text.startsWith("[") && text.endsWith("]") ? text.slice(1, -1) : text);
    if (literal !== undefined) return new Lookup(Promise.resolve([literal]), [literal]);
    const name = parseHostName(text);
    if (name === undefined) throw new NetworkError("invalid-argument", "not a host name");
    this.#access.permitName(name, port);
    if (this.#running >= MAX_RUNNING) throw new NetworkError("temporary-resolver-failure", "too many lookups at once");
    return new Lookup(this.#run(name));
  }

  async #run(name: string): Promise<readonly IpAddress[]> {
    this.#running++;
    try {
      const answers = await this.#resolve(name);
      const addresses = answers.slice(0, MAX_ANSWERS).map((answer) => ipAddressOrUndefined(answer.replace(/%.*$/, "")));
      const known = addresses.filter((address) => address !== undefined);
      if (known.length === 0) throw new NetworkError("name-unresolvable");
      this.#access.permitAnswer(name, known);
      return known;
    } finally {
      this.#running--;
    }
  }
}

/** One lookup under way. */
export class Lookup {
  /** Notified when it is over. */
  readonly changed = new Signal();
  #state: LookupState = { tag: "pending" };

  constructor(answer: Promise<readonly IpAddress[]>, known?: readonly IpAddress[]) {
    if (known !== undefined) this.#state = { tag: "found", addresses: known };
    answer.then(
      (addresses) => this.#settle({ tag: "found", addresses }),
      (cause: unknown) => {
        const error = cause instanceof NetworkError ? cause : new NetworkError(lookupCode(cause));
        this.#settle({ tag: "failed", error });
      },
    );
  }

  state(): LookupState {
    return this.#state;
  }

  #settle(state: LookupState): void {
    this.#state = state;
    this.changed.notify();
  }
}

function lookupCode(cause: unknown): NetworkError["code"] {
  const code = networkErrorCode(cause);
  return code === "unknown" ? "permanent-resolver-failure" : code;
}

/** getaddrinfo occupies a thread of libuv's pool each: an instance may queue so many. */
const MAX_RUNNING = 64;
const MAX_ANSWERS = 64;
