import type { SecureContext } from "node:tls";

/**
 * Free what OpenSSL holds for a context: megabytes, where there are revocation lists. V8 does not know of them and collects a
 * dropped context when it likes, which a guest that makes one after the other can outrun. Connections that were made with it
 * are not touched; none can be made with it any more. Not public in Node; where it is missing the collector has to do.
 */
export function closeContext(context: SecureContext): void {
  (context.context as { close?: () => void } | undefined)?.close?.();
}
