import { printable } from "../../../src/wire/printable.ts";
import type { TokenClaims } from "../../tokens/token-component.ts";

/** What a token says, one line a claim, with nothing in it that a terminal would act on. */
export function claimsText(claims: TokenClaims): string {
  const lines = {
    subject: claims.subject,
    groups: claims.groups.join(", "),
    issuer: claims.issuer,
    audience: claims.audience,
    expires: `${expiry(claims.expiresAt) ?? "never"} (${atMost(claims.expiresAt)})`,
    "bound to": boundTo(claims).join(", ") || "nothing",
  };
  return Object.entries(lines)
    .map(([name, value]) => `${`${name}:`.padEnd(10)}${printable(value)}\n`)
    .join("");
}

/** The same for programs. `expiresAt` is at most 2^53 - 1. */
export function claimsJson(claims: TokenClaims): object {
  return {
    subject: claims.subject,
    groups: claims.groups,
    issuer: claims.issuer,
    audience: claims.audience,
    expiresAt: Number(claims.expiresAt),
    expires: expiry(claims.expiresAt) ?? null,
    boundTo: boundTo(claims),
  };
}

export function printJson(value: object): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

function boundTo({ certificateBound, exporterBound }: TokenClaims): string[] {
  return [...(certificateBound ? ["certificate"] : []), ...(exporterBound ? ["tls-exporter"] : [])];
}

/** Undefined past what a date can be. */
function expiry(seconds: bigint): string | undefined {
  const date = new Date(Number(seconds) * 1000);
  return Number.isNaN(date.getTime()) ? undefined : date.toISOString().replace(".000Z", "Z");
}

function atMost(seconds: bigint): string {
  return seconds >= BigInt(Number.MAX_SAFE_INTEGER) ? `${seconds} or more` : String(seconds);
}
