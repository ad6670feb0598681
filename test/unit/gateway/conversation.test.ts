import { afterEach, describe, expect, it, vi } from "vitest";
import type { WitStop } from "../../../host/forward/http1-conversation-imports.ts";
import { Conversation } from "../../../host/forward/http1-conversation.ts";
import { HeadEdits } from "../../../host/forward/http1-request.ts";
import { InputStream } from "../../../host/io/input-stream.ts";
import { OutputStream } from "../../../host/io/output-stream.ts";
import { type Pipe, pipe } from "../../../host/io/pipe.ts";
import { GatewayInstance } from "../../support/gateway-instance.ts";
import { witError } from "../../support/host-instance.ts";

const instances: GatewayInstance[] = [];
afterEach(() => {
  vi.useRealTimers();
  instances.splice(0).forEach((instance) => instance.dispose());
});

/** A client and a server in memory, and the conversation of the two. */
function setup({ idleTimeout, headLimit = 16 * 1024, early = "" }: { idleTimeout?: bigint; headLimit?: number; early?: string } = {}) {
  const instance = new GatewayInstance();
  instances.push(instance);
  const { ledger } = instance;
  const [fromClient, toClient, fromServer, toServer] = [pipe(1 << 20), pipe(1 << 20), pipe(1 << 20), pipe(1 << 20)];
  const http = instance.gateway["sallyport:gateway/http"];
  if (early !== "") send(fromClient, early);
  const streams = [
    new InputStream(ledger, fromClient.source),
    new OutputStream(ledger, toClient.sink),
    new InputStream(ledger, fromServer.source),
    new OutputStream(ledger, toServer.sink),
  ] as const;
  const conversation = http.Conversation.start(...streams, {
    ...(idleTimeout === undefined ? {} : { idleTimeout }),
    headLimit,
    allowUnauthenticatedEnd: false,
  });
  const edits = http.Edits.make(["x-out"], [["X-In", "1"]]);
  return {
    http,
    ledger,
    conversation,
    edits,
    fromClient,
    fromServer,
    toServer,
    toClient,
    request: () => {
      const turn = conversation.next();
      return turn.tag === "request" ? turn.val : turn.tag;
    },
    stop: () => {
      const turn = conversation.next();
      return turn.tag === "stopped" ? turn.val : turn.tag;
    },
    forward: () => conversation.forward(edits),
    client: (text: string) => send(fromClient, text),
    server: (text: string) => send(fromServer, text),
    atServer: () => arrived(toServer),
    atClient: () => arrived(toClient),
  };
}

function send(to: Pipe, text: string): void {
  to.sink.write(Uint8Array.from(text, (character) => character.charCodeAt(0)));
}

function arrived(at: Pipe): string {
  let all = "";
  for (let chunk = at.source.read(1 << 20); chunk.length > 0; chunk = at.source.read(1 << 20)) all += String.fromCharCode(...chunk);
  return all;
}

function rest(input: InputStream): string {
  let all = "";
  for (let chunk = input.read(1n << 20n); chunk.length > 0; chunk = input.read(1n << 20n)) all += String.fromCharCode(...chunk);
  return all;
}

const GET = "GET /a?b HTTP/1.1\r\nHost: a.test\r\nX-Out: 1\r\nConnection: keep-alive\r\nAccept: */*\r\n\r\n";
const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

