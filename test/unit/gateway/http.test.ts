import { afterEach, describe, expect, it } from "vitest";
import type { HttpOptions, MoverResource } from "../../../host/forward/http1-imports.ts";
import { InputStream } from "../../../host/io/input-stream.ts";
import { OutputStream } from "../../../host/io/output-stream.ts";
import { type Pipe, pipe } from "../../../host/io/pipe.ts";
import type { Ending, Source, SourceState } from "../../../host/io/source.ts";
import { GatewayInstance } from "../../support/gateway-instance.ts";
import { bytes, text, witError } from "../../support/host-instance.ts";

const instances: GatewayInstance[] = [];
afterEach(() => instances.splice(0).forEach((instance) => instance.dispose()));

const DEFAULTS: HttpOptions = { unread: new Uint8Array(0), allowUpgrade: false, allowUnauthenticatedEnd: false };

/** A source and a sink in memory, and what moves between them. */
function setup(room = 1 << 20) {
  const instance = new GatewayInstance();
  instances.push(instance);
  const [from, to] = [pipe(1 << 22), pipe(room)];
  let ending: Ending | undefined;
  const source: Source = {
    ...from.source,
    changed: from.source.changed,
    state: (): SourceState => {
      const state = from.source.state();
      return state.tag === "ended" && ending !== undefined ? { tag: "ended", ending } : state;
    },
  };
  const http = instance.gateway["sallyport:gateway/http"];
  const input = new InputStream(instance.ledger, source);
  const output = new OutputStream(instance.ledger, to.sink);
  const end = (how: Ending) => {
    ending = how;
    from.sink.end();
  };
  return {
    instance,
    send: (message: string) => from.sink.write(Uint8Array.from(message, (character) => character.charCodeAt(0))),
    end,
    from,
    to,
    input,
    output,
    response: (method = "GET", options: Partial<HttpOptions> = {}) =>
      http.forwardResponse(input, output, method, { ...DEFAULTS, ...options }),
    body: (framing: { tag: "length"; val: bigint } | { tag: "chunked" }, options: Partial<HttpOptions> = {}) =>
      http.forwardBody(input, output, framing, { ...DEFAULTS, ...options }),
  };
}

/** What arrived at the sink so far. */
function arrived(to: Pipe): string {
  let all = "";
  for (let chunk = to.source.read(1 << 20); chunk.length > 0; chunk = to.source.read(1 << 20)) all += String.fromCharCode(...chunk);
  return all;
}

const outcomeOf = (mover: MoverResource) => {
  const outcome = mover.outcome();
  return outcome === undefined ? "moving" : outcome.tag === "ok" ? outcome.val : outcome.val;
};

/** The outcome once the message `sent` was moved, and what arrived. */
function responseTo(sent: string, method = "GET", options: Partial<HttpOptions> = {}) {
  const it = setup();
  it.send(sent);
  const mover = it.response(method, options);
  return { outcome: outcomeOf(mover), arrived: arrived(it.to) };
}

