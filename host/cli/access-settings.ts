import { encodePem } from "../../src/wire/pem.ts";
import { pemOf } from "../authority/trust-bundle.ts";
import { loadAnchors, KeyFileError } from "../identity/key-file.ts";
import { type TlsAccess, TokenTrust } from "../proxy/access.ts";
import { CommandError, exitCodes, type Flags, listOf, type ParsedArguments, textOf, UsageError } from "./command.ts";

/** Flags of listeners with TLS to the proxy itself. */
export const accessFlags: Flags = {
  "tls-listen": { type: "string", multiple: true },
  "tls-identity": { type: "string" },
  "client-ca": { type: "string" },
  "client-cert": { type: "string" },
  keyring: { type: "string" },
  revocations: { type: "string" },
  tokens: { type: "string" },
  audience: { type: "string" },
  "end-revoked": { type: "boolean" },
};

export const accessFlagsHelp = `  --tls-listen ADDRESS:PORT  where clients speak TLS to the proxy itself; may be repeated. Without --listen there is no other
  --tls-identity NAME        the --identity that they see there (default proxy)
  --client-ca FILE           they show a certificate of these authorities
  --client-cert required|optional
                             whether each of them has to (default required)
  --keyring FILE             they show a capability token of these issuers (see sallyport token); watched
  --revocations FILE         subjects that are revoked (default: beside the keyring); watched
  --tokens required|optional|off
                             whether each of them has to (default required with a keyring)
  --audience TEXT            whom tokens have to be for (default: the name of the identity)
  --end-revoked              end the connections of subjects that are revoked, too; without it they finish`;

/** What the flags say; `undefined` without such a listener. @throws {UsageError} @throws {CommandError} */
export function accessOf(parsed: ParsedArguments): TlsAccess | undefined {
  const listen = listOf(parsed, "tls-listen");
  if (listen.length === 0) {
    const without = Object.keys(accessFlags).find((flag) => parsed.flags[flag] !== undefined);
    if (without !== undefined) throw new UsageError(`--${without} is for --tls-listen: without TLS nothing is bound to a client`);
    return undefined;
  }
  const identity = textOf(parsed, "tls-identity") ?? "proxy";
  if (!listOf(parsed, "identity").some((text) => text.startsWith(`${identity}=`)))
    throw new UsageError(`--tls-listen needs --identity ${identity}=CERT,KEY`);
  const authorities = textOf(parsed, "client-ca");
  if (authorities === undefined && parsed.flags["client-cert"] !== undefined) throw new UsageError("--client-cert needs --client-ca");
  const clientCertificates = authorities === undefined ? "none" : word(parsed, "client-cert", ["required", "optional"]);
  const keyring = textOf(parsed, "keyring");
  if (keyring === undefined && (parsed.flags.tokens !== undefined || parsed.flags.revocations !== undefined))
    throw new UsageError("--tokens and --revocations need --keyring");
  const tokens = keyring === undefined ? "off" : word(parsed, "tokens", ["required", "optional", "off"]);
  if (tokens === "optional" && clientCertificates !== "required")
    throw new UsageError("--tokens optional lets everybody in unless client certificates are required: --client-ca FILE");
  return {
    listen,
    identity,
    clientCertificates,
    clientAuthorities: authorities === undefined ? "" : readAuthorities(authorities),
    tokens,
    audience: textOf(parsed, "audience") ?? identity,
    trust: keyring === undefined || tokens === "off" ? undefined : new TokenTrust(keyring, textOf(parsed, "revocations")),
    endRevoked: parsed.flags["end-revoked"] === true,
  };
}

function readAuthorities(file: string): string {
  try {
    const { certificates, crls } = loadAnchors(file);
    return pemOf(certificates) + crls.map((der) => encodePem("X509 CRL", der)).join("");
  } catch (cause) {
    if (!(cause instanceof KeyFileError)) throw cause;
    throw new CommandError(exitCodes.noInput, cause.message);
  }
}

/** The first is the default. */
function word<T extends string>(parsed: ParsedArguments, flag: string, words: readonly T[]): T {
  const text = textOf(parsed, flag) ?? words[0]!;
  const found = words.find((candidate) => candidate === text);
  if (found === undefined) throw new UsageError(`--${flag} is one of ${words.join(", ")}`);
  return found;
}
