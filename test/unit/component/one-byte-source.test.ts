import { Script } from "node:vm";
import { describe, expect, it } from "vitest";
import { oneByteSource } from "../../../host/component/one-byte-source.ts";

const valueOf = (source: string): unknown => new Script(source).runInThisContext();
const isAscii = (text: string) => Array.from(text).every((character) => character.codePointAt(0)! < 0x80);

describe("a source in one byte a character", () => {
  it.each([
    ['"a – b"', "a – b"],
    ["'\u{1f511}'", "\u{1f511}"],
    ['"\u{1f511}"', "\u{1f511}"],
    ["`${1}…`", "1…"],
    ["/^[ä-ü]$/.test('ö')", true],
    ["/^.$/u.test('\u{1f511}')", true],
    ["/^\u{1f511}$/u.test('\u{1f511}')", true],
    ["(() => { const größe = 3; return größe; })()", 3],
    ["({ größe: 4 }).größe", 4],
    ["/* – \u{1f511} */ 5 // …", 5],
    ["'\u2028'.length", 1],
    ["'\ud83d'.length", 1],
  ])("means what it did: %s", (source, value) => {
    const written = oneByteSource(source);
    expect(isAscii(written)).toBe(true);
    expect(valueOf(written)).toEqual(value);
    expect(valueOf(source)).toEqual(value);
  });

  it("is as it was where it is ASCII, controls and escapes included", () => {
    const source = "const a = '\\u2026\\n';\n\t// \x00\x7f\r\n";
    expect(oneByteSource(source)).toBe(source);
  });

  it("does not keep the raw text of a template", () => {
    expect(valueOf(oneByteSource("String.raw`…`"))).not.toBe("…");
  });
});
