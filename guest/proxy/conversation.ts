import type { Event } from "sallyport:gateway/audit@0.1.0";
import { Conversation, type Edits, type HttpError, type Request, type Stop } from "sallyport:gateway/http@0.1.0";
import type { InputStream } from "wasi:io/streams@0.2.12";
import { dropInOrder } from "../../src/bindings/drop.ts";
import { attempt } from "../../src/bindings/errors.ts";
import { numberOfU64, u32, u64 } from "../../src/bindings/integers.ts";
import { optional } from "../../src/bindings/option.ts";
import type { Nanoseconds, Scope } from "../../src/reactor/index.ts";
import { Reader, Writer } from "../../src/streams/index.ts";
import type { MessageStreams } from "./message-streams.ts";
import { Turns, type Watch } from "./turns.ts";

/** A request that goes on. */
export interface Passed {
  /** What is changed in it. */
  readonly edits: Edits;
  /** The record of each, if requests like it go on in the same way until the decisions change. */
  readonly always: Event | undefined;
}

/** How a conversation ended. */
export interface Conversed {
  readonly stop: Stop;
  /** The request that went on last, or was to. */
  readonly last: Request | undefined;
}

/** How to hold it. */
export interface ConverseOptions {
  readonly idle: Nanoseconds;
  /** Bytes of a head. */
  readonly headLimit: number;
  /** Whether FIN ends a response: the server's side has no TLS. */
  readonly allowUnauthenticatedEnd: boolean;
  readonly scope: Scope;
  /** Cancelled when no further request is wanted. */
  readonly idleScope: Scope;
  /** Told of the bytes, also when this throws. */
  readonly tally: { fromClient: number; toClient: number };
  /** Decide on a request. @returns `undefined` to have it for oneself, as the next from the client */
  decide(request: Request): Passed | undefined | Promise<Passed | undefined>;
  /** Call `forget` when the decisions change, until the returned function is called. */
  onChange(forget: () => void): () => void;
  /** So many requests went on without `decide`, also when this throws. */
  onUnasked(count: number): void;
}

/**
 * Have the host read requests, pass them on and pass back what is answered, for as long as each is plain and may go on.
 *
 * @returns why it is over; both sides have their streams again
 * @throws what `decide` throws, or the reason of the scope; both sides are broken then
 */
export async function converse(client: MessageStreams, server: MessageStreams, options: ConverseOptions): Promise<Conversed> {
  const streams = [released(client.reader), client.writer.release(), released(server.reader), server.writer.release()] as const;
  const started = attempt<Conversation, HttpError>(() =>
    Conversation.start(...streams, {
      idleTimeout: u64(options.idle),
      headLimit: u32(Math.min(options.headLimit, MOST_HEAD)),
      allowUnauthenticatedEnd: options.allowUnauthenticatedEnd,
    }),
  );
  if (started.tag === "err") throw new Error(`requests could not be followed: ${started.val}`);
  const conversation = started.val;
  let release = () => {};
  let watch: Watch | undefined;
  try {
    const stop = await new Promise<Stop>((resolve, reject) => {
      release = both(
        options.scope.onCancel(reject),
        options.idleScope.onCancel(() => conversation.finish()),
        options.onChange(() => conversation.forget()),
      );
      watch = turns.watch(conversation.subscribe(), () => answered(conversation, options, resolve, reject, () => watch!.again()));
    });
    const last = ABOUT_A_REQUEST.has(stop.tag) ? optional(conversation.last()) : undefined;
    const [clientInput, clientOutput, serverInput, serverOutput] = conversation.takeBack();
    [client.reader, client.writer] = [new Reader(clientInput), new Writer(clientOutput)];
    [server.reader, server.writer] = [new Reader(serverInput), new Writer(serverOutput)];
    if (stop.tag === "failed") server.isBroken = true;
    if ((stop.tag === "failed" || stop.tag === "last") && !stop.val.bodyWhole) client.isBroken = server.isBroken = true;
    return { stop, last };
  } catch (error) {
    client.isBroken = server.isBroken = true;
    throw error;
  } finally {
    release();
    const { fromClient, toClient, unasked } = conversation.totals();
    options.tally.fromClient += numberOfU64(fromClient);
    options.tally.toClient += numberOfU64(toClient);
    options.onUnasked(numberOfU64(unasked));
    dropInOrder(watch, conversation);
  }
}

/** One turn. No promise in it where the decision is at hand: this is where a keep-alive request costs. */
function answered(
  conversation: Conversation,
  options: ConverseOptions,
  resolve: (stop: Stop) => void,
  reject: (error: unknown) => void,
  again: () => void,
): boolean {
  try {
    const turn = conversation.next();
    if (turn.tag === "none") return true;
    if (turn.tag === "stopped") {
      resolve(turn.val);
      return false;
    }
    const passed = options.decide(turn.val);
    if (passed instanceof Promise) {
      passed.then((decided) => {
        if (decided === undefined) resolve(NOT_PLAIN);
        else if (options.scope.reason === undefined) {
          pass(conversation, decided);
          again();
        }
      }, reject);
      return false;
    }
    if (passed === undefined) {
      resolve(NOT_PLAIN);
      return false;
    }
    pass(conversation, passed);
    return true;
  } catch (error) {
    reject(error);
    return false;
  }
}

function pass(conversation: Conversation, { edits, always }: Passed): void {
  if (always === undefined) conversation.forward(edits);
  else conversation.forwardAlways(edits, always);
}

function both(...calls: (() => void)[]): () => void {
  return () => calls.forEach((call) => call());
}

function released(reader: Reader): InputStream {
  const { stream, buffered } = reader.release();
  if (buffered.length > 0) throw new Error("bytes that were read are not part of a conversation");
  return stream;
}

const NOT_PLAIN: Stop = { tag: "not-plain" };
const ABOUT_A_REQUEST: ReadonlySet<Stop["tag"]> = new Set(["not-answered", "last", "failed"]);
const turns = new Turns();
/** What the host reads at most. */
const MOST_HEAD = 16 * 1024;
