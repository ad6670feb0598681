import type { AnchorSet } from "../identity/trust-anchors.ts";
import type { Target } from "./connection-info.ts";
import type { SessionStore } from "./session-store.ts";
import { alpnWire, type Settings } from "./settings.ts";

/** What a server may send before it was judged is kept only up to here. */
const MAX_UNPROVEN = 4;

/**
 * The sessions of one client connection. A session stands in for the certificate of the handshake that it came from, and a
 * server can send one with its first flight, before that certificate was judged: until then none gets into the store.
 */
export class SessionKeeper {
  readonly #store: SessionStore;
  readonly #key: string;
  /** From a peer that was not let through yet; `undefined` once it was. */
  #unproven: Buffer[] | undefined = [];

  constructor(store: SessionStore, settings: Settings, target: Target, anchors: AnchorSet) {
    this.#store = store;
    this.#key = [
      target.name,
      settings.names.map((name) => (name.tag === "dns" ? name.name : name.text)).join(","),
      anchors.id,
      settings.identities.map((identity) => identity.id).join(","),
      Buffer.from(alpnWire(settings.alpnIds)).toString("hex"),
      settings.minimumVersion,
      settings.maximumVersion,
    ].join("|");
  }

  /** A session of an earlier connection with the same settings, for this one alone. */
  take(): Buffer | undefined {
    return this.#store.take(this.#key);
  }

  keep(session: Buffer): void {
    if (this.#unproven === undefined) this.#store.put(this.#key, session);
    else if (this.#unproven.length < MAX_UNPROVEN) this.#unproven.push(session);
  }

  /** The peer was let through. */
  proven(): void {
    for (const session of this.#unproven ?? []) this.#store.put(this.#key, session);
    this.#unproven = undefined;
  }
}
