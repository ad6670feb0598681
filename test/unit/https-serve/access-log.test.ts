import { describe, expect, it } from "vitest";
import { accessLine } from "../../../guest/https-serve/access-log.ts";

const connection = {
  client: "127.0.0.1:1234",
  serverName: "a.test",
  version: 0x0304,
  suite: 0x1301,
  alpn: "http/1.1",
  group: 0x11ec,
  resumed: false,
  clientSubject: "CN=Alice",
};
const request = { time: 0, request: { method: "GET", target: "/" }, status: 200, bytes: 5 };

describe("a line of the access log", () => {
  it("tells what was negotiated, who asked for what, and what came of it", () => {
    expect(accessLine(connection, request)).toBe(
      '1970-01-01T00:00:00Z 127.0.0.1:1234 a.test TLSv1.3 TLS_AES_128_GCM_SHA256 "http/1.1" X25519MLKEM768 full "CN=Alice" "GET /" 200 5\n',
    );
  });

  it("has a dash for what there is not, and numbers for what has no name", () => {
    const none = { ...connection, serverName: undefined, alpn: undefined, group: undefined, clientSubject: undefined, resumed: true };
    expect(accessLine({ ...none, version: 0x0399, suite: 0xabcd }, { ...request, request: undefined, status: 408 })).toBe(
      "1970-01-01T00:00:00Z 127.0.0.1:1234 - 0x0399 0xabcd - - resumed - - 408 5\n",
    );
  });

  it.each([
    ['a" 200 1', '"GET a\\22 200 1"'],
    ["a\nb\rc\0", '"GET a\\0Ab\\0Dc\\00"'],
    ["\u001b[31m", '"GET \\1B[31m"'],
    ["\u202e\u2028", '"GET \\E2\\80\\AE\\E2\\80\\A8"'],
    ["\\22", '"GET \\\\22"'],
  ])("cannot be forged by a client that asks for %j", (target, shown) => {
    expect(accessLine(connection, { ...request, request: { method: "GET", target } })).toContain(` ${shown} 200 5\n`);
  });

  it("is one line however long and strange a text is", () => {
    const line = accessLine({ ...connection, clientSubject: "\ud800\n".repeat(10_000) }, request);
    expect(line.indexOf("\n")).toBe(line.length - 1);
    expect(line.length).toBeLessThan(30_000);
  });
});
