import { encodeUtf8 } from "../../src/bindings/text.ts";
import type { RequestHead } from "../../src/http1/index.ts";
import { equalInConstantTime } from "../../src/tokens/equal.ts";
import { decodeBase64 } from "../../src/wire/base64url.ts";

/** What a client shows to a proxy: nothing, what cannot be understood, or a token. */
export type Shown = { readonly tag: "none" } | { readonly tag: "malformed" } | { readonly tag: "token"; readonly bytes: Uint8Array };

/**
 * The token of a request: `Bearer TOKEN`, or the password of `Basic`, which is what clients make of a proxy URL with user
 * information (RFC 7617, RFC 6750).
 */
export function shownTo({ fields }: RequestHead): Shown {
  const values = fields.getAll("proxy-authorization");
  if (values.length === 0) return { tag: "none" };
  const bytes = values.length === 1 ? tokenOf(values[0]!) : undefined;
  return bytes === undefined ? { tag: "malformed" } : { tag: "token", bytes };
}

/** A token that stands for a run of the program. */
export class SessionToken {
  private readonly bytes: Uint8Array;

  constructor(token: string) {
    this.bytes = encodeUtf8(token);
  }

  /** Compared in constant time. */
  isShownBy(head: RequestHead): boolean {
    const shown = shownTo(head);
    return shown.tag === "token" && equalInConstantTime(shown.bytes, this.bytes);
  }
}

/** The challenge that goes with 407. */
export const CHALLENGE = ["Proxy-Authenticate", 'Basic realm="sallyport", charset="UTF-8"'] as const;

/** How often a client may show what is not accepted before its connection is ended. */
export const MOST_REFUSALS = 3;

function tokenOf(value: string): Uint8Array | undefined {
  if (value.length > MAX_VALUE) return undefined;
  const [, scheme, credentials] = /^([A-Za-z]+) +(\S+)$/.exec(value) ?? [];
  if (scheme?.toLowerCase() === "bearer") return encodeUtf8(credentials!);
  if (scheme?.toLowerCase() !== "basic" || !/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(credentials!))
    return undefined;
  const pair = decodeBase64(credentials!);
  // A user's name holds no colon; a capability token does.
  const colon = pair?.indexOf(COLON) ?? -1;
  return colon < 0 ? undefined : pair!.subarray(colon + 1);
}

/** Characters: the longest capability token in base64, and some. */
const MAX_VALUE = 8192;
const COLON = 0x3a;
