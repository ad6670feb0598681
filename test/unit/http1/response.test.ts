import { describe, expect, it } from "vitest";
import { responseParser } from "../../../src/http1/index.ts";
import { bytesOf, codeOf, parse } from "./parts.ts";

const get = (text: string, options: Parameters<typeof parse>[2] = {}) => parse(responseParser("GET"), text, options);
const failure = (text: string, close = false) => codeOf(() => get(text, { close }));

describe("a response", () => {
  it("with a length has exactly so many body bytes, and the rest is left alone", () => {
    const { head, framing, body, done, rest } = get("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1");
    expect(head).toMatchObject({ status: 200, reason: "OK", minorVersion: 1, reusable: true, upgraded: false });
    expect(framing).toEqual({ tag: "length", length: 5 });
    expect({ body, done, rest }).toEqual({ body: "hello", done: true, rest: "HTTP/1.1" });
  });

  it("in chunks is put together, extensions and trailers included", () => {
    const text = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n00A\r\n, world!!!\r\n0\r\nX-Sum: 1\r\n\r\nmore";
    const { framing, body, trailers, rest } = get(text);
    expect(framing).toEqual({ tag: "chunked" });
    expect({ body, trailers, rest }).toEqual({ body: "hello, world!!!", trailers: [["X-Sum", "1"]], rest: "more" });
  });

  it("without a length lasts to the close", () => {
    const open = get("HTTP/1.1 200 OK\r\n\r\nhello");
    expect(open).toMatchObject({ framing: { tag: "close" }, body: "hello", done: false, head: { reusable: false } });
    expect(get("HTTP/1.1 200 OK\r\n\r\nhello", { close: true })).toMatchObject({ body: "hello", done: true });
  });

  it("comes out the same however it is split", () => {
    const text =
      "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1\r\n!\r\n0\r\na: b\r\n\r\nX";
    const whole = get(text);
    for (let size = 1; size < text.length; size++) {
      expect(get(text, { pieces: Array.from({ length: Math.ceil(text.length / size) }, () => size) })).toEqual(whole);
    }
  });

  it.each([100, 102, 103, 199])("of status %i is interim: the final one follows", (status) => {
    const { interims, head } = get(`HTTP/1.1 ${status} x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n`);
    expect(interims.map((it) => it.status)).toEqual([status]);
    expect(head?.status).toBe(200);
  });

  it.each(["204 No Content", "304 Not Modified"])("%s has no body whatever its length says", (status) => {
    expect(get(`HTTP/1.1 ${status}\r\nContent-Length: 10\r\n\r\nnext`)).toMatchObject({
      framing: { tag: "none" },
      done: true,
      rest: "next",
    });
  });

  it("to HEAD has no body, to a CONNECT that succeeded a tunnel, to one that failed a body", () => {
    expect(parse(responseParser("HEAD"), "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")).toMatchObject({
      done: true,
      framing: { tag: "none" },
    });
    expect(parse(responseParser("CONNECT"), "HTTP/1.1 200 OK\r\n\r\n\x16\x03")).toMatchObject({
      rest: "\x16\x03",
      head: { upgraded: true },
    });
    expect(parse(responseParser("CONNECT"), "HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno")).toMatchObject({
      body: "no",
      head: { upgraded: false },
    });
  });

  it("of status 101 hands the connection on", () => {
    expect(get("HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n\0\x01")).toMatchObject({
      done: true,
      rest: "\0\x01",
      head: { upgraded: true },
    });
  });

  it("keeps bytes above ASCII in values, and trims only spaces and tabs", () => {
    expect(get("HTTP/1.1 200\r\nX:\t \xe9\xa0 \t\r\nContent-Length: 0\r\n\r\n").head?.fields.get("x")).toBe("\xe9\xa0");
  });

  it.each([
    ["HTTP/1.1 200 OK\r\nContent-Length: 0\r\n", true],
    ["HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: x, Close\r\n", false],
    ["HTTP/1.0 200 OK\r\nContent-Length: 0\r\n", false],
    ["HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n", true],
  ])("tells whether the connection can be used again: %j", (head, reusable) => {
    expect(get(`${head}\r\n`).head?.reusable).toBe(reusable);
  });

  it("lets body bytes be moved elsewhere: those at hand first, then the counted ones", () => {
    const parser = responseParser("GET");
    parser.push(bytesOf("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"));
    expect(parser.next()?.tag).toBe("head");
    expect(parser.bodyLeft).toBe(10);
    expect(parser.takeRest().length).toBe(3);
    parser.skipBody(10);
    expect(parser.next()).toEqual({ tag: "end", trailers: undefined });
  });

  it("gives body bytes as ranges of what was pushed", () => {
    const parser = responseParser("GET");
    const bytes = bytesOf("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc");
    parser.push(bytes);
    parser.next();
    expect(parser.next()).toMatchObject({ tag: "body", start: bytes.length - 3, end: bytes.length });
  });

  it("accepts a Content-Length that is repeated with the same value", () => {
    expect(get("HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\nContent-Length: 2\r\n\r\nok").body).toBe("ok");
  });
});

