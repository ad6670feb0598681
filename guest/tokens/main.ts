import type { KeyError } from "sallyport:policy/tokens@0.1.0";
import { getRandomBytes } from "wasi:random/random@0.2.12";
import { u64 } from "../../src/bindings/index.ts";
import { PrivateKey, verify } from "../../src/tokens/ed25519.ts";
import { Issuer, signWith } from "../../src/tokens/index.ts";
import { failure, type OpenIssuer, secondsNow, tokensExports } from "./exports.ts";

/** The world `tokens-self-contained`: keys and signatures inside. */
export const tokens = tokensExports({
  verifySignature: verify,
  generate: (id) => withSeed(id, getRandomBytes(u64(32))),
  fromSeed(id, seed) {
    if (seed.length !== 32) throw failure<KeyError>("invalid-key");
    return withSeed(id, seed.slice());
  },
  open() {
    throw failure<KeyError>("not-supported");
  },
});

function withSeed(id: string, seed: Uint8Array): OpenIssuer {
  const key = new PrivateKey(seed);
  const sign = signWith((message) => key.sign(message));
  return { issuer: new Issuer(id, sign, secondsNow), publicKey: key.publicKey, seed };
}
