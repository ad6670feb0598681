import { encodeUtf8 } from "../../src/bindings/text.ts";
import { type FieldLine, responseHead } from "../../src/http1/index.ts";
import { type Nanoseconds, type Scope, timeout } from "../../src/reactor/index.ts";
import type { Reader, Writer } from "../../src/streams/index.ts";
import { printable } from "../../src/wire/printable.ts";

/**
 * Answer a request by ourselves, in plain text.
 *
 * @param why one sentence
 * @param options.close whether the connection ends with this
 * @param options.head without the body: the request was a HEAD
 */
export async function answer(
  writer: Writer,
  status: number,
  why: string,
  options: { close: boolean; head?: boolean; fields?: readonly FieldLine[]; scope?: Scope },
): Promise<number> {
  const body = encodeUtf8(`${printable(why)}\n`);
  const head = responseHead(status, [
    ["Content-Type", "text/plain; charset=utf-8"],
    ["Content-Length", String(body.length)],
    // So that a client, and whoever reads its log, can tell this from an answer of the server's.
    ["Proxy-Status", `sallyport; error=${errorType(status)}`],
    ...(options.fields ?? []),
    ...(options.close ? [["Connection", "close"] as const] : []),
  ]);
  await writer.write(head, options.scope);
  if (options.head !== true) await writer.write(body, options.scope);
  await writer.flush(options.scope);
  return head.length + (options.head === true ? 0 : body.length);
}

/** Say that a CONNECT succeeded: what follows belongs to the client and the server that it asked for. */
export async function established(writer: Writer, scope: Scope): Promise<void> {
  await writer.write(ESTABLISHED, scope);
}

/**
 * After the last answer: read on for a moment. A client that still sends while its connection is closed may lose the answer
 * that it has not read.
 */
export async function linger(reader: Reader, patience: Nanoseconds): Promise<void> {
  try {
    await timeout(patience, async (scope) => {
      for (let left = LINGER_BYTES; left > 0;) {
        const bytes = await reader.read(undefined, scope);
        if (bytes === undefined) return;
        left -= bytes.length;
      }
    });
  } catch {
    // However it leaves now, it was answered.
  }
}

const ESTABLISHED = encodeUtf8("HTTP/1.1 200 Connection Established\r\n\r\n");
const LINGER_BYTES = 256 * 1024;

/** Of RFC 9209, section 2.3. */
function errorType(status: number): string {
  if (status === 403) return "http_request_denied";
  if (status === 502) return "destination_unavailable";
  if (status === 504) return "connection_timeout";
  return "http_request_error";
}
