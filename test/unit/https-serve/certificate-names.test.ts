import { describe, expect, it } from "vitest";
import { coversName } from "../../../guest/https-serve/certificate-names.ts";

describe("the names of a certificate", () => {
  it.each([
    ["a.test", "a.test"],
    ["A.Test", "a.test"],
    ["*.a.test", "x.a.test"],
    ["*.A.TEST", "x.a.test"],
    ["localhost", "localhost"],
  ])("%s covers %s", (name, host) => {
    expect(coversName(["other.test", name], host)).toBe(true);
  });

  it.each([
    ["a.test", "b.test"],
    ["a.test", "x.a.test"],
    ["*.a.test", "a.test"],
    ["*.a.test", "x.y.a.test"],
    ["x*.a.test", "xy.a.test"],
    ["*x.a.test", "yx.a.test"],
    ["x.*.test", "x.a.test"],
    ["*.*.test", "x.a.test"],
    ["*", "localhost"],
    ["*", "a.test"],
    ["", "a.test"],
    ["a.test.", "a.test"],
  ])("%s does not cover %s", (name, host) => {
    expect(coversName([name], host)).toBe(false);
  });

  it("are none where there are none", () => {
    expect(coversName([], "a.test")).toBe(false);
  });
});
