import { getStderr } from "wasi:cli/stderr@0.2.12";
import { encodeUtf8 } from "../bindings/text.ts";

/** The longest message that is written, in bytes: what wasi:io lets one blocking write have. */
const MAX_MESSAGE = 4096;

/**
 * Tells people of an error that ended a program, in one line on standard error, control characters escaped: the message may
 * come from a peer. For `runMain`.
 */
export function reportTo(program: string): (error: unknown) => void {
  return (error) => {
    const message = error instanceof Error ? error.message : String(error);
    const line = encodeUtf8(`${program}: ${printable(message)}`).subarray(0, MAX_MESSAGE - 1);
    using stderr = getStderr();
    try {
      stderr.blockingWriteAndFlush(Uint8Array.of(...line, NEWLINE));
    } catch {
      // Nobody is listening there; the exit code still says that something failed.
    }
  };
}

const NEWLINE = 0x0a;

function printable(text: string): string {
  // oxlint-disable-next-line no-control-regex -- they are what is escaped
  return text.replaceAll(/[\0-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e]/g, (character) => `\\u{${character.charCodeAt(0).toString(16)}}`);
}
