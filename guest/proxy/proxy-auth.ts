import { encodeUtf8 } from "../../src/bindings/text.ts";
import type { RequestHead } from "../../src/http1/index.ts";
import { equalInConstantTime } from "../../src/tokens/equal.ts";
import { TokenError } from "../../src/tokens/index.ts";
import { decodeBase64 } from "../../src/wire/base64url.ts";
import { latin1 } from "../../src/wire/utf8.ts";
import type { AccessKeys } from "./access-keys.ts";
import type { Client } from "./clients.ts";
import { write } from "./records.ts";

/** Who may use the proxy. */
export interface Door {
  /**
   * Whether the client showed what it has to show. What a token says of it is entered in `client`, and recorded.
   *
   * @returns why not; `undefined`: it is let in
   * @throws {NotRecorded}
   */
  refusal(head: RequestHead, client: Client): Refusal | undefined;
}

/** Why a client is asked again. */
export interface Refusal {
  /** For the record: a code of `docs/tokens.md`, or `no-valid-token`. */
  readonly reason: string;
  /** For the client. */
  readonly message: string;
}

/** Admits everybody. */
export const openDoor: Door = { refusal: () => undefined };

/**
 * Admits whoever shows the token: as `Bearer TOKEN`, or as the password of `Basic`, which is what clients make of a proxy URL
 * with user information (RFC 7617, RFC 6750).
 */
export class TokenDoor implements Door {
  private readonly token: Uint8Array;

  constructor(token: string) {
    this.token = encodeUtf8(token);
  }

  refusal({ fields }: RequestHead): Refusal | undefined {
    const values = fields.getAll("proxy-authorization");
    const shown = values.length === 1 ? tokenOf(values[0]!) : undefined;
    if (shown !== undefined && equalInConstantTime(shown, this.token)) return undefined;
    return { reason: "no-valid-token", message: "the proxy wants its session token" };
  }
}

/** Admits whoever shows a capability token that is bound to the client's own connection. */
export class CapabilityDoor implements Door {
  private readonly keys: AccessKeys;
  private readonly isRequired: boolean;

  /** @param isRequired whether clients without a token are refused, too */
  constructor(keys: AccessKeys, isRequired: boolean) {
    this.keys = keys;
    this.isRequired = isRequired;
  }

  refusal({ fields }: RequestHead, client: Client): Refusal | undefined {
    const values = fields.getAll("proxy-authorization");
    if (values.length === 0 && !this.isRequired) {
      client.groups = [];
      client.holder = undefined;
      return undefined;
    }
    if (values.length === 0) return { reason: "no-token", message: "the proxy wants a capability token" };
    const shown = values.length === 1 ? tokenOf(values[0]!) : undefined;
    if (shown === undefined) return { reason: "malformed-credentials", message: "the credentials are neither Bearer nor Basic" };
    try {
      const { subject, issuer, groups } = this.keys.verify(latin1(shown), client.channel);
      if (this.keys.isRevoked({ issuer, subject })) throw new TokenError("revoked");
      if (client.holder?.subject !== subject || client.holder.issuer !== issuer)
        write("authentication", client.id, {
          decision: "allow",
          clientAddress: client.address,
          ...(client.certificateSubject === undefined ? {} : { clientSubject: client.certificateSubject }),
          rule: `token of ${issuer}`,
          reason: `subject ${subject}`,
        });
      client.holder = { issuer, subject };
      client.groups = groups;
      return undefined;
    } catch (error) {
      if (!(error instanceof TokenError)) throw error;
      return { reason: error.code, message: error.message };
    }
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
