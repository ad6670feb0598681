import { encodeBase64url } from "../../../src/wire/base64url.ts";
import { printable } from "../../../src/wire/printable.ts";
import { fingerprint } from "../../tokens/signing-key.ts";
import { readStateFile, updateStateFile } from "../../tokens/state-file.ts";
import { errorName, type TokenVerifier } from "../../tokens/token-component.ts";
import { formatKeyring, parseKeyring, parsePublicKey } from "../../tokens/token-files.ts";
import { CommandError, exitCodes, textOf, UsageError } from "../command.ts";
import { commandError, explained, parseWith, readInput, required, withTokens } from "./inputs.ts";
import { printJson } from "./output.ts";

/** `sallyport token keyring` */
export async function keyring(args: string[]): Promise<number> {
  const [action, ...rest] = args;
  switch (action) {
    case "add":
      return await addKey(rest);
    case "remove":
      return await removeKey(rest);
    case "list":
    case "export":
      return await showKeys(rest, action);
    default:
      throw new UsageError("token keyring takes add, remove, list or export");
  }
}

/**
 * Have a verifier trust what a keyring file says.
 *
 * @throws {CommandError} when there is no such file, or a key in it is none that may be trusted
 */
export async function loadKeyring(verifier: TokenVerifier, path: string): Promise<void> {
  const text = explained(() => readStateFile(path));
  if (text === undefined) throw new CommandError(exitCodes.noInput, `${path}: there is no such file`);
  await trustAll(verifier, text, path);
}

async function addKey(args: string[]): Promise<number> {
  const parsed = parseWith(args, { keyring: { type: "string" }, issuer: { type: "string" }, replace: { type: "boolean" } }, [
    "KEY (a PEM file, - for standard input, or base64url)",
  ]);
  const path = required(parsed, "keyring");
  const source = parsed.operands[0]!;
  const text = /^[\w-]{43}$/.test(source) ? source : await readInput(source);
  const key = explained(() => parsePublicKey(text, source));
  const issuer = textOf(parsed, "issuer") ?? key.issuer ?? fingerprint(key.publicKey);
  return await changeKeyring(path, async (verifier) => {
    const known = (await verifier.export()).find((one) => one.issuer === issuer);
    const same = known !== undefined && Buffer.compare(known.publicKey, key.publicKey) === 0;
    if (known !== undefined && !same && parsed.flags["replace"] !== true)
      throw new CommandError(exitCodes.cannotCreate, `${path}: has another key of ${printable(issuer)}: give --replace if it is to go`);
    await trust(verifier, issuer, key.publicKey, source);
    return `${same ? "already there" : "added"}: ${printable(issuer)}`;
  });
}

async function removeKey(args: string[]): Promise<number> {
  const parsed = parseWith(args, { keyring: { type: "string" }, issuer: { type: "string" } }, []);
  const [path, issuer] = [required(parsed, "keyring"), required(parsed, "issuer")];
  return await changeKeyring(path, async (verifier) => {
    if (!(await verifier.untrust(issuer))) throw new CommandError(exitCodes.data, `${path}: has no key of ${printable(issuer)}`);
    return `removed: ${printable(issuer)}`;
  });
}

async function showKeys(args: string[], action: "list" | "export"): Promise<number> {
  const parsed = parseWith(args, { keyring: { type: "string" }, json: { type: "boolean" } }, []);
  const path = required(parsed, "keyring");
  return await withTokens({}, async (tokens) => {
    const verifier = await tokens.createVerifier("");
    await loadKeyring(verifier, path);
    const keys = await verifier.export();
    if (action === "export") process.stdout.write(formatKeyring(keys));
    else if (parsed.flags["json"] === true)
      printJson({ keys: keys.map(({ issuer, publicKey }) => ({ issuer, publicKey: encodeBase64url(publicKey) })) });
    else for (const { issuer, publicKey } of keys) process.stdout.write(`${encodeBase64url(publicKey)}  ${printable(issuer)}\n`);
    return exitCodes.ok;
  });
}

/**
 * Change the file through a verifier that holds what it says: what is written is what a verifier would export.
 *
 * @param change returns what is printed once that is on the disk
 */
async function changeKeyring(path: string, change: (verifier: TokenVerifier) => Promise<string>): Promise<number> {
  return await withTokens({}, async (tokens) => {
    let done = "";
    try {
      await updateStateFile(path, async (before) => {
        const verifier = await tokens.createVerifier("");
        if (before !== undefined) await trustAll(verifier, before, path);
        done = await change(verifier);
        return formatKeyring(await verifier.export());
      });
    } catch (error) {
      throw commandError(error);
    }
    process.stdout.write(`${done}\n`);
    return exitCodes.ok;
  });
}

async function trustAll(verifier: TokenVerifier, text: string, path: string): Promise<void> {
  for (const { issuer, publicKey } of explained(() => parseKeyring(text, path))) await trust(verifier, issuer, publicKey, path);
}

async function trust(verifier: TokenVerifier, issuer: string, publicKey: Uint8Array, source: string): Promise<void> {
  try {
    await verifier.trust(issuer, publicKey);
  } catch (error) {
    const name = errorName(error);
    if (name !== "invalid-key" && name !== "weak-key") throw error;
    const fault = name === "weak-key" ? "has a small order, as no honest key has" : "is no Ed25519 public key";
    throw new CommandError(exitCodes.data, `${source}: the key of ${printable(issuer)} ${fault}`);
  }
}
