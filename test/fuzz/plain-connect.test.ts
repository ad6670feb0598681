import { describe, expect, it } from "vitest";
import { readPlainConnect } from "../../host/gateway/plain-connect.ts";
import { HttpError, requestParser } from "../../src/http1/index.ts";

/** A generator that gives the same numbers each time. */
function numbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

const METHODS = ["CONNECT ", "CONNECT ", "CONNECT ", "connect ", "GET ", "CONNECT  "];
const TARGETS = [
  "a.test:443",
  "A.TEST.:8443",
  "a.test",
  "a.test:0",
  "a.test:65536",
  "a.test:0443",
  "1.2.3.4:443",
  "1.2.3:443",
  "0x7f.1:443",
  "[::1]:443",
  "a..test:443",
  "-a.test:443",
  "a_b.test:443",
  "xn--bcher-kva.test:1",
  "u@a.test:443",
  "/a",
  "*",
  "http://a.test/",
  `${"a".repeat(64)}.test:443`,
];
const FIELDS = [
  "Host: a.test:443",
  "Host: other.test",
  "host:\ta.test",
  "Host: a..b",
  "Host: [::1]",
  "Host:",
  "Proxy-Authorization: Basic Zm9vOmJhcg==",
  "proxy-authorization:\t Bearer abc \t",
  "Proxy-Authorization:",
  "Proxy-Connection: keep-alive",
  "Connection: close",
  "Connection: x,, y",
  "User-Agent: a b",
  "Content-Length: 0",
  "Content-Length: 5",
  "Transfer-Encoding: chunked",
  "Expect: 100-continue",
  "Upgrade: x",
  "X",
  ": x",
  "X : 1",
  " folded",
  "X: \0",
  "X: é",
];
const CHANGES = ["\r", "\n", " ", "\0", ":", "", "\t", "\x7f"];

function heads(count: number): string[] {
  const next = numbers(11);
  const any = (from: readonly string[]) => from[next(from.length)]!;
  return Array.from({ length: count }, (_, i) => {
    const first =
      i % 2 === 0 ? "CONNECT a.test:443 HTTP/1.1" : `${any(METHODS)}${any(TARGETS)} ${any(["HTTP/1.1", "HTTP/1.1", "HTTP/1.0"])}`;
    const lines = [first, ...(i % 5 === 0 ? [] : ["Host: a.test:443"])];
    for (let left = next(5); left > 0; left--) lines.splice(1 + next(lines.length), 0, any(FIELDS));
    const text = `${lines.join("\r\n")}\r\n`;
    if (i % 3 !== 0) return text;
    const at = next(text.length);
    return text.slice(0, at) + any(CHANGES) + text.slice(at + 1);
  });
}

/** As the guest's parser reads it; `undefined` if it does not. */
function guestReads(text: string) {
  const parser = requestParser();
  try {
    parser.push(Uint8Array.from(text, (character) => character.charCodeAt(0) & 0xff));
    const part = parser.next();
    return part?.tag === "head" && parser.rest().length === 0 ? part : undefined;
  } catch (error) {
    if (error instanceof HttpError) return undefined;
    throw error;
  }
}

describe("a CONNECT that the host takes for plain", () => {
  it("is one that the guest's parser reads in the same way", () => {
    let plain = 0;
    for (const head of heads(30_000)) {
      const request = readPlainConnect(head);
      if (request === undefined) continue;
      plain++;
      const read = guestReads(`${head}\r\n`);
      expect(read, JSON.stringify(head)).toMatchObject({
        framing: { tag: "none" },
        head: {
          method: "CONNECT",
          form: "authority",
          minorVersion: 1,
          expectsContinue: false,
          authority: { host: request.host, port: request.port },
        },
      });
      expect(read!.head.fields.getAll("proxy-authorization")).toEqual(request.authorization === undefined ? [] : [request.authorization]);
    }
    expect(plain).toBeGreaterThan(500);
  });

  it("is none that the guest's parser refuses for its length or its fields", () => {
    const head = (fields: number) => `CONNECT a.test:443 HTTP/1.1\r\nHost: a\r\n${"X: 1\r\n".repeat(fields)}`;
    expect(readPlainConnect(head(99))).toBeDefined();
    expect(guestReads(`${head(99)}\r\n`)).toBeDefined();
    expect(readPlainConnect(head(100))).toBeUndefined();
    expect(guestReads(`${head(100)}\r\n`)).toBeUndefined();
  });

  it.each([
    ["another method", "GET a.test:443 HTTP/1.1\r\nHost: a\r\n"],
    ["no port", "CONNECT a.test HTTP/1.1\r\nHost: a\r\n"],
    ["no Host", "CONNECT a.test:443 HTTP/1.1\r\nX: 1\r\n"],
    ["two Hosts", "CONNECT a.test:443 HTTP/1.1\r\nHost: a\r\nHost: a\r\n"],
    ["two credentials", "CONNECT a.test:443 HTTP/1.1\r\nHost: a\r\nProxy-Authorization: a b\r\nProxy-Authorization: a b\r\n"],
    ["a body", "CONNECT a.test:443 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n"],
    ["an expectation", "CONNECT a.test:443 HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"],
    ["a folded field", "CONNECT a.test:443 HTTP/1.1\r\nHost: a\r\n b\r\n"],
    ["a bare LF", "CONNECT a.test:443 HTTP/1.1\nHost: a\r\n"],
    ["a user name", "CONNECT u@a.test:443 HTTP/1.1\r\nHost: a\r\n"],
    ["an address in brackets", "CONNECT [::1]:443 HTTP/1.1\r\nHost: a\r\n"],
    ["an address that is spelt as a number", "CONNECT 2130706433:443 HTTP/1.1\r\nHost: a\r\n"],
    ["HTTP/1.0", "CONNECT a.test:443 HTTP/1.0\r\nHost: a\r\n"],
    ["bytes that are no ASCII", "CONNECT a.test:443 HTTP/1.1\r\nHost: a\r\nX: \xe9\r\n"],
    ["nothing", ""],
  ])("has not %s", (_, head) => {
    expect(readPlainConnect(head)).toBeUndefined();
  });
});
