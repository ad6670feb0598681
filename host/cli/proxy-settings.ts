import { resolve } from "node:path";
import { AuthorityError } from "../authority/authority-error.ts";
import { checkDecisions } from "../component/decision-thread.ts";
import { type ComponentCode, ComponentError } from "../component/instance.ts";
import { AuditError } from "../gateway/audit-log.ts";
import type { SecretForm, SecretGrant } from "../gateway/secret-grants.ts";
import { type SecretSource, SecretSourceError } from "../gateway/secret-source.ts";
import { PolicyRefusedError } from "../policy/policy-component.ts";
import { PolicyFileError } from "../policy/policy-file.ts";
import { AnchorFileError, PolicySource } from "../proxy/policy-source.ts";
import { NeedsRestartError, NotStartedError, type ProxyStart } from "../proxy/running-proxy.ts";
import { StateFileError } from "../tokens/state-file.ts";
import { CommandError, exitCodes, type Flags, listOf, type ParsedArguments, textOf, UsageError } from "./command.ts";
import { ownComponent } from "./own-component.ts";
import { asCommandError, loadFile } from "./run-file.ts";
import { loadCredentials } from "./tls-settings.ts";

/** Flags that `proxy` and `exec` have in common. */
export const proxyFlags: Flags = {
  config: { type: "string" },
  decide: { type: "string" },
  "ca-dir": { type: "string" },
  audit: { type: "string" },
  workers: { type: "string" },
  identity: { type: "string", multiple: true },
  secret: { type: "string", multiple: true },
  "secret-for": { type: "string", multiple: true },
  ca: { type: "string", multiple: true },
};

export const proxyFlagsHelp = `  --config FILE              the policy (see sallyport policy)
  --decide FILE              a component that exports sallyport:policy/decisions answers in place of the policy's lists and
                             rules, without any grant; the policy's limits, timeouts, anchors and ca.permit still hold
  --ca-dir DIR               issue with this certification authority (see sallyport ca); without it one is made for this run,
                             for what the policy intercepts and nothing more, and its key never leaves the memory
  --audit FILE               write the audit log there, in place of the policy's place
  --workers N                threads that serve clients (default 1)
  --identity NAME=CERT,KEY   a client identity that the policy names; may be repeated
  --secret NAME=SOURCE       a secret that the policy names: env:VARIABLE, file:PATH or command:PROGRAM; may be repeated
  --secret-for NAME=HOST:PORT[,HEADER[,SCHEME]]
                             a server that the secret may go to, the field that it may stand in (default authorization), and
                             a word that the host writes before it, as in authorization,Bearer; may be repeated
  --ca FILE                  trust these authorities in place of the system's; the word "system" adds those again`;

/** What the flags say of a proxy. @throws {UsageError} @throws {CommandError} */
export async function proxyStart(
  parsed: ParsedArguments,
  rest: Pick<ProxyStart, "listen" | "direct" | "auth" | "access">,
): Promise<ProxyStart & { source: PolicySource }> {
  const config = textOf(parsed, "config");
  if (config === undefined) throw new UsageError("which policy? give it with --config FILE");
  const workers = textOf(parsed, "workers") ?? "1";
  if (!/^[1-9][0-9]?$/.test(workers)) throw new UsageError("--workers takes a whole number from 1 to 99");
  const secrets = secretsOf(parsed);
  const tls = loadCredentials(parsed, process.env);
  const auditFile = textOf(parsed, "audit");
  const caFolder = textOf(parsed, "ca-dir");
  const code = loadFile(ownComponent("proxy"));
  code.catch(() => {});
  const decide = textOf(parsed, "decide");
  const decider = decide === undefined ? undefined : { code: await loadDecider(decide) };
  return {
    ...rest,
    source: await PolicySource.open(config, ownComponent("interception")),
    code,
    decider,
    caFolder,
    auditFile: auditFile === undefined ? undefined : resolve(auditFile),
    workers: Number(workers),
    tls,
    secrets,
    toGive: { identity: (name) => `--identity ${name}=CERT,KEY`, secret: (name) => `--secret ${name}=SOURCE` },
    tell: (line) => process.stderr.write(`${line}\n`),
  };
}

