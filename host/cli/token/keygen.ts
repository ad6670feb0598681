import { writeFileSync } from "node:fs";
import { encodeBase64url } from "../../../src/wire/base64url.ts";
import { printable } from "../../../src/wire/printable.ts";
import { SigningKey } from "../../tokens/signing-key.ts";
import { createPrivateFile } from "../../tokens/state-file.ts";
import { CommandError, exitCodes, textOf } from "../command.ts";
import { explained, parseWith, required } from "./inputs.ts";
import { printJson } from "./output.ts";

/** `sallyport token keygen` */
export async function keygen(args: string[]): Promise<number> {
  const parsed = parseWith(args, { out: { type: "string" }, issuer: { type: "string" }, json: { type: "boolean" } }, []);
  const path = required(parsed, "out");
  const key = explained(() => SigningKey.generate(textOf(parsed, "issuer")));
  explained(() => createPrivateFile(path, key.toPem()));
  const publicFile = `${path}.pub`;
  try {
    writeFileSync(publicFile, key.publicPem(), { flag: "wx", mode: 0o644 });
  } catch (cause) {
    const { code = "error" } = cause as NodeJS.ErrnoException;
    throw new CommandError(exitCodes.cannotCreate, `the key is in ${path}, but ${publicFile} cannot be written (${code})`);
  }
  const publicKey = encodeBase64url(key.publicKey);
  if (parsed.flags["json"] === true) printJson({ issuer: key.issuer, publicKey, keyFile: path, publicKeyFile: publicFile });
  else
    process.stdout.write(`issuer:     ${printable(key.issuer)}\npublic key: ${publicKey}\nwritten to: ${path} (private), ${publicFile}\n`);
  return exitCodes.ok;
}
