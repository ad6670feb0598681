import { describe, expect, it } from "vitest";
import { decideConnect, loadPolicy, PolicyError, requestPath } from "../../src/policy/index.ts";
import { decodeUtf8 } from "../../src/wire/utf8.ts";
import { policies } from "../support/decision-table.ts";
import { mutatedBytes, seededRandom } from "../support/mutated-bytes.ts";

describe("a policy that was changed at random", () => {
  it("loads or is refused with places, and what loads decides", () => {
    const random = seededRandom(20);
    const original = new TextEncoder().encode(JSON.stringify(policies.closed));
    const outcomes = { loaded: 0, refused: 0 };
    for (let round = 0; round < 3000; round++) {
      const text = new TextDecoder("latin1").decode(mutatedBytes(original, random));
      try {
        const policy = loadPolicy(text);
        outcomes.loaded++;
        expect(decideConnect(policy, { host: "169.254.169.254", port: 80, groups: [] }).tag).toBe("deny");
      } catch (error) {
        if (!(error instanceof PolicyError)) throw error;
        outcomes.refused++;
        expect(error.faults.length).toBeGreaterThan(0);
        for (const { path, message } of error.faults) {
          expect(path).toMatch(/^\$[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}]*$/u);
          expect(message).not.toBe("");
        }
      }
    }
    expect(outcomes.loaded).toBeGreaterThan(100);
    expect(outcomes.refused).toBeGreaterThan(1000);
  });
});

describe("a path that was made up at random", () => {
  it("has, once it is one, no segment that a server could take for a step or cut in two", () => {
    const random = seededRandom(21);
    const pieces = [
      "/",
      "//",
      ".",
      "..",
      "%2e",
      "%2E%2e",
      "%2f",
      "%5c",
      "\\",
      "%00",
      "%25",
      "2e",
      ";",
      ";x=",
      "?",
      "#",
      "a",
      "%c0%ae",
      "%u002f",
      "%",
      " ",
      "*",
    ];
    let accepted = 0;
    for (let round = 0; round < 20_000; round++) {
      const target = `/${Array.from({ length: 1 + random(8) }, () => pieces[random(pieces.length)]!).join("")}`;
      const path = requestPath(target);
      if (path.tag === "invalid") continue;
      accepted++;
      for (const segment of path.segments) {
        expect(segment, target).not.toMatch(/[/\\\0#?]|%[0-9a-f]{2}/i);
        expect(segment.split(";", 1)[0], target).not.toMatch(/^\.{1,2}$/);
        expect(segment, target).not.toBe("");
      }
      // What was made of it reads the same again.
      const again = requestPath(path.text.replaceAll("%", "%25").replaceAll(/[^!-~]/gu, (character) => encodeURIComponent(character)));
      expect(again, target).toMatchObject({ tag: "path", text: path.text });
    }
    expect(accepted).toBeGreaterThan(1000);
  });

  it("is never read in another way than the bytes that it was decoded to", () => {
    const random = seededRandom(22);
    for (let round = 0; round < 5000; round++) {
      const bytes = Uint8Array.from({ length: 1 + random(6) }, () => random(256));
      const target = `/a${Array.from(bytes, (byte) => `%${byte.toString(16).padStart(2, "0")}`).join("")}`;
      const path = requestPath(target);
      if (path.tag === "path") expect(path.text).toBe(`/a${decodeUtf8(bytes)}`);
    }
  });
});
