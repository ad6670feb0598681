import { createHash } from "node:crypto";
import { homedir } from "node:os";
import { join } from "node:path";
import { readCertificate } from "../../src/wire/certificate.ts";
import { AuthorityError } from "../authority/authority-error.ts";
import { CaStore } from "../authority/ca-store.ts";
import { clock, dateOf } from "../authority/clock.ts";
import type { IssuingCa } from "../authority/issuing-ca.ts";
import type { Limits } from "../authority/limits.ts";
import { parseLimits } from "../authority/parse-limits.ts";
import { PUBLIC } from "../authority/ca-folder.ts";
import { replaceFile } from "../authority/private-file.ts";
import { pemOf, trustBundle } from "../authority/trust-bundle.ts";
import { exitCodes, type Flags, listOf, type ParsedArguments, textOf, UsageError } from "./command.ts";
import { parseDuration } from "./duration.ts";

/** One of the things that `sallyport ca` does. */
interface CaOperation {
  flags: Flags;
  /** @returns the exit code @throws {AuthorityError} {UsageError} */
  run(parsed: ParsedArguments): number | Promise<number>;
}

const limitFlags: Flags = {
  permit: { type: "string", multiple: true },
  "permit-ip": { type: "string", multiple: true },
  "private-suffixes": { type: "boolean" },
};
const makeFlags: Flags = { ...limitFlags, validity: { type: "string" }, "root-key": { type: "string" } };

export const caOperations: Record<string, CaOperation> = {
  init: {
    flags: makeFlags,
    async run(parsed) {
      const limits = limitsOf(parsed);
      if (limits === undefined) throw new UsageError("init needs --permit NAME: an authority for every name is not made here");
      const rootKeyFile = textOf(parsed, "root-key");
      const ca = await storeOf(parsed).create({ limits, validity: validityOf(parsed) ?? DEFAULT_VALIDITY, rootKeyFile });
      print(`${describe(ca)}\n${rootKeyNote(rootKeyFile)}\nLet clients trust it: sallyport ca export`);
      return exitCodes.ok;
    },
  },

  show: {
    flags: { json: { type: "boolean" } },
    run(parsed) {
      const { current, next, previousRoot } = storeOf(parsed).read();
      if (parsed.flags["json"] === true) {
        printJson({
          ...summary(current),
          next: next === undefined ? null : summary(next),
          previousRootSha256: previousRoot === undefined ? null : fingerprint(previousRoot),
        });
        return exitCodes.ok;
      }
      print(describe(current));
      if (next !== undefined) print(`\nA rotation waits for its confirmation. The next authority:\n${describe(next)}`);
      if (previousRoot !== undefined) print(`\nStill trusted: the previous root, sha256 ${fingerprint(previousRoot)}`);
      return exitCodes.ok;
    },
  },

  export: {
    flags: { bundle: { type: "boolean" }, output: { type: "string", short: "o" } },
    run(parsed) {
      const roots = storeOf(parsed).roots();
      const isBundle = parsed.flags["bundle"] === true;
      const text = isBundle ? trustBundle(roots) : pemOf(roots);
      const output = textOf(parsed, "output");
      // What a program trusts is nobody's to change, its owner's included.
      if (output === undefined) process.stdout.write(text);
      else replaceFile(output, text, isBundle ? READ_ONLY : PUBLIC);
      return exitCodes.ok;
    },
  },

  renew: {
    flags: { validity: { type: "string" }, "root-key": { type: "string" } },
    async run(parsed) {
      const rootKeyFile = textOf(parsed, "root-key");
      if (rootKeyFile === undefined)
        throw new UsageError("renew needs --root-key FILE, as written by init; if it was destroyed, use sallyport ca rotate");
      print(describe(await storeOf(parsed).renew({ rootKeyFile, validity: validityOf(parsed) })));
      return exitCodes.ok;
    },
  },

  rotate: {
    flags: { ...makeFlags, confirm: { type: "boolean" } },
    async run(parsed) {
      const store = storeOf(parsed);
      if (parsed.flags["confirm"] === true) {
        const surplus = Object.keys(makeFlags).find((flag) => parsed.flags[flag] !== undefined);
        if (surplus !== undefined) throw new UsageError(`--confirm takes no --${surplus}: the next authority is made already`);
        print(`${describe(store.confirmRotation())}\nIn use from the next start on. The old key is destroyed.`);
        return exitCodes.ok;
      }
      const rootKeyFile = textOf(parsed, "root-key");
      const validity = validityOf(parsed) ?? DEFAULT_VALIDITY;
      const next = await store.rotate({ limits: limitsOf(parsed), validity, rootKeyFile });
      print(`${describe(next)}\n${rootKeyNote(rootKeyFile)}
Not in use yet: let clients trust both roots (sallyport ca export), then run sallyport ca rotate --confirm`);
      return exitCodes.ok;
    },
  },

  check: {
    flags: { ...limitFlags, json: { type: "boolean" } },
    run(parsed) {
      const isJson = parsed.flags["json"] === true;
      const needed = limitsOf(parsed, true);
      try {
        const ca = storeOf(parsed).load(needed);
        if (isJson) printJson({ usable: true, ...summary(ca) });
        else print(`${describe(ca)}\nIt can be used.${expiryNote(ca)}`);
        return exitCodes.ok;
      } catch (cause) {
        if (!isJson || !(cause instanceof AuthorityError)) throw cause;
        printJson({ usable: false, code: cause.code, message: cause.message });
        return exitCodes.data;
      }
    },
  },
};

