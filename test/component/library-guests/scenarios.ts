import { exitWithCode } from "wasi:cli/exit@0.2.12";
import { getArguments } from "wasi:cli/environment@0.2.12";
import { getStdin } from "wasi:cli/stdin@0.2.12";
import { getStdout } from "wasi:cli/stdout@0.2.12";
import { subscribeDuration } from "wasi:clocks/monotonic-clock@0.2.12";
import { encodeUtf8, u64 } from "../../../src/bindings/index.ts";
import { reportTo } from "../../../src/cli/report.ts";
import { connectTcp } from "../../../src/net/connect.ts";
import { listenTcp } from "../../../src/net/listen.ts";
import { formatSocketAddress, parseSocketAddress } from "../../../src/net/socket-address.ts";
import {
  activity,
  Cancelled,
  clearTimer,
  Event,
  MILLISECOND,
  now,
  race,
  runMain,
  Scope,
  SECOND,
  setTimer,
  sleep,
  spawn,
  TimedOut,
  timeout,
  wait,
} from "../../../src/reactor/index.ts";
import { pump, Reader, Writer } from "../../../src/streams/index.ts";

// One scenario a run, named by the first argument; the test reads what it says.
export const run = {
  run: () => runMain(main, { exit: exitWithCode, report: reportTo("scenario") }),
};

