import { parseArgs } from "node:util";
import { parseServerName } from "../../src/wire/server-name.ts";
import { WireError } from "../../src/wire/wire-error.ts";
import { type Flags, type ParsedArguments, UsageError } from "./command.ts";
import { instanceFlags } from "./instance-flags.ts";
import { nearest } from "./suggestion.ts";

/** The flags of the component `https-get`, which are passed on to it. */
export const getFlags: Flags = {
  output: { type: "string", short: "o", multiple: true },
  include: { type: "boolean", short: "i" },
  location: { type: "boolean", short: "L" },
  request: { type: "string", short: "X" },
  header: { type: "string", short: "H", multiple: true },
  data: { type: "string", short: "d", multiple: true },
  fail: { type: "boolean", short: "f" },
  "max-time": { type: "string" },
  "connect-to": { type: "string", multiple: true },
  "no-keepalive": { type: "boolean" },
  json: { type: "boolean" },
  verbose: { type: "boolean", short: "v" },
  silent: { type: "boolean", short: "s" },
  cacert: { type: "string" },
  crlfile: { type: "string" },
  cert: { type: "string" },
  "tls-max": { type: "string" },
  pinnedpubkey: { type: "string" },
  "accept-invalid": { type: "boolean" },
};

/** A command line of `sallyport get`, taken apart. */
export interface GetArguments {
  /** Flags of `instanceFlags`, as the other commands have them. */
  instance: ParsedArguments;
  /** What the component gets: its own flags in their long form, and the URLs. */
  guest: string[];
  urls: string[];
  /** Values of each of the component's flags. */
  values: Map<string, string[]>;
}

/**
 * Tell the flags of the instance from those of the component. The component's are not judged here, it does that itself.
 *
 * @throws {UsageError}
 */
export function parseGetArguments(args: string[]): GetArguments {
  const all = { ...instanceFlags, ...getFlags };
  const { tokens } = parseArgs({ args, options: all, strict: false, tokens: true, allowPositionals: true });
  const instance: ParsedArguments["flags"] = {};
  const values = new Map<string, string[]>();
  const guest: string[] = [];
  const urls: string[] = [];
  for (const token of tokens) {
    if (token.kind === "positional") urls.push(token.value);
    if (token.kind !== "option") continue;
    const { name, rawName, value } = token;
    const flag = Object.hasOwn(all, name) ? all[name] : undefined;
    if (flag === undefined) throw new UsageError(`unknown flag ${rawName}${suggestion(name, all)}`);
    if (flag.type === "string" && value === undefined) throw new UsageError(`${rawName} needs a value`);
    if (flag.type === "boolean" && value !== undefined) throw new UsageError(`${rawName} takes no value`);
    if (Object.hasOwn(getFlags, name)) {
      guest.push(`--${name}`, ...(value === undefined ? [] : [value]));
      values.set(name, [...(values.get(name) ?? []), value ?? ""]);
    } else if (flag.multiple === true) instance[name] = [...((instance[name] as string[] | undefined) ?? []), value!];
    else instance[name] = value ?? true;
  }
  if (urls.length === 0) throw new UsageError("get takes the URL to fetch");
  return { instance: { flags: instance, operands: [], rest: undefined }, guest: [...guest, "--", ...urls], urls, values };
}

/**
 * What the component may connect to: the hosts of the URLs, or where `--connect-to` leads instead. What is no URL to this
 * reader gets no grant, and is explained by the component.
 */
export function grantsFor(urls: readonly string[], connectTo: readonly string[]): string[] {
  const rules = connectTo.flatMap(parseConnectTo);
  const grants = urls.flatMap((url) => {
    const place = parseUrl(url);
    if (place === undefined) return [];
    const rule = rules.find(({ from }) => (from.host ?? place.host) === place.host && (from.port ?? place.port) === place.port);
    return [grant(rule?.to.host ?? place.host, rule?.to.port ?? place.port)];
  });
  // Targets that are named in full are granted for redirects too.
  const named = rules.flatMap(({ to }) => (to.host === undefined || to.port === undefined ? [] : [grant(to.host, to.port)]));
  return [...new Set([...grants, ...named])];
}

interface Place {
  host: string | undefined;
  port: number | undefined;
}

function parseUrl(text: string): { host: string; port: number } | undefined {
  const match = /^https:\/\/(\[[^\]]*\]|[^:/?#@[\]]+)(?::([0-9]{1,5}))?(?:[/?#]|$)/i.exec(text);
  const host = match === null ? undefined : hostOf(match[1]!);
  const port = match?.[2] === undefined ? 443 : Number(match[2]);
  return host === undefined || port < 1 || port > 65_535 ? undefined : { host, port };
}

function parseConnectTo(text: string): { from: Place; to: Place }[] {
  const match = /^(\[[^\]]*\]|[^:[\]]*):([0-9]{0,5}):(\[[^\]]*\]|[^:[\]]*):([0-9]{0,5})$/.exec(text);
  if (match === null) return [];
  const place = (host: string, port: string): Place | undefined => {
    const name = host === "" ? undefined : hostOf(host);
    if (host !== "" && name === undefined) return undefined;
    return { host: name, port: port === "" ? undefined : Number(port) };
  };
  const from = place(match[1]!, match[2]!);
  const to = place(match[3]!, match[4]!);
  return from === undefined || to === undefined ? [] : [{ from, to }];
}

/** A name or address as a grant of exactly that: no pattern and no range passes. */
function hostOf(text: string): string | undefined {
  try {
    const name = parseServerName(text.replace(/^\[(.*)\]$/, "$1"), { trailingDot: "drop" });
    return name.tag === "dns" ? name.name : name.text;
  } catch (error) {
    if (error instanceof WireError) return undefined;
    throw error;
  }
}

function grant(host: string, port: number): string {
  return `${host.includes(":") ? `[${host}]` : host}:${port}`;
}

function suggestion(name: string, flags: Flags): string {
  const near = nearest(name, Object.keys(flags));
  return near === undefined ? "" : `; did you mean --${near}?`;
}
