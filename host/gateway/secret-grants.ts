import { ipAddressOrUndefined } from "../../src/wire/ip-address.ts";
import type { ServerName } from "../../src/wire/server-name.ts";
import { GrantError, Grants } from "../net/grants.ts";
import { isPlaceholder } from "./placeholders.ts";
import type { SecretSource } from "./secret-source.ts";

/** A form in which a secret may stand. */
export type SecretForm =
  /** A field of this name, with exactly this before and behind the secret. */
  | { field: string; prefix?: string; suffix?: string }
  /** A field of this name, asked for with nothing around the secret: the host writes this word and a space before it. */
  | { field: string; scheme: string }
  /** A field of this name with Basic authentication, for this user; for any if none is named. */
  | { basic: string; user?: string }
  /** The secret alone, with exactly this before and behind it. */
  | { bare: true; prefix?: string; suffix?: string }
  /** In place of its placeholder, in a field of this name. */
  | { replaces: string };

/** A secret that an instance may place. */
export interface SecretGrant {
  source: SecretSource;
  /** When it is fetched: once, as the instance is made (the default), or each time that the guest opens it. */
  fetch?: "start" | "use";
  /** The servers that it may go to, each with its port: `api.example.com:443`, `*.example.com:443`, `192.0.2.1:443`. */
  servers: readonly string[];
  /** At least one. */
  forms: readonly SecretForm[];
  /** What clients are given in its place, as `newPlaceholder` makes it; for the form `replaces`. */
  placeholder?: string;
}

/** The WIT variant `sallyport:gateway/secrets.form`. */
export type WitForm =
  | { tag: "field"; val: { name: string; prefix: string; suffix: string } }
  | { tag: "basic"; val: { name: string; user: string } }
  | { tag: "bare"; val: { prefix: string; suffix: string } };

/** A grant, parsed. */
export class SecretRules {
  readonly #servers: Grants;
  readonly #forms: readonly SecretForm[];

  /** @throws {GrantError} when it is not understood, or allows nothing */
  constructor(name: string, grant: SecretGrant) {
    if (grant.servers.length === 0 || grant.forms.length === 0)
      throw new GrantError(`secret ${JSON.stringify(name)}: name the servers that it may go to and the forms in which it may stand`);
    for (const server of grant.servers) {
      const isOne = /^(?:\*\.)?[^*/]+:[0-9]+$/.test(server) || /^\[[^\]/]+\]:[0-9]+$/.test(server);
      if (!isOne)
        throw new GrantError(`secret ${JSON.stringify(name)}: ${JSON.stringify(server)} is no server with a port: write name:port`);
    }
    this.#servers = Grants.parse({ allowNet: grant.servers });
    this.#forms = grant.forms;
    for (const form of grant.forms)
      if (!isWritable(sampleOf(form)) || ("scheme" in form && !TOKEN.test(form.scheme)))
        throw new GrantError(`secret ${JSON.stringify(name)}: a form is malformed`);
    const { placeholder } = grant;
    if (grant.forms.some((form) => "replaces" in form) !== (placeholder !== undefined))
      throw new GrantError(`secret ${JSON.stringify(name)}: a placeholder and the form that it is replaced in go together`);
    if (placeholder !== undefined && (!isPlaceholder(placeholder) || grant.fetch === "use"))
      throw new GrantError(`secret ${JSON.stringify(name)}: not a placeholder, or not for a secret that is fetched at each use`);
  }

  /** Whether it may go to this server on this port. */
  allowsServer(server: ServerName, port: number): boolean {
    if (server.tag === "dns") return this.#servers.name(server.name, port) === "named";
    const address = ipAddressOrUndefined(server.text);
    return address !== undefined && this.#servers.address(address, port);
  }

  /** Whether its placeholder may stand in a field of this name, in lower case. */
  allowsPlaceholder(field: string): boolean {
    return this.#forms.some((form) => "replaces" in form && form.replaces.toLowerCase() === field);
  }

  /** How it is written where it is asked for in this form; `undefined` where it may not stand like this. */
  permitted(form: WitForm): WitForm | undefined {
    const granted = this.#forms.find((one) => covers(one, form));
    if (granted === undefined) return undefined;
    return "scheme" in granted ? sampleOf({ ...granted, field: form.tag === "field" ? form.val.name : granted.field }) : form;
  }
}

/** Whether every part of a form may be written: names are tokens, nothing holds a control character. */
export function isWritable(form: WitForm): boolean {
  const { val } = form;
  const texts = "prefix" in val ? [val.prefix, val.suffix] : [val.user];
  if (texts.some((text) => text.length > MAX_TEXT || !/^[\x20-\x7e]*$/.test(text))) return false;
  // The colon would end the user where the password begins (RFC 7617, section 2).
  if (form.tag === "basic" && form.val.user.includes(":")) return false;
  return form.tag === "bare" || (form.val.name.length <= MAX_TEXT && TOKEN.test(form.val.name));
}

/** What is written. */
export function written(form: WitForm, secret: Uint8Array): Uint8Array {
  if (form.tag === "bare") return Buffer.concat([Buffer.from(form.val.prefix), secret, Buffer.from(form.val.suffix)]);
  if (form.tag === "field")
    return Buffer.concat([Buffer.from(`${form.val.name}: ${form.val.prefix}`), secret, Buffer.from(`${form.val.suffix}\r\n`)]);
  const credentials = Buffer.concat([Buffer.from(`${form.val.user}:`), secret]);
  return Buffer.from(`${form.val.name}: Basic ${credentials.toString("base64")}\r\n`);
}

function covers(granted: SecretForm, form: WitForm): boolean {
  if ("replaces" in granted) return false;
  if ("bare" in granted) return form.tag === "bare" && hasAround(granted, form.val);
  if ("basic" in granted)
    return form.tag === "basic" && sameName(granted.basic, form.val.name) && (granted.user === undefined || granted.user === form.val.user);
  return form.tag === "field" && sameName(granted.field, form.val.name) && hasAround("scheme" in granted ? {} : granted, form.val);
}

function hasAround({ prefix = "", suffix = "" }: { prefix?: string; suffix?: string }, form: { prefix: string; suffix: string }): boolean {
  return form.prefix === prefix && form.suffix === suffix;
}

function sameName(a: string, b: string): boolean {
  return a.toLowerCase() === b.toLowerCase();
}

function sampleOf(form: SecretForm): WitForm {
  if ("replaces" in form) return { tag: "field", val: { name: form.replaces, prefix: "", suffix: "" } };
  if ("basic" in form) return { tag: "basic", val: { name: form.basic, user: form.user ?? "" } };
  if ("scheme" in form) return { tag: "field", val: { name: form.field, prefix: `${form.scheme} `, suffix: "" } };
  const around = { prefix: form.prefix ?? "", suffix: form.suffix ?? "" };
  return "bare" in form ? { tag: "bare", val: around } : { tag: "field", val: { name: form.field, ...around } };
}

const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const MAX_TEXT = 256;
