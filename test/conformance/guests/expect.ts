import { isErrorValue } from "../../../src/bindings/errors.ts";

/** Thrown where this host cannot do what a case is about, and said so beforehand. */
export class Unsupported extends Error {
  readonly feature: string;

  constructor(feature: string) {
    super(`unsupported ${feature}`);
    this.feature = feature;
  }
}

/** @throws with both values in words */
export function equal(actual: unknown, expected: unknown, what: string): void {
  const [is, wanted] = [show(actual), show(expected)];
  if (is !== wanted) throw new Error(`${what}: ${is}, expected ${wanted}`);
}

/** @throws unless the value is one of those */
export function oneOf(actual: unknown, expected: readonly unknown[], what: string): void {
  const is = show(actual);
  if (!expected.some((value) => show(value) === is)) throw new Error(`${what}: ${is}, expected one of ${expected.map(show).join(" ")}`);
}

/** @throws with the sentence unless it holds */
export function that(holds: boolean, sentence: string): void {
  if (!holds) throw new Error(`not so: ${sentence}`);
}

/**
 * The error case of an import's `result`, as text: `tag`, `tag(val)`, or the case of an enum. `ok` if there was none.
 *
 * @throws anything that is no error value
 */
export function errorOf(call: () => unknown): string {
  try {
    call();
    return "ok";
  } catch (error) {
    if (!isErrorValue(error)) throw error;
    return errorText(error.payload);
  }
}

/** @throws unless the call answers with this error */
export function refuses(call: () => unknown, expected: string, what: string): void {
  equal(errorOf(call), expected, what);
}

/** An error value as `errorOf` writes it. */
export function errorText(payload: unknown): string {
  if (typeof payload === "string") return payload;
  if (typeof payload !== "object" || payload === null || !("tag" in payload)) return show(payload);
  const { tag, val } = payload as { tag: string; val?: unknown };
  // What a stream failed of is a resource of its own.
  return val === undefined || val === null || typeof val === "object" ? tag : `${tag}(${String(val)})`;
}

/** An `outcome` as text: `none`, the ending, or the error as `errorOf` writes it. */
export function outcomeText(outcome: { tag: "ok" | "err"; val: unknown } | null | undefined): string {
  if (outcome === undefined || outcome === null) return "none";
  return outcome.tag === "ok" ? show(outcome.val).replaceAll('"', "") : errorText(outcome.val);
}

export function bytesOf(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

export function textOf(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return text;
}

/** A list of 16-bit values for an import: QuickJS takes a plain array for it, though the types say otherwise. */
export function u16s(...values: number[]): Uint16Array {
  return values as unknown as Uint16Array;
}

/** Any value in one line. Options without a value look the same on every engine. */
function show(value: unknown): string {
  return JSON.stringify(value, (_, it: unknown) => (ArrayBuffer.isView(it) ? Array.from(it as Uint8Array) : it === undefined ? null : it));
}
