import { encodeUtf8 } from "../../src/bindings/text.ts";
import type { RequestHead } from "../../src/http1/index.ts";
import { equalInConstantTime } from "../../src/tokens/equal.ts";
import { decodeBase64 } from "../../src/wire/base64url.ts";
import { latin1 } from "../../src/wire/utf8.ts";

/** What a client shows to a proxy: nothing, what cannot be understood, or a token. */
export type Shown =
  | { readonly tag: "none" }
  | { readonly tag: "malformed" }
  | { readonly tag: "token"; /** Bytes as the code points 0 to 255. */ readonly text: string };

/**
 * The token of a request: `Bearer TOKEN`, or the password of `Basic`, which is what clients make of a proxy URL with user
 * information (RFC 7617, RFC 6750).
 *
 * @param values of its Proxy-Authorization fields
 */
export function shownTo(values: readonly string[]): Shown {
  if (values.length === 0) return { tag: "none" };
  const text = values.length === 1 ? tokenOf(values[0]!) : undefined;
  return text === undefined ? { tag: "malformed" } : { tag: "token", text };
}

/** A token that stands for a run of the program. */
export class SessionToken {
  private readonly bytes: Uint8Array;

  constructor(token: string) {
    this.bytes = encodeUtf8(token);
  }

  /** Compared in constant time. */
  isShownBy(values: readonly string[]): boolean {
    const shown = shownTo(values);
    return shown.tag === "token" && equalInConstantTime(encodeUtf8(shown.text), this.bytes);
  }
}

/** Where a request shows it. */
export function credentialsOf({ fields }: RequestHead): readonly string[] {
  return fields.getAll("proxy-authorization");
}

/** The challenge that goes with 407. */
export const CHALLENGE = ["Proxy-Authenticate", 'Basic realm="sallyport", charset="UTF-8"'] as const;

/** How often a client may show what is not accepted before its connection is ended. */
export const MOST_REFUSALS = 3;

function tokenOf(value: string): string | undefined {
  if (value.length > MAX_VALUE) return undefined;
  const blank = value.indexOf(" ");
  // Without a regular expression over all of it: a token is looked at for every request.
  const [scheme, credentials] = blank < 0 ? ["", ""] : [value.slice(0, blank).toLowerCase(), value.slice(blank).trimStart()];
  if (credentials === "" || credentials.includes(" ") || credentials.includes("\t")) return undefined;
  if (scheme === "bearer") return credentials;
  if (scheme !== "basic" || !/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(credentials)) return undefined;
  const pair = decodeBase64(credentials);
  // A user's name holds no colon; a capability token does.
  const colon = pair?.indexOf(COLON) ?? -1;
  return colon < 0 ? undefined : latin1(pair!.subarray(colon + 1));
}

/** Characters: the longest capability token in base64, and some. */
const MAX_VALUE = 8192;
const COLON = 0x3a;
