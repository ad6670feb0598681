// Issues, verifies and revokes capability tokens with tokens.wasm:
//   npx jco transpile tokens.wasm -o transpiled && node tokens.js CERTIFICATE.der
import { readFileSync } from "node:fs";
import { tokens } from "./transpiled/tokens.js";

/** What is known of the connection: here the client's certificate, and no RFC 9266 value. */
const channel = (certificateSha256) => ({ certificateSha256, tlsExporter: undefined });

/** The subject, or the reason why there is none: jco throws the error of a WIT `result` as `payload`. */
function show(when, verify) {
  try {
    console.log(`${when}: ${verify().subject}`);
  } catch (error) {
    if (typeof error?.payload !== "string") throw error;
    console.log(`${when}: refused, ${error.payload}`);
  }
}

const alice = channel(tokens.certificateSha256(readFileSync(process.argv[2])));
const issuer = tokens.generateIssuer("ops-1");
const token = issuer.issue("alice", ["BEAM"], "api", 3600, alice);
const verifier = tokens.createVerifier("api");

show("nobody trusted", () => verifier.verify(token, alice));
verifier.trust("ops-1", issuer.publicKey());
show("her certificate", () => verifier.verify(token, alice));
show("another certificate", () => verifier.verify(token, channel(new Uint8Array(32))));
verifier.revoke("ops-1", "alice");
show("revoked", () => verifier.verify(token, alice));
verifier.unrevoke("ops-1", "alice");
show("taken back", () => verifier.verify(token, alice));