describe("a conversation", () => {
  it("gives out a plain request, passes it on as it was decided on, and its answer back, again and again", () => {
    const it = setup();
    for (let i = 0; i < 3; i++) {
      expect(it.request()).toBe("none");
      it.client(GET);
      expect(it.request()).toMatchObject({ method: "GET", target: "/a?b", host: "a.test" });
      expect(it.atServer()).toBe("");
      it.forward();
      expect(it.atServer()).toBe("GET /a?b HTTP/1.1\r\nHost: a.test\r\nAccept: */*\r\nX-In: 1\r\n\r\n");
      expect(it.request()).toBe("none");
      it.server(OK);
      expect(it.atClient()).toBe(OK);
    }
    expect(it.conversation.totals()).toEqual({ fromClient: BigInt(3 * GET.length), toClient: BigInt(3 * OK.length), unasked: 0n });
  });

  it("moves a body with its request, in either framing, and writes the framing anew", () => {
    const it = setup();
    it.client("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 005\r\n\r\nhel");
    it.forward();
    it.client("lo");
    expect(it.atServer()).toBe("POST / HTTP/1.1\r\nHost: a.test\r\nX-In: 1\r\nContent-Length: 5\r\n\r\nhello");
    it.server(OK);
    it.client("PUT / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: Chunked\r\n\r\n1\r\na\r\n0\r\n\r\n");
    it.forward();
    expect(it.atServer()).toBe("PUT / HTTP/1.1\r\nHost: a.test\r\nX-In: 1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n");
    it.server(OK);
    expect([it.atClient(), it.request()]).toEqual([OK + OK, "none"]);
  });

  it("asks about pipelined requests one by one, and not before the one before was answered", () => {
    const it = setup({ early: GET + GET.replace("/a?b", "/second") });
    it.forward();
    expect(it.request()).toBe("none");
    it.server(OK);
    expect(it.request()).toMatchObject({ target: "/second" });
  });

  it("is ready whenever there is something to do, and only then", () => {
    const it = setup();
    const pollable = it.conversation.subscribe();
    expect(pollable.ready()).toBe(false);
    it.client(GET);
    expect(pollable.ready()).toBe(true);
    it.forward();
    expect(pollable.ready()).toBe(false);
    it.conversation.finish();
    expect(pollable.ready()).toBe(false);
    it.server(OK);
    expect([pollable.ready(), it.stop()]).toEqual([true, { tag: "finished" }]);
    pollable[Symbol.dispose]();
  });

  it("gives the request back that was not wanted of it, with what came behind it", () => {
    const it = setup({ early: `${GET}more` });
    expect(it.request()).toMatchObject({ target: "/a?b" });
    const [input, , , output] = it.conversation.takeBack();
    expect(String.fromCharCode(...input.read(1000n))).toBe(`${GET}more`);
    expect(output.checkWrite()).toBeGreaterThan(0n);
    expect(it.atServer()).toBe("");
  });

  it("gives a request back that a server no longer took, so that it can go to another", () => {
    for (const leave of [
      (it: ReturnType<typeof setup>) => it.fromServer.sink.end(),
      (it: ReturnType<typeof setup>) => it.server("unasked"),
    ]) {
      const it = setup({ early: GET });
      leave(it);
      it.forward();
      expect(it.stop()).toEqual({ tag: "not-answered" });
      expect([it.atServer(), it.conversation.totals()]).toEqual(["", { fromClient: 0n, toClient: 0n, unasked: 0n }]);
      expect(String.fromCharCode(...it.conversation.takeBack()[0].read(1000n))).toBe(GET);
    }
  });

  it("gives a request back that is safe to repeat when the server ends without a byte of an answer", () => {
    const it = setup({ early: GET });
    it.forward();
    it.fromServer.sink.end();
    expect(it.stop()).toEqual({ tag: "not-answered" });
  });

  it("says which answer was the last, and goes on after no such", () => {
    const it = setup({ early: GET + GET });
    it.forward();
    it.server("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    expect(it.stop()).toMatchObject({ tag: "last", val: { bodyWhole: true, message: { status: 200, reusable: false } } });
  });
});

describe("a conversation does not", () => {
  it.each([
    ["one in pieces", "GET / HTTP/1.1\r\nHost: a.te"],
    ["one behind an empty line", "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"],
    ["HTTP/1.0", "GET / HTTP/1.0\r\nHost: a\r\n\r\n"],
    ["an absolute target", "GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n"],
    ["CONNECT", "CONNECT /a HTTP/1.1\r\nHost: a\r\n\r\n"],
    ["two blanks", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n"],
    ["a fragment", "GET /#a HTTP/1.1\r\nHost: a\r\n\r\n"],
    ["no Host", "GET / HTTP/1.1\r\nAccept: a\r\n\r\n"],
    ["two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"],
    ["a Host that is none", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"],
    ["a Host with a port that is none", "GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n"],
    ["an empty Host", "GET / HTTP/1.1\r\nHost: \r\n\r\n"],
    ["both framings", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"],
    ["both framings the other way round", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n"],
    ["a length twice", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n"],
    ["a list of lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n"],
    ["a length with a sign", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n"],
    ["another coding", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"],
    ["a blank before the colon", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 1\r\n\r\n"],
    ["a folded line", "GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n 2\r\n\r\n"],
    ["a bare line feed", "GET / HTTP/1.1\r\nHost: a\nX: 1\r\n\r\n"],
    ["a bare carriage return", "GET / HTTP/1.1\r\nHost: a\rX: 1\r\n\r\n"],
    ["a NUL", "GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n"],
    ["bytes beyond ASCII", "GET / HTTP/1.1\r\nHost: a\r\nX: \xe9\r\n\r\n"],
    ["an upgrade", "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"],
    ["one that ends the connection", "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"],
    ["one that has a field taken out", "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, x\r\nX: 1\r\n\r\n"],
    ["one that waits for 100", "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n"],
    ["one for a proxy", "GET / HTTP/1.1\r\nHost: a\r\nProxy-Authorization: x\r\n\r\n"],
    ["too many fields", `GET / HTTP/1.1\r\nHost: a\r\n${"X: 1\r\n".repeat(100)}\r\n`],
    ["a long head", `GET / HTTP/1.1\r\nHost: a\r\nX: ${"1".repeat(17_000)}\r\n\r\n`],
  ])("take for plain what is not: %s", (_, text) => {
    const it = setup();
    it.client(text);
    expect(it.stop()).toEqual({ tag: "not-plain" });
    expect(rest(it.conversation.takeBack()[0])).toBe(text);
    expect([it.atServer(), it.atClient()]).toEqual(["", ""]);
  });

  it("read a head that is longer than it was told", () => {
    const it = setup({ headLimit: GET.length - 1 });
    it.client(GET);
    expect(it.stop()).toEqual({ tag: "not-plain" });
  });

  it("pass anything on without a decision, nor twice for one", async () => {
    const it = setup({ early: GET });
    it.forward();
    expect(await witError(() => it.forward())).toBe("wrong-phase");
    it.server(OK);
    expect(await witError(() => it.forward())).toBe("wrong-phase");
    expect(it.atServer().match(/GET/g)).toHaveLength(1);
  });

  it("give streams back in the middle of a message, nor twice", async () => {
    const it = setup({ early: GET });
    it.forward();
    expect(await witError(() => it.conversation.takeBack())).toBe("wrong-phase");
    it.server(OK);
    it.conversation.takeBack();
    expect(await witError(() => it.conversation.takeBack())).toBe("wrong-phase");
  });

  it("repeat what has a body, or was answered in part, or may have done something", () => {
    const failed = (request: string, answer: string): WitStop | string => {
      const it = setup({ early: request });
      it.forward();
      if (answer !== "") it.server(answer);
      it.fromServer.sink.end();
      return it.stop();
    };
    const POST = "POST / HTTP/1.1\r\nHost: a.test\r\n\r\n";
    const WITH_BODY = "GET / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1\r\n\r\nx";
    expect(failed(POST, "")).toMatchObject({ tag: "failed", val: { ofClient: false, error: "truncated", begun: false } });
    expect(failed(WITH_BODY, "")).toMatchObject({ tag: "failed", val: { error: "truncated", bodyWhole: true } });
    expect(failed(GET, OK.slice(0, -1))).toMatchObject({ tag: "failed", val: { error: "truncated", begun: true } });
  });

  it("use connections again that are in the middle of a body", () => {
    const it = setup({ early: "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10\r\n\r\nhalf" });
    it.forward();
    it.server(OK);
    expect(it.stop()).toMatchObject({ tag: "last", val: { bodyWhole: false } });
  });

  it("count twice what an answer before the end of the body has cut short, nor give its streams back twice", () => {
    const head = "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10\r\n\r\n";
    const moved = [0, 0];
    const [fromClient, toClient, fromServer, toServer] = [0, 1, 0, 1].map((side) => {
      const owner = { streamForwarded: () => void moved[side]!++, streamReturned: () => void moved[side]!-- };
      const { source, sink } = pipe(1000);
      return { source: { ...source, owner }, sink: { ...sink, owner } };
    });
    const client = { source: fromClient!.source, sink: toClient!.sink };
    const server = { source: fromServer!.source, sink: toServer!.sink };
    const it = new Conversation(client, server, { idleTimeout: undefined, headLimit: 1000, allowUnauthenticatedEnd: false });
    it.start();
    const before = moved.slice();
    fromClient!.sink.write(Buffer.from(`${head}half`));
    it.forward(HeadEdits.from([], [])!);
    fromServer!.sink.write(Buffer.from(OK));
    expect(it.stopped).toMatchObject({ tag: "last", val: { bodyWhole: false } });
    expect(it.transferred).toEqual([head.length + 4, OK.length]);
    expect(moved).toEqual(before);
    it.takeBack();
    expect(moved).toEqual([0, 0]);
  });

  it("pass on what is behind a malformed chunk, or take an answer for it for whole", () => {
    const it = setup({ early: "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nGET /smuggled" });
    it.forward();
    expect(it.stop()).toMatchObject({ tag: "failed", val: { ofClient: true, error: "chunk", bodyWhole: false } });
    expect(it.atServer()).not.toContain("smuggled");
  });

  it("wait longer than it was told for a request", () => {
    vi.useFakeTimers();
    const it = setup({ idleTimeout: 1_000_000_000n });
    vi.advanceTimersByTime(900);
    expect(it.stop()).toBe("none");
    vi.advanceTimersByTime(200);
    expect(it.stop()).toEqual({ tag: "idle" });
  });

  it("take streams with live pollables", async () => {
    const { http, ledger } = setup();
    const make = () => [pipe(100), pipe(100), pipe(100), pipe(100)] as const;
    const [a, b, c, d] = make();
    const input = new InputStream(ledger, a.source);
    const pollable = input.subscribe();
    const start = () =>
      http.Conversation.start(
        input,
        new OutputStream(ledger, b.sink),
        new InputStream(ledger, c.source),
        new OutputStream(ledger, d.sink),
        {
          headLimit: 100,
          allowUnauthenticatedEnd: false,
        },
      );
    expect(await witError(start)).toBe("invalid-argument");
    pollable[Symbol.dispose]();
  });

  it.each<[string, string[], [string, string][]]>([
    ["a line end in a value", [], [["X", "1\r\nY: 2"]]],
    ["a blank in a name", [], [["X Y", "1"]]],
    ["an empty name", [""], []],
    ["white space around a value", [], [["X", " 1"]]],
    ["a length", [], [["Content-Length", "5"]]],
    ["a coding", [], [["transfer-encoding", "chunked"]]],
    ["a Host", [], [["HOST", "b.test"]]],
    ["an upgrade", [], [["Connection", "upgrade"]]],
    ["text beyond ASCII", [], [["X", "é"]]],
    ["names that are longer than a head", ["a".repeat(40_000), "b".repeat(40_000)], []],
    ["values that are longer than a head", [], [["X", "a".repeat(70_000)]]],
    ["more than a head has room for", [], Array.from({ length: 101 }, (_, i): [string, string] => [`x${i}`, ""])],
  ])("make edits of %s", async (_, remove, set) => {
    expect(await witError(() => setup().http.Edits.make(remove, set))).toBe("invalid-argument");
  });

  it("leave anything behind when it is dropped at any moment, nor end what was cut", () => {
    for (const act of [() => {}, undecided, midway]) {
      const it = setup();
      act(it);
      const before = it.ledger.handles;
      it.conversation[Symbol.dispose]();
      expect(it.ledger.handles).toBe(before - 1);
      expect(it.toClient.source.state().tag).toBe(act === midway || act === undecided ? "failed" : "ended");
    }
    function undecided(it: ReturnType<typeof setup>): void {
      it.client(GET);
    }
    function midway(it: ReturnType<typeof setup>): void {
      it.client(GET);
      it.forward();
      it.server(OK.slice(0, -1));
    }
  });
});
