import type { Framing } from "../http1/framing.ts";
import type { MessageParser } from "../http1/message-parser.ts";
import { type ResponseHead, responseParser } from "../http1/response.ts";
import { Scope } from "../reactor/cancel.ts";
import { clearTimer, type Nanoseconds, SECOND, setTimer, spawn } from "../reactor/reactor.ts";
import type { Channel } from "./binding.ts";
import { exitCodes, FetchError } from "./exit-code.ts";

/** A request as bytes. */
export interface Message {
  method: string;
  head: Uint8Array;
  body: Uint8Array | undefined;
  /** The body waits until the server asks for it, or for a second: some never do (RFC 9110, section 10.1.1). */
  expectContinue: boolean;
}

/** The answer, up to its body, which `parser` reads from the channel. */
export interface Answer {
  head: ResponseHead;
  framing: Framing;
  parser: MessageParser<ResponseHead>;
  /** Whether the whole request was sent; if not, the connection is of no more use. */
  sent: boolean;
}

/** The connection ended before a byte of an answer came: on a connection that was used before, it was closed meanwhile. */
export class NoAnswer extends FetchError {
  constructor(cause?: unknown) {
    super(exitCodes.empty, "the server closed the connection without an answer; try again", cause);
  }
}

/**
 * Send a request and read the answer's head. An answer that comes while the request is still being sent ends the sending.
 *
 * @throws {NoAnswer} @throws {HttpError} @throws {StreamFailure} the scope's reason
 */
export async function exchange(channel: Channel, message: Message, scope: Scope): Promise<Answer> {
  const parser = responseParser(message.method);
  using sending = new Scope(scope);
  const go = goAhead(message.expectContinue);
  let sent = false;
  spawn(
    async () => {
      await channel.writer.write(message.head, sending);
      if (message.expectContinue && message.body !== undefined) {
        await channel.writer.flush(sending);
        if (!(await go.decided)) return;
      }
      if (message.body !== undefined) await channel.writer.write(message.body, sending);
      sent = true;
    },
    // A server may answer and close before it has read everything. If it did not answer, the reading side says what happened.
    () => {},
  );
  try {
    for (;;) {
      const part = parser.next();
      if (part?.tag === "interim" && part.head.status === 100) go.decide(true);
      if (part?.tag === "head") {
        if (part.head.upgraded) throw new FetchError(exitCodes.protocol, "the server switched to a protocol that nobody asked for");
        return { head: part.head, framing: part.framing, parser, sent };
      }
      if (part === undefined) await receive(channel, parser, scope);
    }
  } finally {
    go.decide(false);
    sending.cancel();
  }
}

async function receive(channel: Channel, parser: MessageParser<ResponseHead>, scope: Scope): Promise<void> {
  let bytes: Uint8Array | undefined;
  try {
    bytes = await channel.reader.read(undefined, scope);
  } catch (error) {
    if (scope.reason !== undefined || parser.started) throw error;
    throw error instanceof Error && "detail" in error && isCut(error.detail) ? new NoAnswer(error) : error;
  }
  if (bytes !== undefined) return parser.push(bytes);
  if (!parser.started) throw new NoAnswer();
  parser.close();
}

function isCut(detail: unknown): boolean {
  const tag = typeof detail === "object" && detail !== null && "tag" in detail ? detail.tag : undefined;
  return tag === "truncated" || tag === "transport" || tag === "closed";
}

/** Decided once: by the server's word, or by time. */
function goAhead(needed: boolean): { decided: Promise<boolean>; decide: (go: boolean) => void } {
  let decide = (_go: boolean) => {};
  const decided = new Promise<boolean>((resolve) => {
    if (!needed) return resolve(true);
    const timer = setTimer(PATIENCE, () => decide(true));
    decide = (go) => {
      clearTimer(timer);
      resolve(go);
    };
  });
  return { decided, decide: (go) => decide(go) };
}

const PATIENCE: Nanoseconds = SECOND;
