import type { RequestHead } from "../../src/http1/index.ts";
import { equalInConstantTime } from "../../src/tokens/equal.ts";
import { encodeUtf8 } from "../../src/bindings/text.ts";
import { decodeBase64 } from "../../src/wire/base64url.ts";

/** Who may use the proxy. */
export interface Door {
  /** Whether the client showed what it has to show. */
  admits(head: RequestHead): boolean;
}

/** Admits everybody. */
export const openDoor: Door = { admits: () => true };

/**
 * Admits whoever shows the token: as `Bearer TOKEN`, or as the password of `Basic`, which is what clients make of a proxy URL
 * with user information (RFC 7617, RFC 6750).
 */
export class TokenDoor implements Door {
  private readonly token: Uint8Array;

  constructor(token: string) {
    this.token = encodeUtf8(token);
  }

  admits({ fields }: RequestHead): boolean {
    const values = fields.getAll("proxy-authorization");
    if (values.length !== 1) return false;
    const shown = tokenOf(values[0]!);
    return shown !== undefined && equalInConstantTime(shown, this.token);
  }
}

/** The challenge that goes with 407. */
export const CHALLENGE = ["Proxy-Authenticate", 'Basic realm="sallyport", charset="UTF-8"'] as const;

function tokenOf(value: string): Uint8Array | undefined {
  if (value.length > MAX_VALUE) return undefined;
  const [, scheme, credentials] = /^([A-Za-z]+) +(\S+)$/.exec(value) ?? [];
  if (scheme?.toLowerCase() === "bearer") return encodeUtf8(credentials!);
  if (scheme?.toLowerCase() !== "basic" || !/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(credentials!))
    return undefined;
  const pair = decodeBase64(credentials!);
  const colon = pair?.indexOf(COLON) ?? -1;
  return colon < 0 ? undefined : pair!.subarray(colon + 1);
}

const MAX_VALUE = 1024;
const COLON = 0x3a;
