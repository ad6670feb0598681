import { afterEach, describe, expect, it } from "vitest";
import { poll } from "../../../host/io/poll.ts";
import { GatewayInstance } from "../../support/gateway-instance.ts";

const instances: GatewayInstance[] = [];
afterEach(() => instances.splice(0).forEach((instance) => instance.dispose()));

function setup() {
  const instance = new GatewayInstance();
  instances.push(instance);
  const { control } = instance.host;
  return { control, open: () => instance.gateway["sallyport:gateway/control"].Channel.open() };
}

describe("a control channel", () => {
  it("tells what the host said, in its order, and then nothing", () => {
    const { control, open } = setup();
    const channel = open();
    control.revoke("alice");
    control.reload("{}");
    expect([channel.next(), channel.next(), channel.next()]).toEqual([
      { tag: "revoked", val: "alice" },
      { tag: "reload", val: "{}" },
      undefined,
    ]);
  });

  it("keeps what was said before it was opened", () => {
    const { control, open } = setup();
    control.reload("early");
    expect(open().next()).toEqual({ tag: "reload", val: "early" });
  });

  it("wakes whoever waits for it, and is not ready once everything was taken", async () => {
    const { control, open } = setup();
    const channel = open();
    const pollable = channel.subscribe();
    expect(pollable.ready()).toBe(false);
    setImmediate(() => control.revoke("bob"));
    await poll([pollable]);
    channel.next();
    expect(pollable.ready()).toBe(false);
  });

  it("tells to stop before everything else, with the time that is left in nanoseconds", () => {
    const { control, open } = setup();
    control.revoke("alice");
    control.stop(5000);
    const first = open().next();
    expect(first?.tag).toBe("stop");
    const left = first?.tag === "stop" ? first.val : -1n;
    expect(left > 0n && left <= 5_000_000_000n).toBe(true);
  });

  it("gives two channels the same events, each once", () => {
    const { control, open } = setup();
    const [a, b] = [open(), open()];
    control.revoke("alice");
    control.revoke("bob");
    expect([a.next(), b.next(), a.next()]).toEqual([{ tag: "revoked", val: "alice" }, { tag: "revoked", val: "bob" }, undefined]);
  });
});

describe("a control channel does not", () => {
  it("tell a policy that a newer one has replaced", () => {
    const { control, open } = setup();
    control.reload("old");
    control.reload("new");
    const channel = open();
    expect([channel.next(), channel.next()]).toEqual([{ tag: "reload", val: "new" }, undefined]);
  });

  it("tell to stop twice", () => {
    const { control, open } = setup();
    control.stop(1000);
    control.stop(2000);
    const channel = open();
    expect(channel.next()?.tag).toBe("stop");
    control.stop(10);
    expect(channel.next()).toBeUndefined();
  });

  it("hold more revocations than its bound, and says so", () => {
    const { control, open } = setup();
    const taken = Array.from({ length: 65_536 }, (_, i) => control.revoke(`subject-${i}`));
    expect(taken).not.toContain(false);
    expect(control.revoke("one more")).toBe(false);
    expect(control.revoke("subject-5")).toBe(true);
    expect(control.revoke("x".repeat(5000))).toBe(false);
    open().next();
    expect(control.revoke("one more")).toBe(true);
  });

  it("take a policy beyond its bound", () => {
    const { control, open } = setup();
    expect(control.reload("x".repeat(16 * 1024 * 1024 + 1))).toBe(false);
    expect(open().next()).toBeUndefined();
  });

  it("hand a lone surrogate to a guest, which could not survive it", () => {
    const { control, open } = setup();
    control.revoke("\ud800");
    control.reload("\udc00{}");
    const channel = open();
    expect([channel.next()?.val, channel.next()?.val]).toEqual(["\ufffd", "\ufffd{}"]);
  });

  it("count as listening before a guest opened it", () => {
    const { control, open } = setup();
    expect(control.isOpen).toBe(false);
    open();
    expect(control.isOpen).toBe(true);
  });
});
