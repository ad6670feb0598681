// Calls the imports directly, without any library of ours between: what a compromised proxy can do.
import { record, type Event } from "sallyport:gateway/audit@0.1.0";
import { Channel } from "sallyport:gateway/control@0.1.0";
import { type Answer, Asked, type Question } from "sallyport:gateway/decider@0.1.0";
import { dial, type Connection } from "sallyport:gateway/dial@0.1.0";
import { Queue } from "sallyport:gateway/event-queue@0.1.0";
import { forwardResponse } from "sallyport:gateway/http@0.1.0";
import { Interceptor, Route } from "sallyport:gateway/interceptor@0.1.0";
import { Secret, type Form } from "sallyport:gateway/secrets@0.1.0";
import { Client, ClientSuspension, type IoStreams } from "sallyport:tls/connection@0.1.0";
import { relay } from "sallyport:tls/forward@0.1.0";
import { PrivateIdentity, TrustAnchors } from "sallyport:tls/identities@0.1.0";
import { getArguments } from "wasi:cli/environment@0.2.12";
import { getStdout } from "wasi:cli/stdout@0.2.12";
import { subscribeDuration } from "wasi:clocks/monotonic-clock@0.2.12";
import { instanceNetwork } from "wasi:sockets/instance-network@0.2.12";
import { createTcpSocket } from "wasi:sockets/tcp-create-socket@0.2.12";
import { u64 } from "../../../src/bindings/integers.ts";
import { encodeUtf8 } from "../../../src/bindings/text.ts";
import { decodeHex } from "../../../src/wire/hex.ts";
import { errorOf } from "../../conformance/guests/expect.ts";

