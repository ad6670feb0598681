import { describe, expect, test } from "vitest";
import { Keyring } from "../../../src/tokens/index.ts";
import { codeOf, issuerOf, seedOf } from "./tokens.ts";

const [one, two] = [issuerOf("one", seedOf(1)).publicKey, issuerOf("two", seedOf(2)).publicKey];

describe("a keyring", () => {
  test("exports what it trusts, sorted", () => {
    const keyring = new Keyring();
    expect(keyring.export()).toEqual([]);
    keyring.trust("b", one);
    keyring.trust("a", two);
    keyring.trust("", one);
    expect(keyring.export()).toEqual([
      { issuer: "", publicKey: one },
      { issuer: "a", publicKey: two },
      { issuer: "b", publicKey: one },
    ]);
  });

  test("trusts one key an issuer: the last", () => {
    const keyring = new Keyring();
    keyring.trust("a", one);
    keyring.trust("a", two);
    expect(keyring.export()).toEqual([{ issuer: "a", publicKey: two }]);
    expect(keyring.untrust("a")).toBe(true);
    expect(keyring.untrust("a")).toBe(false);
    expect(keyring.keyOf("a")).toBeUndefined();
  });

  test("keeps the old key when the new one is refused", () => {
    const keyring = new Keyring();
    keyring.trust("a", one);
    expect(codeOf(() => keyring.trust("a", new Uint8Array(32)))).toBe("weak-key");
    expect(codeOf(() => keyring.trust("a", one.subarray(1)))).toBe("invalid-key");
    expect(keyring.keyOf("a")).toEqual(one);
  });

  test("does not change with the bytes that were handed in or out", () => {
    const keyring = new Keyring();
    const bytes = one.slice();
    keyring.trust("a", bytes);
    bytes.fill(0);
    keyring.export()[0]!.publicKey.fill(0);
    expect(keyring.keyOf("a")).toEqual(one);
  });

  test("has no names of its own", () => {
    const keyring = new Keyring();
    for (const name of ["__proto__", "constructor", "toString"]) expect(keyring.keyOf(name)).toBeUndefined();
  });
});
