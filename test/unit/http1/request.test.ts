import { describe, expect, it } from "vitest";
import { type FieldLine, requestHead, requestParser, responseHead, responseParser } from "../../../src/http1/index.ts";
import { codeOf, parse } from "./parts.ts";

const host: FieldLine = ["Host", "x"];
const write = (...fields: FieldLine[]) => requestHead({ method: "GET", target: "/", fields: [host, ...fields] });
const ARGUMENT = "ERR_SALLYPORT_HTTP_ARGUMENT";

describe("a head that is written", () => {
  it("is what was asked for, byte by byte", () => {
    const bytes = requestHead({ method: "GET", target: "/a?b", fields: [host, ["Accept", "*/*"]] });
    expect(String.fromCharCode(...bytes)).toBe("GET /a?b HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n");
  });

  it("is read back by the parser, request and response", () => {
    expect(parse(requestParser(), write(["X-Y", "a\tb c"])).head?.fields.get("x-y")).toBe("a\tb c");
    expect(parse(responseParser("GET"), responseHead(404, [["Content-Length", "0"]])).head).toMatchObject({
      status: 404,
      reason: "Not Found",
    });
  });

  it("of a status without a registered phrase has none", () => {
    expect(String.fromCharCode(...responseHead(299, []))).toBe("HTTP/1.1 299 \r\n\r\n");
  });

  it.each(["a\r\nX: y", "a\rb", "a\nb", "a\0b", "a\x7f", "\u00e9", "\u010a", "\ud800", " a", "a "])("refuses the value %j", (value) => {
    expect(codeOf(() => write(["X", value]))).toBe(ARGUMENT);
    expect(codeOf(() => responseHead(200, [["X", value]]))).toBe(ARGUMENT);
  });

  it.each(["", "a b", "a:", "a\r\n", "\u00e9", "(a)", "a\0"])("refuses the name %j", (name) => {
    expect(codeOf(() => write([name, "v"]))).toBe(ARGUMENT);
  });

  it.each(["", "G T", "GET\r\n", "G\0T", "G\u00cbT"])("refuses the method %j", (method) => {
    expect(codeOf(() => requestHead({ method, target: "/", fields: [host] }))).toBe(ARGUMENT);
  });

  it.each(["", "/a b", "/\r\nX: y", "/#f", "/\u00e9", "/\0"])("refuses the target %j", (target) => {
    expect(codeOf(() => requestHead({ method: "GET", target, fields: [host] }))).toBe(ARGUMENT);
  });

  it.each<[string, FieldLine[]]>([
    ["no Host", []],
    ["two Hosts", [host, ["host", "y"]]],
    ["two lengths", [host, ["Content-Length", "1"], ["content-length", "1"]]],
    ["a length and chunks", [host, ["Content-Length", "1"], ["Transfer-Encoding", "chunked"]]],
    ["a length that is no number", [host, ["Content-Length", "1, 1"]]],
  ])("refuses %s", (_, fields) => {
    expect(codeOf(() => requestHead({ method: "GET", target: "/", fields }))).toBe(ARGUMENT);
  });

  it.each([99, 600, 200.5, Number.NaN])("refuses the status %d", (status) => {
    expect(codeOf(() => responseHead(status, []))).toBe(ARGUMENT);
  });
});
