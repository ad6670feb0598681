import { once } from "node:events";
import { connect } from "node:net";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ComponentCode, RunResult } from "../../host/component/instance.ts";
import { type Supervised, supervise } from "../../host/component/supervisor.ts";
import type { TlsGrants } from "../../host/index.ts";
import { suiteGrants } from "../conformance/fixtures.ts";
import { startGuest } from "../support/guest-run.ts";
import { attack, hostileGuest } from "./hostile.ts";

/** Whatever one instance does to itself, another one in the same process goes on listening, shaking hands and answering. */

const MIB = 1024 * 1024;
const EXIT = { tag: "exit", code: 0 };
let code: ComponentCode;
let tls: TlsGrants;
let healthy: Supervised;
let port: number;

beforeAll(async () => {
  code = await hostileGuest(192 * MIB);
  tls = await suiteGrants();
  healthy = supervise({ code, instance: { args: ["attack", "serve"], grants: { listen: ["127.0.0.1:0"] }, tls }, stdio: "pipe" });
  healthy.stderr!.resume();
  const [line] = (await once(healthy.stdout!, "data")) as [Buffer];
  port = Number(/^at (\d+)/.exec(line.toString())![1]);
});
afterAll(async () => await healthy?.stop(100));

/** What the healthy guest answers to a new connection, after a handshake of its own. */
async function answer(): Promise<string> {
  return await text(connect(port, "127.0.0.1"));
}

/** The healthy guest answers before, during and after the attack. */
async function survived(args: string[], options: Parameters<typeof attack>[2] = {}, watchdog?: number) {
  expect(await answer()).toBe("healthy");
  const running = attack(code, args, { tls, ...options }, watchdog);
  expect(await answer()).toBe("healthy");
  const aftermath = await running;
  expect(await answer()).toBe("healthy");
  return aftermath;
}

describe("a guest that never yields", () => {
  it.each(["spin", "spin on a call"])("is ended by the watchdog: %s", async (name) => {
    expect(await survived([name], {}, 1500)).toMatchObject({ result: { tag: "unresponsive" }, lines: ["spinning"] });
  });

  it("and waits for what only it could move does no harm, and can be stopped", async () => {
    const running = supervise({ code, instance: { args: ["attack", "wait for itself"], tls }, stdio: "pipe" });
    running.stderr!.resume();
    await once(running.stdout!, "data");
    expect(await answer()).toBe("healthy");
    expect(await running.stop(100)).toEqual({ tag: "stopped" });
    expect(await answer()).toBe("healthy");
  });
});

describe("a guest that takes all it can get", () => {
  it("of the stack dies of it", async () => {
    expect((await survived(["recurse"])).result).toEqual({ tag: "trap", reason: "the guest's calls are nested too deeply" });
  });

  it.each(["allocate bytes", "allocate text"])("of memory meets its limit or its engine's: %s", async (name) => {
    const { result } = await survived([name]);
    expect([
      { tag: "limit", which: "memory" },
      { tag: "trap", reason: "wasm trap: wasm `unreachable` instruction executed" },
    ]).toContainEqual(result);
  });

  it.each(["pollables", "streams", "sockets", "identities", "anchors"])("of %s meets a limit with a name", async (what) => {
    const { result } = await survived([`hoard ${what}`], { limits: { handles: 500 } });
    expect(result).toEqual({ tag: "limit", which: "handles" } satisfies RunResult);
  });

  it("of connections is refused by an error that it can catch, and gets new ones for old ones", async () => {
    const { result, lines } = await survived(["hoard connections"], { tls: { ...tls, maxConnections: 40 } });
    expect({ result, lines }).toEqual({ result: EXIT, lines: ["40 not-permitted", "ok", "not-permitted"] });
  });

  it("of handshakes that nobody answers loses them to the time limit, and gets new ones then", async () => {
    const { result, lines } = await survived(["hoard handshakes", "1000"], { tls: { ...tls, maxConnections: 40, handshakeTimeout: 300 } });
    expect({ result, lines }).toEqual({ result: EXIT, lines: ["40 not-permitted", "all timed out", "ok"] });
  });

  it("of lookups is told that they are too many", async () => {
    const { result, lines } = await survived(["resolve much", "localhost"], { grants: { allowNet: ["localhost:443"] } });
    expect({ result, lines }).toEqual({ result: EXIT, lines: ["ok temporary-resolver-failure"] });
  });
});

