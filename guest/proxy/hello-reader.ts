import type { Scope } from "../../src/reactor/index.ts";
import type { Reader } from "../../src/streams/index.ts";
import { type ClientHello, ClientHelloReader } from "../../src/wire/client-hello.ts";
import { TlsWireError } from "../../src/wire/wire-error.ts";

/** What a connection begins with. */
export type Opening =
  | { readonly tag: "hello"; readonly hello: ClientHello; /** As it came, with whatever followed it. */ readonly bytes: Uint8Array }
  /** No client hello. `alert` is what TLS answers to that. */
  | { readonly tag: "other"; readonly why: string; readonly alert: number }
  /** The client left before it was whole. */
  | { readonly tag: "cut" };

/** Read the client hello that a connection begins with, without answering it. @throws {StreamFailure} @throws the scope's reason */
export async function readOpening(reader: Reader, scope: Scope): Promise<Opening> {
  const hello = new ClientHelloReader();
  try {
    for (;;) {
      const bytes = await reader.read(READ_SIZE, scope);
      if (bytes === undefined) return { tag: "cut" };
      const parsed = hello.push(bytes);
      if (parsed !== "more") return { tag: "hello", hello: parsed, bytes: hello.received() };
    }
  } catch (error) {
    if (error instanceof TlsWireError) return { tag: "other", why: error.message, alert: error.alert };
    throw error;
  }
}

/** A fatal alert before any key (RFC 8446, section 6): a whole record. */
export function alertRecord(description: number): Uint8Array {
  return Uint8Array.of(0x15, 0x03, 0x03, 0x00, 0x02, 0x02, description);
}

/** AlertDescription (RFC 8446, section 6). */
export const alert = { accessDenied: 49, internalError: 80, unrecognizedName: 112, noApplicationProtocol: 120 } as const;

const READ_SIZE = 16 * 1024;