describe("a response", () => {
  it("is moved as it came, and nothing of the next one with it", () => {
    const message = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x="1"\r\nhello\r\n0\r\nA: b\r\n\r\n';
    const it = setup();
    it.send(`${message}HTTP/1.1 404`);
    const mover = it.response();
    expect(mover.outcome()).toMatchObject({ tag: "ok", val: { status: 200, bytes: BigInt(message.length), interim: 0, upgraded: false } });
    expect(arrived(it.to)).toBe(message);
    const [input] = mover.takeBack();
    expect(text(input.read(100n))).toBe("HTTP/1.1 404");
  });

  it("arrives in the pieces in which it comes, before it is complete", () => {
    const it = setup();
    const mover = it.response();
    it.send("HTTP/1.1 200 OK\r\nContent-Le");
    expect([arrived(it.to), mover.status()]).toEqual(["", undefined]);
    it.send("ngth: 10\r\n\r\n01234");
    expect([arrived(it.to), mover.status()]).toEqual(["HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234", 200]);
    it.send("56789");
    expect(outcomeOf(mover)).toMatchObject({ status: 200, reusable: true });
    expect(arrived(it.to)).toBe("56789");
  });

  it("has its interim responses passed on at once: a client may wait for 100 before it sends its body", () => {
    const it = setup();
    const mover = it.response("POST");
    it.send("HTTP/1.1 100 Continue\r\n\r\n");
    expect([arrived(it.to), outcomeOf(mover), mover.status()]).toEqual(["HTTP/1.1 100 Continue\r\n\r\n", "moving", undefined]);
    it.send("HTTP/1.1 204 No Content\r\n\r\n");
    expect(outcomeOf(mover)).toMatchObject({ status: 204, interim: 1, reusable: true });
  });

  it.each([
    ["HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"],
    ["GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"],
    ["GET", "HTTP/1.1 204 No Content\r\n\r\n"],
    ["HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"],
  ])("to %s has no body where HTTP knows of none: %j", (method, head) => {
    expect(responseTo(head, method)).toMatchObject({ outcome: { reusable: true }, arrived: head });
  });

  it("that turns the connection over is told, and what follows it is left in the source", () => {
    const it = setup();
    it.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x81\x00");
    const mover = it.response("GET", { allowUpgrade: true });
    expect(outcomeOf(mover)).toMatchObject({ status: 101, upgraded: true, reusable: false });
    const [input] = mover.takeBack();
    expect([...input.read(10n)]).toEqual([0x81, 0x00]);
  });

  it("without a length is complete where the source says so", () => {
    const it = setup();
    const mover = it.response();
    it.send("HTTP/1.1 200 OK\r\n\r\nto the end");
    expect(outcomeOf(mover)).toBe("moving");
    it.end("authenticated");
    expect(outcomeOf(mover)).toMatchObject({ status: 200, reusable: false, endedByClose: true });
  });

  it("is moved through a sink that takes little at a time, without more in flight than it takes", () => {
    const it = setup(10);
    const body = "0123456789".repeat(50);
    const message = `HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n${body}`;
    it.send(message);
    const mover = it.response();
    let all = "";
    for (let i = 0; i < 200 && mover.outcome() === undefined; i++) {
      const piece = arrivedOnce(it.to);
      expect(piece.length).toBeLessThanOrEqual(10);
      all += piece;
    }
    expect(all + arrived(it.to)).toBe(message);
  });

  it("leaves the connection reusable only if nothing came behind it and both say so", () => {
    const head = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n";
    expect(responseTo(`${head}\r\n`).outcome).toMatchObject({ reusable: true });
    expect(responseTo(`${head}Connection: close\r\n\r\n`).outcome).toMatchObject({ reusable: false });
    expect(responseTo(`${head}\r\nHTTP/1.1 200 OK\r\n`).outcome).toMatchObject({ reusable: false });
    expect(responseTo("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n").outcome).toMatchObject({ reusable: false });
  });
});

describe("the body of a request", () => {
  it("begins with what the guest read behind the head, and stops where it ends", () => {
    const it = setup();
    it.send("lo, GET / HTTP/1.1");
    const mover = it.body({ tag: "length", val: 7n }, { unread: bytes("hel") });
    expect([outcomeOf(mover), arrived(it.to)]).toMatchObject([{ bytes: 7n, reusable: true }, "hello, "]);
    expect(text(mover.takeBack()[0].read(100n))).toBe("GET / HTTP/1.1");
  });

  it("may lie in what the guest read, whole, with the next request behind it", () => {
    const it = setup();
    it.send("tail");
    const mover = it.body({ tag: "chunked" }, { unread: bytes("1\r\na\r\n0\r\n\r\nGET / ") });
    expect([outcomeOf(mover), arrived(it.to)]).toMatchObject([{ bytes: 11n }, "1\r\na\r\n0\r\n\r\n"]);
    const [input] = mover.takeBack();
    expect(text(input.read(100n)) + text(input.read(100n))).toBe("GET / tail");
  });

  it("may be followed by any number of others that were read at once", () => {
    const it = setup();
    const http = it.instance.gateway["sallyport:gateway/http"];
    it.send("x".repeat(20_000));
    let [input, output] = [it.input, it.output];
    for (let i = 0; i < 20_000; i++) {
      [input, output] = http.forwardBody(input, output, { tag: "length", val: 1n }, DEFAULTS).takeBack();
    }
    expect(arrived(it.to)).toHaveLength(20_000);
  });

  it("of length 0 is done at once", () => {
    expect(outcomeOf(setup().body({ tag: "length", val: 0n }))).toMatchObject({ bytes: 0n });
  });
});

