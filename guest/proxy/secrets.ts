import { Secret, type SecretError } from "sallyport:gateway/secrets@0.1.0";
import type { Client } from "sallyport:tls/connection@0.1.0";
import { attempt } from "../../src/bindings/errors.ts";
import { wellFormed } from "../../src/bindings/text.ts";
import type { SecretPlacement } from "../../src/policy/index.ts";
import { Event, type Nanoseconds, type Scope, SECOND, timeout } from "../../src/reactor/index.ts";
import type { Writer } from "../../src/streams/index.ts";
import type { TlsConnection } from "../../src/tls/index.ts";

/** A secret was not put in: the request must not go out without it. The message names the secret and never holds it. */
export class SecretRefused extends Error {
  readonly code = "ERR_SALLYPORT_SECRET_REFUSED";

  constructor(secret: string, reason: string) {
    super(`the host did not put in the secret ${secret}: ${reason}`);
  }
}

/**
 * Have the host write secrets, each as a field of its own, behind what was written to the connection. It decides by itself
 * whether the server may have them.
 *
 * @param server a connection to a server that was verified
 * @throws {SecretRefused} @throws {TimedOut}
 */
export async function placeSecrets(
  server: TlsConnection | undefined,
  writer: Writer,
  placements: readonly SecretPlacement[],
  scope: Scope,
): Promise<void> {
  for (const { secret: name, header } of placements) {
    if (server === undefined) throw new SecretRefused(name, "the server is not reached by TLS");
    const opened = attempt<Secret, SecretError>(() => Secret.open(wellFormed(name)));
    if (opened.tag === "err") throw new SecretRefused(name, opened.val);
    using secret = opened.val;
    const placed = await timeout(PATIENCE, (waiting) => place(secret, server.endpoint as Client, header, writer, waiting), scope);
    if (placed !== undefined) throw new SecretRefused(name, placed);
  }
}

/** Why it was not placed; `undefined` if it was. */
async function place(secret: Secret, connection: Client, name: string, writer: Writer, scope: Scope): Promise<SecretError | undefined> {
  using ready = new Event(() => secret.subscribe());
  for (;;) {
    const result = attempt<void, SecretError>(() => secret.place(connection, { tag: "field", val: { name, prefix: "", suffix: "" } }));
    if (result.tag === "ok") return undefined;
    if (result.val === "not-ready") await ready.wait(scope);
    else if (result.val === "would-block") await writer.writable(scope);
    else return result.val;
  }
}

/** For a secret to be fetched, and for room to write it. */
const PATIENCE: Nanoseconds = BigInt(30) * SECOND;
