import { JsonError, type JsonValue, readJsonExactly } from "../json/read-json.ts";
import { decodeUtf8 } from "../wire/utf8.ts";
import { WireError } from "../wire/wire-error.ts";
import { TokenError } from "./token-error.ts";

/** Claims as a token spells them: the bindings are still text, since what is wrong with them is found late. */
export interface SpelledClaims {
  subject: string;
  groups: string[];
  /** A u64. */
  expiresAt: bigint;
  issuer: string;
  audience: string;
  /** `cnf`. */
  certificateBinding: string | undefined;
  /** `tls-exporter`. */
  exporterBinding: string | undefined;
}

/**
 * Claims from a payload of bounded length. `groups`, `cnf` and `tls-exporter` may be missing, the bindings also be null;
 * members that are not known are skipped.
 *
 * @throws {TokenError} invalid-claims
 */
export function readClaims(payload: Uint8Array): SpelledClaims {
  const members = parse(payload);
  if (!(members instanceof Map)) throw new TokenError("invalid-claims", "not an object");
  return {
    subject: text(members, "sub"),
    groups: texts(members, "groups"),
    expiresAt: u64(members, "exp"),
    issuer: text(members, "iss"),
    audience: text(members, "aud"),
    certificateBinding: optionalText(members, "cnf"),
    exporterBinding: optionalText(members, "tls-exporter"),
  };
}

function parse(payload: Uint8Array): JsonValue<bigint> {
  try {
    return readJsonExactly(decodeUtf8(payload));
  } catch (error) {
    if (error instanceof JsonError || error instanceof WireError) throw new TokenError("invalid-claims", error.message);
    throw error;
  }
}

function text(members: Members, name: string): string {
  const value = members.get(name);
  if (typeof value !== "string") throw new TokenError("invalid-claims", `${name} is not a string`);
  return value;
}

function optionalText(members: Members, name: string): string | undefined {
  return (members.get(name) ?? null) === null ? undefined : text(members, name);
}

function texts(members: Members, name: string): string[] {
  const value = members.get(name);
  if (value === undefined) return [];
  if (!Array.isArray(value) || !value.every((item) => typeof item === "string"))
    throw new TokenError("invalid-claims", `${name} is not a list of strings`);
  return value;
}

function u64(members: Members, name: string): bigint {
  const value = members.get(name);
  if (typeof value !== "bigint" || value < 0n || value > MAX_U64)
    throw new TokenError("invalid-claims", `${name} is not an integer of 64 bits without sign`);
  return value;
}

type Members = ReadonlyMap<string, JsonValue<bigint>>;

export const MAX_U64 = 0xffff_ffff_ffff_ffffn;
