import { expect } from "vitest";
import { TlsWireError, WireError } from "../../src/wire/wire-error.ts";

/** Expects a WireError of this code, and of this alert if one is given. */
export function expectWireError(run: () => unknown, code: string, alert?: number): void {
  let thrown: unknown;
  try {
    run();
  } catch (error) {
    thrown = error;
  }
  expect(thrown).toBeInstanceOf(WireError);
  expect((thrown as WireError).code).toBe(code);
  if (alert === undefined) return;
  expect(thrown).toBeInstanceOf(TlsWireError);
  expect((thrown as TlsWireError).alert).toBe(alert);
}
