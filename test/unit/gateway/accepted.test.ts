import { once } from "node:events";
import { mkdtempSync, readFileSync } from "node:fs";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MessageChannel } from "node:worker_threads";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
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
});
