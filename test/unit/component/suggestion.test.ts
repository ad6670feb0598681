import { expect, test } from "vitest";
import { nearest } from "../../../host/cli/suggestion.ts";

const flags = ["allow-net", "allow-invalid", "identity", "listen", "memory", "watchdog"];

test("suggests what was probably meant", () => {
  expect(nearest("alow-net", flags)).toBe("allow-net");
  expect(nearest("whatchdog", flags)).toBe("watchdog");
  expect(nearest("ident", flags)).toBe("identity");
});

test("suggests nothing where nothing is near", () => {
  expect(nearest("frobnicate", flags)).toBeUndefined();
  expect(nearest("", flags)).toBeUndefined();
  expect(nearest("x", flags)).toBeUndefined();
});
