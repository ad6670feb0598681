import { afterEach, describe, expect, it } from "vitest";
import type { EventQueue } from "../../../host/gateway/event-queue.ts";
import { Trap } from "../../../host/io/ledger.ts";
import { Pollable, poll } from "../../../host/io/poll.ts";
import { Signal } from "../../../host/io/signal.ts";
import type { ImportsOptions } from "../../../host/index.ts";
import { GatewayInstance } from "../../support/gateway-instance.ts";
import { witError } from "../../support/host-instance.ts";

const instances: GatewayInstance[] = [];
afterEach(() => instances.splice(0).forEach((instance) => instance.dispose()));

/** A queue, and pollables with a switch each. */
function setup(options: ImportsOptions = {}) {
  const instance = new GatewayInstance(options);
  instances.push(instance);
  const queue = new instance.gateway["sallyport:gateway/event-queue"].Queue();
  const latch = () => {
    const changed = new Signal();
    let on = false;
    let listeners = 0;
    const readiness = {
      ready: () => on,
      listen: (wake: () => void) => {
        listeners++;
        const stop = changed.listen(wake);
        return () => {
          listeners--;
          stop();
        };
      },
    };
    const set = (to: boolean) => {
      on = to;
      changed.notify();
    };
    return { pollable: new Pollable(instance.ledger, readiness), set, listeners: () => listeners };
  };
  return { instance, queue, latch };
}

const take = (queue: EventQueue, max = 100) => [...queue.take(max)];

describe("a queue", () => {
  it("tells an entry that is ready once, and again only after it was armed", () => {
    const { queue, latch } = setup();
    const it = latch();
    queue.add(it.pollable, 7);
    expect(take(queue)).toEqual([]);
    it.set(true);
    expect(take(queue)).toEqual([7]);
    expect(take(queue)).toEqual([]);
    queue.arm([7]);
    expect(take(queue)).toEqual([7]);
  });

  it("tells at once what was ready before it was added", () => {
    const { queue, latch } = setup();
    const it = latch();
    it.set(true);
    queue.add(it.pollable, 1);
    expect(take(queue)).toEqual([1]);
  });

  it("takes no more than it is asked for, in the order in which things became ready", () => {
    const { queue, latch } = setup();
    const all = Array.from({ length: 5 }, (_, token) => {
      const it = latch();
      queue.add(it.pollable, token);
      return it;
    });
    for (const token of [3, 1, 4]) all[token]!.set(true);
    expect(take(queue, 2)).toEqual([3, 1]);
    expect(take(queue, 2)).toEqual([4]);
  });

  it("does not tell what was ready for a while and is not when it is taken", () => {
    const { queue, latch } = setup();
    const it = latch();
    queue.add(it.pollable, 1);
    it.set(true);
    it.set(false);
    expect(queue.subscribe().ready()).toBe(false);
    expect(take(queue)).toEqual([]);
    it.set(true);
    expect(take(queue)).toEqual([1]);
  });

  it("has a pollable that is ready exactly while there is something to take", async () => {
    const { queue, latch } = setup();
    const it = latch();
    queue.add(it.pollable, 1);
    const pollable = queue.subscribe();
    expect(pollable.ready()).toBe(false);
    setImmediate(() => it.set(true));
    await poll([pollable]);
    expect(take(queue)).toEqual([1]);
    expect(pollable.ready()).toBe(false);
  });

  it("waits, and returns together what became ready together", async () => {
    const { queue, latch } = setup();
    const all = Array.from({ length: 20 }, (_, token) => {
      const it = latch();
      queue.add(it.pollable, token);
      return it;
    });
    const waiting = queue.wait(100);
    for (const it of all) it.set(true);
    expect([...(await waiting)]).toHaveLength(20);
  });

  it("does not listen to idle entries, nor after it was dropped", () => {
    const { queue, latch } = setup();
    const [a, b] = [latch(), latch()];
    queue.add(a.pollable, 1);
    queue.add(b.pollable, 2);
    a.set(true);
    expect(take(queue)).toEqual([1]);
    expect([a.listeners(), b.listeners()]).toEqual([0, 1]);
    queue[Symbol.dispose]();
    expect(b.listeners()).toBe(0);
  });

  it("may be dropped before its pollable, which is ready from then on", async () => {
    const { queue, latch } = setup();
    queue.add(latch().pollable, 1);
    const pollable = queue.subscribe();
    setImmediate(() => queue[Symbol.dispose]());
    await poll([pollable]);
    expect(pollable.ready()).toBe(true);
  });

  it("takes tokens from both halves of a u32, however an engine hands them over", () => {
    const { queue, latch } = setup();
    const it = latch();
    queue.add(it.pollable, -1);
    it.set(true);
    expect(take(queue)).toEqual([0xffff_ffff]);
    expect(queue.remove(0xffff_ffff)).toBe(true);
  });
});

describe("a queue refuses", () => {
  it("a token that is in use, until it was removed", async () => {
    const { queue, latch } = setup();
    const it = latch();
    queue.add(it.pollable, 1);
    expect(await witError(() => queue.add(it.pollable, 1))).toBe("token-in-use");
    expect(queue.remove(1)).toBe(true);
    queue.add(it.pollable, 1);
    expect(queue.len()).toBe(1);
  });

  it("more entries than an instance may hold handles", async () => {
    const { queue, latch } = setup({ limits: { handles: 5 } });
    const it = latch();
    for (let token = 0; token < 5; token++) queue.add(it.pollable, token);
    expect(await witError(() => queue.add(it.pollable, 5))).toBe("full");
  });

  it("the pollable of a queue, its own or another's", async () => {
    const { instance, queue } = setup();
    const other = new instance.gateway["sallyport:gateway/event-queue"].Queue();
    for (const it of [queue, other]) expect(await witError(() => queue.add(it.subscribe(), 1))).toBe("of-a-queue");
  });

  it("to wait where nothing is armed: such a wait would never end", async () => {
    const { queue, latch } = setup();
    await expect(queue.wait(1)).rejects.toThrow(Trap);
    const it = latch();
    it.set(true);
    queue.add(it.pollable, 1);
    expect([...(await queue.wait(1))]).toEqual([1]);
    await expect(queue.wait(1)).rejects.toThrow(Trap);
  });

  it("nothing where a token is unknown: it is passed over", () => {
    const { queue } = setup();
    queue.arm([1, 2, 3]);
    expect(queue.remove(1)).toBe(false);
    expect(take(queue)).toEqual([]);
  });

  it("to tell a pollable that was dropped, and frees its token", () => {
    const { queue, latch } = setup();
    const it = latch();
    queue.add(it.pollable, 1);
    it.set(true);
    it.pollable[Symbol.dispose]();
    expect(take(queue)).toEqual([]);
    expect(it.listeners()).toBe(0);
    queue.add(latch().pollable, 1);
  });

  it("to tell what was removed after it became ready", () => {
    const { queue, latch } = setup();
    const it = latch();
    queue.add(it.pollable, 1);
    it.set(true);
    queue.remove(1);
    expect(take(queue)).toEqual([]);
  });
});
