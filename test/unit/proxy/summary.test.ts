import { describe, expect, it } from "vitest";
import { emptySummary, readSummary, summaryText, sumOf } from "../../../host/proxy/summary.ts";

describe("what a proxy says that it did", () => {
  it("counts connections apart from requests, and what became of each", () => {
    const summary = { ...emptySummary(), connections: 34, intercepted: 33, denied: 1, requests: 210, deniedRequests: 4, failedRequests: 1 };
    expect(summaryText(summary)).toBe(
      "34 connections: 33 intercepted, 0 tunnelled, 1 refused, 0 failed; 210 requests read: 205 passed on, 4 refused, 1 failed",
    );
  });

  it("speaks of one as of one, and of what is rare only where there was some", () => {
    expect(summaryText({ ...emptySummary(), connections: 1, plain: 1, challenged: 1, requests: 1 })).toBe(
      "1 connection: 0 intercepted, 0 tunnelled, 1 in plain HTTP, 0 refused, 0 failed, 1 without a good token at first; " +
        "1 request read: 1 passed on, 0 refused, 0 failed",
    );
    expect(summaryText(emptySummary())).toBe("0 connections: 0 intercepted, 0 tunnelled, 0 refused, 0 failed; 0 requests read");
  });

  it("is the sum of what its workers did", () => {
    const one = { ...emptySummary(), connections: 2, failedRequests: 3 };
    expect(sumOf([one, emptySummary(), one])).toEqual({ ...emptySummary(), connections: 4, failedRequests: 6 });
  });
});

describe("the last words of a component that was taken over", () => {
  it.each(["", "{", "null", "7", '"x"', "[1,2]", "{}", '{"connections":"\\u001b[2J"}', '{"connections":-1}', '{"connections":1e300}'])(
    "%j are those of a proxy that did nothing",
    (text) => expect(readSummary(text)).toEqual(emptySummary()),
  );

  it("count where they are counts, and bring in nothing else", () => {
    expect(readSummary('{"connections":2,"denied":"many","requests":1.5,"__proto__":{"failed":9},"more":1}')).toEqual({
      ...emptySummary(),
      connections: 2,
    });
  });
});
