import { describe, expect, test } from "vitest";
import { alertRecord, contentType, parseAlert, RecordReader } from "../../../src/wire/record.ts";
import { records } from "../../support/hello-bytes.ts";
import { expectWireError } from "../../support/wire-errors.ts";

function readAll(chunks: Iterable<Uint8Array>): Uint8Array[] {
  const reader = new RecordReader();
  const payloads: Uint8Array[] = [];
  for (const chunk of chunks) {
    reader.push(chunk);
    for (let record = reader.next(); record !== undefined; record = reader.next()) payloads.push(record.payload);
  }
  expect(reader.pending).toBe(0);
  return payloads;
}

const reading = (...bytes: number[]) => {
  const reader = new RecordReader();
  reader.push(Uint8Array.from(bytes));
  return () => reader.next();
};

describe("RecordReader", () => {
  const payload = Uint8Array.from({ length: 1000 }, (_, index) => index & 0xff);
  const stream = records(payload, 300);

  test("gives whole records with their bytes, however they are cut", () => {
    const expected = [0, 300, 600, 900].map((from) => payload.slice(from, from + 300));
    for (const size of [1, 2, 5, 7, 304, 305, 306, stream.length]) {
      const chunks: Uint8Array[] = [];
      for (let at = 0; at < stream.length; at += size) chunks.push(stream.slice(at, at + size));
      expect(readAll(chunks)).toEqual(expected);
    }
  });

  test("keeps earlier records intact while later bytes arrive", () => {
    const reader = new RecordReader();
    reader.push(stream.slice(0, 400));
    const first = reader.next()!;
    const before = first.bytes.slice();
    for (const byte of stream.slice(400)) reader.push(Uint8Array.of(byte));
    while (reader.next() !== undefined);
    expect(first.bytes).toEqual(before);
    expect(first.bytes).toEqual(stream.slice(0, 305));
  });

  test("hands back what is no whole record", () => {
    const reader = new RecordReader();
    reader.push(stream.slice(0, 310));
    reader.next();
    expect(reader.next()).toBeUndefined();
    expect(reader.rest()).toEqual(stream.slice(305, 310));
    expect(reader.pending).toBe(0);
  });

  test("takes a record of exactly the maximum and refuses one byte more", () => {
    expect(readAll([records(new Uint8Array(0x4100), 0x4100, contentType.applicationData)])).toHaveLength(1);
    expectWireError(reading(23, 3, 3, 0x41, 0x01), "record-overflow", 22);
  });

  test("takes an empty record of application data but of nothing else", () => {
    expect(reading(23, 3, 3, 0, 0)()?.payload).toHaveLength(0);
    for (const type of [20, 21, 22]) expectWireError(reading(type, 3, 3, 0, 0), "unexpected-record", 10);
  });

  test("refuses plain HTTP at its first byte", () => {
    expectWireError(reading(0x47), "not-tls", 10);
    expect(reading(0x47)).toThrow(/HTTP/);
  });

  test("refuses an SSL 2.0 hello", () => expectWireError(reading(0x80, 0x2e, 0x01), "not-tls", 70));
  test("refuses a record version that is not 0x03xx", () => expectWireError(reading(22, 2, 0), "not-tls", 70));
  test("refuses heartbeat records", () => expectWireError(reading(24, 3, 3, 0, 1, 0), "not-tls", 10));
});

describe("alerts", () => {
  test("are written as one plaintext record and read back", () => {
    expect([...alertRecord(2, 40)]).toEqual([21, 3, 3, 0, 2, 2, 40]);
    expect([...alertRecord(2, 40, 0x0301)]).toEqual([21, 3, 1, 0, 2, 2, 40]);
    expect(parseAlert(Uint8Array.of(2, 40))).toEqual({ level: 2, description: 40 });
  });

  test("of any other length are refused", () => {
    for (const bytes of [[], [2], [2, 40, 0]]) expectWireError(() => parseAlert(Uint8Array.from(bytes)), "malformed-message", 50);
  });
});
