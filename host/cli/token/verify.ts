import { readStateFile } from "../../tokens/state-file.ts";
import { parseRevocations, revocationsBeside } from "../../tokens/token-files.ts";
import type { TokenVerifier } from "../../tokens/token-component.ts";
import { CommandError, exitCodes, type ParsedArguments, textOf } from "../command.ts";
import { channelFrom, explained, parseWith, required, tokenFrom, withTokens } from "./inputs.ts";
import { loadKeyring } from "./keyring.ts";
import { claimsJson, claimsText, printJson } from "./output.ts";
import { type Refusal, refusalOf } from "./refusal.ts";

/** `sallyport token verify` */
export async function verify(args: string[]): Promise<number> {
  const text = { type: "string" } as const;
  const flag = { type: "boolean" } as const;
  const flags = { keyring: text, revocations: text, aud: text, cert: text, "tls-exporter": text, "require-tls-exporter": flag, json: flag };
  const parsed = parseWith(args, flags, ["TOKEN (or - for standard input)"]);
  const [keyring, audience] = [required(parsed, "keyring"), required(parsed, "aud")];
  const token = await tokenFrom(parsed.operands[0]!);
  return await withTokens({}, async (tokens) => {
    const verifier = await tokens.createVerifier(audience);
    await loadKeyring(verifier, keyring);
    await loadRevocations(verifier, parsed, keyring);
    await verifier.requireTlsExporter(parsed.flags["require-tls-exporter"] === true);
    const channel = await channelFrom(tokens, textOf(parsed, "cert"), textOf(parsed, "tls-exporter"));
    try {
      const claims = await verifier.verify(token, channel);
      if (parsed.flags["json"] === true) printJson({ valid: true, claims: claimsJson(claims) });
      else process.stdout.write(`valid\n${claimsText(claims)}`);
      return exitCodes.ok;
    } catch (error) {
      return refused(refusalOf(error), parsed);
    }
  });
}

/** `sallyport token inspect` */
export async function inspect(args: string[]): Promise<number> {
  const parsed = parseWith(args, { json: { type: "boolean" } }, ["TOKEN (or - for standard input)"]);
  const token = await tokenFrom(parsed.operands[0]!);
  return await withTokens({}, async (tokens) => {
    try {
      const claims = await tokens.inspect(token);
      if (parsed.flags["json"] === true) printJson({ verified: false, claims: claimsJson(claims) });
      else process.stdout.write(`not verified: anybody can write such a token\n${claimsText(claims)}`);
      return exitCodes.ok;
    } catch (error) {
      return refused(refusalOf(error), parsed);
    }
  });
}

function refused({ code, exitCode, sentence }: Refusal, parsed: ParsedArguments): number {
  if (parsed.flags["json"] === true) printJson({ valid: false, error: code, message: sentence });
  else process.stderr.write(`sallyport: the token is refused (${code}): ${sentence}\n`);
  return exitCode;
}

async function loadRevocations(verifier: TokenVerifier, parsed: ParsedArguments, keyring: string): Promise<void> {
  const named = textOf(parsed, "revocations");
  const path = named ?? revocationsBeside(keyring);
  const text = explained(() => readStateFile(path));
  // A file that was named and is not there is a mistake, after which nobody would be revoked.
  if (text === undefined && named !== undefined) throw new CommandError(exitCodes.noInput, `${path}: there is no such file`);
  if (text === undefined) return;
  for (const { issuer, subject } of explained(() => parseRevocations(text, path))) await verifier.revoke(issuer, subject);
}
