import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Trap } from "../../host/io/ledger.ts";
import { InputStream } from "../../host/io/input-stream.ts";
import { OutputStream } from "../../host/io/output-stream.ts";
import { pipe } from "../../host/io/pipe.ts";
import { type Pollable, poll } from "../../host/io/poll.ts";
import { HostInstance } from "../support/host-instance.ts";

/** The engine inside a guest of ours cannot say numbers past 2^53; others can. So these calls are made as the glue makes them. */

const U64 = 2n ** 64n - 1n;
const HUGE = [2n ** 53n, 2n ** 63n - 1n, 2n ** 63n, U64];

let instance: HostInstance;
beforeEach(() => void (instance = new HostInstance()));
afterEach(() => instance.dispose());

function pair(): { input: InputStream; output: OutputStream } {
  const { source, sink } = pipe(65_536);
  return { input: new InputStream(instance.ledger, source), output: new OutputStream(instance.ledger, sink) };
}

interface Forwarding {
  forward(
    source: InputStream,
    sink: OutputStream,
    options: { limit?: bigint; idleTimeout?: bigint; atEnd: string },
  ): { outcome(): object | undefined; transferred(): bigint };
}

describe("numbers as large as the interfaces allow", () => {
  it.each(HUGE)("%d nanoseconds are waited for, and hold up nothing else", async (huge) => {
    const clock = instance.wasi["wasi:clocks/monotonic-clock"];
    const [late, later, soon] = [clock.subscribeDuration(huge), clock.subscribeInstant(huge), clock.subscribeDuration(1n)];
    expect([...(await poll([late, later, soon] as Pollable[]))]).toEqual([2]);
    expect([late.ready(), later.ready()]).toEqual([false, false]);
  });

  it.each(HUGE)("a limit and an idle timeout of %d are no limit at all", (huge) => {
    const [from, to] = [pair(), pair()];
    const { forward } = instance.host.imports["sallyport:tls/forward"] as Forwarding;
    const forwarder = forward(from.input, to.output, { limit: huge, idleTimeout: huge, atEnd: "propagate" });
    from.output.write(Uint8Array.of(1, 2, 3));
    expect([...to.input.read(10n)]).toEqual([1, 2, 3]);
    expect([forwarder.outcome(), forwarder.transferred()]).toEqual([undefined, 3n]);
  });

  it.each(HUGE)("a read, a skip and a splice of %d take what is there", (huge) => {
    const [from, to] = [pair(), pair()];
    from.output.write(Uint8Array.of(1, 2, 3, 4));
    expect(from.input.read(0n).length).toBe(0);
    expect(to.output.splice(from.input, huge)).toBe(4n);
    expect(to.input.skip(1n)).toBe(1n);
    expect([...to.input.read(huge)]).toEqual([2, 3, 4]);
    expect(to.input.skip(huge)).toBe(0n);
  });

  it.each(HUGE)("%d zeroes are past any permit, and are not even made", async (huge) => {
    const { output } = pair();
    expect(() => output.writeZeroes(huge)).toThrow(Trap);
    await expect(output.blockingWriteZeroesAndFlush(huge)).rejects.toThrow(Trap);
  });

  it.each(HUGE)("random bytes: nobody gets %d of them", (huge) => {
    const random = (instance.host.imports["wasi:random/random"] as { getRandomBytes(length: bigint): Uint8Array }).getRandomBytes;
    expect(() => random(huge)).toThrow();
  });

  it.each(HUGE)("options of a socket take %d, or refuse it by name", (huge) => {
    const socket = instance.tcp();
    for (const set of [
      () => socket.setKeepAliveIdleTime(huge),
      () => socket.setKeepAliveInterval(huge),
      () => socket.setReceiveBufferSize(huge),
      () => socket.setSendBufferSize(huge),
      () => socket.setListenBacklogSize(huge),
    ]) {
      try {
        set();
      } catch (error) {
        expect(error).toMatchObject({ payload: expect.stringMatching(/^(invalid-argument|not-supported)$/) });
      }
    }
    expect(socket.keepAliveIdleTime()).toBeGreaterThan(0n);
  });
});
