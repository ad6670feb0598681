import { once } from "node:events";
import { mkdtempSync, readFileSync } from "node:fs";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MessageChannel } from "node:worker_threads";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { recordAccepted } from "../../../host/gateway/accepted.ts";
import { AuditLog } from "../../../host/gateway/audit-log.ts";
import { Recorder } from "../../../host/gateway/recorder.ts";
import { Ledger } from "../../../host/io/ledger.ts";
import { IN_PROCESS, InProcessListener } from "../../../host/net/in-process.ts";

let file: string;
let log: AuditLog;
let ledger: Ledger;
let accept: (socket: Socket) => boolean;

beforeEach(() => {
  file = join(mkdtempSync(join(tmpdir(), "accepted-")), "audit.jsonl");
  log = AuditLog.open({ file });
  ledger = new Ledger();
  accept = recordAccepted(ledger, new Recorder(log));
});
afterEach(() => {
  vi.useRealTimers();
  ledger.close();
  log.close();
});

const records = () =>
  readFileSync(file, "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as { by: string; event: string; client: string });

describe("the record of an accepted connection", () => {
  it("says of one from the own process that it is that", () => {
    const listener = new InProcessListener();
    listener.connect(new MessageChannel().port1);
    expect(accept(listener.accept()!)).toBe(true);
    listener.close();
    expect(records()).toMatchObject([{ by: "host", event: "accepted", client: "in-process" }]);
  });

  it("does not say so of one that came through a network from the address of those", async () => {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    const client = connect((server.address() as AddressInfo).port, "127.0.0.1");
    const [socket] = (await once(server, "connection")) as [Socket];
    // What the system says of a peer whose packets have this source.
    Object.defineProperty(socket, "remoteAddress", { value: IN_PROCESS.address });
    expect(accept(socket)).toBe(true);
    expect(records()[0]!.client).toBe(`[${IN_PROCESS.address}]:${socket.remotePort}`);
    client.destroy();
    socket.destroy();
    server.close();
  });

  it("is written so often in a second; who comes beyond that is not let in, and counted", () => {
    vi.useFakeTimers({ toFake: ["performance", "setTimeout", "clearTimeout"] });
    const limited = recordAccepted(ledger, new Recorder(log), { connections: 3 });
    const listener = new InProcessListener();
    const come = () => {
      listener.connect(new MessageChannel().port1);
      return limited(listener.accept()!);
    };
    expect(Array.from({ length: 5 }, come)).toEqual([true, true, true, false, false]);
    expect(records().map(({ event }) => event)).toEqual(["accepted", "accepted", "accepted"]);
    vi.advanceTimersByTime(1000);
    expect(records().at(-1)).toMatchObject({ by: "host", event: "over-limit", limit: "connections", most: 3, count: 2 });
    expect(come()).toBe(true);
    listener.close();
    ledger.close();
    // Those that were not let in never began, and have no end.
    expect(records().filter(({ event }) => event === "end")).toHaveLength(4);
  });

  it("is no limit where nothing is kept", () => {
    const unrecorded = recordAccepted(ledger, new Recorder(undefined), { connections: 1 });
    const listener = new InProcessListener();
    for (let at = 0; at < 3; at++) {
      listener.connect(new MessageChannel().port1);
      expect(unrecorded(listener.accept()!)).toBe(true);
    }
    listener.close();
  });
});
