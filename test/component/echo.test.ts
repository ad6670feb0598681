import { connect } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type BuiltGuest, buildGuest, startGuest } from "../support/guest-run.ts";

let guest: BuiltGuest;
beforeAll(async () => {
  guest = await buildGuest({ entry: "guest/echo/main.ts", wit: "wit/samples", world: "echo" });
});
afterAll(async () => await guest?.remove());

const grants = { listen: ["127.0.0.1:0"] };

async function startEcho(once: number) {
  const run = startGuest(guest.code, { args: ["echo", "--listen", "127.0.0.1:0", "--once", String(once)], grants });
  const [, port] = await run.said(/^listening on 127\.0\.0\.1:(\d+)\n/);
  return { run, port: Number(port) };
}

/** Send everything, half-close, and collect what comes back until the other side ends. */
function exchange(port: number, bytes: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
    socket.on("data", (chunk: Buffer) => chunks.push(chunk));
    socket.on("end", () => resolve(Buffer.concat(chunks)));
    socket.on("error", reject);
    socket.end(bytes);
  });
}

describe("the echo sample", () => {
  it("sends everything back and then ends, and holds nothing afterwards", async () => {
    const { run, port } = await startEcho(1);
    const bytes = Buffer.from(Array.from({ length: 3_000_000 }, (_, i) => i % 251));
    expect((await exchange(port, bytes)).equals(bytes)).toBe(true);
    expect(await run.ended).toEqual({ tag: "exit", code: 0, handles: 0 });
  });

  it("serves a hundred connections at once, each with its own bytes", async () => {
    const { run, port } = await startEcho(100);
    const sent = Array.from({ length: 100 }, (_, i) => Buffer.alloc(1000 + i, i));
    const received = await Promise.all(sent.map((bytes) => exchange(port, bytes)));
    expect(received.every((bytes, i) => bytes.equals(sent[i]!))).toBe(true);
    expect(await run.ended).toEqual({ tag: "exit", code: 0, handles: 0 });
  });

  it("goes on when a client resets its connection or says nothing", async () => {
    const { run, port } = await startEcho(3);
    await new Promise<void>((resolve) => {
      const socket = connect(port, "127.0.0.1", () => {
        socket.write("x");
        socket.resetAndDestroy();
        resolve();
      });
    });
    expect(await exchange(port, Buffer.alloc(0))).toEqual(Buffer.alloc(0));
    expect((await exchange(port, Buffer.from("still here"))).toString()).toBe("still here");
    expect(await run.ended).toEqual({ tag: "exit", code: 0, handles: 0 });
  });

  it.each([[[]], [["--listen"]], [["--once", "1"]], [["--listen", "127.0.0.1:0", "--once", "0"]], [["--port", "1"]]])(
    "answers %j with its usage",
    async (args) => {
      const run = startGuest(guest.code, { args: ["echo", ...args], grants });
      expect(await run.ended).toMatchObject({ tag: "exit", code: 1 });
      expect(run.stderr()).toContain("usage: echo --listen");
    },
  );

  it.each([
    ["without a grant", ["--listen", "127.0.0.1:1"], "echo: listen on 127.0.0.1:1: access-denied\n"],
    ["at what is no address", ["--listen", "nowhere"], "echo: an address looks like"],
  ])("fails %s and says why", async (_, args, message) => {
    const run = startGuest(guest.code, { args: ["echo", ...args], grants });
    expect(await run.ended).toMatchObject({ tag: "exit", code: 1, handles: 0 });
    expect(run.stderr()).toContain(message);
  });
});
