import type { ServerName } from "../../src/wire/server-name.ts";
import type { KeyPair } from "../identity/private-identity.ts";
import type { AnchorSet } from "../identity/trust-anchors.ts";
import { WitError } from "../io/error.ts";
import type { TlsErrorValue } from "../io/source.ts";
import { groupList, isTls13Suite, schemeList, suiteList, versionName } from "./wire-names.ts";

/** What a connection is configured with. Every value that a guest gave was checked by the functions below. */
export interface Settings {
  alpnIds: Uint8Array[];
  identities: KeyPair[];
  /** The anchors that the guest named; `undefined` for the host's own. */
  anchors: AnchorSet | undefined;
  /** Clients: the names one of which the leaf must cover. */
  names: ServerName[];
  clientCertificate: "none" | "optional" | "required";
  minimumVersion: number;
  maximumVersion: number;
  cipherSuites: number[] | undefined;
  groups: number[] | undefined;
  signatureSchemes: number[] | undefined;
  useSessions: boolean;
  truncation: "detect" | "tolerate";
}

export const TLS12 = 0x0303;
export const TLS13 = 0x0304;

export function defaultSettings(): Settings {
  return {
    alpnIds: [],
    identities: [],
    anchors: undefined,
    names: [],
    clientCertificate: "none",
    minimumVersion: TLS12,
    maximumVersion: TLS13,
    cipherSuites: undefined,
    groups: undefined,
    signatureSchemes: undefined,
    useSessions: true,
    truncation: "detect",
  };
}

/**
 * The versions that may be spoken: those that are configured, without one for which no suite is. OpenSSL would fall back to
 * suites of its own there. The range may be empty.
 */
export function spokenVersions({ minimumVersion, maximumVersion, cipherSuites }: Settings): { minimum: number; maximum: number } {
  const speaks = (isTls13: boolean) => cipherSuites?.some((suite) => isTls13Suite(suite) === isTls13) ?? true;
  return {
    minimum: speaks(false) ? minimumVersion : Math.max(minimumVersion, TLS13),
    maximum: speaks(true) ? maximumVersion : Math.min(maximumVersion, TLS12),
  };
}

/** The longest list of anything that a guest may configure. */
const MAX_LIST = 64;
const MAX_ALPN_BYTES = 4096;

/** @throws {WitError} `invalid-argument` */
export function checkAlpnIds(ids: Uint8Array[]): Uint8Array[] {
  let total = 0;
  for (const id of ids) {
    if (id.length < 1 || id.length > 255) throw refused("invalid-argument");
    total += id.length + 1;
  }
  if (total > MAX_ALPN_BYTES) throw refused("invalid-argument");
  return ids.map((id) => id.slice());
}

/** @throws {WitError} `invalid-argument` for an unknown version or an empty range, `not-supported` below TLS 1.2 */
export function checkVersions(minimum: number | undefined, maximum: number | undefined): { minimum: number; maximum: number } {
  const range = { minimum: minimum ?? TLS12, maximum: maximum ?? TLS13 };
  for (const version of [range.minimum, range.maximum]) {
    if (version >= 0x0300 && version < TLS12) throw refused("not-supported");
    if (versionName(version) === undefined) throw refused("invalid-argument");
  }
  if (range.minimum > range.maximum) throw refused("invalid-argument");
  return range;
}

/** @throws {WitError} `invalid-argument` for an empty list, a duplicate or an unknown value */
export function checkSuites(values: ArrayLike<number>): number[] {
  return checkList(values, suiteList);
}

/** As `checkSuites`. */
export function checkGroups(values: ArrayLike<number>): number[] {
  return checkList(values, groupList);
}

/** As `checkSuites`. */
export function checkSchemes(values: ArrayLike<number>): number[] {
  return checkList(values, schemeList);
}

function checkList(values: ArrayLike<number>, names: (values: number[]) => string | undefined): number[] {
  const list = Array.from(values);
  const isUsable = list.length > 0 && list.length <= MAX_LIST && new Set(list).size === list.length && names(list) !== undefined;
  if (!isUsable) throw refused("invalid-argument");
  return list;
}

/** ALPN ids as RFC 7301 puts them on the wire. */
export function alpnWire(ids: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat(ids.flatMap((id) => [Uint8Array.of(id.length), id]));
}

/** A `result<_, error>` error without a payload. */
export function refused(tag: Exclude<TlsErrorValue, { val: unknown }>["tag"]): WitError<TlsErrorValue> {
  return new WitError<TlsErrorValue>({ tag });
}
