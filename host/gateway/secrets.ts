import { WitError } from "../io/error.ts";
import { type Ledger, Resource } from "../io/ledger.ts";
import { Pollable } from "../io/poll.ts";
import type { Endpoint } from "../tls/endpoint.ts";
import type { AuditRecord } from "./audit-log.ts";
import { describe } from "./dial.ts";
import type { OutputStream } from "../io/output-stream.ts";
import { RateLimit } from "./rate-limit.ts";
import type { Recorder } from "./recorder.ts";
import { headImports, type HeadPlace } from "./secret-heads.ts";
import { isWritable, type SecretGrant, SecretRules, type WitForm, written } from "./secret-grants.ts";
import { dialledBehind, judgePeer, type PeerContext, type PeerFault } from "./secret-peer.ts";
import { SecretFetch } from "./secret-source.ts";

/** The WIT enum `sallyport:gateway/secrets.secret-error`. */
export type SecretError =
  | PeerFault
  | "not-found"
  | "not-ready"
  | "unavailable"
  | "form-not-granted"
  | "invalid-argument"
  | "would-block"
  | "not-recorded"
  | "misplaced";

/** What the secrets of one instance are made of. */
export interface SecretContext extends PeerContext {
  ledger: Ledger;
  recorder: Recorder;
  secrets: Readonly<Record<string, SecretGrant>>;
}

/** The WIT resource `secret`. */
export interface SecretResource extends Resource {
  subscribe(): Pollable;
  /** @throws {WitError<SecretError>} */
  place(client: Endpoint, form: WitForm): void;
}

/** The imports `sallyport:gateway/secrets` of one instance. */
export interface SecretImports {
  Secret: { names(): string[]; open(name: string): SecretResource };
  placeholders(): string[];
  /** @throws {WitError<SecretError>} */
  sendHead(output: OutputStream, head: Uint8Array, places: readonly HeadPlace[]): void;
}

/** @throws {GrantError} when a grant is not understood */
export function secretImports(context: SecretContext): SecretImports {
  const { ledger, recorder } = context;
  const refusals = new RateLimit(context, "refused-secrets", REFUSALS_A_SECOND);
  const uses = new RateLimit(context, "secrets", USES_A_SECOND);
  const entries = new Map(
    Object.entries(context.secrets).map(([name, grant]) => {
      const rules = new SecretRules(name, grant);
      const fetch = () => {
        const started = new SecretFetch(grant.source);
        const disown = ledger.own(() => started.cancel());
        const stop = started.changed.listen(() => {
          disown();
          stop();
        });
        if (started.state.tag !== "pending") disown();
        return started;
      };
      const first = grant.fetch === "use" ? undefined : fetch();
      // One at a time: a guest that opens it without end must not start a program as often.
      let latest = first;
      const next = () => (latest?.state.tag === "pending" ? latest : (latest = fetch()));
      return [name, { rules, fetch: () => first ?? next(), placeholder: grant.placeholder }] as const;
    }),
  );

  class Secret extends Resource {
    readonly #name: string;
    readonly #rules: SecretRules;
    readonly #fetch: SecretFetch;

    constructor(name: string, rules: SecretRules, fetch: SecretFetch) {
      super(ledger);
      this.#name = name;
      this.#rules = rules;
      this.#fetch = fetch;
    }

    static names(): string[] {
      return [...entries.keys()].sort();
    }

    static open(name: string): Secret {
      const entry = entries.get(name);
      if (entry === undefined) throw new WitError<SecretError>("not-found");
      return new Secret(name, entry.rules, entry.fetch());
    }

    subscribe(): Pollable {
      const fetch = this.#fetch;
      return new Pollable(
        ledger,
        fetch.changed.when(() => fetch.state.tag !== "pending"),
      );
    }

    place(client: Endpoint, form: WitForm): void {
      const fault = this.#place(client, form);
      if (fault === undefined) return;
      // Waiting is no refusal.
      if (fault !== "not-ready" && fault !== "would-block" && refusals.take())
        recorder.host("secret-refused", { ...this.#whereTo(client, form), reason: fault });
      throw new WitError<SecretError>(fault);
    }

    /** As much of what the record of a use has as the host knows by itself. */
    #whereTo({ connection }: Endpoint, form: WitForm): AuditRecord {
      const dialled = dialledBehind(connection.privateOutput, context);
      return {
        ...(dialled && describe(dialled)),
        secret: this.#name,
        server_name: connection.target?.name,
        field: isWritable(form) ? fieldOf(form) : undefined,
      };
    }

    #place({ connection }: Endpoint, form: WitForm): SecretError | undefined {
      if (!isWritable(form)) return "invalid-argument";
      const permitted = this.#rules.permitted(form);
      if (permitted === undefined) return "form-not-granted";
      const peer = judgePeer(connection, this.#rules, context);
      if (typeof peer === "string") return peer;
      const { state } = this.#fetch;
      if (state.tag === "pending") return "not-ready";
      if (state.tag === "unavailable") return "unavailable";
      const bytes = written(permitted, state.value.reveal());
      const sink = connection.privateOutput;
      if (sink.state().tag !== "open") return "wrong-phase";
      if (bytes.length > sink.capacity()) return "would-block";
      if (recorder.keepsRecords && !uses.take()) return "not-recorded";
      // Before, not after: a use that cannot be recorded must not come about.
      const fields = { ...describe(peer.dialled), secret: this.#name, server_name: peer.server, field: fieldOf(form) };
      if (!recorder.host("secret", fields)) return "not-recorded";
      sink.write(bytes);
      return undefined;
    }
  }
  return { Secret, ...headImports(context, entries, uses) };
}

/** Where it would stand. */
function fieldOf(form: WitForm): string | undefined {
  return form.tag === "bare" ? undefined : form.val.name;
}

/** Refusals that are recorded one by one; others are counted. */
const REFUSALS_A_SECOND = 1000;
/** Each is a record that cannot be left out: what comes on top is refused. */
const USES_A_SECOND = 10_000;
