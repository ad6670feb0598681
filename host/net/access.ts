import type { IpAddress } from "../../src/wire/ip-address.ts";
import { type AddressClass, classify, isRestricted } from "./address-class.ts";
import type { Grants } from "./grants.ts";
import { formatEndpoint } from "./endpoint.ts";
import { NetworkError } from "./network-error.ts";

/** Told of every refusal, in one bounded line that names the grant which is missing. */
export type OnRefusal = (line: string) => void;

/**
 * What one instance may reach: its grants, and the addresses that it resolved granted names to. Every socket and every lookup
 * of the instance asks here, whichever interface it came through.
 */
export class NetworkAccess {
  readonly #grants: Grants;
  readonly #onRefusal: OnRefusal;
  /** Address → the granted names that answered with it. */
  readonly #resolved = new Map<string, Set<string>>();

  constructor(grants: Grants, onRefusal: OnRefusal) {
    this.#grants = grants;
    this.#onRefusal = onRefusal;
  }

  /**
   * Whether a name may be asked for.
   *
   * @param name as `parseHostName` returns it.
   * @param port where it is known already, as for a dial in one step.
   * @throws {NetworkError} access-denied
   */
  permitName(name: string, port?: number): void {
    if (this.#grants.name(name, port) !== undefined) return;
    throw this.#refuse(`resolve ${JSON.stringify(name)}`, `--allow-net ${name}:${port ?? "PORT"}`); // a lookup names no port
  }

  /**
   * Take in the answer to a lookup, so that its addresses may be connected to.
   * One restricted address among them spoils the whole answer: a name that points at a metadata service is an attack.
   *
   * @throws {NetworkError} access-denied
   */
  permitAnswer(name: string, addresses: readonly IpAddress[]): void {
    for (const address of addresses) {
      const kind = classify(address);
      if (!isRestricted(kind) || this.#grants.restrictedAddress(address, kind)) continue;
      throw this.#refuse(
        `resolve ${JSON.stringify(name)}: it answers the ${kind} address ${address.text}`,
        `--allow-net ${formatEndpoint(address, 80)}`,
      );
    }
    for (const address of addresses) this.#remember(name, address);
  }

  /** Whether this instance may connect there. @throws {NetworkError} access-denied */
  permitConnect(address: IpAddress, port: number): void {
    const kind = classify(address);
    if (isRestricted(kind)) {
      if (this.#grants.restrictedAddress(address, kind, port)) return;
      throw this.#refuse(`connect to the ${kind} address ${formatEndpoint(address, port)}`, `--allow-net ${formatEndpoint(address, port)}`);
    }
    if (this.#grants.address(address, port)) return;
    const names = this.#resolved.get(address.text) ?? [];
    for (const name of names) {
      const grant = this.#grants.name(name, port);
      if (grant === "named" || (grant === "any" && isOutside(kind))) return;
    }
    const name = [...names].at(-1);
    throw name === undefined || this.#grants.name(name, port) === "any"
      ? this.#refuse(`connect to ${formatEndpoint(address, port)}`, `--allow-net ${formatEndpoint(address, port)}`)
      : this.#refuse(`connect to ${JSON.stringify(name)} port ${port}`, `--allow-net ${name}:${port}`);
  }

  /** Whether this instance may bind a socket there. @throws {NetworkError} access-denied */
  permitListen(address: IpAddress, port: number): void {
    if (this.#grants.listens(address, port)) return;
    throw this.#refuse(`listen on ${formatEndpoint(address, port)}`, `--listen ${formatEndpoint(address, port)}`);
  }

  #remember(name: string, address: IpAddress): void {
    const key = address.text;
    const names = this.#resolved.get(key) ?? new Set();
    names.delete(name);
    names.add(name);
    if (names.size > MAX_NAMES) names.delete(names.values().next().value!);
    this.#resolved.delete(key);
    this.#resolved.set(key, names);
    if (this.#resolved.size > MAX_ADDRESSES) this.#resolved.delete(this.#resolved.keys().next().value!);
  }

  #refuse(what: string, flag: string): NetworkError {
    const line = refusalLine(what, flag);
    this.#onRefusal(line);
    return new NetworkError("access-denied", line);
  }
}

/** One line about something refused, bounded and without control characters. */
export function refusalLine(what: string, flag: string): string {
  const line = `sallyport: refused: ${bounded(what)}; grant it with ${bounded(flag)}`;
  return line.replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu, (char) => `\\u{${char.codePointAt(0)!.toString(16)}}`);
}

function bounded(text: string): string {
  return text.length > MAX_PART ? `${text.slice(0, MAX_PART)}…` : text;
}

function isOutside(kind: AddressClass): boolean {
  return kind === "public" || kind === "reserved";
}

const MAX_PART = 300;
const MAX_ADDRESSES = 4096;
const MAX_NAMES = 16;