describe("a response is refused", () => {
  it.each([
    ["HTTP/2 200 OK\r\n\r\n"],
    ["HTTP/1.2 200 OK\r\n\r\n"],
    ["http/1.1 200 OK\r\n\r\n"],
    ["HTTP/1.1  200 OK\r\n\r\n"],
    ["HTTP/1.1 20 OK\r\n\r\n"],
    ["HTTP/1.1 600 OK\r\n\r\n"],
    ["HTTP/1.1 099 OK\r\n\r\n"],
    ["HTTP/1.1 200OK\r\n\r\n"],
    ["HTTP/1.1 200 O\0K\r\n\r\n"],
    ["HTTP/1.1 200 O\rK\r\n\r\n"],
    [" HTTP/1.1 200 OK\r\n\r\n"],
    ["\r\nHTTP/1.1 200 OK\r\n\r\n"],
    ["SSH-2.0-x\r\n\r\n"],
  ])("for its status line: %j", (text) => {
    expect(failure(text)).toBe("ERR_SALLYPORT_HTTP_START_LINE");
  });

  it.each([
    ["no colon"],
    [": no name"],
    ["Name : value"],
    ["Na me: value"],
    ["N\xe4me: value"],
    [" folded: x"],
    ["A: b\r\n folded"],
    ["A: b\r\n\tfolded"],
    ["A: b\0c"],
    ["A: b\rc"],
    ["A: b\x7f"],
    ["A: b\x1b[31m"],
    ["A\0: b"],
    ["(A): b"],
  ])("for its field lines: %j", (line) => {
    expect(failure(`HTTP/1.1 200 OK\r\n${line}\r\n\r\n`)).toBe("ERR_SALLYPORT_HTTP_FIELD");
  });

  it.each([["HTTP/1.1 200 OK\n\n"], ["HTTP/1.1 200 OK\r\nA: b\nC: d\r\n\r\n"], ["HTTP/1.1 200 OK\r\nA: b\r\n\n"]])(
    "for a bare LF: %j",
    (text) => {
      expect(failure(text)).toBe("ERR_SALLYPORT_HTTP_LINE");
    },
  );

  it("for a bare LF at once, without waiting for the end of the head", () => {
    expect(failure("HTTP/1.1 200 OK\n")).toBe("ERR_SALLYPORT_HTTP_LINE");
  });

  it.each([
    ["Content-Length: 5\r\nTransfer-Encoding: chunked"],
    ["Transfer-Encoding: gzip, chunked"],
    ["Transfer-Encoding: chunked, chunked"],
    ["Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"],
    ["Transfer-Encoding: identity"],
    ["Transfer-Encoding:"],
    ["Transfer-Encoding: xchunked"],
    ["Content-Length: 5\r\nContent-Length: 6"],
    ["Content-Length: 5, 6"],
    ["Content-Length: 5,"],
    ["Content-Length: -1"],
    ["Content-Length: +5"],
    ["Content-Length: 0x5"],
    ["Content-Length: 5 5"],
    ["Content-Length: 5.0"],
    ["Content-Length: 1e3"],
    ["Content-Length:"],
    ["Content-Length: 9007199254740992"],
    ["Content-Length: 99999999999999999999"],
  ])("for its framing: %j", (fields) => {
    expect(failure(`HTTP/1.1 200 OK\r\n${fields}\r\n\r\n`)).toBe("ERR_SALLYPORT_HTTP_FRAMING");
  });

  it.each([["HTTP/1.0 200 OK"], ["HTTP/1.1 204 No Content"], ["HTTP/1.1 103 Hints"]])("for chunks that cannot be: %s", (line) => {
    expect(failure(`${line}\r\nTransfer-Encoding: chunked\r\n\r\n`)).toBe("ERR_SALLYPORT_HTTP_FRAMING");
  });

  it.each([
    ["\r\n"],
    ["g\r\n"],
    ["-1\r\n"],
    ["0x5\r\n"],
    [" 5\r\n"],
    ["5 \r\n"],
    ["5 ;a\r\n"],
    ["5;a\0\r\n"],
    ["5;a\rb\r\n"],
    ["12345678901234\r\n"],
    ["3\r\nabcd"],
    ["3\r\nabc\n"],
    ["3\r\nabc\r\r"],
  ])("for its chunks: %j", (chunks) => {
    expect(failure(`HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${chunks}`)).toBe("ERR_SALLYPORT_HTTP_CHUNK");
  });

  it("for a chunk size that ends in a bare LF", () => {
    expect(failure("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello")).toBe("ERR_SALLYPORT_HTTP_LINE");
  });

  it.each(["Content-Length: 1", "Transfer-Encoding: chunked", "Host: x", "no colon", "A : b"])("for its trailer: %s", (trailer) => {
    expect(failure(`HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n${trailer}\r\n\r\n`)).toBe("ERR_SALLYPORT_HTTP_FIELD");
  });

  it.each([
    ["a line without end", `HTTP/1.1 200 ${"x".repeat(20_000)}`],
    ["a head without end", `HTTP/1.1 200 OK\r\n${`A: ${"x".repeat(10_000)}\r\n`.repeat(8)}`],
    ["101 fields", `HTTP/1.1 200 OK\r\n${"A: b\r\n".repeat(101)}\r\n`],
    ["a flood of interim responses", "HTTP/1.1 100 Continue\r\n\r\n".repeat(17)],
    ["a chunk line without end", `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;${"x".repeat(2000)}`],
    ["a flood of chunk extensions", `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${`1;${"x".repeat(1000)}\r\nA\r\n`.repeat(20)}`],
    ["trailers without end", `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n${`A: ${"x".repeat(1000)}\r\n`.repeat(20)}`],
  ])("past a limit: %s", (_, text) => {
    expect(failure(text)).toBe("ERR_SALLYPORT_HTTP_LIMIT");
    expect(codeOf(() => get(text, { pieces: Array.from({ length: text.length }, () => 7) }))).toBe("ERR_SALLYPORT_HTTP_LIMIT");
  });

  it.each([
    [""],
    ["HTTP/1.1 20"],
    ["HTTP/1.1 200 OK\r\nA: b\r\n"],
    ["HTTP/1.1 100 Continue\r\n\r\n"],
    ["HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell"],
    ["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"],
    ["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello"],
    ["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"],
    ["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n"],
  ])("when it is cut short: %j", (text) => {
    expect(failure(text, true)).toBe("ERR_SALLYPORT_HTTP_TRUNCATED");
  });

  it("for good: every later call throws the same error", () => {
    const parser = responseParser("GET");
    parser.push(bytesOf("nonsense\r\n\r\n"));
    const first = codeOf(() => parser.next());
    for (const call of [() => parser.next(), () => parser.push(bytesOf("x")), () => parser.close(), () => parser.skipBody(0)]) {
      expect(codeOf(call)).toBe(first);
    }
  });

  it("to be moved further than its body goes", () => {
    const parser = responseParser("GET");
    parser.push(bytesOf("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"));
    expect(codeOf(() => parser.skipBody(1))).toBe("ERR_SALLYPORT_HTTP_ARGUMENT");
    parser.next();
    expect(codeOf(() => parser.skipBody(4))).toBe("ERR_SALLYPORT_HTTP_ARGUMENT");
  });
});
