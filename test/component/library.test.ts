import { createServer, type Server, type Socket } from "node:net";
import { type AddressInfo } from "node:net";
import { PassThrough, Readable } from "node:stream";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ImportsOptions } from "../../host/index.ts";
import { type BuiltGuest, buildGuest, startGuest } from "../support/guest-run.ts";

let guest: BuiltGuest;
beforeAll(async () => {
  guest = await buildGuest({ entry: "test/component/library-guests/scenarios.ts", wit: "test/component/library-guests", world: "library" });
});
afterAll(async () => await guest?.remove());

const IDLE = '{"tasks":1,"waits":0,"timers":0}';
const SUCCESS = { tag: "exit", code: 0 };

/** Run a scenario to its end; the lines that it said, how it ended and what it held then. */
async function scenario(name: string, args: string[] = [], options: ImportsOptions & { stdin?: Readable } = {}) {
  const run = startGuest(guest.code, { ...options, args: ["scenario", name, ...args] });
  const { handles, ...result } = await run.ended;
  return {
    result,
    handles,
    text: run.stdout(),
    lines: run.stdout().split("\n").slice(0, -1),
    stderr: run.stderr(),
    refusals: run.refusals,
  };
}

describe("a guest's main", () => {
  it.each([0, 1, 42, 255])("ends with the exit code %i that it returns", async (code) => {
    expect((await scenario("code", [String(code)])).result).toEqual({ tag: "exit", code });
  });

  it("that throws ends with code 1 and says why, without the control characters of the message", async () => {
    const { result, stderr } = await scenario("throws");
    expect(result).toEqual({ tag: "exit", code: 1 });
    expect(stderr).toBe("scenario: thrown by \\u{1b}[31mmain\n");
  });

  it("ends when a task fails that nobody looks after", async () => {
    const { result, stderr } = await scenario("spawn throws");
    expect(result).toEqual({ tag: "exit", code: 1 });
    expect(stderr).toBe("scenario: thrown by a task\n");
  });

  it("goes on when somebody does", async () => {
    expect(await scenario("spawn handles")).toMatchObject({ result: SUCCESS, lines: ["handled"] });
  });

  it("that waits for nothing is told so instead of hanging", async () => {
    const { result, stderr } = await scenario("stalls");
    expect(result).toEqual({ tag: "exit", code: 1 });
    expect(stderr).toContain("can never happen");
  });
});

describe("the reactor", () => {
  it("wakes timers in their order and has nothing left afterwards", async () => {
    expect((await scenario("order")).lines).toEqual(["3 fired, in order: true, early: 0", IDLE]);
  });

  it("carries many timers on one pollable, and fires none that was cleared", async () => {
    expect((await scenario("many timers", [], { limits: { handles: 10 } })).lines).toEqual(["1000 0"]);
  });

  it("ends what takes too long, lets through what does not, and leaves nothing waiting", async () => {
    expect((await scenario("timeout")).lines).toEqual(["true", "in time", IDLE]);
  });

  it("gives the first of a race and cancels the others", async () => {
    expect((await scenario("race")).lines).toEqual([`fast true ${IDLE}`]);
  });

  it("starts nothing in a scope that was cancelled", async () => {
    expect((await scenario("cancelled before")).lines).toEqual(["Cancelled", "Cancelled", "Cancelled", IDLE]);
  });

  it("asks for one pollable per event, and cancels its waits when it is closed", async () => {
    const message = "what was waited for has been closed";
    expect(await scenario("event reused")).toMatchObject({ lines: [`1 ${message} ${IDLE}`, message], handles: 0 });
  });

  it("lets two wait for one pollable", async () => {
    expect((await scenario("wait twice")).lines).toEqual(["both"]);
  });

  it("polls only once nothing is runnable, however long the chains of awaits are", async () => {
    expect((await scenario("long chains")).lines).toEqual(["500"]);
  });
});

describe("a reader and a writer", () => {
  it("give lines, exact lengths and what is left, and keep what they could not hand out", async () => {
    const stdin = Readable.from([Buffer.from("one\ntw"), Buffer.from("othree four\nrest")]);
    expect((await scenario("read lines", [], { stdin })).lines).toEqual([
      '"one\\n"',
      '"two"',
      "ERR_SALLYPORT_TOO_LONG",
      '"<three four\\n"',
      "ERR_SALLYPORT_UNEXPECTED_END 4",
      '"rest"',
      "undefined",
      "undefined",
    ]);
  });

  it("end a read when they are closed under it, and answer by name afterwards", async () => {
    const outcome = await scenario("close while reading", [], { stdin: new PassThrough() });
    expect(outcome).toMatchObject({ lines: ["Cancelled", "DroppedError", IDLE], result: SUCCESS, handles: 0 });
  });

  it("move everything by splice, what was buffered first", async () => {
    const chunk = Buffer.alloc(100_000, "x");
    const { text, result, handles } = await scenario("pump", [], { stdin: Readable.from(Array.from({ length: 20 }, () => chunk)) });
    expect({ result, handles, length: text.length }).toEqual({ result: SUCCESS, handles: 0, length: 2_000_000 + 6 + 8 });
    expect(text.startsWith("first:xxx") && text.endsWith("xxx:2000006")).toBe(true);
  });

  it("move no more than the limit", async () => {
    expect((await scenario("pump limit", [], { stdin: Readable.from([Buffer.from("helloworld")]) })).text).toBe('hello|"world"\n');
  });
});

