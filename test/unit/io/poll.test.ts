import { afterEach, describe, expect, it } from "vitest";
import { InputStream } from "../../../host/io/input-stream.ts";
import { Ledger, Trap } from "../../../host/io/ledger.ts";
import { OutputStream } from "../../../host/io/output-stream.ts";
import { pipe } from "../../../host/io/pipe.ts";
import { Pollable, poll } from "../../../host/io/poll.ts";
import { Signal } from "../../../host/io/signal.ts";
import { HostInstance, bytes } from "../../support/host-instance.ts";

const ledgers: Ledger[] = [];
function ledger(): Ledger {
  const made = new Ledger();
  ledgers.push(made);
  return made;
}
afterEach(() => ledgers.splice(0).forEach((made) => made.close()));

/** A pollable and the switch that makes it ready. */
function latch(of: Ledger): { pollable: Pollable; set(): void; clear(): void } {
  const changed = new Signal();
  let on = false;
  return {
    pollable: new Pollable(
      of,
      changed.when(() => on),
    ),
    set: () => {
      on = true;
      changed.notify();
    },
    clear: () => (on = false),
  };
}

function firedLater(): { fired: boolean } {
  const timer = { fired: false };
  setTimeout(() => (timer.fired = true), 1);
  return timer;
}

describe("poll", () => {
  it("traps on an empty list", async () => await expect(poll([])).rejects.toThrow(Trap));

  it("returns the indices of all that are ready", async () => {
    const [a, b, c] = [latch(ledger()), latch(ledger()), latch(ledger())];
    a.set();
    c.set();
    expect([...(await poll([a.pollable, b.pollable, c.pollable]))]).toEqual([0, 2]);
  });

  it("takes the same pollable twice, ready before or after", async () => {
    const it = latch(ledger());
    const waiting = poll([it.pollable, it.pollable]);
    it.set();
    expect([...(await waiting)]).toEqual([0, 1]);
    expect([...(await poll([it.pollable, it.pollable]))]).toEqual([0, 1]);
  });

  it("waits for what becomes ready later, any number of times with one pollable", async () => {
    const it = latch(ledger());
    for (let round = 0; round < 3; round++) {
      it.clear();
      expect(it.pollable.ready()).toBe(false);
      const waiting = poll([it.pollable]);
      setImmediate(it.set);
      expect([...(await waiting)]).toEqual([0]);
    }
  });

  it("does not return for a wake after which nothing is ready", async () => {
    const [a, b] = [latch(ledger()), latch(ledger())];
    const waiting = poll([a.pollable, b.pollable]);
    a.set();
    a.clear();
    setImmediate(() => setImmediate(b.set));
    expect([...(await waiting)]).toEqual([1]);
  });

  it("returns what became ready in one turn of the event loop as one batch", async () => {
    const all = Array.from({ length: 20 }, () => latch(ledger()));
    const waiting = poll(all.map(({ pollable }) => pollable));
    for (const { set } of all) queueMicrotask(set);
    expect(await waiting).toHaveLength(20);
  });

  it("lets timers fire while a guest polls what is always ready", async () => {
    const { pollable, set } = latch(ledger());
    set();
    const timer = firedLater();
    for (let spins = 0; !timer.fired && spins < 1_000_000; spins++) await poll([pollable]);
    expect(timer.fired).toBe(true);
  });

  it("lets timers fire while a guest blocks on and reads what is always ready", async () => {
    const { pollable, set } = latch(ledger());
    set();
    const timer = firedLater();
    for (let spins = 0; !timer.fired && spins < 1_000_000; spins++) await pollable.block();
    expect(timer.fired).toBe(true);
  });

  it("forgets its listeners when it returns", async () => {
    const changed = new Signal();
    let ready = false;
    let listening = 0;
    const counted = {
      ready: () => ready,
      listen: (wake: () => void) => {
        listening++;
        const stop = changed.listen(wake);
        return () => {
          listening--;
          stop();
        };
      },
    };
    const waiting = poll([new Pollable(ledger(), counted)]);
    await new Promise(setImmediate);
    expect(listening).toBe(1);
    ready = true;
    changed.notify();
    await waiting;
    expect(listening).toBe(0);
  });
});

describe("drops", () => {
  it("trap on a stream whose pollable is alive", () => {
    const { source, sink } = pipe(16);
    const input = new InputStream(ledger(), source);
    const output = new OutputStream(ledger(), sink);
    input.subscribe();
    output.subscribe();
    expect(() => input[Symbol.dispose]()).toThrow(/resource has children/);
    expect(() => output[Symbol.dispose]()).toThrow(Trap);
  });

  it("are fine in the order child, parent, and count", () => {
    const of = ledger();
    const input = new InputStream(of, pipe(16).source);
    const pollable = input.subscribe();
    expect([of.handles, of.count("Pollable"), of.count("InputStream")]).toEqual([2, 1, 1]);
    pollable[Symbol.dispose]();
    input[Symbol.dispose]();
    input[Symbol.dispose]();
    expect(of.handles).toBe(0);
  });

  it("are fine in any order where the instance is lenient", () => {
    const of = new Ledger({ strict: false });
    const input = new InputStream(of, pipe(16).source);
    const pollable = input.subscribe();
    input[Symbol.dispose]();
    expect(() => pollable.ready()).not.toThrow();
    pollable[Symbol.dispose]();
    expect(of.handles).toBe(0);
  });

  it("let a pollable's stream not be used afterwards", () => {
    const input = new InputStream(ledger(), pipe(16).source);
    input[Symbol.dispose]();
    expect(() => input.read(1n)).toThrow(Trap);
  });
});

describe("the ledger", () => {
  it("traps at the limit of handles", () => {
    const of = new Ledger({ limits: { handles: 2 } });
    const made = [latch(of), latch(of)];
    expect(() => latch(of)).toThrow(/limit reached/);
    made[0]!.pollable[Symbol.dispose]();
    expect(() => latch(of)).not.toThrow();
  });

  it("releases what it owns when it is closed, once, and takes nothing afterwards", () => {
    const of = ledger();
    const released: string[] = [];
    of.own(() => released.push("a"));
    of.own(() => released.push("b"))();
    of.close();
    of.close();
    of.own(() => released.push("late"));
    expect(released).toEqual(["a", "late"]);
    expect(of.owned).toBe(0);
    expect(() => latch(of)).toThrow(Trap);
  });

  it("owns a timer only while something waits for it", async () => {
    const made = new HostInstance();
    const pollable = made.wasi["wasi:clocks/monotonic-clock"].subscribeDuration(1_000_000_000_000n);
    expect(made.owned).toBe(0);
    void poll([pollable]);
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect(made.owned).toBe(1);
    made.dispose();
    expect(made.ledger.owned).toBe(0);
  });
});

it("a pipe reports what it holds as not yet flushed", () => {
  const { source, sink } = pipe(4);
  sink.write(bytes("abcd"));
  expect([sink.capacity(), sink.pending(), source.available()]).toEqual([0, 4, 4]);
});