describe("a guest that breaks the rules of the interfaces", () => {
  it.each([
    "write over the permit",
    "write zeroes over the permit",
    "same handle twice",
    "another resource's method",
    "a handle of another resource",
  ])("dies of it: %s", async (name) => {
    expect((await survived([name])).result.tag).toBe("trap");
  });

  it("uses up handles and goes on with them: each is an error that it can catch", async () => {
    const { result, lines } = await survived(["use consumed handles"]);
    expect({ result, last: lines.at(-1) }).toEqual({ result: EXIT, last: "still here" });
    expect(lines.filter((line) => line.endsWith(": worked"))).toEqual([]);
    expect(lines.length).toBe(11);
  });

  it("lets bytes go round in circles: nothing grows and nothing hangs", async () => {
    const { result, lines } = await survived(["loop a connection"]);
    expect({ result, lines }).toEqual({ result: EXIT, lines: ["its own hello: err", "echoing: true", "still here"] });
  });

  it("feeds nonsense to both roles: every connection ends with an error", async () => {
    const { result, lines } = await survived(["speak nonsense"]);
    expect({ result, lines }).toEqual({ result: EXIT, lines: ["nonsense: err"] });
  });
});

describe("a guest that gives more than anybody can want", () => {
  it("in lists and strings gets an error for each, and is no worse off", async () => {
    const { result, lines } = await survived(["giants"], { grants: { allowNet: ["*:443"] } });
    expect(result).toEqual(EXIT);
    expect(lines.at(-1)).toBe("still works");
    const expected: Record<string, string> = {
      "a chain of 16 MiB": "too-large",
      "a chain of many": "too-large",
      "a key of 16 MiB": "too-large",
      "a PEM of 16 MiB": "too-large",
      "a PEM of 16 MiB of dashes": "too-large",
      "a passphrase of 16 MiB": "bad-format",
      "anchors of 16 MiB": "too-large",
      "anchors of many": "too-large",
      "a revocation list of 16 MiB": "bad-format",
      "an identity's name of 16 MiB": "not-found",
      "a host name of 16 MiB": "invalid-argument",
      "a feature of 16 MiB": "ok",
    };
    const said = lines.slice(0, -1).map((line) => line.split(": ") as [string, string]);
    expect(Object.fromEntries(said)).toEqual(Object.fromEntries(said.map(([name]) => [name, expected[name] ?? "invalid-argument"])));
    expect(said.length).toBe(23);
  });

  it("in numbers waits for nothing else", async () => {
    const { result, lines } = await survived(["numbers"]);
    expect({ result, lines }).toEqual({ result: EXIT, lines: ["polled 1", "read 0", "skipped 0", "still works"] });
  });

  it("in one poll is answered", async () => {
    expect(await survived(["poll much"])).toMatchObject({ result: EXIT, lines: ["50000"] });
  });
});

describe("a guest that does anything with anything", () => {
  const SURVIVED = [
    expect.stringMatching(/^shook hands [1-9]/),
    expect.stringMatching(/^survived 2000 steps; some refused; 0 errors of the engine$/),
  ];

  it.each([1, 2, 3, 4, 5, 6])("and drops it in any order survives, seed %i", async (seed) => {
    const { result, lines, stderr } = await attack(code, ["random", String(seed), "2000"], { tls });
    expect({ result, stderr, lines }).toEqual({ result: EXIT, stderr: "", lines: SURVIVED });
    expect(await answer()).toBe("healthy");
  });

  it.each([7, 8, 9])("leaves nothing behind in the host, seed %i", async (seed) => {
    const run = startGuest(code, { args: ["attack", "random", String(seed), "2000"], tls });
    expect(await run.ended).toEqual({ ...EXIT, handles: 0 });
    expect(run.stdout().split("\n").slice(0, -1)).toEqual(SURVIVED);
  });
});
