import { errorName, type TokenErrorCode, tokenErrors } from "../../tokens/token-component.ts";

const FIRST_EXIT_CODE = 10;

const sentences: Record<TokenErrorCode, string> = {
  "missing-prefix": "it does not begin with cap:",
  malformed: "it has no dot between payload and signature",
  "invalid-base64url": "a part of it is not canonical base64url",
  "bad-signature": "the signature is not one of the issuer's key over this payload",
  "too-large": "it is longer than any that is accepted",
  "invalid-claims": "the payload is not the claims of a token",
  "unknown-issuer": "the keyring has no key of its issuer",
  expired: "it has expired",
  revoked: "its subject is revoked",
  "audience-mismatch": "it is meant for another audience",
  "binding-mismatch": "it is bound to another channel, or to one of which nothing was given (--cert, --tls-exporter)",
  unbound: "it is bound to no channel",
};

/** Why a token was refused, with the exit code that stands for it. */
export interface Refusal {
  code: TokenErrorCode;
  exitCode: number;
  /** For people. Holds nothing of the token. */
  sentence: string;
}

/** The refusal in what a call of the component was rejected with. @throws the error itself if it is none */
export function refusalOf(error: unknown): Refusal {
  const code = tokenErrors.find((name) => name === errorName(error));
  if (code === undefined) throw error;
  return { code, exitCode: FIRST_EXIT_CODE + tokenErrors.indexOf(code), sentence: sentences[code] };
}

/** The part of the help that lists the exit codes. */
export const refusalsHelp = tokenErrors
  .map((code, index) => `  ${FIRST_EXIT_CODE + index}  ${code.padEnd(18)} ${sentences[code]}`)
  .join("\n");
