import { Fields, isToken, isWritableValue, trim } from "../http1/fields.ts";
import { parseAuthority, UrlError } from "../http1/url.ts";
import { decodeBase64, encodeBase64 } from "../wire/base64url.ts";
import { exitCodes, FetchError } from "./exit-code.ts";
import { commandFlags, type FlagName } from "./flags.ts";

/** What to fetch, and how. */
export interface Options {
  /** As written, with the file that its body goes to; `-` or none is standard output. */
  targets: { url: string; output: string | undefined }[];
  include: boolean;
  location: boolean;
  /** None: GET, or POST with data. */
  method: string | undefined;
  /** Fields to send. */
  fields: Fields;
  /** Names, in lower case, of fields not to send that would be. */
  without: ReadonlySet<string>;
  /** Values of `-d`, with their @. */
  data: string[];
  fail: boolean;
  /** Seconds. */
  maxTime: number | undefined;
  connectTo: ConnectTo[];
  keepAlive: boolean;
  json: boolean;
  verbose: boolean;
  silent: boolean;
  trust: TrustOptions;
}

/** What is asked of TLS. */
export interface TrustOptions {
  cacert: string | undefined;
  crlfile: string | undefined;
  /** Name of a granted identity. */
  cert: string | undefined;
  maximumVersion: number | undefined;
  /** Base64 of SHA-256 of a SubjectPublicKeyInfo (RFC 7469). */
  pins: readonly string[];
  acceptInvalid: boolean;
}

/** One `--connect-to`. Undefined matches anything, or changes nothing. */
export interface ConnectTo {
  from: { host: string | undefined; port: number | undefined };
  to: { host: string | undefined; port: number | undefined };
}

/**
 * Parse the command line, without the program's name. `"help"` if that was asked for.
 *
 * @throws {FetchError} `usage`
 */
export function parseOptions(args: readonly string[]): Options | "help" {
  const { values, operands } = split(args);
  if (values.has("help")) return "help";
  const last = (name: FlagName) => values.get(name)?.at(-1);
  const has = (name: FlagName) => values.has(name);
  const outputs = values.get("output") ?? [];
  if (operands.length === 0) throw wrong("no URL to fetch; see --help");
  if (outputs.length > operands.length) throw wrong("more -o than URLs");
  if (has("json") && outputs.includes("-")) throw wrong("--json uses standard output itself; write the body to a file with -o FILE");
  const method = last("request");
  if (method !== undefined && !isToken(method)) throw wrong("-X takes a method such as PUT");
  if (method === "CONNECT") throw wrong("-X CONNECT asks for a tunnel, not for something to fetch");
  return {
    targets: operands.map((url, index) => ({ url, output: outputs[index] })),
    include: has("include"),
    location: has("location"),
    method,
    ...parseFieldOptions(values.get("header") ?? []),
    data: values.get("data") ?? [],
    fail: has("fail"),
    maxTime: parseSeconds(last("max-time")),
    connectTo: (values.get("connect-to") ?? []).map(parseConnectTo),
    keepAlive: !has("no-keepalive"),
    json: has("json"),
    verbose: has("verbose"),
    silent: has("silent"),
    trust: {
      cacert: last("cacert"),
      crlfile: last("crlfile"),
      cert: last("cert"),
      maximumVersion: parseVersion(last("tls-max")),
      pins: parsePins(last("pinnedpubkey")),
      acceptInvalid: has("accept-invalid"),
    },
  };
}

function split(args: readonly string[]): { values: Map<FlagName, string[]>; operands: string[] } {
  const values = new Map<FlagName, string[]>();
  const operands: string[] = [];
  const add = (name: FlagName, value: string) => values.set(name, [...(values.get(name) ?? []), value]);
  for (let i = 0; i < args.length; i++) {
    const arg = args[i]!;
    if (arg === "--") {
      operands.push(...args.slice(i + 1));
      break;
    }
    if (!arg.startsWith("-") || arg === "-") {
      operands.push(arg);
      continue;
    }
    const next = (name: string): string => {
      const value = args[++i];
      if (value === undefined) throw wrong(`${name} needs a value; see --help`);
      return value;
    };
    if (arg.startsWith("--")) readLong(arg, next, add);
    else readShort(arg, next, add);
  }
  return { values, operands };
}