const attacks: Record<string, (args: string[]) => void> = {
  /** Each argument is `name|port`. */
  dial(args) {
    for (const arg of args) {
      const [name = "", port = ""] = arg.split("|");
      say(`${arg} ${errorOf(() => dialled(name, Number(port)))}`);
    }
  },
  /** Dial what this guest listens on, on all addresses of both families. */
  "dial self"() {
    using network = instanceNetwork();
    for (const family of ["ipv4", "ipv6"] as const) {
      const listener = createTcpSocket(family);
      listener.startBind(
        network,
        family === "ipv4"
          ? { tag: "ipv4", val: { port: 0, address: [0, 0, 0, 0] } }
          : { tag: "ipv6", val: { port: 0, flowInfo: 0, address: [0, 0, 0, 0, 0, 0, 0, 0], scopeId: 0 } },
      );
      listener.finishBind();
      listener.startListen();
      block(listener.subscribe());
      listener.finishListen();
      held.push(listener);
      const { port } = listener.localAddress().val;
      const spellings =
        family === "ipv4"
          ? ["127.0.0.1", "127.8.9.10", "0.0.0.0", "::ffff:127.0.0.1", "[::ffff:7f00:1]", "self.test"]
          : ["::1", "[::1]", "::", "0:0:0:0:0:0:0:1"];
      for (const it of spellings) say(`${it} ${errorOf(() => dialled(it, port))}`);
    }
  },
  /** Have the secret `token` written into a connection; the arguments say what is wrong with it. */
  secret([how = "", server = "", port = "", anchor = ""]) {
    const form: Form = { tag: "field", val: { name: "Authorization", prefix: "Bearer ", suffix: "" } };
    using secret = Secret.open("token");
    const names = how === "other name verified" ? ["shared.example.com"] : [];
    using client = new Client(server, how === "overridden" ? { verifyServerIdentity: true } : { connected: true });
    if (how === "own anchors") client.configureVerification({ anchors: TrustAnchors.fromX509([decodeHex(anchor)], true, []), names });
    else client.configureVerification({ anchors: undefined, names });
    const streams = client.streams();
    const transport = how === "no dial" ? plain(Number(port)) : dialled(server, Number(port));
    let leftover: { moved: unknown } | undefined;
    if (how === "by hand") carry(streams, transport, client);
    else {
      if (how === "first bytes by hand") {
        client.start();
        transport.output.blockingWriteAndFlush(streams.publicInput.read(u64(600)));
      }
      leftover = {
        moved: relay(streams.publicInput, streams.publicOutput, transport.input, transport.output, { atEnd: "propagate" }),
      };
      if (how !== "first bytes by hand") client.start();
      block(client.subscribe());
    }
    const suspension = client.suspend();
    if (how === "overridden") suspension.acceptPeer(["unknown-issuer", "self-signed"]);
    ClientSuspension.resume(suspension);
    if (how === "another form") form.val.name = "X-Debug";
    if (how === "broken out") form.val.name = "A: b\r\nAuthorization";
    say(`${how} ${errorOf(() => secret.place(client, form))}`);
    streams.privateOutput.blockingWriteAndFlush(encodeUtf8("END"));
    client.closeOutput();
    if (leftover !== undefined) pause(100);
  },
  names() {
    say(Secret.names().join());
    for (const name of ["", "other", "__proto__", "token\0"]) say(`${JSON.stringify(name)} ${errorOf(() => Secret.open(name))}`);
  },
  /** Records that pretend to be the host's. */
  forge() {
    const bare = {} as Record<string, unknown>;
    const forged = { ...bare, kind: "connection", by: "host", instance: "forged", time: "1970-01-01", dial: 1, event: "dial" };
    record(forged as unknown as Event);
    record({ kind: "other", reason: '"}\n{"by":"host","event":"certificate","leaf_serial":"00"}\n{"a":"' } as Event);
    record({ kind: "other", reason: "\u0000\u001b[2J\u202e".repeat(5000), error: "x".repeat(1_000_000) } as Event);
    say("forged");
  },
  /** As many records as it can make, between dials that it would rather not have recorded. */
  flood([count = "0", then = ""]) {
    for (let i = 0; i < Number(count); i++) {
      if (i % 50 === 0) errorOf(() => dialled("127.0.0.1", 1));
      errorOf(() => record({ kind: "other", connection: u64(i), reason: "noise" } as Event));
    }
    say("flooded");
    if (then === "spin") for (;;);
  },
  /** Accept two clients, and end, or not, with both of them open and a server dialled. */
  accept([how = "", server = ""]) {
    using network = instanceNetwork();
    const listener = createTcpSocket("ipv4");
    listener.startBind(network, { tag: "ipv4", val: { port: 0, address: [127, 0, 0, 1] } });
    listener.finishBind();
    listener.startListen();
    block(listener.subscribe());
    listener.finishListen();
    const local = listener.localAddress();
    if (server !== "") held.push(dialled("127.0.0.1", Number(server)));
    say(`port ${local.val.port}`);
    const accepted: ReturnType<typeof listener.accept>[] = [];
    held.push(listener, accepted);
    while (accepted.length < 2) {
      block(listener.subscribe());
      if (errorOf(() => accepted.push(listener.accept())) !== "ok") pause(1);
    }
    for (const [, input, output] of accepted) output.blockingWriteAndFlush(input.blockingRead(u64(100)));
    say("accepted");
    if (how === "trap") throw new Error("on purpose");
    if (how === "spin") for (;;);
    if (how === "eat") for (const eaten: Uint8Array[] = []; ;) eaten.push(new Uint8Array(1_000_000).fill(1));
    if (how === "wait") pause(3_600_000);
    // One by itself, in an order that wasi:io permits.
    if (how === "drop") {
      for (const [socket, input, output] of accepted) for (const it of [input, output, socket]) it[Symbol.dispose]();
      pause(50);
    }
  },
  /**
   * Take one client to where it must not get, by commands that nobody asked for. Key and leaf: DER in hexadecimal; `how` is
   * what else is wrong.
   */
  intercept([how = "", server = "", port = "", key = "", leaf = ""]) {
    using network = instanceNetwork();
    const listener = createTcpSocket("ipv4");
    if (how === "not listening") return say(errorOf(() => Interceptor.start(listener)));
    listener.startBind(network, { tag: "ipv4", val: { port: 0, address: [127, 0, 0, 1] } });
    listener.finishBind();
    listener.startListen();
    block(listener.subscribe());
    listener.finishListen();
    say(`port ${listener.localAddress().val.port}`);
    const interceptor = Interceptor.start(listener);
    using identity = PrivateIdentity.parse(decodeHex(key), [decodeHex(leaf)]);
    const route = Route.make({
      host: server,
      port: Number(port),
      connectTimeout: BIGGEST,
      handshakeTimeout: BIGGEST,
      serverName: "a.test",
      anchors: undefined,
      names: [],
      alpnIds: [],
      identities: [],
    });
    const everything = (id: number) => {
      const commands = [
        () => interceptor.establish(id, BIGGEST),
        () => interceptor.proceed(id, BIGGEST, identity, undefined, route),
        () => interceptor.relay(id, BIGGEST),
        () => interceptor.takeEstablished(id),
      ];
      return commands.map((command) => errorOf(command)).join(" ");
    };
    for (const id of [0, 7, -1, 2 ** 32 - 1]) say(everything(id));
    for (;;) {
      block(interceptor.subscribe());
      for (const event of interceptor.next()) {
        const id = event.tag === "other" ? event.val : event.val.id;
        say(`${event.tag}${"failure" in Object(event.val) ? ` ${JSON.stringify((event.val as { failure: unknown }).failure)}` : ""}`);
        if (how === "silent") pause(3_600_000);
        if (how === "dropped") {
          interceptor[Symbol.dispose]();
          pause(100);
          return;
        }
        if (event.tag === "client-hello") say(errorOf(() => interceptor.proceed(id, BIGGEST, identity, undefined, route)));
        else say(everything(id));
        if (event.tag === "server-failed" || event.tag === "client-failed") return;
      }
    }
  },
  /** Ask rules that somebody else wrote. */
  decide([how = ""]) {
    const connect = (host: string, groups: string[] = []): Question => ({ tag: "connect", val: { host, port: 443, groups } });
    const ask = (question: Question) => Asked.ask(question, BIGGEST);
    if (how === "again") {
      using asked = ask(connect("tunnel.test"));
      block(asked.subscribe());
      say([1, 2, 3].map(() => told(asked.answer())).join(" "));
    }
    if (how === "oversized") {
      const request = { host: "a.test", port: 443, secure: true, method: "GET", path: "/".padEnd(3_000_000, "x"), groups: [] };
      const questions: Question[] = [
        connect("x".repeat(2_100_000)),
        connect(
          "a.test",
          Array.from({ length: 250_000 }, () => "g"),
        ),
        { tag: "request", val: request as Extract<Question, { tag: "request" }>["val"] },
        connect("tunnel.test"),
      ];
      for (const question of questions) {
        using asked = ask(question);
        block(asked.subscribe());
        say(told(asked.answer()));
      }
    }
    if (how === "fill") {
      const asked = [ask(connect("spin.test"))];
      const big = connect("x".repeat(1_500_000));
      while (asked.length < 30 && told(asked.at(-1)!.answer()) === "none") {
        asked.push(ask(big));
        pause(1);
      }
      say(`${told(asked.at(-1)!.answer())} ${asked.length - 1}`);
      held.push(asked);
    }
    if (how === "flood") {
      const asked = [ask(connect("spin.test"))];
      while (asked.length < 3001) asked.push(ask(connect("tunnel.test")));
      pause(1);
      say(`too-many ${asked.filter((one) => told(one.answer()) === "failed(too-many)").length}`);
      held.push(asked);
    }
    if (how === "drop") {
      for (let i = 0; i < 500; i++) ask(connect("spin.test"))[Symbol.dispose]();
      say("dropped");
    }
  },
  /** Wait on a queue for timers, far more of which are idle. */
  queue() {
    using queue = new Queue();
    const timers = Array.from({ length: 1000 }, (_, token) => {
      const timer = subscribeDuration(u64(token % 100 === 0 ? token * 10_000 : 3_600_000_000_000));
      queue.add(timer, token);
      return timer;
    });
    const told: number[] = [];
    while (told.length < 10) for (const token of queue.wait(100)) told.push(token >>> 0);
    say(told.toSorted((a, b) => a - b).join());
    say(errorOf(() => queue.add(timers[1]!, 1)));
    for (const timer of timers) timer[Symbol.dispose]();
    say(String(queue.len()));
  },
  /** Move a response that two parsers would read differently. */
  smuggle([port = ""]) {
    const from = dialled("127.0.0.1", Number(port));
    const to = dialled("127.0.0.1", Number(port));
    from.output.blockingWriteAndFlush(encodeUtf8("respond"));
    using mover = forwardResponse(from.input, to.output, "GET", {
      unread: new Uint8Array(0),
      allowUpgrade: false,
      allowUnauthenticatedEnd: false,
    } as Parameters<typeof forwardResponse>[3]);
    block(mover.subscribe());
    const outcome = mover.outcome();
    say(`${outcome?.tag} ${outcome?.tag === "err" ? outcome.val : ""} ${Number(mover.transferred())}`);
  },
  /** Listen to the host until it says to stop. */
  listen() {
    using channel = Channel.open();
    using ready = channel.subscribe();
    say("listening");
    for (;;) {
      ready.block();
      const event = channel.next();
      if (event === undefined || event === null) continue;
      say(event.tag === "stop" ? `stop ${Number(event.val) > 0}` : `${event.tag} ${event.val}`);
      if (event.tag === "stop") return;
    }
  },
};

