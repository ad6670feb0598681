import { WitError } from "../io/error.ts";
import type { OutputStream } from "../io/output-stream.ts";
import { describe } from "./dial.ts";
import { type HeadPart, type Misplaced, readHead } from "./placeholders.ts";
import { RateLimit } from "./rate-limit.ts";
import type { SecretRules } from "./secret-grants.ts";
import { connectionBehind, dialledBehind, judgePeer, type TrustedPeer } from "./secret-peer.ts";
import type { SecretFetch } from "./secret-source.ts";
import type { SecretContext, SecretError } from "./secrets.ts";

/** The WIT record `sallyport:gateway/secrets.place`. */
export interface HeadPlace {
  secret: string;
  field: string;
}

/** A secret of the instance. */
export interface SecretEntry {
  rules: SecretRules;
  fetch: () => SecretFetch;
  placeholder: string | undefined;
}

/**
 * The part of `sallyport:gateway/secrets` that puts secrets in place of their placeholders.
 *
 * @param uses of secrets that may be recorded
 */
export function headImports(context: SecretContext, entries: ReadonlyMap<string, SecretEntry>, uses: RateLimit) {
  const { recorder } = context;
  const refusals = new RateLimit(context, "refused-placeholders", REFUSALS_A_SECOND);
  const names = new Map<string, string>();
  for (const [name, { placeholder }] of entries) if (placeholder !== undefined) names.set(placeholder, name);

  return {
    placeholders: (): string[] => [...names.values()].sort(),

    /** @throws {WitError<SecretError>} */
    sendHead(output: OutputStream, head: Uint8Array, places: readonly HeadPlace[]): void {
      const { sink } = output;
      const refuse = (reason: SecretError, at: Partial<Misplaced> = {}): WitError<SecretError> => {
        if (!refusals.take()) return new WitError<SecretError>(reason);
        const dialled = dialledBehind(sink, context);
        const where = at.field === undefined ? "target" : "field";
        recorder.host("placeholder-refused", {
          ...(dialled && describe(dialled)),
          secret: at.secret,
          place: where,
          field: at.field,
          reason,
        });
        return new WitError<SecretError>(reason);
      };
      if (head.length > MAX_HEAD) throw new WitError<SecretError>("invalid-argument");
      const mayStand = (secret: string, field: string) =>
        places.some((place) => place.secret === secret && place.field.toLowerCase() === field) &&
        entries.get(secret)!.rules.allowsPlaceholder(field);
      const text = Buffer.from(head.buffer, head.byteOffset, head.length).toString("latin1");
      const reading = readHead(text, names, mayStand);
      if (reading.tag === "malformed") throw refuse("invalid-argument");
      if (reading.tag === "misplaced") throw refuse("misplaced", reading.at);
      const used: (HeadPlace & { peer: TrustedPeer })[] = [];
      const pieces = reading.parts.map((part) => {
        if (part.tag === "text") return Buffer.from(part.text, "latin1");
        const { rules, fetch } = entries.get(part.secret)!;
        const connection = connectionBehind(sink);
        const peer = connection === undefined ? "not-verified" : judgePeer(connection, rules, context);
        if (typeof peer === "string") throw refuse(peer, part);
        const { state } = fetch();
        // Waiting is no refusal.
        if (state.tag === "pending") throw new WitError<SecretError>("not-ready");
        if (state.tag === "unavailable") throw refuse("unavailable", part);
        used.push({ secret: part.secret, field: part.field, peer });
        return written(part, state.value.reveal());
      });
      if (sink.state().tag !== "open") throw new WitError<SecretError>("wrong-phase");
      const bytes = Buffer.concat(pieces);
      if (bytes.length > sink.capacity()) throw new WitError<SecretError>("would-block");
      if (recorder.keepsRecords && used.length > 0 && !uses.take(used.length)) throw new WitError<SecretError>("not-recorded");
      // Before, not after: a use that cannot be recorded must not come about.
      for (const { secret, field, peer } of used) {
        const fields = { ...describe(peer.dialled), secret, server_name: peer.server, field, placeholder: true };
        if (!recorder.host("secret", fields)) throw new WitError<SecretError>("not-recorded");
      }
      sink.write(bytes);
    },
  };
}

function written(part: Exclude<HeadPart, { tag: "text" }>, secret: Uint8Array): Uint8Array {
  if (part.tag === "secret") return secret;
  const credentials = Buffer.concat([Buffer.from(part.before, "latin1"), secret, Buffer.from(part.after, "latin1")]);
  return Buffer.from(credentials.toString("base64"));
}

/** Refusals that are recorded one by one; others are counted. */
const REFUSALS_A_SECOND = 1000;
/** Bytes, below what a connection takes at once. */
const MAX_HEAD = 192 * 1024;