function readLong(arg: string, next: (name: string) => string, add: (name: FlagName, value: string) => void): void {
  const equals = arg.indexOf("=");
  const name = arg.slice(2, equals === -1 ? undefined : equals);
  if (!Object.hasOwn(commandFlags, name)) throw wrong(`unknown flag --${name}; see --help`);
  const flag = name as FlagName;
  if (commandFlags[flag].takesValue) return add(flag, equals === -1 ? next(`--${name}`) : arg.slice(equals + 1));
  if (equals !== -1) throw wrong(`--${name} takes no value`);
  add(flag, "");
}

/** `-iL`, `-o FILE`, `-oFILE`. */
function readShort(arg: string, next: (name: string) => string, add: (name: FlagName, value: string) => void): void {
  for (let at = 1; at < arg.length; at++) {
    const letter = arg[at]!;
    const flag = (Object.keys(commandFlags) as FlagName[]).find((name) => commandFlags[name].short === letter);
    if (flag === undefined) throw wrong(`unknown flag -${letter}; see --help`);
    if (!commandFlags[flag].takesValue) {
      add(flag, "");
      continue;
    }
    return add(flag, at + 1 < arg.length ? arg.slice(at + 1) : next(`-${letter}`));
  }
}

function parseFieldOptions(texts: string[]): { fields: Fields; without: Set<string> } {
  const without = new Set<string>();
  const list: { name: string; key: string; value: string }[] = [];
  for (const text of texts) {
    const colon = text.indexOf(":");
    const name = text.slice(0, colon);
    const value = trim(text.slice(colon + 1));
    if (colon < 1 || !isToken(name) || !isWritableValue(value)) throw wrong('-H takes "NAME: TEXT" in ASCII');
    const key = name.toLowerCase();
    if (FRAMING.has(key)) throw wrong(`-H cannot set ${name}: it is made from what is sent`);
    without.add(key);
    if (value !== "") list.push({ name, key, value });
  }
  return { fields: new Fields(list), without };
}

/** Fields that say where a message ends, or belong to the connection. */
const FRAMING = new Set(["content-length", "transfer-encoding", "connection", "keep-alive", "upgrade", "te", "trailer", "expect"]);

function parseSeconds(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const seconds = /^[0-9]{1,6}(?:\.[0-9]{1,3})?$/.test(text) ? Number(text) : 0;
  if (seconds === 0) throw wrong("--max-time takes seconds, such as 10 or 0.5");
  return seconds;
}

function parseVersion(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (text !== "1.2" && text !== "1.3") throw wrong("--tls-max is 1.2 or 1.3");
  return text === "1.2" ? 0x0303 : 0x0304;
}

function parsePins(text: string | undefined): string[] {
  if (text === undefined) return [];
  return text.split(";").map((pin) => {
    const hash = pin.startsWith("sha256//") && pin.length === 52 ? decodeBase64(pin.slice(8)) : undefined;
    if (hash?.length !== 32) throw wrong("--pinnedpubkey takes sha256//BASE64, the hash of a public key, and more of them after ;");
    return encodeBase64(hash);
  });
}

function parseConnectTo(text: string): ConnectTo {
  const match = /^(\[[^[\]]*\]|[^:[\]]*):([0-9]*):(\[[^[\]]*\]|[^:[\]]*):([0-9]*)$/.exec(text);
  if (match === null) throw wrong("--connect-to takes HOST1:PORT1:HOST2:PORT2, each of which may be empty");
  const place = (host: string, port: string) => {
    try {
      // A host that is left out still lets the port be looked at.
      const authority = parseAuthority(`${host === "" ? "any" : host}${port === "" ? "" : `:${port}`}`);
      return { host: host === "" ? undefined : authority.host, port: authority.port };
    } catch (error) {
      if (error instanceof UrlError) throw wrong(`--connect-to: ${error.message}`);
      throw error;
    }
  };
  return { from: place(match[1]!, match[2]!), to: place(match[3]!, match[4]!) };
}

function wrong(message: string): FetchError {
  return new FetchError(exitCodes.usage, message);
}
