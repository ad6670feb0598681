import { describe, expect, test } from "vitest";
import { parseClientHello } from "../../../src/wire/client-hello.ts";
import { sameHello } from "../../../src/wire/same-hello.ts";
import * as build from "../../support/hello-bytes.ts";

const base = build.defaultExtensions();
const hello = (parts: build.HelloParts) => parseClientHello(build.helloBytes(parts));
const compare = (first: build.HelloParts, second: build.HelloParts) => sameHello(hello(first), hello(second));
const without = (type: number) => base.filter(([other]) => other !== type);

describe("sameHello allows what a HelloRetryRequest asks for", () => {
  test("no change at all", () => expect(compare({}, {})).toBeUndefined());
  test("another key share", () => expect(compare({}, { extensions: [...without(51), build.keyShare(23)] })).toBeUndefined());
  test("a cookie", () => expect(compare({}, { extensions: [...base, [44, [0, 1, 9]]] })).toBeUndefined());
  test("padding that comes, grows and goes", () => {
    expect(compare({}, { extensions: [...base, [21, [0]]] })).toBeUndefined();
    expect(compare({ extensions: [...base, [21, [0]]] }, { extensions: [...base, [21, [0, 0]]] })).toBeUndefined();
    expect(compare({ extensions: [...base, [21, [0]]] }, {})).toBeUndefined();
  });
  test("early data and pre-shared keys that are given up", () => {
    expect(compare({ extensions: [...base, [42, []], build.preSharedKey()] }, {})).toBeUndefined();
    expect(compare({ extensions: [...base, [42, []]] }, {})).toBeUndefined();
  });
  test("other contents of encrypted_client_hello", () => {
    expect(compare({ extensions: [...base, [0xfe0d, [1]]] }, { extensions: [...base, [0xfe0d, [2]]] })).toBeUndefined();
  });
});

describe("sameHello names what must not change", () => {
  const cases: [string, build.HelloParts, build.HelloParts][] = [
    ["server name", {}, { extensions: [build.serverName("other.example"), ...without(0)] }],
    ["server name", {}, { extensions: without(0) }],
    ["server name", { extensions: without(0) }, {}],
    ["ALPN ids", { extensions: [...base, build.alpn("h2")] }, { extensions: [...base, build.alpn("http/1.1")] }],
    ["ALPN ids", {}, { extensions: [...base, build.alpn("h2")] }],
    ["random", {}, { random: new Uint8Array(32).fill(8) }],
    ["session id", {}, { sessionId: [1] }],
    ["cipher suites", {}, { suites: [0x1301] }],
    ["cipher suites", {}, { suites: [0xc02b, 0x1301] }],
    ["legacy version", {}, { legacyVersion: 0x0302 }],
    ["compression methods", { compression: [0], extensions: [] }, { compression: [1, 0], extensions: [] }],
    ["protocol versions", {}, { extensions: [...without(43), build.supportedVersions(0x0304, 0x0303)] }],
    ["groups", {}, { extensions: [...without(10), build.groups(23)] }],
    ["signature schemes", {}, { extensions: [...without(13), build.schemes(0x0804)] }],
    ["early data", {}, { extensions: [...base, [42, []]] }],
    ["early data", { extensions: [...base, [42, []]] }, { extensions: [...base, [42, []]] }],
    ["pre-shared key", {}, { extensions: [...base, build.preSharedKey()] }],
    ["key share", {}, { extensions: without(51) }],
    ["encrypted client hello", {}, { extensions: [...base, [0xfe0d, [1]]] }],
    ["extension 9999", { extensions: [...base, [9999, [1]]] }, { extensions: [...base, [9999, [2]]] }],
  ];
  test.each(cases)("%s (%#)", (name, first, second) => expect(compare(first, second)).toBe(name));
});
