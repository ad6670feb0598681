import { placeholders, Secret, type SecretError, sendHead } from "sallyport:gateway/secrets@0.1.0";
import type { Client } from "sallyport:tls/connection@0.1.0";
import { attempt } from "../../src/bindings/errors.ts";
import { wellFormed } from "../../src/bindings/text.ts";
import type { SecretPlacement } from "../../src/policy/index.ts";
import { Event, type Nanoseconds, type Scope, SECOND, timeout } from "../../src/reactor/index.ts";
import { StreamClosed, type Writer } from "../../src/streams/index.ts";
import type { TlsConnection } from "../../src/tls/index.ts";

/** A secret was not put in: the request must not go out without it. The message names the secret and never holds it. */
export class SecretRefused extends Error {
  readonly code = "ERR_SALLYPORT_SECRET_REFUSED";
  /** What to answer the request with. */
  readonly status: 403 | 502;

  constructor(message: string, status: 403 | 502 = 502) {
    super(message);
    this.status = status;
  }
}

function notPlaced(secret: string, reason: string): SecretRefused {
  return new SecretRefused(`the host did not put in the secret ${secret}: ${inWords(reason)}`);
}

/** The code first, as records have it. */
function inWords(reason: string): string {
  const words: Partial<Record<string, string>> = {
    "wrong-server": "it was not given for this server and port (--secret-for); with a front, that is the server in front",
    "form-not-granted": "it was not given for this field (--secret-for)",
    "not-verified": "the server was not verified against the host's own roots (--ca)",
    unavailable: "its source gave nothing of use",
  };
  const why = words[reason];
  return why === undefined ? reason : `${reason}: ${why}`;
}

/** The secrets that clients send by a placeholder. */
export function secretsByPlaceholder(): ReadonlySet<string> {
  return new Set(placeholders());
}

/** A request's way to its server. */
export interface HeadSink {
  readonly writer: Writer;
  /** `undefined` where there is no TLS. */
  readonly tls: TlsConnection | undefined;
}

/**
 * Write the head of a request, with its secrets: as fields of their own, and in place of their placeholders.
 *
 * @param byPlaceholder as `secretsByPlaceholder` gives them
 * @throws {SecretRefused} @throws {TimedOut} @throws {StreamClosed} @throws {StreamFailure}
 */
export async function writeHead(
  { writer, tls }: HeadSink,
  head: Uint8Array,
  placements: readonly SecretPlacement[],
  byPlaceholder: ReadonlySet<string>,
  scope: Scope,
): Promise<void> {
  const places = placements.filter(({ secret }) => byPlaceholder.has(secret));
  const write = (bytes: Uint8Array) => (byPlaceholder.size === 0 ? writer.write(bytes, scope) : writeFilled(writer, bytes, places, scope));
  if (places.length === placements.length) return await write(head);
  await write(head.subarray(0, -HEAD_END.length));
  const placed = placements.filter(({ secret }) => !byPlaceholder.has(secret));
  await placeSecrets(tls, writer, placed, scope);
  await writer.write(HEAD_END, scope);
}

/** Have the host write a head, with secrets where it finds their placeholders. */
async function writeFilled(writer: Writer, head: Uint8Array, placements: readonly SecretPlacement[], scope: Scope): Promise<void> {
  const places = placements.map(({ secret, header }) => ({ secret: wellFormed(secret), field: wellFormed(header) }));
  for (;;) {
    const result = attempt<void, SecretError>(() => sendHead(writer.stream, head, places));
    if (result.tag === "ok") return;
    if (result.val === "not-ready") await timeout(PATIENCE, (waiting) => fetched(placements, waiting), scope);
    else if (result.val === "would-block") await timeout(PATIENCE, (waiting) => writer.writable(waiting), scope);
    else if (result.val === "wrong-phase") throw new StreamClosed();
    else if (result.val === "misplaced") throw new SecretRefused("the placeholder of a secret stands where no secret goes", 403);
    else throw new SecretRefused(`the host did not put in a secret in place of its placeholder: ${inWords(result.val)}`);
  }
}

async function fetched(placements: readonly SecretPlacement[], scope: Scope): Promise<void> {
  for (const { secret: name } of placements) {
    using secret = Secret.open(wellFormed(name));
    using ready = new Event(() => secret.subscribe());
    await ready.wait(scope);
  }
}

/**
 * Have the host write secrets, each as a field of its own, behind what was written to the connection. It decides by itself
 * whether the server may have them.
 *
 * @param server a connection to a server that was verified
 * @throws {SecretRefused} @throws {TimedOut}
 */
async function placeSecrets(
  server: TlsConnection | undefined,
  writer: Writer,
  placements: readonly SecretPlacement[],
  scope: Scope,
): Promise<void> {
  for (const { secret: name, header } of placements) {
    if (server === undefined) throw notPlaced(name, "the server is not reached by TLS");
    const opened = attempt<Secret, SecretError>(() => Secret.open(wellFormed(name)));
    if (opened.tag === "err") throw notPlaced(name, opened.val);
    using secret = opened.val;
    const placed = await timeout(PATIENCE, (waiting) => place(secret, server.endpoint as Client, header, writer, waiting), scope);
    if (placed !== undefined) throw notPlaced(name, placed);
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

/** The empty line at the end of a head, in front of which fields may be added. */
const HEAD_END = Uint8Array.of(0x0d, 0x0a);
/** For a secret to be fetched, and for room to write it. */
const PATIENCE: Nanoseconds = BigInt(30) * SECOND;
