import { describe, expect, it } from "vitest";
import { parseOptions } from "../../../src/fetch/options.ts";
import { progressText } from "../../../src/fetch/progress-text.ts";
import { expectsContinue, firstRequest, redirected, type Request, requestFields } from "../../../src/fetch/request.ts";
import { parseUrl } from "../../../src/http1/url.ts";
import { Fields } from "../../../src/http1/fields.ts";
import type { ResponseHead } from "../../../src/http1/response.ts";

const framing = { keepAlive: true, expectContinue: false };

function request(args: string[] = [], body?: string): Request {
  const options = parseOptions([...args, "https://a.test/from?q"]);
  if (options === "help") throw new Error("help");
  return firstRequest(parseUrl("https://a.test/from?q"), options, body === undefined ? undefined : new TextEncoder().encode(body));
}

function answer(status: number, location?: string): ResponseHead {
  const fields = new Fields(location === undefined ? [] : [{ name: "Location", key: "location", value: location }]);
  return { minorVersion: 1, status, reason: "", fields, reusable: true, upgraded: false };
}

describe("a redirect", () => {
  it.each([
    [301, "GET", undefined, "GET"],
    [301, "POST", "x", "GET"],
    [302, "POST", "x", "GET"],
    [302, "PUT", "x", "PUT"],
    [303, "PUT", "x", "GET"],
    [303, "HEAD", undefined, "HEAD"],
    [307, "POST", "x", "POST"],
    [308, "DELETE", undefined, "DELETE"],
  ])("with %i turns %s into the right method", (status, method, body, then) => {
    const next = redirected(request(["-X", method], body), answer(status, "/to"))!;
    expect(next.method).toBe(then);
    expect(next.body === undefined).toBe(body === undefined || then === "GET");
  });

  it.each([
    [200, "/to"],
    [300, "/to"],
    [304, "/to"],
    [302, undefined],
  ])("is none with %i and Location %s", (status, location) => {
    expect(redirected(request(), answer(status, location))).toBeUndefined();
  });

  it.each([
    "http://a.test/",
    "//a.test:99999/",
    "ftp://a.test/",
    "https://u:p@a.test/",
    "https:///x",
    "https://a.test/\x7f",
    "javascript:alert(1)",
  ])("to %j is refused with 47", (location) => {
    expect(() => redirected(request(), answer(302, location))).toThrow(expect.objectContaining({ exitCode: 47 }));
  });

  it("takes what may be secret to the same origin only, and never gives it back", () => {
    const first = request(["-H", "X-Api-Key: k", "-H", "Accept: text/html"]);
    const same = redirected(first, answer(302, "https://A.TEST:443/to"))!;
    expect(same).toMatchObject({ named: true });
    expect(same.fields.get("x-api-key")).toBe("k");
    for (const other of ["https://b.test/", "https://a.test:8443/", "https://sub.a.test/"]) {
      const next = redirected(first, answer(302, other))!;
      expect(next.named).toBe(false);
      expect([...next.fields].map(({ name }) => name)).toEqual(["Accept"]);
      const back = redirected(next, answer(302, "https://a.test/"))!;
      expect(back.named).toBe(false);
      expect(back.fields.has("x-api-key")).toBe(false);
    }
  });

  it("does not send the Host field of the first server to another", () => {
    const first = request(["-H", "Host: front.test"]);
    expect(requestFields(first, framing)).toContainEqual(["Host", "front.test"]);
    expect(requestFields(redirected(first, answer(302, "https://b.test/"))!, framing)).toContainEqual(["Host", "b.test"]);
  });
});

describe("a request", () => {
  it("has a length where it has a body or should have one", () => {
    const lengthOf = (it: Request) => requestFields(it, framing).find(([name]) => name === "Content-Length")?.[1];
    expect([
      lengthOf(request()),
      lengthOf(request([], "ab")),
      lengthOf(request(["-X", "POST"])),
      lengthOf(request(["-X", "DELETE"])),
    ]).toEqual([undefined, "2", "0", undefined]);
  });

  it("replaces and leaves out the usual fields as it was told", () => {
    const names = requestFields(request(["-H", "Accept: a/b", "-H", "User-Agent:"], "x"), framing);
    expect(names).toEqual([
      ["Host", "a.test"],
      ["Content-Type", "application/x-www-form-urlencoded"],
      ["Accept", "a/b"],
      ["Content-Length", "1"],
    ]);
  });

  it("asks before it sends a large body, and not otherwise", () => {
    expect([undefined, "x", "x".repeat(65_536), "x".repeat(65_537)].map((body) => expectsContinue(request([], body)))).toEqual([
      false,
      false,
      false,
      true,
    ]);
  });
});

describe("the progress of a body", () => {
  it("is a bar where the end is known, and never more than all of it", () => {
    expect(progressText(0, 1000, 0n)).toBe(`  0% [${" ".repeat(30)}] 0 B of 1000 B`);
    expect(progressText(3 * 2 ** 20, 2 ** 22, 2_000_000_000n)).toBe(
      ` 75% [${"#".repeat(23)}${" ".repeat(7)}] 3.0 MiB of 4.0 MiB  1.5 MiB/s`,
    );
    expect(progressText(2000, 1000, 0n)).toContain("100%");
  });

  it("is a count where it is not", () => {
    expect(progressText(2 ** 31, undefined, 1_000_000_000n)).toBe("2.0 GiB  2.0 GiB/s");
    expect(progressText(0, 0, 0n)).toBe("0 B");
  });
});