/** What is wrong with a policy, an authority or an audit file, as a command throws it. */
export function asProxyError(cause: unknown): unknown {
  if (cause instanceof PolicyRefusedError)
    return new CommandError(
      exitCodes.data,
      `the policy is not accepted:\n${cause.faults.map(({ path, message }) => `  ${path}: ${message}`).join("\n")}`,
    );
  if (cause instanceof PolicyFileError)
    return new CommandError(cause.code === "bad-content" || cause.code === "too-large" ? exitCodes.data : exitCodes.noInput, cause.message);
  if (cause instanceof AnchorFileError || cause instanceof AuthorityError) return new CommandError(exitCodes.noInput, cause.message);
  if (cause instanceof StateFileError)
    return new CommandError(cause.code === "bad-content" ? exitCodes.data : exitCodes.noInput, cause.message);
  if (cause instanceof AuditError) return new CommandError(exitCodes.cannotCreate, cause.message);
  if (cause instanceof SecretSourceError) return new CommandError(exitCodes.noInput, cause.message);
  if (cause instanceof NotStartedError) return new CommandError(exitCodes.failed, cause.message);
  if (cause instanceof NeedsRestartError) return new CommandError(exitCodes.usage, `the policy is not used: ${cause.message}`);
  return asCommandError(cause);
}

/** In one line, for a proxy that goes on. */
export function reloadFailure(cause: unknown): string {
  const message = cause instanceof Error ? cause.message : String(cause);
  return `sallyport: the new policy is not used, the old one stays: ${message.replaceAll("\n", "; ")}`;
}

/** Rules that can be asked: whoever gave them hears at once where they cannot, and not with the first client. */
async function loadDecider(file: string): Promise<ComponentCode> {
  const code = await loadFile(file, DECIDER_MEMORY);
  try {
    await checkDecisions(code);
  } catch (cause) {
    if (!(cause instanceof ComponentError)) throw cause;
    throw new CommandError(exitCodes.data, `--decide ${file}: ${cause.message}`);
  }
  return code;
}

/** Bytes. */
const DECIDER_MEMORY = 256 * 1024 * 1024;

function secretsOf(parsed: ParsedArguments): Record<string, SecretGrant> {
  const grants: Record<string, SecretGrant> = Object.create(null);
  for (const text of listOf(parsed, "secret")) {
    const [, name, source] = /^([A-Za-z0-9][A-Za-z0-9._-]{0,63})=(.+)$/s.exec(text) ?? [];
    if (name === undefined) throw new UsageError("--secret takes NAME=env:VARIABLE, NAME=file:PATH or NAME=command:PROGRAM");
    if (name in grants) throw new UsageError(`--secret names ${name} twice`);
    grants[name] = { source: sourceOf(source!), servers: [], forms: [] };
  }
  for (const text of listOf(parsed, "secret-for")) {
    const [, name, server, header = "authorization", scheme] =
      /^([^=]+)=([^,]+:[0-9]{1,5})(?:,([A-Za-z0-9-]+)(?:,([A-Za-z0-9-]+))?)?$/.exec(text) ?? [];
    const grant = name === undefined ? undefined : grants[name];
    if (grant === undefined) throw new UsageError("--secret-for takes NAME=HOST:PORT[,HEADER[,SCHEME]], NAME being that of a --secret");
    const form: SecretForm = { field: header.toLowerCase(), ...(scheme === undefined ? {} : { scheme }) };
    grants[name!] = { ...grant, servers: [...grant.servers, server!], forms: [...grant.forms, form] };
  }
  for (const [name, { servers }] of Object.entries(grants))
    if (servers.length === 0) throw new UsageError(`where may the secret ${name} go? --secret-for ${name}=HOST:443`);
  return { ...grants };
}

function sourceOf(text: string): SecretSource {
  const [, kind, value] = /^(env|file|command):(.+)$/s.exec(text) ?? [];
  if (kind === "env") return { env: value! };
  if (kind === "file") return { file: resolve(value!) };
  if (kind === "command") return { command: value!.split(" ").filter((word) => word !== "") };
  throw new UsageError("a secret comes from env:VARIABLE, file:PATH or command:PROGRAM");
}
