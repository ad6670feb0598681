import { KeyFileError, loadAnchors, loadIdentity, parseIdentityOption } from "../identity/key-file.ts";
import type { TlsGrants } from "../tls/grants.ts";
import { CommandError, exitCodes, listOf, type ParsedArguments, UsageError } from "./command.ts";

/** The value of `--ca` that stands for the certification authorities of this system. */
const SYSTEM = "system";

/**
 * The identities and trust anchors that the flags `--identity` and `--ca` name.
 *
 * @throws {UsageError} when a flag is not understood
 * @throws {CommandError} when a file cannot be used
 */
export function loadCredentials(parsed: ParsedArguments, environment: NodeJS.ProcessEnv): TlsGrants {
  try {
    const identities: NonNullable<TlsGrants["identities"]> = Object.create(null);
    for (const text of listOf(parsed, "identity")) {
      const option = parseIdentityOption(text);
      if (option.name in identities) throw new UsageError(`--identity names ${option.name} twice`);
      identities[option.name] = loadIdentity(option, environment).forWorker();
    }
    return { identities, ...loadTrust(listOf(parsed, "ca")) };
  } catch (cause) {
    if (!(cause instanceof KeyFileError)) throw cause;
    if (cause.code === "bad-option") throw new UsageError(cause.message, { cause });
    throw new CommandError(exitCodes.noInput, cause.message);
  }
}

function loadTrust(values: string[]): TlsGrants {
  const sets = values.filter((value) => value !== SYSTEM).map(loadAnchors);
  if (sets.length === 0) return {};
  return {
    anchors: sets.flatMap((set) => set.certificates),
    crls: sets.flatMap((set) => set.crls),
    systemAnchors: values.includes(SYSTEM),
  };
}
