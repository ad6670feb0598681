import { describe, expect, test } from "vitest";
import { checkInteger, DerReader, derTag, readBitString, readBoolean, readOid, readSmallInteger } from "../../../src/wire/der.ts";
import { readTime } from "../../../src/wire/der-time.ts";
import { time, tlv } from "../../support/der-bytes.ts";
import { expectWireError } from "../../support/wire-errors.ts";

const any = (...bytes: number[]) => new DerReader(Uint8Array.from(bytes)).any();
const of = (...bytes: number[]) => Uint8Array.from(bytes);
const refuses = (run: () => unknown) => expectWireError(run, "invalid-der");

describe("DerReader", () => {
  test("reads elements one after another", () => {
    const reader = new DerReader(of(2, 1, 5, 0x30, 3, 4, 1, 9));
    expect(reader.optional(derTag.boolean)).toBeUndefined();
    expect(reader.take(derTag.integer).content).toEqual(of(5));
    expect(reader.upcoming()).toEqual(of(0x30, 3, 4, 1, 9));
    const inner = reader.enter(derTag.sequence);
    expect(inner.any()).toEqual({ tag: 4, content: of(9), bytes: of(4, 1, 9) });
    expect([inner.done, inner.peekTag(), reader.done]).toEqual([true, undefined, true]);
    reader.end();
  });

  test("reads long lengths in their shortest form", () => {
    for (const length of [127, 128, 255, 256, 65_535, 65_536]) expect(any(...tlv(4, new Uint8Array(length))).content).toHaveLength(length);
  });

  test.each([
    ["nothing", []],
    ["a tag alone", [2]],
    ["a cut length", [4, 0x82, 1]],
    ["cut content", [4, 2, 0]],
    ["an indefinite length", [0x30, 0x80, 0, 0]],
    ["a length of more than four bytes", [4, 0x85, 0, 0, 0, 0, 1, 0]],
    ["a short length in the long form", [4, 0x81, 1, 0]],
    ["a length with a leading zero", [4, 0x82, 0, 0x80, ...Array<number>(128).fill(0)]],
    ["a length past the end", [4, 0x84, 0xff, 0xff, 0xff, 0xff, 0]],
    ["a tag number past 30", [0x1f, 1, 0]],
  ])("refuses %s", (_, bytes) => refuses(() => any(...bytes)));

  test("refuses another tag, trailing bytes and depth without end", () => {
    refuses(() => new DerReader(of(2, 1, 5)).take(derTag.boolean));
    refuses(() => new DerReader(of(2, 1, 5)).enter(derTag.sequence));
    refuses(() => new DerReader(of(2, 1, 5)).end());
    refuses(() => new DerReader(of()).upcoming());
    let bytes: number[] = [];
    for (let depth = 0; depth < 40; depth++) bytes = tlv(0x30, bytes);
    const descend = (levels: number) => {
      let reader = new DerReader(Uint8Array.from(bytes));
      for (let level = 0; level < levels; level++) reader = reader.enter(derTag.sequence);
    };
    descend(32);
    refuses(() => descend(33));
  });
});

describe("values", () => {
  test("object identifiers", () => {
    expect(readOid(of(0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d))).toBe("1.2.840.113549");
    expect(readOid(of(0x55, 4, 3))).toBe("2.5.4.3");
    expect(readOid(of(0))).toBe("0.0");
    expect(readOid(of(0x88, 0x37, 3))).toBe("2.999.3");
    expect(
      readOid(of(0x69, 0x83, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f)),
    ).toMatch(/^2\.25\.[0-9]{38,39}$/);
  });
  test.each([[[]], [[0x80, 1]], [[0x2a, 0x80, 1]], [[0x2a, 0x86]], [Array<number>(65).fill(1)]])(
    "refuses the object identifier %j",
    (bytes) => {
      refuses(() => readOid(Uint8Array.from(bytes)));
    },
  );

  test("integers in their shortest form only", () => {
    expect(readSmallInteger(of(0, 0x80), 255)).toBe(128);
    expect(readSmallInteger(of(0), 0)).toBe(0);
    for (const bytes of [[], [0, 1], [0xff, 0x80]]) refuses(() => checkInteger(Uint8Array.from(bytes)));
    for (const bytes of [[3], [0x80], [0xff], [1, 0, 0, 0, 0, 0, 0]]) refuses(() => readSmallInteger(Uint8Array.from(bytes), 2));
  });

  test("booleans of two values only", () => {
    expect([readBoolean(of(0xff)), readBoolean(of(0))]).toEqual([true, false]);
    for (const bytes of [[], [1], [0xff, 0xff]]) refuses(() => readBoolean(Uint8Array.from(bytes)));
  });

  test("bit strings without stray bits", () => {
    expect(readBitString(of(3, 0xa8))).toEqual({ bytes: of(0xa8), unusedBits: 3 });
    expect(readBitString(of(0))).toEqual({ bytes: of(), unusedBits: 0 });
    for (const bytes of [[], [1], [8, 0], [3, 0xa9]]) refuses(() => readBitString(Uint8Array.from(bytes)));
  });
});

describe("times", () => {
  const read = (tag: number, text: string) => readTime(any(...time(tag, text)));
  test.each([
    [0x17, "700101000000Z", "1970-01-01T00:00:00Z"],
    [0x17, "491231235959Z", "2049-12-31T23:59:59Z"],
    [0x17, "500101000000Z", "1950-01-01T00:00:00Z"],
    [0x17, "240229120000Z", "2024-02-29T12:00:00Z"],
    [0x18, "20500101000000Z", "2050-01-01T00:00:00Z"],
    [0x18, "99991231235959Z", "9999-12-31T23:59:59Z"],
    [0x18, "00010101000000Z", "0001-01-01T00:00:00Z"],
    [0x18, "00000229000000Z", "0000-02-29T00:00:00Z"],
    [0x18, "20000229000000Z", "2000-02-29T00:00:00Z"],
  ])("0x%s %s is %s", (tag, text, iso) => expect(read(tag, text)).toBe(BigInt(Date.parse(iso)) / 1000n));

  test.each([
    [0x17, "7001010000Z"],
    [0x17, "700101000000"],
    [0x17, "700101000000+0000"],
    [0x17, "19700101000000Z"],
    [0x18, "700101000000Z"],
    [0x18, "19700101000000.5Z"],
    [0x18, "19700101000000Z\n"],
    [0x17, "701301000000Z"],
    [0x17, "700001000000Z"],
    [0x17, "700100000000Z"],
    [0x17, "700132000000Z"],
    [0x17, "230229000000Z"],
    [0x18, "21000229000000Z"],
    [0x17, "700101240000Z"],
    [0x17, "700101006000Z"],
    [0x17, "700101000060Z"],
    [0x17, "7o0101000000Z"],
    [0x0c, "700101000000Z"],
  ])("refuses 0x%s %s", (tag, text) => refuses(() => read(tag, text)));
});
