import { type SignError, Signer, verify } from "sallyport:policy/ed25519@0.1.0";
import type { IssueError, KeyError } from "sallyport:policy/tokens@0.1.0";
import { attempt, u64 } from "../../src/bindings/index.ts";
import { Issuer } from "../../src/tokens/index.ts";
import { failure, secondsNow, tokensExports } from "./exports.ts";

/** The world `tokens-host-assisted`: the host verifies, and signs with keys that this component never sees. */
export const tokens = tokensExports({
  verifySignature: verify,
  generate: notSupported,
  fromSeed: notSupported,
  open(name) {
    const opened = attempt<Signer, SignError>(() => Signer.open(name));
    if (opened.tag === "err") throw failure<KeyError>("not-found");
    const signer = opened.val;
    const issuer = new Issuer(
      signer.issuer(),
      ({ subject, groups, expiresAt, audience, certificateSha256, tlsExporter }) => {
        const claims = { subject, groups: [...groups], expiresAt: u64(expiresAt), audience, certificateSha256, tlsExporter };
        const signed = attempt<string, SignError>(() => signer.sign(claims));
        if (signed.tag === "ok") return signed.val;
        throw failure<IssueError>(signed.val === "not-found" ? "not-permitted" : signed.val);
      },
      secondsNow,
    );
    return { issuer, publicKey: signer.publicKey() };
  },
});

function notSupported(): never {
  throw failure<KeyError>("not-supported");
}
