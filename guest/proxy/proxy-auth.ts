import { TokenError } from "../../src/tokens/index.ts";
import type { AccessKeys } from "./access-keys.ts";
import type { Client } from "./clients.ts";
import { SessionToken, shownTo } from "./credentials.ts";
import { write } from "./records.ts";

/** Who may use the proxy. */
export interface Door {
  /**
   * Whether the client showed what it has to show. What a token says of it is entered in `client`, and recorded.
   *
   * @param shown the values of its Proxy-Authorization fields
   * @returns why not; `undefined`: it is let in
   * @throws {NotRecorded}
   */
  refusal(shown: readonly string[], client: Client): Refusal | undefined;
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

/** Admits whoever shows the token of this run. */
export class TokenDoor implements Door {
  private readonly token: SessionToken;
  /** The credentials that were accepted last. */
  private accepted: string | undefined;

  constructor(token: string) {
    this.token = new SessionToken(token);
  }

  refusal(shown: readonly string[]): Refusal | undefined {
    // All clients that are let in show the same.
    if (shown.length === 1 && this.accepted !== undefined && isSameText(shown[0]!, this.accepted)) return undefined;
    if (this.token.isShownBy(shown)) {
      this.accepted = shown[0];
      return undefined;
    }
    return { reason: "no-valid-token", message: "the proxy wants its session token" };
  }
}

/** In a time that depends on the lengths only. */
function isSameText(a: string, b: string): boolean {
  if (a.length !== b.length) return false;
  let difference = 0;
  for (let at = 0; at < a.length; at++) difference |= a.charCodeAt(at) ^ b.charCodeAt(at);
  return difference === 0;
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

  refusal(values: readonly string[], client: Client): Refusal | undefined {
    const shown = shownTo(values);
    if (shown.tag === "none" && !this.isRequired) {
      client.groups = [];
      client.holder = undefined;
      return undefined;
    }
    if (shown.tag === "none") return { reason: "no-token", message: "the proxy wants a capability token" };
    if (shown.tag === "malformed") return { reason: "malformed-credentials", message: "the credentials are neither Bearer nor Basic" };
    try {
      const { subject, issuer, groups, expiresAt } = this.keys.verify(shown.text, client.channel);
      if (this.keys.isRefused(subject)) throw new TokenError("revoked");
      if (client.holder?.subject !== subject || client.holder.issuer !== issuer)
        write("authentication", client.id, {
          decision: "allow",
          clientAddress: client.address,
          ...(client.certificateSubject === undefined ? {} : { clientSubject: client.certificateSubject }),
          rule: `token of ${issuer}`,
          reason: `subject ${subject}`,
        });
      client.holder = { issuer, subject, expiresAt };
      client.groups = groups;
      return undefined;
    } catch (error) {
      if (!(error instanceof TokenError)) throw error;
      return { reason: error.code, message: error.message };
    }
  }
}