const scenarios: Record<string, (args: string[], say: Say) => Promise<number | void>> = {
  async code([code]) {
    return Number(code);
  },

  async throws() {
    await sleep(MILLISECOND);
    throw new Error("thrown by \u001b[31mmain");
  },

  async "spawn throws"() {
    spawn(async () => {
      await sleep(MILLISECOND);
      throw new Error("thrown by a task");
    });
    await sleep(SECOND * BigInt(60));
  },

  async "spawn handles"(_, say) {
    const error = await new Promise<unknown>((resolve) => {
      spawn(async () => {
        throw new Error("handled");
      }, resolve);
    });
    say((error as Error).message);
  },

  async stalls() {
    await new Promise(() => {});
  },

  /** Deadlines as they were really set: the guest may be held up between two calls of the clock. */
  async order(_, say) {
    const fired: bigint[] = [];
    let early = 0;
    await Promise.all(
      [30, 10, 20].map(
        (milliseconds) =>
          new Promise<void>((resolve) => {
            const timer = setTimer(BigInt(milliseconds) * MILLISECOND, () => {
              fired.push(timer.deadline);
              if (now() < timer.deadline) early++;
              resolve();
            });
          }),
      ),
    );
    const inOrder = fired.every((deadline, i) => i === 0 || fired[i - 1]! <= deadline);
    say(`${fired.length} fired, in order: ${inOrder}, early: ${early}`);
    say(JSON.stringify(activity()));
  },

  async "many timers"(_, say) {
    let fired = 0;
    const timers = Array.from({ length: 2000 }, (_, i) => setTimer(BigInt(i % 7) * MILLISECOND, () => fired++));
    for (let i = 0; i < timers.length; i += 2) clearTimer(timers[i]!);
    await sleep(BigInt(50) * MILLISECOND);
    say(`${fired} ${activity().timers}`);
  },

  async timeout(_, say) {
    try {
      await timeout(MILLISECOND, (scope) => sleep(SECOND * BigInt(60), scope));
    } catch (error) {
      say(String(error instanceof TimedOut));
    }
    say(await timeout(SECOND * BigInt(60), async () => "in time"));
    say(JSON.stringify(activity()));
  },

  async race(_, say) {
    const slow = { cancelled: false };
    const winner = await race([
      async (scope) => {
        try {
          await sleep(SECOND * BigInt(60), scope);
        } catch (error) {
          slow.cancelled = error instanceof Cancelled;
        }
        return "slow";
      },
      async (scope) => {
        await sleep(MILLISECOND, scope);
        return "fast";
      },
    ]);
    await sleep(MILLISECOND);
    say(`${winner} ${slow.cancelled} ${JSON.stringify(activity())}`);
  },

  async "cancelled before"(_, say) {
    const scope = new Scope();
    scope.cancel();
    for (const attempt of [() => sleep(SECOND, scope), () => timeout(SECOND, async () => {}, scope), () => race([async () => {}], scope)]) {
      say(await attempt().then(String, (error: Error) => error.constructor.name));
    }
    say(JSON.stringify(activity()));
  },

  async "event reused"(_, say) {
    let subscribed = 0;
    const event = new Event(() => {
      subscribed++;
      return subscribeDuration(u64(0));
    });
    for (let i = 0; i < 10; i++) await event.wait();
    const waiting = Promise.all([event.wait(), event.wait()]).then(String, (error: Error) => error.message);
    event[Symbol.dispose]();
    say(`${subscribed} ${await waiting} ${JSON.stringify(activity())}`);
    say(await event.wait().then(String, (error: Error) => error.message));
  },

  async "wait twice"(_, say) {
    using pollable = subscribeDuration(u64(MILLISECOND));
    await Promise.all([wait(pollable), wait(pollable)]);
    say("both");
  },

  /** Exact quiescence: however long a chain of awaits is, poll comes after it. */
  async "long chains"(_, say) {
    let steps = 0;
    const chain = async () => {
      for (; steps < 500; steps++) await Promise.resolve();
    };
    await race([(scope) => sleep(SECOND * BigInt(5), scope), chain]);
    say(String(steps));
  },

  async "read lines"(_, say) {
    using reader = new Reader(getStdin());
    say(text(await reader.readUntil(0x0a, 100)));
    say(text(await reader.readExact(3)));
    const long = await reader.readUntil(0x0a, 5).catch((error: { code: string }) => error.code);
    say(String(long));
    reader.unread(encodeUtf8("<"));
    say(text(await reader.readUntil(0x0a, 100)));
    const exact = await reader.readExact(1000).catch((error: { code: string; available: number }) => `${error.code} ${error.available}`);
    say(String(exact));
    say(text((await reader.read())!));
    say(String(await reader.read()));
    say(String(await reader.read()));
  },

  async "close while reading"(_, say) {
    const reader = new Reader(getStdin());
    const reading = reader.read().then(String, (error: Error) => error.constructor.name);
    await sleep(MILLISECOND);
    reader[Symbol.dispose]();
    reader[Symbol.dispose]();
    say(await reading);
    say(await reader.read().then(String, (error: Error) => error.constructor.name));
    say(JSON.stringify(activity()));
  },

  async pump() {
    using reader = new Reader(getStdin());
    using writer = new Writer(getStdout());
    reader.unread(encodeUtf8("first:"));
    const moved = await pump(reader, writer);
    await writer.write(encodeUtf8(`:${moved}`));
    await writer.close();
  },

  async "pump limit"(_, say) {
    using reader = new Reader(getStdin());
    using writer = new Writer(getStdout());
    await pump(reader, writer, 5);
    say(`|${text((await reader.read())!)}`);
  },

  async connect([host, port], say) {
    try {
      using connection = await connectTcp(host!, Number(port));
      say(formatSocketAddress(connection.remoteAddress));
      await connection.writer.write(encodeUtf8("ping"));
      await connection.endWriting();
      say(text(await connection.reader.readExact(4)));
      say(String(await connection.reader.read()));
    } catch (error) {
      say(`${(error as { code: string }).code} ${(error as { reason: string }).reason}`);
    }
    say(JSON.stringify(activity()));
  },

  async "connect and give up"([host, port], say) {
    const outcome = await timeout(BigInt(20) * MILLISECOND, (scope) => connectTcp(host!, Number(port), scope)).catch(String);
    say(String(outcome));
    await sleep(MILLISECOND);
    say(JSON.stringify(activity()));
  },

  async "write to a peer that left"([host, port], say) {
    using connection = await connectTcp(host!, Number(port));
    const flood = new Uint8Array(1 << 20);
    try {
      for (let i = 0; i < 64; i++) await connection.writer.write(flood);
      say("written");
    } catch (error) {
      say((error as { code: string }).code);
    }
  },

  async listen([at], say) {
    try {
      using listener = await listenTcp(parseSocketAddress(at!));
      say(`at ${formatSocketAddress(listener.localAddress)}`);
      spawn(async () => {
        await sleep(MILLISECOND);
        listener[Symbol.dispose]();
      });
      for await (const connection of listener) connection[Symbol.dispose]();
    } catch (error) {
      say(`${(error as { code: string }).code} ${(error as { reason?: string }).reason ?? ""}`);
    }
  },
};

type Say = (line: string) => void;

async function main(): Promise<number> {
  const [, name, ...args] = getArguments();
  const lines: string[] = [];
  const code = await scenarios[name!]!(args, (line) => lines.push(line));
  using stdout = new Writer(getStdout());
  await stdout.write(encodeUtf8(lines.map((line) => `${line}\n`).join("")));
  await stdout.flush();
  return code ?? 0;
}

function text(bytes: Uint8Array): string {
  return JSON.stringify(String.fromCharCode(...bytes));
}
