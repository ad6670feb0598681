import { readFile } from "node:fs/promises";
import { loadComponent } from "../component/cache.ts";
import { compileComponent, instantiate } from "../component/instance.ts";
import { createImports } from "../index.ts";
import type { SignerGrants } from "./imports.ts";

/** The WIT enum `token-error`. */
export type TokenErrorCode = (typeof tokenErrors)[number];

/** Every reason for which a token is refused, in the order of the checks. */
export const tokenErrors = [
  "missing-prefix",
  "malformed",
  "invalid-base64url",
  "bad-signature",
  "too-large",
  "invalid-claims",
  "unknown-issuer",
  "expired",
  "revoked",
  "audience-mismatch",
  "binding-mismatch",
  "unbound",
] as const;

/** The WIT record `claims`. */
export interface TokenClaims {
  subject: string;
  groups: string[];
  /** Seconds since 1970, at most 2^53 - 1. */
  expiresAt: bigint;
  issuer: string;
  audience: string;
  certificateBound: boolean;
  exporterBound: boolean;
}

/** The WIT record `channel`. */
export interface TokenChannel {
  certificateSha256: Uint8Array | undefined;
  tlsExporter: Uint8Array | undefined;
}

/** The WIT resource `issuer`. */
export interface TokenIssuer {
  id(): Promise<string>;
  publicKey(): Promise<Uint8Array>;
  issue(subject: string, groups: string[], audience: string, lifetime: number, bindTo: TokenChannel): Promise<string>;
}

/** The WIT resource `verifier`. */
export interface TokenVerifier {
  trust(issuer: string, publicKey: Uint8Array): Promise<void>;
  untrust(issuer: string): Promise<boolean>;
  export(): Promise<{ issuer: string; publicKey: Uint8Array }[]>;
  revoke(issuer: string, subject: string): Promise<void>;
  unrevoke(issuer: string, subject: string): Promise<boolean>;
  revocations(): Promise<{ issuer: string; subject: string }[]>;
  requireTlsExporter(required: boolean): Promise<void>;
  verify(token: string, over: TokenChannel): Promise<TokenClaims>;
}

/** The exports of a component with `sallyport:policy/tokens`. Calls reject with the error's name as the WIT has it. */
export interface TokenExports {
  generateIssuer(id: string): Promise<TokenIssuer>;
  issuerFromSeed(id: string, seed: Uint8Array): Promise<TokenIssuer>;
  openIssuer(name: string): Promise<TokenIssuer>;
  createVerifier(audience: string): Promise<TokenVerifier>;
  inspect(token: string): Promise<TokenClaims>;
  certificateSha256(certificate: Uint8Array): Promise<Uint8Array>;
}

/** An instance of such a component. */
export interface TokenComponent extends Disposable {
  tokens: TokenExports;
}

/**
 * Load a component that exports `sallyport:policy/tokens`, in this thread.
 *
 * @param file path of the component
 * @param signers the keys that it may have claims signed with
 */
export async function openTokenComponent(file: string, signers: SignerGrants = {}): Promise<TokenComponent> {
  const code = await compileComponent(await loadComponent(await readFile(file)));
  const host = createImports({ signers });
  try {
    const { exports } = await instantiate(code, host.imports);
    const tokens = exports["sallyport:policy/tokens@0.1.0"] as TokenExports | undefined;
    if (tokens === undefined) throw new Error(`${file} does not export sallyport:policy/tokens`);
    return { tokens, [Symbol.dispose]: () => host.dispose() };
  } catch (error) {
    host.dispose();
    throw error;
  }
}

/** The name of the error with which a call was rejected, if it is the error of a WIT result. */
export function errorName(error: unknown): string | undefined {
  if (typeof error === "string") return error;
  const payload = typeof error === "object" && error !== null && "payload" in error ? error.payload : undefined;
  return typeof payload === "string" ? payload : undefined;
}