function storeOf(parsed: ParsedArguments): CaStore {
  return new CaStore(textOf(parsed, "dir") ?? defaultFolder());
}

/** XDG Base Directory Specification; a relative path there is to be ignored. */
function defaultFolder(): string {
  const { XDG_STATE_HOME: state, LOCALAPPDATA: windows } = process.env;
  if (process.platform === "win32" && windows) return join(windows, "sallyport", "ca");
  return join(state?.startsWith("/") ? state : join(homedir(), ".local", "state"), "sallyport", "ca");
}

/** @param isQuestion names that are asked about, not permitted: a public suffix is then no mistake of its own */
function limitsOf(parsed: ParsedArguments, isQuestion = false): Limits | undefined {
  const split = (flag: string) => listOf(parsed, flag).flatMap((value) => value.split(",").map((part) => part.trim()));
  const [dns, ip] = [split("permit"), split("permit-ip")];
  if (dns.length === 0 && ip.length === 0) {
    if (parsed.flags["private-suffixes"] !== undefined) throw new UsageError("--private-suffixes goes with --permit");
    return undefined;
  }
  if (dns.length === 0) throw new UsageError("--permit-ip goes with --permit");
  return parseLimits({ dns, ip, allowPrivateSuffixes: isQuestion || parsed.flags["private-suffixes"] === true });
}

function validityOf(parsed: ParsedArguments): bigint | undefined {
  const text = textOf(parsed, "validity");
  return text === undefined ? undefined : parseDuration("--validity", text);
}

function summary(ca: IssuingCa) {
  const { subject } = readCertificate(ca.intermediate);
  return {
    name: subject.commonName ?? subject.text,
    permittedDns: ca.limits.dns,
    permittedIp: ca.limits.ip.map((range) => range.text),
    notBefore: isoOf(ca.notBefore),
    notAfter: isoOf(ca.notAfter),
    rootSha256: fingerprint(ca.root),
    rootNotAfter: isoOf(readCertificate(ca.root).notAfter),
    intermediateSha256: fingerprint(ca.intermediate),
  };
}

function describe(ca: IssuingCa): string {
  const { name, permittedDns, permittedIp, rootSha256 } = summary(ca);
  return [
    `Authority      ${name}`,
    `Issues for     ${permittedDns.join(", ")}, and names below`,
    `Addresses      ${permittedIp.length === 0 ? "none" : permittedIp.join(", ")}`,
    `Valid          ${dateOf(ca.notBefore)} to ${dateOf(ca.notAfter)}`,
    `Root           sha256 ${rootSha256}, until ${dateOf(readCertificate(ca.root).notAfter)}`,
  ].join("\n");
}

function rootKeyNote(file: string | undefined): string {
  if (file === undefined) return "The root's key is destroyed: nothing else can be issued under it.";
  return `The root's key is in ${file}: keep it away from this machine.`;
}

function expiryNote({ notBefore, notAfter }: IssuingCa): string {
  const left = notAfter - clock();
  return left * 5n > notAfter - notBefore ? "" : ` It expires in ${left / 86_400n} days: renew or rotate it.`;
}

function fingerprint(certificate: Uint8Array): string {
  return createHash("sha256").update(certificate).digest("hex");
}

function isoOf(seconds: bigint): string {
  return new Date(Number(seconds) * 1000).toISOString().replace(".000Z", "Z");
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

function printJson(value: object): void {
  print(JSON.stringify(value, undefined, 2));
}

const DEFAULT_VALIDITY = 90n * 86_400n;
const READ_ONLY = 0o400;
