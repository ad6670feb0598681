import { describe, expect, test } from "vitest";
import { HandshakeReader } from "../../../src/wire/handshake.ts";
import { RecordReader } from "../../../src/wire/record.ts";
import { records, vector } from "../../support/hello-bytes.ts";
import { expectWireError } from "../../support/wire-errors.ts";

const message = (type: number, length: number) => Uint8Array.from([type, ...vector(3, Array<number>(length).fill(type))]);
const changeCipherSpec = Uint8Array.of(20, 3, 3, 0, 1, 1);

function readAll(stream: Uint8Array, maximum?: number): { type: number; length: number }[] {
  const recordReader = new RecordReader();
  const reader = new HandshakeReader(maximum);
  const messages: { type: number; length: number }[] = [];
  recordReader.push(stream);
  for (let record = recordReader.next(); record !== undefined; record = recordReader.next()) {
    reader.push(record);
    for (let next = reader.next(); next !== undefined; next = reader.next()) {
      expect(next.bytes).toEqual(message(next.type, next.body.length));
      messages.push({ type: next.type, length: next.body.length });
    }
  }
  return messages;
}

const joined = (...parts: Uint8Array[]) => Uint8Array.from(parts.flatMap((part) => [...part]));

describe("HandshakeReader", () => {
  const expected = [
    { type: 2, length: 70 },
    { type: 14, length: 0 },
    { type: 11, length: 900 },
  ];
  const flight = joined(message(2, 70), message(14, 0), message(11, 900));

  test("puts messages together from records of any size", () => {
    for (const size of [1, 3, 4, 5, 73, 74, 75, 78, 1000, 0x4000]) expect(readAll(records(flight, size))).toEqual(expected);
  });

  test("passes over change_cipher_spec between messages", () => {
    expect(readAll(joined(records(message(2, 70)), changeCipherSpec, records(message(11, 9))))).toHaveLength(2);
  });

  test("refuses change_cipher_spec inside a message", () => {
    const stream = joined(records(message(2, 5)), records(message(2, 70).subarray(0, 20)), changeCipherSpec);
    expectWireError(() => readAll(stream), "unexpected-record", 10);
  });

  test("refuses change_cipher_spec before any message", () => {
    expectWireError(() => readAll(joined(changeCipherSpec, records(message(2, 70)))), "unexpected-record", 10);
  });

  test("refuses change_cipher_spec of another content", () => {
    expectWireError(() => readAll(joined(records(message(2, 5)), Uint8Array.of(20, 3, 3, 0, 1, 2))), "unexpected-record", 10);
    expectWireError(() => readAll(joined(records(message(2, 5)), Uint8Array.of(20, 3, 3, 0, 2, 1, 1))), "unexpected-record", 10);
  });

  test("refuses a flood of change_cipher_spec", () => {
    const stream = joined(records(message(2, 5)), ...Array<Uint8Array>(5).fill(changeCipherSpec));
    expectWireError(() => readAll(stream), "unexpected-record", 10);
  });

  test("refuses an alert and application data", () => {
    for (const type of [21, 23]) expectWireError(() => readAll(Uint8Array.of(type, 3, 3, 0, 2, 2, 40)), "unexpected-record", 10);
  });

  test("refuses a message past the maximum by its header alone", () => {
    expectWireError(() => readAll(records(Uint8Array.of(11, 1, 0, 1))), "message-too-long", 47);
    expectWireError(() => readAll(records(message(11, 11)), 10), "message-too-long", 47);
    expect(readAll(records(message(11, 0x10000)))).toHaveLength(1);
  });
});
