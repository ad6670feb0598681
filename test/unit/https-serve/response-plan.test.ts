import { describe, expect, it } from "vitest";
import { httpDate, isoTime, parseHttpDate } from "../../../guest/https-serve/http-date.ts";
import { mediaType } from "../../../guest/https-serve/media-type.ts";
import { planResponse } from "../../../guest/https-serve/response-plan.ts";
import { Fields } from "../../../src/http1/fields.ts";

const modified = 1_700_000_000;
const entity = { size: 100, modified, mediaType: "text/plain", entityTag: '"tag"' };

function plan(fields: Record<string, string>, method: "GET" | "HEAD" = "GET", size = 100) {
  const list = Object.entries(fields).map(([name, value]) => ({ name, key: name.toLowerCase(), value }));
  const { status, offset, length } = planResponse(method, new Fields(list), { ...entity, size });
  return [status, offset, length];
}

describe("the response to a request for a file", () => {
  it.each([
    ["nothing else", {}, [200, 0, 100]],
    ["the first bytes", { Range: "bytes=0-9" }, [206, 0, 10]],
    ["bytes up to the end", { Range: "bytes=90-" }, [206, 90, 10]],
    ["bytes past the end", { Range: "bytes=90-1000" }, [206, 90, 10]],
    ["the last bytes", { Range: "bytes=-5" }, [206, 95, 5]],
    ["more last bytes than there are", { Range: "bytes=-500" }, [206, 0, 100]],
    ["a range of this version", { Range: "bytes=0-0", "If-Range": '"tag"' }, [206, 0, 1]],
    ["another version than this", { "If-None-Match": '"old"' }, [200, 0, 100]],
    ["this version", { "If-None-Match": '"old", W/"tag"' }, [304, 0, 0]],
    ["any version", { "If-None-Match": "*" }, [304, 0, 0]],
    ["what is newer", { "If-Modified-Since": httpDate(modified) }, [304, 0, 0]],
    ["what is newer than before", { "If-Modified-Since": httpDate(modified - 1) }, [200, 0, 100]],
  ])("that asks for %s", (_, fields, expected) => {
    expect(plan(fields as Record<string, string>)).toEqual(expected);
  });

  it.each([["bytes=100-"], ["bytes=1000-2000"], ["bytes=-0"]])("has no body if %s is not to be had", (Range) => {
    expect(plan({ Range })).toEqual([416, 0, 0]);
  });

  it.each([
    ["bytes=9-0"],
    ["bytes=-"],
    ["bytes=0-1,3-4"],
    ["bytes=a-b"],
    ["items=0-1"],
    ["bytes=0--1"],
    ["bytes 0-1"],
    ["bytes=99999999999999999999-"],
  ])("is the whole file where %s is not understood", (Range) => {
    expect(plan({ Range })).toEqual([200, 0, 100]);
  });

  it("ignores ranges of another version, ranges of HEAD, dates beside tags, and dates that are none", () => {
    expect(plan({ Range: "bytes=0-1", "If-Range": '"old"' })).toEqual([200, 0, 100]);
    expect(plan({ Range: "bytes=0-1", "If-Range": httpDate(modified) })).toEqual([200, 0, 100]);
    expect(plan({ Range: "bytes=0-1" }, "HEAD")).toEqual([200, 0, 100]);
    expect(plan({ "If-None-Match": '"old"', "If-Modified-Since": httpDate(modified) })).toEqual([200, 0, 100]);
    expect(plan({ "If-Modified-Since": "yesterday" })).toEqual([200, 0, 100]);
  });

  it("has no range of an empty file", () => {
    expect(plan({ Range: "bytes=0-" }, "GET", 0)).toEqual([416, 0, 0]);
    expect(plan({ Range: "bytes=-1" }, "GET", 0)).toEqual([416, 0, 0]);
    expect(plan({}, "GET", 0)).toEqual([200, 0, 0]);
  });
});

describe("dates and media types", () => {
  it.each([0, 951_782_400, 1_700_000_000, 4_102_444_800])("%i seconds are written as Node writes them, and read again", (seconds) => {
    expect(httpDate(seconds)).toBe(new Date(seconds * 1000).toUTCString());
    expect(parseHttpDate(httpDate(seconds))).toBe(seconds);
    expect(isoTime(seconds)).toBe(new Date(seconds * 1000).toISOString().replace(".000", ""));
  });

  it.each(["", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994", "Sun, 06 Nov 1994 08:49:37", "Sun, 06 Foo 1994 08:49:37 GMT"])(
    "%j is no date",
    (text) => {
      expect(parseHttpDate(text)).toBeUndefined();
    },
  );

  it("follow the last suffix, whatever its case, and nothing else", () => {
    expect(["a.HTML", "b.tar.gz", "c.wasm", "d", ".css", "e.", "f.exe", "g.constructor"].map(mediaType)).toEqual([
      "text/html; charset=utf-8",
      "application/gzip",
      "application/wasm",
      ...Array<string>(5).fill("application/octet-stream"),
    ]);
  });
});
