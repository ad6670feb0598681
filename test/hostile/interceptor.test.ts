import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ComponentCode } from "../../host/component/instance.ts";
import type { DialGrant } from "../../host/gateway/dial-rules.ts";
import { recordsOf, tcpServer, temporaryFolder } from "../support/gateway-instance.ts";
import { startGuest } from "../support/guest-run.ts";
import { makePki, type TestPki } from "../support/pki.ts";
import { gatewayGuest } from "./gateway-guest.ts";

const folder = temporaryFolder();
let code: ComponentCode;
let removeGuest: () => Promise<void>;
let pki: TestPki;
let server: Awaited<ReturnType<typeof tcpServer>>;
let reached = 0;

beforeAll(async () => {
  const built = await gatewayGuest();
  code = built.code;
  removeGuest = built.remove;
  pki = await makePki({ intermediates: 0, leaf: { dns: ["a.test"] } });
  server = await tcpServer(() => reached++);
});
afterAll(async () => {
  server.close();
  folder.remove();
  await removeGuest();
});

let files = 0;

/** A client that CONNECTs through a guest that then does this. */
async function attack(how: string, target: string, dial?: DialGrant) {
  const file = folder.path(`audit-${++files}`);
  const [key, leaf] = [pki.leaf.keyDer, pki.leaf.der].map((der) => Buffer.from(der).toString("hex"));
  const run = startGuest(code, {
    args: ["attack", "intercept", how, target, String(server.port), key!, leaf!],
    grants: { listen: ["127.0.0.1:0"] },
    gateway: { ...(dial === undefined ? {} : { dial }), audit: { file, fsync: "none" } },
    tls: { anchors: [pki.root.der], handshakeTimeout: 1000 },
    resolver: async () => ["169.254.169.254"],
  });
  const [, port] = await run.said(/port (\d+)\n/);
  const socket = connect(Number(port), "127.0.0.1");
  socket.on("error", () => {}).write("CONNECT a.test:443 HTTP/1.1\r\nHost: a.test\r\n\r\n");
  return { run, socket, records: () => recordsOf(file), lines: () => run.stdout().trim().split("\n") };
}

async function shakeHands(socket: Socket): Promise<void> {
  await once(socket, "data");
  connectTls({ socket, servername: "a.test", rejectUnauthorized: false }).on("error", () => {});
}

describe("a hostile guest with an interceptor", () => {
  it.each([
    ["127.0.0.1", { tag: "refused", val: "loopback" }],
    ["metadata.google.internal", { tag: "refused", val: "metadata" }],
    ["innocent.test", { tag: "refused", val: "metadata" }],
    ["2130706433", { tag: "invalid-name" }],
  ])("gets no further than dial does, to %s, whatever it commands", async (target, why) => {
    const { run, socket, lines, records } = await attack("", target, {});
    await shakeHands(socket);
    expect(await run.ended).toMatchObject({ tag: "exit", code: 0 });
    const nobody = "unknown unknown unknown unknown";
    expect(lines().slice(1)).toEqual([
      nobody,
      nobody,
      nobody,
      nobody,
      "connect",
      "ok wrong-phase wrong-phase wrong-phase",
      "client-hello",
      "ok",
      `server-failed ${JSON.stringify({ tag: "dial", val: why })}`,
      "wrong-phase wrong-phase wrong-phase ok",
    ]);
    expect(reached).toBe(0);
    expect(records().filter(({ event }) => event === "dial")).toEqual([]);
    if ("val" in why) expect(records()).toContainEqual(expect.objectContaining({ by: "host", event: "dial-refused", reason: why.val }));
    socket.destroy();
  });

  it("gets nowhere where it was granted no dial", async () => {
    const { run, socket, lines } = await attack("", "127.0.0.1");
    await shakeHands(socket);
    expect(await run.ended).toMatchObject({ tag: "exit", code: 0 });
    expect(lines()).toContain(`server-failed ${JSON.stringify({ tag: "dial", val: { tag: "refused", val: "not-granted" } })}`);
    socket.destroy();
  });

  it("is cut to the host's time for a handshake, whatever time it gives", async () => {
    const { run, socket, lines } = await attack("", "127.0.0.1", {});
    // No hello.
    expect(await run.ended).toMatchObject({ tag: "exit", code: 0 });
    expect(lines().at(-2)).toMatch(/^client-failed \{"tag":"tls","val":\[\{"tag":"timeout"/);
    socket.destroy();
  });

  it("that drops it, or ends, takes its clients with it, and each end is recorded", async () => {
    const { run, socket, records } = await attack("dropped", "127.0.0.1", {});
    const closed = once(socket.resume(), "close");
    expect(await run.ended).toMatchObject({ tag: "exit", code: 0 });
    await closed;
    expect(records().filter(({ by }) => by === "host")).toMatchObject([{ event: "accepted" }, { event: "end" }]);
  });
});