describe("nothing is passed on of", () => {
  it.each([
    ["a length beside chunked", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "framing"],
    ["lengths that differ", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\na", "framing"],
    ["a list of lengths that differ", "HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\na", "framing"],
    ["a length with a sign", "HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\na", "framing"],
    ["another coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "framing"],
    ["chunked in two fields", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", "framing"],
    ["chunked in HTTP/1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "framing"],
    ["chunked behind a vertical tab", "HTTP/1.1 200 OK\r\nTransfer-Encoding: \x0bchunked\r\n\r\n", "field"],
    ["chunked on a response without a body", "HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\n\r\n", "framing"],
    ["a folded field", "HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 0\r\n\r\n", "field"],
    ["a space before the colon", "HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n", "field"],
    ["LF without CR", "HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n", "field"],
    ["LF alone before the body", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\n", "field"],
    ["CR inside a field", "HTTP/1.1 200 OK\r\nA: b\rContent-Length: 9\r\n\r\n", "field"],
    ["NUL", "HTTP/1.1 200 OK\r\nA: \0\r\n\r\n", "field"],
    ["another protocol", "ICY 200 OK\r\n\r\n", "start-line"],
    ["HTTP/2", "HTTP/2.0 200 OK\r\n\r\n", "start-line"],
    ["a status of four digits", "HTTP/1.1 2000 OK\r\n\r\n", "start-line"],
    ["an empty line in front", "\r\nHTTP/1.1 200 OK\r\n\r\n", "start-line"],
    ["a head that is too large", `HTTP/1.1 200 OK\r\n${"A: ".padEnd(8000, "x")}\r\n`.repeat(9), "too-large"],
    ["an upgrade that was not allowed", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", "upgrade"],
  ])("%s", (_, message, fault) => {
    expect(responseTo(message)).toEqual({ outcome: fault, arrived: "" });
  });
});

describe("the bytes before a fault are all that is passed on", () => {
  const head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
  it.each([
    ["a chunk size with white space", "5 \r\nhello\r\n"],
    ["a chunk size with a prefix", "0x5\r\nhello\r\n"],
    ["a negative chunk size", "-1\r\nhello\r\n"],
    ["no chunk size", "\r\nhello\r\n"],
    ["a chunk size beyond 2^53", "fffffffffffffff\r\nhello"],
    ["a chunk size that ends in LF", "5\nhello\r\n"],
    ["a chunk longer than it says", "3\r\nhello\r\n"],
    ["NUL in an extension", "5;\0\r\nhello\r\n"],
    ["CR in an extension", "5;a\rb\r\nhello\r\n"],
  ])("%s", (_, chunk) => {
    const it = setup();
    const mover = it.response();
    it.send(head);
    it.send("1\r\na\r\n");
    it.send(chunk);
    expect([outcomeOf(mover), arrived(it.to)]).toEqual(["chunk", `${head}1\r\na\r\n`]);
  });

  it("a trailer that would change the framing", () => {
    const it = setup();
    const mover = it.response();
    it.send(head);
    it.send("0\r\n");
    it.send("Content-Length: 5\r\n\r\n");
    expect([outcomeOf(mover), arrived(it.to)]).toEqual(["field", `${head}0\r\n`]);
  });
});

describe("a message is not complete", () => {
  it.each([
    "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    "HTTP/1.1 2",
  ])("where the source ends before: %j", (part) => {
    const it = setup();
    it.send(part);
    const mover = it.response();
    it.end("authenticated");
    expect(outcomeOf(mover)).toBe("truncated");
  });

  it("where it has no length and the source was cut, or cannot tell", () => {
    for (const how of ["truncated", "unauthenticated"] as const) {
      const it = setup();
      it.send("HTTP/1.1 200 OK\r\n\r\nhello");
      const mover = it.response();
      it.end(how);
      expect(outcomeOf(mover)).toBe("truncated");
    }
    const it = setup();
    it.send("HTTP/1.1 200 OK\r\n\r\nhello");
    const mover = it.response("GET", { allowUnauthenticatedEnd: true });
    it.end("unauthenticated");
    expect(outcomeOf(mover)).toMatchObject({ endedByClose: true });
  });

  it("and given up as a part: its sink is aborted, not ended", () => {
    const it = setup();
    it.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello");
    it.response()[Symbol.dispose]();
    arrived(it.to);
    expect(it.to.source.state().tag).toBe("failed");
    const whole = setup();
    whole.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    whole.response()[Symbol.dispose]();
    expect(whole.to.source.state().tag).toBe("ended");
  });

  it("when it was cancelled; both streams come back then", () => {
    const it = setup();
    const mover = it.response();
    mover.cancel();
    expect(outcomeOf(mover)).toBe("cancelled");
    const [, output] = mover.takeBack();
    output.write(bytes("HTTP/1.1 502 Bad Gateway\r\n\r\n"));
    expect(arrived(it.to)).toContain("502");
  });

  it("when nothing moved for as long as was allowed", async () => {
    const it = setup();
    const mover = it.response("GET", { idleTimeout: 1_000_000n });
    await mover.subscribe().block();
    expect(outcomeOf(mover)).toBe("timeout");
  });

  it("when the source fails or nobody takes it", () => {
    const it = setup();
    const mover = it.response();
    it.from.sink.fail({ message: "broken" });
    expect(outcomeOf(mover)).toBe("source-failed");
    const other = setup();
    const second = other.response();
    other.to.source.close();
    expect(outcomeOf(second)).toBe("sink-failed");
  });
});

describe("refused is", () => {
  it("a stream with a pollable, which is handed back", async () => {
    const it = setup();
    const pollable = it.input.subscribe();
    const payload = payloadOf(() => it.response());
    expect(payload).toEqual(["invalid-argument", it.input, it.output]);
    pollable[Symbol.dispose]();
    expect(outcomeOf(it.response())).toBe("moving");
  });

  it("a length that no number holds, and more to put back than the bound", () => {
    const it = setup();
    expect(payloadOf(() => it.body({ tag: "length", val: 1n << 53n }))).toEqual(["invalid-argument", it.input, it.output]);
    const tooMuch = new Uint8Array((1 << 20) + 1);
    expect(payloadOf(() => it.body({ tag: "chunked" }, { unread: tooMuch }))).toEqual(["invalid-argument", it.input, it.output]);
  });

  it("to put back more and more, message by message", () => {
    const it = setup();
    const http = it.instance.gateway["sallyport:gateway/http"];
    const options = { ...DEFAULTS, unread: new Uint8Array(400_000) };
    let [input, output] = [it.input, it.output];
    for (let i = 0; i < 2; i++) [input, output] = http.forwardBody(input, output, { tag: "length", val: 0n }, options).takeBack();
    expect(payloadOf(() => http.forwardBody(input, output, { tag: "length", val: 0n }, options))).toEqual([
      "invalid-argument",
      input,
      output,
    ]);
  });

  it("to take streams back before the end, and twice", async () => {
    const it = setup();
    const mover = it.response();
    expect(await witError(() => mover.takeBack())).toBe("wrong-phase");
    mover.cancel();
    mover.takeBack();
    expect(await witError(() => mover.takeBack())).toBe("wrong-phase");
  });
});

function payloadOf(run: () => unknown): unknown {
  try {
    run();
  } catch (error) {
    return (error as { payload: unknown }).payload;
  }
  return undefined;
}

function arrivedOnce(to: Pipe): string {
  return String.fromCharCode(...to.source.read(1 << 20));
}
