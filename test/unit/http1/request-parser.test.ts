import { describe, expect, it } from "vitest";
import { requestParser } from "../../../src/http1/index.ts";
import { codeOf, parse } from "./parts.ts";

const read = (text: string, options: Parameters<typeof parse>[2] = {}) => parse(requestParser(), text, options);
const failure = (text: string) => codeOf(() => read(text));

describe("a request", () => {
  it("is read with its target, host and fields", () => {
    const { head, framing, done, rest } = read("GET /a?b=%20c HTTP/1.1\r\nHost: Example.com:8443\r\nAccept: */*\r\n\r\nGET");
    expect(head).toMatchObject({
      method: "GET",
      form: "origin",
      path: "/a?b=%20c",
      authority: { host: "example.com", port: 8443 },
      persistent: true,
    });
    expect({ framing, done, rest }).toEqual({ framing: { tag: "none" }, done: true, rest: "GET" });
  });

  it("in absolute form names the server in both places", () => {
    const { head } = read("GET http://example.com/x HTTP/1.1\r\nHost: example.com:80\r\n\r\n");
    expect(head).toMatchObject({ form: "absolute", path: "/x", authority: { host: "example.com", port: 80 } });
  });

  it.each([
    ["CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n", { host: "example.com", port: 443 }],
    ["CONNECT [2001:DB8::1]:443 HTTP/1.1\r\nHost: x\r\n\r\n", { host: "2001:db8::1", port: 443 }],
  ])("to CONNECT names host and port: %j", (text, authority) => {
    expect(read(text).head).toMatchObject({ form: "authority", authority });
  });

  it("of OPTIONS may ask for everything", () => {
    expect(read("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n").head?.form).toBe("asterisk");
  });

  it("has a body with a length or in chunks, and says when the client waits for 100", () => {
    expect(read("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-Continue\r\n\r\nhi")).toMatchObject({
      body: "hi",
      head: { expectsContinue: true },
    });
    expect(read("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: Chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n")).toMatchObject({
      body: "hi",
      done: true,
    });
  });

  it("may follow an empty line, and an HTTP/1.0 one needs no Host", () => {
    expect(read("\r\n\r\nGET / HTTP/1.0\r\n\r\n").head).toMatchObject({ minorVersion: 0, persistent: false, authority: undefined });
  });

  it("comes out the same however it is split", () => {
    const text = "\r\nPOST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\nGET";
    const whole = read(text);
    for (let size = 1; size < text.length; size++)
      expect(read(text, { pieces: Array.from({ length: text.length }, () => size) })).toEqual(whole);
  });
});

describe("a request is refused", () => {
  it.each([
    ["GET / HTTP/1.1 \r\n"],
    ["GET  / HTTP/1.1\r\n"],
    ["GET /a b HTTP/1.1\r\n"],
    ["GET\t/ HTTP/1.1\r\n"],
    ["GET / HTTP/2.0\r\n"],
    ["GET /\r\n"],
    ["G(T / HTTP/1.1\r\n"],
    ["GET /#x HTTP/1.1\r\n"],
    ["GET /\xe9 HTTP/1.1\r\n"],
    ["GET /\0 HTTP/1.1\r\n"],
    ["GET x HTTP/1.1\r\n"],
    ["GET * HTTP/1.1\r\n"],
    ["GET ftp://x/ HTTP/1.1\r\n"],
    ["GET http://u:p@x/ HTTP/1.1\r\n"],
    ["GET http:///x HTTP/1.1\r\n"],
    ["CONNECT / HTTP/1.1\r\n"],
    ["CONNECT x HTTP/1.1\r\n"],
    ["CONNECT x:0 HTTP/1.1\r\n"],
    ["CONNECT x:70000 HTTP/1.1\r\n"],
    ["CONNECT u@x:443 HTTP/1.1\r\n"],
    ["CONNECT 0x7f.1:443 HTTP/1.1\r\n"],
    ["CONNECT http://x:443 HTTP/1.1\r\n"],
  ])("for its request line: %j", (line) => {
    expect(failure(`${line}Host: x\r\n\r\n`)).toBe("ERR_SALLYPORT_HTTP_START_LINE");
  });

  it.each([
    ["GET / HTTP/1.1\r\n\r\n"],
    ["GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"],
    ["GET / HTTP/1.1\r\nHost:\r\n\r\n"],
    ["GET / HTTP/1.1\r\nHost: a b\r\n\r\n"],
    ["GET / HTTP/1.1\r\nHost: a,b\r\n\r\n"],
    ["GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"],
    ["GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"],
    ["GET / HTTP/1.1\r\nHost: ::1\r\n\r\n"],
    ["GET / HTTP/1.1\r\nHost: a:99999\r\n\r\n"],
    ["GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n"],
    ["GET http://a/ HTTP/1.1\r\nHost: a:81\r\n\r\n"],
  ])("for its Host: %j", (text) => {
    expect(failure(text)).toBe("ERR_SALLYPORT_HTTP_HOST");
  });

  it.each([
    ["Content-Length: 1\r\nTransfer-Encoding: chunked"],
    ["Content-Length: 1\r\nContent-Length: 1"],
    ["Content-Length: 1, 1"],
    ["Transfer-Encoding: gzip"],
    ["Transfer-Encoding: xchunked"],
    ["Transfer-Encoding: chunked;q=1"],
  ])("for framing that two parsers could read differently: %j", (fields) => {
    expect(failure(`POST / HTTP/1.1\r\nHost: x\r\n${fields}\r\n\r\n`)).toBe("ERR_SALLYPORT_HTTP_FRAMING");
  });

  it("for chunks in HTTP/1.0", () => {
    expect(failure("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n")).toBe("ERR_SALLYPORT_HTTP_FRAMING");
  });

  it("past a limit of its head, empty lines before it included", () => {
    expect(failure("\r\n".repeat(40_000))).toBe("ERR_SALLYPORT_HTTP_LIMIT");
    expect(codeOf(() => parse(requestParser({ head: 100 }), `GET / HTTP/1.1\r\nHost: x\r\nA: ${"b".repeat(100)}\r\n\r\n`))).toBe(
      "ERR_SALLYPORT_HTTP_LIMIT",
    );
  });

  it("when the connection ends within it, since no request lasts to the close", () => {
    expect(codeOf(() => read("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nab", { close: true }))).toBe(
      "ERR_SALLYPORT_HTTP_TRUNCATED",
    );
  });
});
