import { connect, type Socket } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ComponentCode, RunResult } from "../../host/component/instance.ts";
import { supervise } from "../../host/component/supervisor.ts";
import { recordsOf, tcpServer, temporaryFolder } from "../support/gateway-instance.ts";
import { gatewayGuest } from "./gateway-guest.ts";

const folder = temporaryFolder();
let code: ComponentCode;
let removeGuest: () => Promise<void>;
let server: Awaited<ReturnType<typeof tcpServer>>;

beforeAll(async () => {
  const built = await gatewayGuest();
  code = built.code;
  removeGuest = built.remove;
  server = await tcpServer(() => {});
});
afterAll(async () => {
  server.close();
  folder.remove();
  await removeGuest();
});

let files = 0;

/** Two clients are accepted, and a server is dialled, by a guest that then does this. */
async function attack(how: string, options: { clientsLeave?: boolean; stopAfter?: boolean } = {}) {
  const file = folder.path(`audit-${++files}`);
  const running = supervise({
    code,
    instance: {
      args: ["attack", "accept", how, String(server.port)],
      grants: { listen: ["127.0.0.1:0"] },
      gateway: { dial: { allowNetworks: ["127.0.0.0/8"] }, audit: { file, fsync: "none" } },
    },
    stdio: "pipe",
    // The start has it, too, on a machine that does much else.
    watchdog: 3000,
  });
  running.stdin!.end();
  let complaints = "";
  running.stderr!.on("data", (data) => (complaints += String(data)));
  let said = "";
  running.stdout!.on("data", (data) => (said += String(data)));
  await expect.poll(() => said + complaints, { timeout: 20_000 }).toMatch(/port \d+\n/);
  const port = Number(/port (\d+)/.exec(said)![1]);
  const clients = [client(port), client(port)];
  await expect.poll(() => said, { timeout: 20_000 }).toContain("accepted\n");
  if (options.clientsLeave === true) for (const one of clients) one.destroy();
  if (options.stopAfter === true) void running.stop(300);
  const result = await running.result;
  for (const one of clients) one.destroy();
  const records = recordsOf(file);
  return { result, port, records, of: (event: string) => records.filter((record) => record["event"] === event) };
}

function client(port: number): Socket {
  const socket = connect(port, "127.0.0.1", () => socket.write("hello"));
  return socket.on("error", () => {}).resume();
}

describe("a hostile proxy component that floods the record and gives its thread no turn", () => {
  it("does not keep from it how often it went beyond its limits", async () => {
    const file = folder.path("audit-flood");
    const running = supervise({
      code,
      instance: {
        args: ["attack", "flood", "2000", "spin"],
        gateway: { dial: {}, audit: { file, fsync: "none" }, rates: { auditRecords: 10 } },
      },
      stdio: "pipe",
      watchdog: 3000,
    });
    running.stdin!.end();
    running.stdout!.resume();
    running.stderr!.resume();
    expect(await running.result).toEqual({ tag: "unresponsive" });
    const records = recordsOf(file);
    const written = records.filter(({ by }) => by === "component").length;
    const told = records.filter(({ event }) => event === "over-limit").reduce((sum, record) => sum + Number(record["count"]), 0);
    expect(written + told + Number(records.at(-1)!["over_limits"])).toBe(2000);
  });
});

describe("a hostile proxy component that accepts clients", () => {
  it("has each of them recorded with its address, and the end of each with what it moved and how it came", async () => {
    const { result, port, of } = await attack("drop", { clientsLeave: true });
    expect(result).toEqual({ tag: "exit", code: 0 });
    const accepted = of("accepted");
    expect(accepted).toHaveLength(2);
    for (const [at, one] of accepted.entries()) {
      expect(one).toMatchObject({ by: "host", accepted: at + 1, client: expect.stringMatching(/^127\.0\.0\.1:\d+$/) });
      expect(one).toMatchObject({ listener: `127.0.0.1:${port}` });
      const ends = of("end").filter((end) => end["accepted"] === at + 1);
      expect(ends).toMatchObject([
        {
          by: "host",
          client: one["client"],
          bytes_received: 5,
          bytes_sent: 5,
          duration_ms: expect.any(Number),
          reason: expect.any(String),
        },
      ]);
    }
  });

  it.each<[string, string, object, Partial<RunResult>]>([
    ["returns", "return", {}, { tag: "exit", code: 0 }],
    ["traps", "trap", {}, { tag: "trap" }],
    ["is stopped", "wait", { stopAfter: true }, { tag: "stopped" }],
  ])("and %s leaves no connection without an end: the host writes them as it takes them away", async (_, how, options, expected) => {
    const { result, of } = await attack(how, options);
    expect(result).toEqual(expect.objectContaining(expected));
    const began = [...of("accepted"), ...of("dial")];
    expect(began).toHaveLength(3);
    expect(of("end")).toHaveLength(3);
    for (const end of of("end")) expect(end).toMatchObject({ by: "host", reason: "the instance ended" });
    expect(of("instance-ended")).toMatchObject([{ by: "host", result: expected.tag, open_clients: 0, open_dials: 0 }]);
  });

  it("and does not let its thread go on is ended from outside, which records how many connections it left open", async () => {
    const { result, records, of } = await attack("spin");
    expect(result).toEqual({ tag: "unresponsive" });
    expect(of("end")).toEqual([]);
    expect(records.at(-1)).toMatchObject({ by: "host", event: "instance-ended", result: "unresponsive", open_clients: 2, open_dials: 1 });
    // It is the instance of the other records.
    expect(new Set(records.map(({ instance }) => instance)).size).toBe(1);
  });

  it("and takes all the memory that it may have leaves no connection without an end", async () => {
    const { result, of } = await attack("eat");
    expect(result).toMatchObject({ tag: expect.stringMatching(/^(limit|trap|unresponsive)$/) });
    const [last] = of("instance-ended");
    expect(of("end").length + Number(last!["open_clients"]) + Number(last!["open_dials"])).toBe(3);
  });
});
