import { forward, type Forwarder, type Options, relay, type Relayer } from "sallyport:tls/forward@0.1.0";
import type { InputStream, OutputStream } from "wasi:io/streams@0.2.12";
import { isErrorValue } from "../../../../src/bindings/errors.ts";
import { numberOfU64, u64 } from "../../../../src/bindings/integers.ts";
import { bytesOf, equal, errorOf, errorText, oneOf, outcomeText, refuses, textOf, that } from "../expect.ts";
import { rest } from "../tcp.ts";
import { type AnyEnd, Pair } from "../pair.ts";
import type { Case, Cleanup, Setting, Transport } from "../program.ts";

const cuttable: { transports: Transport[] } = { transports: ["memory", "nested"] };

/**
 * Two connections, and the host between them: what the first client says is forwarded from the first server to the second
 * client, and heard by the second server.
 */
class Chain {
  readonly first: Pair;
  readonly second: Pair;

  constructor(setting: Setting, cleanup: Cleanup, truncation: "detect" | "tolerate" = "detect") {
    this.first = new Pair(setting, cleanup, { configureServer: (server) => server.configureTruncation(truncation) }).establish();
    this.second = new Pair(setting, cleanup).establish();
  }

  get source(): InputStream {
    return this.first.server.streams.privateInput;
  }

  get sink(): OutputStream {
    return this.second.client.streams.privateOutput;
  }

  forward(options: Partial<Options> = {}): Forwarder {
    return forward(this.source, this.sink, { atEnd: "propagate", ...options });
  }

  say(text: string): void {
    this.first.client.write(text);
  }

  /** Until it holds. */
  until(holds: () => boolean, what: string): void {
    this.second.until(() => {
      this.first.link.pump();
      return holds();
    }, what);
  }

  /** Until the last of them has heard this. */
  hears(text: string): void {
    let heard = "";
    this.until(() => (heard += this.second.server.read()).length >= text.length, `${text} at the end of the chain`);
    equal(heard, text, "what was heard");
  }

  /** Until the end of what the last of them hears: `text|end`. */
  hearsToEnd(): string {
    const end = this.second.server as AnyEnd;
    let heard = "";
    this.until(() => {
      heard += end.read();
      return end.inputEnd !== undefined;
    }, "the end of what is heard");
    return `${heard}|${end.inputEnd}`;
  }

  ended(mover: Forwarder | Relayer): string {
    this.until(() => isSet(mover.outcome()), "the outcome of the forwarder");
    return outcomeText(mover.outcome());
  }
}