describe("connections of a guest", () => {
  const open: Server[] = [];
  afterAll(() => open.forEach((server) => server.close()));

  /** A server on the loopback; its port. */
  async function serve(onConnection: (socket: Socket) => void, host = "127.0.0.1"): Promise<number> {
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      socket.on("error", () => {});
      onConnection(socket);
    });
    open.push(server);
    await new Promise<void>((resolve) => server.listen(0, host, resolve));
    return (server.address() as AddressInfo).port;
  }

  /** A port on which nobody listens. */
  async function deadPort(): Promise<number> {
    const port = await serve(() => {});
    await new Promise((resolve) => open.pop()!.close(resolve));
    return port;
  }

  const resolver = (addresses: string[]) => async () => addresses;

  it("reach an address, say and hear everything, half-close, and leave nothing behind", async () => {
    const port = await serve((socket) => socket.pipe(socket));
    const { lines, handles } = await scenario("connect", ["127.0.0.1", String(port)], { grants: { allowNet: [`127.0.0.1:${port}`] } });
    expect({ lines, handles }).toEqual({ lines: [`127.0.0.1:${port}`, '"ping"', "undefined", IDLE], handles: 0 });
  });

  it("go to the next address of a name when the first refuses", async () => {
    const port = await serve((socket) => socket.pipe(socket));
    const { lines, handles } = await scenario("connect", ["name.example", String(port)], {
      grants: { allowNet: [`name.example:${port}`] },
      resolver: resolver(["::1", "127.0.0.1"]),
    });
    expect({ lines, handles }).toEqual({ lines: [`127.0.0.1:${port}`, '"ping"', "undefined", IDLE], handles: 0 });
  });

  it("fail with the socket's error when every address refuses", async () => {
    const port = await deadPort();
    const { lines, handles } = await scenario("connect", ["name.example", String(port)], {
      grants: { allowNet: [`name.example:${port}`] },
      resolver: resolver(["127.0.0.1", "127.0.0.2"]),
    });
    expect({ lines, handles }).toEqual({ lines: ["ERR_SALLYPORT_SOCKET connection-refused", IDLE], handles: 0 });
  });

  it.each([
    ["a name", "name.example"],
    ["an address", "127.0.0.1"],
  ])("fail without a grant for %s, and the host says so", async (_, host) => {
    const { lines, refusals, handles } = await scenario("connect", [host, "443"]);
    expect({ lines, handles }).toEqual({ lines: ["ERR_SALLYPORT_SOCKET access-denied", IDLE], handles: 0 });
    expect(refusals.join()).toContain("--allow-net");
  });

  it("fail for a name that has no address", async () => {
    const { lines } = await scenario("connect", ["name.example", "443"], {
      grants: { allowNet: ["name.example:443"] },
      resolver: resolver([]),
    });
    expect(lines[0]).toBe("ERR_SALLYPORT_SOCKET name-unresolvable");
  });

  it("are given up in time when the name lookup never answers", async () => {
    const { lines, handles } = await scenario("connect and give up", ["name.example", "443"], {
      grants: { allowNet: ["name.example:443"] },
      resolver: () => new Promise(() => {}),
    });
    expect({ lines, handles }).toEqual({ lines: ["Error: the operation took too long", IDLE], handles: 0 });
  });

  it("that the peer resets fail the write by name", async () => {
    const port = await serve((socket) => socket.once("data", () => socket.resetAndDestroy()));
    const { lines } = await scenario("write to a peer that left", ["127.0.0.1", String(port)], {
      grants: { allowNet: [`127.0.0.1:${port}`] },
    });
    expect(["ERR_SALLYPORT_STREAM", "ERR_SALLYPORT_STREAM_CLOSED"]).toContain(lines[0]);
  });

  it("are accepted until the listener is closed", async () => {
    const { lines, handles } = await scenario("listen", ["127.0.0.1:0"], { grants: { listen: ["127.0.0.1:0"] } });
    expect(lines[0]).toMatch(/^at 127\.0\.0\.1:[1-9]/);
    expect({ ending: lines[1], handles }).toEqual({ ending: "ERR_SALLYPORT_CANCELLED ", handles: 0 });
  });

  it("are not accepted where no grant lets the guest listen", async () => {
    expect((await scenario("listen", ["127.0.0.1:0"])).lines).toEqual(["ERR_SALLYPORT_SOCKET access-denied"]);
  });

  it.each(["localhost:1", "127.0.0.1", "1.2.3:4", "[::1:4", ":65536", ""])("are not accepted at %j, which is no address", async (text) => {
    expect((await scenario("listen", [text], { grants: { listen: ["127.0.0.1:0"] } })).lines).toEqual(["ERR_SALLYPORT_SOCKET_ADDRESS "]);
  });
});
