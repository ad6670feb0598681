import { Authority, type AuthorityOptions } from "../../host/authority/authority.ts";
import { AuthorityError, IssueError } from "../../host/authority/authority-error.ts";
import type { RequestedName } from "../../host/authority/leaf-plan.ts";
import { type MadeLeaf, LeafWriter } from "../../host/authority/leaf-writer.ts";
import { type LimitTexts, parseLimits } from "../../host/authority/parse-limits.ts";
import { parseServerName } from "../../src/wire/server-name.ts";

/** An authority in memory, valid for a day. */
export async function makeAuthority(limits: LimitTexts, options: AuthorityOptions & { validity?: bigint } = {}): Promise<Authority> {
  return await Authority.ephemeral({ validity: 86_400n, ...options, limits: parseLimits(limits) });
}

/** A certificate for any names at all, made with the authority's own key past its limits: what verifiers have to refuse. */
export function misissued(authority: Authority, names: readonly string[]): MadeLeaf {
  const { template, key, bounds } = authority.forWorker();
  const fields = { names: names.map((name) => parseServerName(name)), notBefore: bounds.notBefore, notAfter: bounds.notAfter };
  return new LeafWriter(template).write(fields, key);
}

export const dns = (val: string): RequestedName => ({ tag: "dns", val });
export const ip = (...bytes: number[]): RequestedName => ({ tag: "ip", val: Uint8Array.from(bytes) });

/** The code of what `call` throws. */
export async function codeOf(call: () => unknown): Promise<string> {
  try {
    await call();
  } catch (error) {
    if (error instanceof AuthorityError || error instanceof IssueError) return error.code;
    throw error;
  }
  return "no error";
}
