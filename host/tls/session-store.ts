/** Sessions kept per key, and keys kept. */
const PER_KEY = 2;
const MAX_KEYS = 1000;
/** Bytes of a session: the rest is a server that sends tickets of 64 KiB to see what they cost. */
const MAX_SESSION = 16 * 1024;

/**
 * Sessions of earlier client connections. Their bytes hold a master secret, so they stay here: no guest sees one.
 * A session is handed out once (RFC 8446, appendix C.4).
 */
export class SessionStore {
  #sessions = new Map<string, Buffer[]>();

  /** @param key everything that a session must not be carried across: name, anchors, identity, ALPN, versions */
  put(key: string, session: Buffer): void {
    if (session.length > MAX_SESSION) return;
    const kept = this.#sessions.get(key) ?? [];
    this.#sessions.delete(key);
    this.#sessions.set(key, [...kept, session].slice(-PER_KEY));
    if (this.#sessions.size > MAX_KEYS) this.#sessions.delete(this.#sessions.keys().next().value!);
  }

  take(key: string): Buffer | undefined {
    const kept = this.#sessions.get(key);
    const session = kept?.pop();
    if (kept?.length === 0) this.#sessions.delete(key);
    return session;
  }
}