export const run = {
  run(): void {
    const [, name = "", ...args] = getArguments();
    attacks[name]!(args);
  },
};

type Transport = Pick<Connection, "input" | "output">;

function dialled(name: string, port: number): Connection {
  using dialing = dial(name, port, {} as Parameters<typeof dial>[2]);
  block(dialing.subscribe());
  return dialing.finish();
}

/** A connection to the loopback that no dial made. */
function plain(port: number): Transport {
  using network = instanceNetwork();
  const socket = createTcpSocket("ipv4");
  socket.startConnect(network, { tag: "ipv4", val: { port, address: [127, 0, 0, 1] } });
  block(socket.subscribe());
  const [input, output] = socket.finishConnect();
  held.push(socket);
  return { input, output };
}

const held: unknown[] = [];
const BIGGEST = u64(2 ** 53);

function told(answer: Answer | undefined | null): string {
  if (answer === undefined || answer === null) return "none";
  return answer.tag === "failed" ? `failed(${answer.val})` : answer.val.tag;
}

/** Carry the bytes of a handshake through the guest's own memory. */
function carry(streams: IoStreams, transport: Transport, client: Client): void {
  client.start();
  using ready = client.subscribe();
  while (!ready.ready()) {
    const out = streams.publicInput.read(u64(4096));
    if (out.length > 0) transport.output.blockingWriteAndFlush(out);
    const back = transport.input.read(u64(4096));
    if (back.length > 0) streams.publicOutput.write(back);
    else pause(1);
  }
}

function pause(milliseconds: number): void {
  using timer = subscribeDuration(u64(milliseconds * 1_000_000));
  timer.block();
}

function block(pollable: { block(): void; [Symbol.dispose](): void }): void {
  pollable.block();
  pollable[Symbol.dispose]();
}

function say(line: string): void {
  using out = getStdout();
  const bytes = encodeUtf8(`${line}\n`);
  for (let at = 0; at < bytes.length; at += 4096) out.blockingWriteAndFlush(bytes.subarray(at, at + 4096));
}
