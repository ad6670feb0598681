import { describe, expect, it } from "vitest";
import { auditFields, type DecisionRecord } from "../../../src/interception/audit-record.ts";

const because = { rule: "$.deny[0]", reason: "deny-list" } as const;

describe("the fields of a decision", () => {
  it("of a CONNECT say what was asked for and what was decided", () => {
    expect(auditFields({ about: "connect", host: "a.example", port: 443, outcome: "deny", because })).toEqual([
      ["about", "connect"],
      ["host", "a.example"],
      ["port", "443"],
      ["decision", "deny"],
      ["rule", "$.deny[0]"],
      ["reason", "deny-list"],
    ]);
  });

  it("leave out what is not known", () => {
    const record = { about: "client-hello", serverName: undefined, target: undefined, alpn: [], outcome: "deny", because } as const;
    expect(names(record)).toEqual(["about", "decision", "rule", "reason"]);
    expect(
      names({ ...record, serverName: "a.example", target: { host: { tag: "dns", name: "b.example" }, port: 443 }, alpn: ["h2"] }),
    ).toEqual(["about", "sni", "target", "alpn", "decision", "rule", "reason"]);
  });

  it("name secrets and hold none", () => {
    const fields = auditFields({
      about: "request",
      host: "a.example",
      method: "GET",
      path: "/x",
      outcome: "allow",
      because,
      secrets: ["gh", "npm"],
    });
    expect(fields.at(-1)).toEqual(["secrets", "gh,npm"]);
  });

  it("escape what a terminal or a reader of lines would obey", () => {
    const hostile = "\u001b[31m\r\n\u0000\u202e\u2028\ud800\\";
    for (const record of [
      { about: "connect", host: hostile, port: 1, outcome: "deny", because },
      { about: "request", host: hostile, method: hostile, path: hostile, outcome: "deny", because, secrets: [] },
      { about: "client-hello", serverName: hostile, target: undefined, alpn: [hostile], outcome: "deny", because },
      { about: "failure", step: hostile, message: hostile },
    ] as const)
      for (const [, value] of auditFields(record)) expect(value).toMatch(/^[ -~]*$/);
  });

  it("are cut to a bound that no peer moves", () => {
    const long = "\u0000".repeat(100_000);
    const many = Array.from({ length: 10_000 }, () => "x".repeat(100));
    for (const record of [
      { about: "connect", host: long, port: 1, outcome: "deny", because },
      { about: "client-hello", serverName: long, target: undefined, alpn: many, outcome: "deny", because },
      { about: "request", host: "a", method: long, path: long, outcome: "deny", because, secrets: many },
    ] as const)
      for (const [, value] of auditFields(record)) expect(value.length).toBeLessThan(2048);
  });

  it("that were cut say so, with whole escapes", () => {
    const [, , [, message]] = auditFields({ about: "failure", step: "dial", message: `${"a".repeat(511)}\u0000${"b".repeat(100)}` }) as [
      unknown,
      unknown,
      [string, string],
    ];
    expect(message.endsWith("a\\00...")).toBe(true);
  });
});

function names(record: DecisionRecord): string[] {
  return auditFields(record).map(([name]) => name);
}
