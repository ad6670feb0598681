import type { SecretPlacement } from "../../src/policy/index.ts";
import type { Scope } from "../../src/reactor/index.ts";
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
 * Have the host write secrets, each as a field of its own, behind what was written to the connection.
 *
 * @throws {SecretRefused}
 */
export async function placeSecrets(
  _tls: TlsConnection | undefined,
  _writer: Writer,
  secrets: readonly SecretPlacement[],
  _scope: Scope,
): Promise<void> {
  await Promise.resolve();
  throw new SecretRefused(secrets[0]!.secret, "this build has no secrets");
}
