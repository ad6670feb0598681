import { type Command, UsageError } from "../command.ts";
import { nearest } from "../suggestion.ts";
import { issue } from "../token/issue.ts";
import { keygen } from "../token/keygen.ts";
import { keyring } from "../token/keyring.ts";
import { refusalsHelp } from "../token/refusal.ts";
import { revoke } from "../token/revoke.ts";
import { inspect, verify } from "../token/verify.ts";

const actions: Record<string, (args: string[]) => Promise<number>> = {
  keygen,
  issue,
  verify,
  inspect,
  revoke: (args) => revoke(args, "revoke"),
  unrevoke: (args) => revoke(args, "unrevoke"),
  keyring,
};

export const command: Command = {
  help: `sallyport token: make and check capability tokens

A token says who may do something (subject, groups), for whom (audience), until when, and on which channel: it is bound to a
client certificate, so that a copy is of no use without that certificate's key. It is signed with Ed25519 and checked in the
sandbox; keys stay outside it.

  token keygen --out FILE [--issuer ID]
      Make a signing key: FILE (private, mode 600, never replaced) and FILE.pub. Without --issuer the id is the key's
      fingerprint.

  token issue --key FILE --sub SUBJECT --aud AUDIENCE [--ttl 1h] [--groups A,B] [--bind CERT.pem]
      Print a token. --ttl is seconds, or a number with s, m, h, d (default 1h). --bind is the certificate that the client
      will present, the first one in the file. --tls-exporter VALUE binds it to one connection (RFC 9266, base64url).
      --issuer ID in place of the id in the key file.

  token verify TOKEN|- --keyring FILE --aud AUDIENCE [--cert CERT.pem] [--tls-exporter VALUE] [--revocations FILE]
      Check a token as a verifier with that name would, for a client that presented this certificate. Revocations are read
      from beside the keyring (NAME.revocations.json) if there is such a file, or from the file that is named.
      --require-tls-exporter refuses tokens that are not bound to the connection.

  token inspect TOKEN|-
      Print what a token says. Nothing is checked but its form.

  token revoke --issuer ID --sub SUBJECT --keyring FILE|--revocations FILE
  token unrevoke …
      Refuse all tokens of a subject from now on, or no longer.

  token keyring add KEY --keyring FILE [--issuer ID] [--replace]
  token keyring remove --issuer ID --keyring FILE
  token keyring list|export --keyring FILE
      The keys that are trusted. KEY is a public key: a PEM file, - for standard input, or 32 bytes in base64url.

  --json   with keygen, issue, verify, inspect and keyring list: one line of JSON on standard output

A token on the command line can be seen by other users of the machine: hand it over with -.

Exit codes of verify and inspect, in the order of the checks; 64 to 75 as of the other commands:
${refusalsHelp}

Examples:
  sallyport token keygen --out ops.key --issuer ops-1
  sallyport token keyring add ops.key.pub --keyring ring.json
  sallyport token issue --key ops.key --sub alice --aud proxy-1 --groups BEAM --bind alice.pem > alice.token
  sallyport token verify - --keyring ring.json --aud proxy-1 --cert alice.pem < alice.token
  sallyport token revoke --issuer ops-1 --sub alice --keyring ring.json`,

  async run(args) {
    const [name, ...rest] = args;
    if (name === undefined) throw new UsageError(`token takes one of ${Object.keys(actions).join(", ")}`);
    if (Object.hasOwn(actions, name)) return await actions[name]!(rest);
    const near = nearest(name, Object.keys(actions));
    throw new UsageError(`token has no ${JSON.stringify(name)}${near === undefined ? "" : `; did you mean ${near}?`}`);
  },
};
