import { printable } from "../../../src/wire/printable.ts";
import { readStateFile, updateStateFile } from "../../tokens/state-file.ts";
import { formatRevocations, parseKeyring, parseRevocations, revocationsBeside } from "../../tokens/token-files.ts";
import { CommandError, exitCodes, textOf, UsageError } from "../command.ts";
import { commandError, explained, parseWith, required, withTokens } from "./inputs.ts";

/** `sallyport token revoke` and `sallyport token unrevoke` */
export async function revoke(args: string[], action: "revoke" | "unrevoke"): Promise<number> {
  const text = { type: "string" } as const;
  const parsed = parseWith(args, { issuer: text, sub: text, revocations: text, keyring: text }, []);
  const [issuer, subject] = [required(parsed, "issuer"), required(parsed, "sub")];
  const keyring = textOf(parsed, "keyring");
  const path = textOf(parsed, "revocations") ?? (keyring === undefined ? undefined : revocationsBeside(keyring));
  if (path === undefined) throw new UsageError("--revocations FILE or --keyring FILE is needed: where the revocation is kept");
  return await withTokens({}, async (tokens) => {
    try {
      await updateStateFile(path, async (before) => {
        const verifier = await tokens.createVerifier("");
        const revoked = before === undefined ? [] : explained(() => parseRevocations(before, path));
        for (const one of revoked) await verifier.revoke(one.issuer, one.subject);
        if (action === "revoke") await verifier.revoke(issuer, subject);
        else if (!(await verifier.unrevoke(issuer, subject)))
          throw new CommandError(exitCodes.data, `${path}: ${printable(subject)} of ${printable(issuer)} is not revoked`);
        return formatRevocations(await verifier.revocations());
      });
    } catch (error) {
      throw commandError(error);
    }
    if (action === "revoke" && keyring !== undefined && !isTrusted(issuer, keyring))
      process.stderr.write(
        `sallyport: ${keyring} has no key of ${printable(issuer)}, whose tokens are refused already: is that the issuer?\n`,
      );
    process.stdout.write(`${action}d: ${printable(subject)} of ${printable(issuer)} in ${path}\n`);
    return exitCodes.ok;
  });
}

/** Whether the keyring has a key of this issuer. What cannot be read is for those to complain about who use it. */
function isTrusted(issuer: string, keyring: string): boolean {
  try {
    const text = readStateFile(keyring);
    return text !== undefined && parseKeyring(text, keyring).some((key) => key.issuer === issuer);
  } catch {
    return true;
  }
}
