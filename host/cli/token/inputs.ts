import { X509Certificate } from "node:crypto";
import { createReadStream } from "node:fs";
import { decodeBase64url } from "../../../src/wire/base64url.ts";
import { parsePem } from "../../../src/wire/pem.ts";
import { WireError } from "../../../src/wire/wire-error.ts";
import { KeyFileError, readPrivateFile } from "../../identity/key-file.ts";
import { SigningError, SigningKey } from "../../tokens/signing-key.ts";
import { StateFileError } from "../../tokens/state-file.ts";
import { openTokenComponent, type TokenChannel, type TokenExports } from "../../tokens/token-component.ts";
import type { SignerGrants } from "../../tokens/imports.ts";
import { CommandError, exitCodes, type Flags, type ParsedArguments, parseCommandLine, textOf, UsageError } from "../command.ts";
import { ownComponent } from "../own-component.ts";

/** Run with the component that verifies, and has claims signed, with what this host offers. */
export async function withTokens<T>(signers: SignerGrants, run: (tokens: TokenExports) => Promise<T>): Promise<T> {
  using component = await openTokenComponent(ownComponent("tokens-host-assisted"), signers);
  return await run(component.tokens);
}

/** A command line whose operands are these, no more and no less. @throws {UsageError} */
export function parseWith(args: string[], flags: Flags, operands: string[]): ParsedArguments {
  const parsed = parseCommandLine(args, flags);
  if (parsed.operands.length !== operands.length || parsed.rest !== undefined)
    throw new UsageError(operands.length === 0 ? "this takes flags only" : `this takes ${operands.join(" ")}, and flags`);
  return parsed;
}

/** The value of a flag that cannot be left out or be empty. @throws {UsageError} */
export function required(parsed: ParsedArguments, flag: string): string {
  const value = textOf(parsed, flag);
  if (value === undefined || value === "") throw new UsageError(`--${flag} is needed`);
  if (!value.isWellFormed()) throw new UsageError(`--${flag} is not well-formed text`);
  return value;
}

/** Seconds in `90`, `45s`, `30m`, `12h` or `7d`. @throws {UsageError} */
export function parseDuration(text: string): number {
  const match = /^([0-9]{1,10})([smhd]?)$/.exec(text);
  const seconds = match === null ? Number.NaN : Number(match[1]) * { s: 1, m: 60, h: 3600, d: 86_400, "": 1 }[match[2]!]!;
  if (!(seconds <= 0xffff_ffff)) throw new UsageError("a time is seconds, or a number with s, m, h or d: 45s, 30m, 1h, 7d");
  return seconds;
}

/** A token from the command line, or from standard input if it is `-`. @throws {CommandError} */
export async function tokenFrom(operand: string): Promise<string> {
  return operand === "-" ? (await readInput("-")).replace(/\r?\n$/, "") : operand;
}

/** The text of a file, or of standard input for `-`, of at most 4 MiB. @throws {CommandError} */
export async function readInput(path: string): Promise<string> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  try {
    // Not readFileSync: it fails where nothing has come yet.
    for await (const chunk of path === "-" ? process.stdin : createReadStream(path)) {
      chunks.push(chunk as Uint8Array);
      length += (chunk as Uint8Array).length;
      if (length > MAX_INPUT) throw new CommandError(exitCodes.data, `${path}: longer than ${MAX_INPUT} bytes`);
    }
  } catch (cause) {
    if (cause instanceof CommandError) throw cause;
    throw new CommandError(exitCodes.noInput, `cannot read ${path}: ${(cause as NodeJS.ErrnoException).code ?? "error"}`);
  }
  return Buffer.concat(chunks).toString("utf8");
}

/**
 * What a certificate file and a `tls-exporter` value say of a channel.
 *
 * @param certificateFile PEM: the first certificate is the client's own
 * @param exporter 32 bytes in base64url
 */
export async function channelFrom(
  tokens: TokenExports,
  certificateFile: string | undefined,
  exporter: string | undefined,
): Promise<TokenChannel> {
  return {
    certificateSha256: certificateFile === undefined ? undefined : await tokens.certificateSha256(await leafOf(certificateFile)),
    tlsExporter: exporter === undefined ? undefined : exporterValue(exporter),
  };
}

/** A signing key from its file. @throws {CommandError} */
export function signingKeyFrom(path: string, issuer: string | undefined): SigningKey {
  return explained(() => SigningKey.fromPem(Buffer.from(readPrivateFile(path)).toString("utf8"), issuer), path);
}

/** Run, with the errors of files and keys as what the program says of them. @throws {CommandError} */
export function explained<T>(run: () => T, path?: string): T {
  try {
    return run();
  } catch (error) {
    throw commandError(error, path);
  }
}

/** @param path of the file at fault, where the error does not name it */
export function commandError(error: unknown, path?: string): unknown {
  if (error instanceof KeyFileError) return new CommandError(exitCodes.noInput, error.message);
  if (error instanceof SigningError) {
    if (error.code === "bad-issuer") return new UsageError(error.message);
    return new CommandError(exitCodes.data, path === undefined ? error.message : `${path}: ${error.message}`);
  }
  if (error instanceof StateFileError) return new CommandError(stateFileExitCodes[error.code], error.message);
  return error;
}

async function leafOf(path: string): Promise<Uint8Array> {
  const text = await readInput(path);
  try {
    const leaf = parsePem(text).find((block) => block.label === "CERTIFICATE");
    if (leaf !== undefined) return new Uint8Array(new X509Certificate(leaf.bytes).raw);
  } catch {
    // Told below.
  }
  throw new CommandError(exitCodes.data, `${path}: no certificate in PEM`);
}

function exporterValue(text: string): Uint8Array {
  try {
    const bytes = decodeBase64url(text);
    if (bytes.length === 32) return bytes;
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
  }
  throw new UsageError("--tls-exporter takes 32 bytes in base64url without padding");
}

const stateFileExitCodes = {
  unreadable: exitCodes.noInput,
  unsafe: exitCodes.noInput,
  "bad-content": exitCodes.data,
  unwritable: exitCodes.cannotCreate,
  /** EX_TEMPFAIL: trying again may help. */
  locked: 75,
} as const;

/** Bytes. */
const MAX_INPUT = 4 * 1024 * 1024;