export const forwarding: Case[] = [
  {
    name: "forward: moves what comes, and a clean end is passed on as one",
    run(setting, cleanup) {
      const chain = new Chain(setting, cleanup);
      chain.say("before");
      const forwarder = chain.forward();
      equal(outcomeText(forwarder.outcome()), "none", "outcome while it runs");
      refuses(() => forwarder.takeBack(), "wrong-phase", "take-back while it runs");
      chain.say(" and after");
      chain.hears("before and after");
      chain.first.client.tls.closeOutput();
      oneOf(chain.ended(forwarder), setting.transport === "relay" ? ["authenticated", "unauthenticated"] : ["authenticated"], "outcome");
      equal(numberOfU64(forwarder.transferred()), 16, "transferred");
      const heard = chain.hearsToEnd();
      if (outcomeText(forwarder.outcome()) === "authenticated") equal(heard, "|closed", "what was heard after it");
      forwarder[Symbol.dispose]();
    },
  },
  {
    name: "forward: its pollable is ready when the outcome is there, and for good",
    run(setting, cleanup) {
      const chain = new Chain(setting, cleanup);
      const forwarder = chain.forward({ limit: u64(3) });
      const pollable = forwarder.subscribe();
      equal(pollable.ready(), false, "ready while it runs");
      chain.say("abc");
      chain.until(() => pollable.ready(), "the pollable");
      equal(outcomeText(forwarder.outcome()), "limit", "outcome");
      pollable.block();
      pollable[Symbol.dispose]();
      forwarder[Symbol.dispose]();
    },
  },
  {
    name: "forward: stops at its limit, and both streams can be taken back and used",
    run(setting, cleanup) {
      const chain = new Chain(setting, cleanup);
      chain.say("0123456789");
      const forwarder = chain.forward({ limit: u64(4), atEnd: "leave" });
      equal(chain.ended(forwarder), "limit", "outcome");
      equal(numberOfU64(forwarder.transferred()), 4, "transferred");
      const [source, sink] = forwarder.takeBack();
      refuses(() => forwarder.takeBack(), "wrong-phase", "take-back again");
      forwarder[Symbol.dispose]();
      chain.hears("0123");
      let rest = "";
      chain.until(() => (rest += textOf(source.read(u64(100)))) === "456789", "the rest at the source");
      sink.write(bytesOf("mine"));
      chain.hears("mine");
      source[Symbol.dispose]();
      sink[Symbol.dispose]();
    },
  },
  {
    name: "forward: a limit of nothing moves nothing, and one past all numbers is none",
    run(setting, cleanup) {
      const chain = new Chain(setting, cleanup);
      chain.say("text");
      const nothing = chain.forward({ limit: u64(0), atEnd: "leave" });
      equal(chain.ended(nothing), "limit", "outcome");
      const [source, sink] = nothing.takeBack();
      const everything = forward(source, sink, {
        limit: u64(Number.MAX_SAFE_INTEGER),
        idleTimeout: u64(Number.MAX_SAFE_INTEGER),
        atEnd: "propagate",
      });
      chain.hears("text");
      everything[Symbol.dispose]();
    },
  },
  {
    name: "forward: what was written to the sink before goes first",
    run(setting, cleanup) {
      const chain = new Chain(setting, cleanup);
      chain.say("second");
      chain.sink.write(bytesOf("first "));
      const forwarder = chain.forward();
      chain.hears("first second");
      forwarder[Symbol.dispose]();
    },
  },
  {
    name: "forward: leave keeps the sink open at the source's end",
    run(setting, cleanup) {
      const chain = new Chain(setting, cleanup);
      const forwarder = chain.forward({ atEnd: "leave" });
      chain.say("text");
      chain.hears("text");
      chain.first.client.tls.closeOutput();
      oneOf(chain.ended(forwarder), ["authenticated", "unauthenticated"], "outcome");
      const [source, sink] = forwarder.takeBack();
      equal(
        errorOf(() => source.read(u64(1))),
        "closed",
        "the source",
      );
      sink.write(bytesOf("more"));
      chain.hears("more");
      source[Symbol.dispose]();
      sink[Symbol.dispose]();
    },
  },
  {
    name: "forward: abort cuts the sink at the source's end",
    run(setting, cleanup) {
      const chain = new Chain(setting, cleanup);
      const forwarder = chain.forward({ atEnd: "abort" });
      chain.say("text");
      chain.hears("text");
      chain.first.client.tls.closeOutput();
      oneOf(chain.ended(forwarder), ["authenticated", "unauthenticated"], "outcome");
      chain.until(() => chain.second.server.outcome() !== "none", "the outcome behind the sink");
      oneOf(chain.second.server.outcome(), ["truncated", "unauthenticated"], "outcome behind the sink");
      forwarder[Symbol.dispose]();
    },
  },
  {
    ...cuttable,
    name: "forward: a cut is passed on as a cut",
    run(setting, cleanup) {
      const chain = new Chain(setting, cleanup);
      const forwarder = chain.forward();
      chain.say("text");
      chain.hears("text");
      chain.first.link.toServer!.cut();
      equal(chain.ended(forwarder), "truncated", "outcome");
      equal(chain.hearsToEnd(), "|truncated", "what was heard after it");
      forwarder[Symbol.dispose]();
    },
  },
  {
    ...cuttable,
    name: "forward: a cut that is tolerated is an end",
    run(setting, cleanup) {
      const chain = new Chain(setting, cleanup, "tolerate");
      const forwarder = chain.forward();
      chain.say("text");
      chain.hears("text");
      chain.first.link.toServer!.cut();
      equal(chain.ended(forwarder), "truncated", "outcome");
      equal(chain.hearsToEnd(), "|closed", "what was heard after it");
      forwarder[Symbol.dispose]();
    },
  },
  {
    name: "forward: streams with live pollables are handed back, and work",
    run(setting, cleanup) {
      const chain = new Chain(setting, cleanup);
      for (const which of ["source", "sink"] as const) {
        const pollable = which === "source" ? chain.source.subscribe() : chain.sink.subscribe();
        const [error, source, sink] = handedBack<[unknown, InputStream, OutputStream]>(() => chain.forward());
        equal(errorText(error), "invalid-argument", `error for a pollable of the ${which}`);
        pollable[Symbol.dispose]();
        Object.assign(chain.first.server.streams, { privateInput: source });
        Object.assign(chain.second.client.streams, { privateOutput: sink });
      }
      chain.say("still");
      const forwarder = chain.forward();
      chain.hears("still");
      forwarder[Symbol.dispose]();
    },
  },
  {
    name: "forward: dropped midway, both streams go with it, and the peer sees a cut",
    run(setting, cleanup) {
      const chain = new Chain(setting, cleanup);
      const forwarder = chain.forward();
      chain.say("text");
      chain.hears("text");
      forwarder[Symbol.dispose]();
      chain.until(() => chain.second.server.outcome() !== "none", "the outcome behind the sink");
      oneOf(chain.second.server.outcome(), ["truncated", "unauthenticated"], "outcome behind the sink");
    },
  },
  {
    name: "forward: streams that were handed over are errors that can be caught",
    run(setting, cleanup) {
      const chain = new Chain(setting, cleanup);
      const { source, sink } = chain;
      const forwarder = chain.forward();
      for (const call of [
        () => source.read(u64(1)),
        () => sink.checkWrite(),
        () => source.subscribe(),
        () => forward(source, sink, { atEnd: "leave" }),
      ])
        that(throws(call), "a consumed stream is an error");
      forwarder[Symbol.dispose]();
    },
  },
  {
    name: "forward: a forwarder or relayer may be dropped before its pollable, which is then ready",
    run(setting, cleanup) {
      const [one, two] = [new Chain(setting, cleanup), new Chain(setting, cleanup)];
      const movers = [one.forward(), relayOf(two)];
      const pollables = movers.map((mover) => mover.subscribe());
      movers.forEach((mover) => mover[Symbol.dispose]());
      equal(
        pollables.map((pollable) => pollable.ready()),
        [true, true],
        "ready",
      );
      pollables.forEach((pollable) => pollable[Symbol.dispose]());
    },
  },
  {
    name: "forward: an idle one ends with a timeout",
    run(setting, cleanup) {
      const chain = new Chain(setting, cleanup);
      const forwarder = chain.forward({ idleTimeout: u64(20_000_000), atEnd: "leave" });
      equal(chain.ended(forwarder), "timeout", "outcome");
      const [source, sink] = forwarder.takeBack();
      chain.say("late");
      let heard = "";
      chain.until(() => (heard += textOf(source.read(u64(10)))) === "late", "what came later");
      source[Symbol.dispose]();
      sink[Symbol.dispose]();
    },
  },
  {
    name: "forward: an end of the connection behind the sink ends it",
    run(setting, cleanup) {
      const chain = new Chain(setting, cleanup);
      const forwarder = chain.forward();
      chain.second.client.tls.abort(80);
      oneOf(chain.ended(forwarder), ["alert-sent(80)", "closed"], "outcome");
      forwarder[Symbol.dispose]();
    },
  },
  {
    name: "forward: back-pressure reaches the source, and a mebibyte arrives whole",
    run(setting, cleanup) {
      const chain = new Chain(setting, cleanup);
      const forwarder = chain.forward();
      const total = 1024 * 1024;
      const { privateOutput } = chain.first.client.streams;
      let [written, read] = [0, 0];
      chain.until(() => {
        const permit = Math.min(Number(privateOutput.checkWrite()), total - written, 65_536);
        if (permit > 0) privateOutput.write(new Uint8Array(permit).fill(97));
        written += permit;
        read += chain.second.server.skip();
        return read === total;
      }, "a mebibyte");
      equal(numberOfU64(forwarder.transferred()), total, "transferred");
      forwarder[Symbol.dispose]();
    },
  },
  {
    name: "relay: both directions in one, and both ends are told",
    run(setting, cleanup) {
      const chain = new Chain(setting, cleanup);
      const relayer = relayOf(chain);
      chain.say("question");
      chain.hears("question");
      chain.second.server.write("answer");
      let heard = "";
      chain.until(() => (heard += chain.first.client.read()) === "answer", "the answer");
      equal(relayer.transferred().map(numberOfU64), [8, 6], "transferred");
      equal(outcomeText(relayer.outcome()), "none", "outcome while it runs");
      chain.first.client.tls.closeOutput();
      chain.hearsToEnd();
      chain.second.server.tls.closeOutput();
      const stops = chain.ended(relayer);
      oneOf(
        stops,
        setting.transport === "relay"
          ? [
              "[authenticated,authenticated]",
              "[unauthenticated,authenticated]",
              "[authenticated,unauthenticated]",
              "[unauthenticated,unauthenticated]",
            ]
          : ["[authenticated,authenticated]"],
        "outcome",
      );
      relayer[Symbol.dispose]();
    },
  },
  {
    name: "relay: the limit is for each direction",
    run(setting, cleanup) {
      const chain = new Chain(setting, cleanup);
      const relayer = relayOf(chain, { limit: u64(3), atEnd: "leave" });
      chain.say("abcdef");
      chain.second.server.write("xyz12");
      equal(chain.ended(relayer), "[limit,limit]", "outcome");
      equal(relayer.transferred().map(numberOfU64), [3, 3], "transferred");
      relayer[Symbol.dispose]();
    },
  },
  {
    name: "relay: streams with a live pollable are all handed back, and work",
    run(setting, cleanup) {
      const chain = new Chain(setting, cleanup);
      const pollable = chain.second.client.streams.privateInput.subscribe();
      const [error, aInput, aOutput, bInput, bOutput] = handedBack<[unknown, InputStream, OutputStream, InputStream, OutputStream]>(() =>
        relayOf(chain),
      );
      equal(errorText(error), "invalid-argument", "error");
      pollable[Symbol.dispose]();
      const relayer = relay(aInput, aOutput, bInput, bOutput, { atEnd: "propagate" });
      chain.say("still");
      chain.hears("still");
      relayer[Symbol.dispose]();
    },
  },
  {
    name: "relay: a failure in one direction ends both",
    run(setting, cleanup) {
      const chain = new Chain(setting, cleanup);
      const relayer = relayOf(chain);
      chain.say("text");
      chain.hears("text");
      chain.first.server.tls.abort(80);
      equal(chain.ended(relayer), "alert-sent(80)", "outcome");
      chain.until(() => chain.second.server.outcome() !== "none", "the outcome at the far end");
      oneOf(chain.second.server.outcome(), ["truncated", "unauthenticated"], "outcome at the far end");
      relayer[Symbol.dispose]();
    },
  },
  {
    name: "relay: dropped midway, all four streams go with it",
    run(setting, cleanup) {
      const chain = new Chain(setting, cleanup);
      const relayer = relayOf(chain);
      chain.say("text");
      chain.hears("text");
      relayer[Symbol.dispose]();
      chain.until(() => chain.second.server.outcome() !== "none" && chain.first.client.outcome() !== "none", "both outcomes");
      for (const end of [chain.second.server, chain.first.client]) oneOf(end.outcome(), ["truncated", "unauthenticated"], "outcome");
      rest();
    },
  },
  {
    name: "relay: its pollable is ready when both directions are done",
    run(setting, cleanup) {
      const chain = new Chain(setting, cleanup);
      const relayer = relayOf(chain, { limit: u64(1), atEnd: "leave" });
      const pollable = relayer.subscribe();
      chain.say("a");
      chain.hears("a");
      equal(pollable.ready(), false, "ready after one direction");
      chain.second.server.write("b");
      chain.until(() => pollable.ready(), "the pollable");
      that(isSet(relayer.outcome()), "the outcome is there");
      pollable[Symbol.dispose]();
      relayer[Symbol.dispose]();
    },
  },
];

function relayOf(chain: Chain, options: Partial<Options> = {}): Relayer {
  const [a, b] = [chain.first.server.streams, chain.second.client.streams];
  return relay(a.privateInput, a.privateOutput, b.privateInput, b.privateOutput, { atEnd: "propagate", ...options });
}

/** What a refused `forward` or `relay` gives back. */
function handedBack<T>(call: () => unknown): T {
  try {
    call();
  } catch (error) {
    if (isErrorValue(error)) return error.payload as T;
    throw error;
  }
  throw new Error("it was not refused");
}

function isSet(value: unknown): boolean {
  return value !== undefined && value !== null;
}

function throws(call: () => unknown): boolean {
  try {
    call();
    return false;
  } catch {
    return true;
  }
}
