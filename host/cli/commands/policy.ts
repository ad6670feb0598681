import { AuthorityError } from "../../authority/authority-error.ts";
import {
  type LoadedPolicy,
  openPolicyComponent,
  type PolicyComponent,
  PolicyRefusedError,
  type PolicySettings,
} from "../../policy/policy-component.ts";
import { PolicyFileError, readPolicyFile } from "../../policy/policy-file.ts";
import { neededLimits } from "../../proxy/proxy-authority.ts";
import { type Command, CommandError, exitCodes, listOf, type ParsedArguments, parseCommandLine, UsageError } from "../command.ts";
import { ownComponent } from "../own-component.ts";
import { nearest } from "../suggestion.ts";

const actions: Record<string, (parsed: ParsedArguments) => Promise<number>> = { check, explain, schema };

export const command: Command = {
  help: `sallyport policy: check and explain what the proxy is told to do

  policy check FILE
      Whether the proxy would take the file: it belongs to this user or root, nobody else can write to it, and everything in
      it is accepted, and an authority can be made for what it intercepts. Every fault is named with its place in the file.

  policy explain FILE HOST[:PORT] [METHOD PATH] [--group NAME]…
      What happens to a connection, and to a request in it, and which rules say so. The port is 443 if none is given; port 80
      is plain HTTP. --group NAME is a group of the client's token.

  policy schema
      The JSON Schema of policy files, for editors.

  --json   with check and explain: JSON on standard output

Policies are read and explained in the sandbox, by the same modules that the proxy decides with.

Exit codes: 0 the file is accepted, or the connection and the request are; 1 explain: one of them is denied; 65 the file is
not accepted; 66 it cannot be read, or is not safe to use.

Examples:
  sallyport policy check policy.json
  sallyport policy explain policy.json api.example.com GET /repos/a/b
  sallyport policy schema > policy.schema.json`,

  async run(args) {
    const [name, ...rest] = args;
    if (name === undefined || name.startsWith("-")) throw new UsageError(`which of ${Object.keys(actions).join(", ")}?`);
    if (!Object.hasOwn(actions, name)) {
      const near = nearest(name, Object.keys(actions));
      throw new UsageError(`policy has no ${JSON.stringify(name)}${near === undefined ? "" : `; did you mean ${near}?`}`);
    }
    const parsed = parseCommandLine(rest, { json: { type: "boolean" }, group: { type: "string", multiple: true } });
    if (parsed.rest !== undefined) throw new UsageError(`policy ${name} takes nothing after --`);
    if (name !== "explain" && parsed.flags.group !== undefined) throw new UsageError(`policy ${name} does not take --group`);
    return await actions[name]!(parsed);
  },
};

async function check(parsed: ParsedArguments): Promise<number> {
  const [file, ...surplus] = parsed.operands;
  if (file === undefined || surplus.length > 0) throw new UsageError("policy check takes one file");
  using component = await open();
  const json = parsed.flags.json === true;
  try {
    const settings = await (await component.loadPolicy(read(file))).settings();
    checkAuthority(settings);
    print(json ? JSON.stringify({ accepted: true, settings }) : `${file}: accepted`);
    return exitCodes.ok;
  } catch (cause) {
    if (!(cause instanceof PolicyRefusedError)) throw cause;
    if (!json) throw refused(file, cause);
    print(JSON.stringify({ accepted: false, faults: cause.faults }));
    return exitCodes.data;
  }
}

/** What the component accepts and the host makes no authority for, no proxy would start with. */
function checkAuthority(settings: PolicySettings): void {
  try {
    neededLimits(settings);
  } catch (cause) {
    if (!(cause instanceof AuthorityError)) throw cause;
    throw new PolicyRefusedError([{ path: "$.ca.permit", message: cause.message }]);
  }
}

async function explain(parsed: ParsedArguments): Promise<number> {
  const [file, target, method, path, ...surplus] = parsed.operands;
  if (file === undefined || target === undefined || (method !== undefined && path === undefined) || surplus.length > 0)
    throw new UsageError("policy explain takes FILE HOST[:PORT], and METHOD PATH if it is about a request");
  const request: [string, string] | undefined = method === undefined || path === undefined ? undefined : [method, path];
  const question = { ...hostAndPort(target), groups: listOf(parsed, "group"), request };
  using component = await open();
  const explanation = await (await load(component, file)).explain(question);
  const { connection, request: decision, text } = explanation;
  print(parsed.flags.json === true ? JSON.stringify(explanation, withHex) : text);
  return connection.tag === "deny" || decision?.tag === "deny" ? 1 : exitCodes.ok;
}

async function schema(parsed: ParsedArguments): Promise<number> {
  if (parsed.operands.length > 0) throw new UsageError("policy schema takes no arguments");
  using component = await open();
  print((await component.schema()).trimEnd());
  return exitCodes.ok;
}

function open(): Promise<PolicyComponent> {
  return openPolicyComponent(ownComponent("interception"));
}

async function load(component: PolicyComponent, file: string): Promise<LoadedPolicy> {
  try {
    return await component.loadPolicy(read(file));
  } catch (cause) {
    if (cause instanceof PolicyRefusedError) throw refused(file, cause);
    throw cause;
  }
}

function read(file: string): string {
  try {
    return readPolicyFile(file);
  } catch (cause) {
    if (!(cause instanceof PolicyFileError)) throw cause;
    throw new CommandError(cause.code === "bad-content" || cause.code === "too-large" ? exitCodes.data : exitCodes.noInput, cause.message);
  }
}

function refused(file: string, { faults }: PolicyRefusedError): CommandError {
  const lines = faults.map(({ path, message }) => `  ${path}: ${message}`);
  return new CommandError(exitCodes.data, `${file} is not accepted:\n${lines.join("\n")}`);
}

/** The host is left as it was written: what a strange spelling leads to is what one wants to know. */
function hostAndPort(target: string): { host: string; port: number } {
  const match = /^(\[[^\]]*\]|[^:]*):([0-9]{1,5})$/.exec(target);
  if (match === null) return { host: target, port: 443 };
  const port = Number(match[2]);
  if (port < 1 || port > 65_535) throw new UsageError("a port is a number from 1 to 65535");
  return { host: match[1]!, port };
}

/** Bytes as hexadecimal digits. */
function withHex(_key: string, value: unknown): unknown {
  return value instanceof Uint8Array ? Buffer.from(value).toString("hex") : value;
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}
