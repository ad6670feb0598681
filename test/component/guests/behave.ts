// A guest that behaves as its first argument says.
import { PrivateIdentity } from "sallyport:tls/identities@0.1.0";
import { getArguments } from "wasi:cli/environment@0.2.12";
import { exitWithCode } from "wasi:cli/exit@0.2.12";
import { getStderr } from "wasi:cli/stderr@0.2.12";
import { getStdin } from "wasi:cli/stdin@0.2.12";
import { getStdout } from "wasi:cli/stdout@0.2.12";
import { subscribeDuration } from "wasi:clocks/monotonic-clock@0.2.12";

type Output = ReturnType<typeof getStdout>;

const behaviours: Record<string, (args: string[]) => void> = {
  /** Says something on both outputs. */
  speak() {
    print(getStdout(), "to stdout\n");
    print(getStderr(), "to stderr\n");
  },
  exit: ([code]) => exitWithCode(Number(code)),
  fail() {
    // oxlint-disable-next-line no-throw-literal -- the error case of `run` has no payload
    throw undefined;
  },
  trap() {
    throw new Error("an error that nothing catches");
  },
  spin() {
    print(getStdout(), "spinning\n");
    for (;;);
  },
  sleep([milliseconds]) {
    print(getStdout(), "sleeping\n");
    // QuickJS takes 64-bit integers as numbers.
    const timer = subscribeDuration((Number(milliseconds) * 1e6) as unknown as bigint);
    timer.block();
    print(getStdout(), "awake\n");
  },
  nest: () => nest(0),
  grow() {
    const held: Uint8Array[] = [];
    for (;;) held.push(new Uint8Array(1 << 20).fill(1));
  },
  hoard() {
    const held: unknown[] = [];
    for (;;) held.push(subscribeDuration(1e15 as unknown as bigint));
  },
  /** Writes so many lines of 100 bytes. */
  flood([lines]) {
    const out = getStdout();
    const line = `${"x".repeat(99)}\n`;
    for (let i = 0; i < Number(lines); i += 40) print(out, line.repeat(Math.min(40, Number(lines) - i)));
  },
  /** Copies its input to its output. */
  copy() {
    const source = getStdin();
    const sink = getStdout();
    for (;;) {
      try {
        const bytes = source.blockingRead(4096 as unknown as bigint);
        if (bytes.length > 0) sink.blockingWriteAndFlush(bytes);
      } catch {
        return;
      }
    }
  },
  /** Names the identities that it was granted, and opens each. */
  identities() {
    for (const name of PrivateIdentity.names()) {
      const size = PrivateIdentity.open(name).publicIdentity().exportX509Chain().length;
      print(getStdout(), `${name} ${size}\n`);
    }
  },
  "print-arguments": (args) => print(getStdout(), args.join("|")),
};

export const run = {
  run(): void {
    const [, behaviour, ...args] = getArguments();
    const behave = behaviours[behaviour ?? ""];
    if (behave === undefined) throw new Error(`no behaviour is called ${behaviour}`);
    behave(args);
  },
};

function print(output: Output, text: string): void {
  output.blockingWriteAndFlush(Uint8Array.from(text, (character) => character.charCodeAt(0)));
}

function nest(depth: number): number {
  return nest(depth + 1) + 1;
}
