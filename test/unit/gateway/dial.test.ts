import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { fillDisk, GatewayInstance, recordsOf, tcpServer, temporaryFolder } from "../../support/gateway-instance.ts";
import { bytes, readAll, text, witError } from "../../support/host-instance.ts";
import type { DialGrant } from "../../../host/gateway/dial-rules.ts";
import { GrantError } from "../../../host/index.ts";
import type { Resolver } from "../../../host/net/name-lookup.ts";

const folder = temporaryFolder();
let server: Awaited<ReturnType<typeof tcpServer>>;
const instances: GatewayInstance[] = [];
beforeAll(async () => {
  server = await tcpServer((socket) => socket.on("data", (data) => socket.write(data)).on("end", () => socket.end()));
});
afterAll(() => {
  server.close();
  folder.remove();
});
afterEach(() => instances.splice(0).forEach((instance) => instance.dispose()));

let files = 0;
function instance(dial: DialGrant | undefined, names: Record<string, string[]> = {}) {
  const file = folder.path(`audit-${++files}`);
  const asked: string[] = [];
  const resolver: Resolver = async (name) => {
    asked.push(name);
    const answer = names[name];
    if (answer === undefined) throw Object.assign(new Error("no such name"), { code: "ENOTFOUND" });
    return answer;
  };
  const made = new GatewayInstance({ gateway: { ...(dial === undefined ? {} : { dial }), audit: { file } }, resolver });
  instances.push(made);
  return { it: made, asked, file, records: () => recordsOf(file) };
}

const LOOPBACK: DialGrant = { allowNetworks: ["127.0.0.0/8", "::1/128"] };

describe("dial", () => {
  it("connects to a name and moves bytes both ways", async () => {
    const { it: guest } = instance(LOOPBACK, { "server.test": ["127.0.0.1"] });
    const { input, output, address, id } = await guest.dial("Server.TEST.", server.port);
    expect([address, id]).toEqual(["127.0.0.1", 1n]);
    await output.blockingWriteAndFlush(bytes("hello"));
    output[Symbol.dispose]();
    expect(text(await readAll(input))).toBe("hello");
  });

  it("goes on to the next address where one refuses", async () => {
    const { it: guest } = instance(LOOPBACK, { "server.test": ["::1", "127.0.0.1"] });
    expect((await guest.dial("server.test", server.port)).address).toBe("127.0.0.1");
  });

  it("connects to an address that an opened network holds", async () => {
    const { it: guest } = instance(LOOPBACK);
    expect((await guest.dial("127.0.0.1", server.port)).address).toBe("127.0.0.1");
  });

  it("records the dial before it connects and its end with byte counts, joined by the guest's number", async () => {
    const { it: guest, records } = instance(LOOPBACK, { "server.test": ["127.0.0.1"] });
    const { input, output } = await guest.dial("server.test", server.port, { connection: 42n });
    await output.blockingWriteAndFlush(bytes("hello"));
    output[Symbol.dispose]();
    await readAll(input);
    input[Symbol.dispose]();
    guest.dispose();
    const common = { by: "host", connection: 42, dial: 1, host: "server.test", port: server.port };
    expect(records()).toMatchObject([
      { ...common, event: "dial", addresses: ["127.0.0.1"] },
      { ...common, event: "end", upstream: "127.0.0.1", bytes_sent: 5, bytes_received: 5 },
    ]);
  });

  it("records the end of a connection that the instance takes with it", async () => {
    const { it: guest, records } = instance(LOOPBACK, { "server.test": ["127.0.0.1"] });
    await guest.dial("server.test", server.port);
    guest.dispose();
    expect(records().at(-1)).toMatchObject({ event: "end", reason: "the instance ended" });
  });

  it("leaves nothing behind when it is given up", async () => {
    const { it: guest } = instance(LOOPBACK, { "server.test": ["127.0.0.1"] });
    const dialing = guest.gateway["sallyport:gateway/dial"].dial("server.test", server.port, {});
    dialing[Symbol.dispose]();
    await expect.poll(() => guest.owned).toBe(0);
    expect(guest.ledger.handles).toBe(1);
  });
});

describe("dial refuses", () => {
  it("everything without a grant, and records that", async () => {
    const { it: guest, records, asked } = instance(undefined, { "server.test": ["127.0.0.1"] });
    expect(await guest.dialRefusal("server.test", 443)).toBe("not-granted");
    expect(asked).toEqual([]);
    expect(records()).toMatchObject([{ event: "dial-refused", host: "server.test", reason: "not-granted" }]);
  });

  it("names and ports outside what was granted, before it looks them up", async () => {
    const { it: guest, asked } = instance({ allow: ["*.example.com:443"] }, {});
    for (const [name, port] of [
      ["example.com", 443],
      ["a.example.com", 8443],
      ["example.com.evil.test", 443],
      ["8.8.8.8", 443],
    ] as const)
      expect(await guest.dialRefusal(name, port)).toBe("not-granted");
    expect(asked).toEqual([]);
  });

  it.each([
    ["127.0.0.1", "loopback"],
    ["127.255.0.9", "loopback"],
    ["::1", "loopback"],
    ["[::1]", "loopback"],
    ["::ffff:127.0.0.1", "loopback"],
    ["::ffff:7f00:1", "loopback"],
    ["64:ff9b::7f00:1", "loopback"],
    ["2002:7f00:1::", "loopback"],
    ["2001:0:7f00:1::", "loopback"],
    ["2001:0:808:808:0:0:80ff:fffe", "loopback"],
    ["10.1.2.3", "private"],
    ["172.16.0.1", "private"],
    ["192.168.1.1", "private"],
    ["fd12::1", "private"],
    ["64:ff9b::a00:1", "private"],
    ["169.254.1.1", "link-local"],
    ["fe80::1", "link-local"],
    ["100.64.0.1", "shared"],
    ["224.0.0.1", "multicast"],
    ["ff02::1", "multicast"],
    ["0.0.0.0", "unspecified"],
    ["::", "unspecified"],
    ["192.0.2.1", "reserved"],
    ["169.254.169.254", "metadata"],
    ["::ffff:169.254.169.254", "metadata"],
    ["::ffff:a9fe:a9fe", "metadata"],
    ["64:ff9b::a9fe:a9fe", "metadata"],
    ["fd00:ec2::254", "metadata"],
    ["100.100.100.200", "metadata"],
  ])("%s as %s, literally and as the answer for a name", async (address, reason) => {
    const { it: guest, records } = instance({}, { "name.test": [address.replace(/^\[(.*)\]$/, "$1")] });
    expect(await guest.dialRefusal(address, 443)).toBe(reason);
    expect(await guest.dialRefusal("name.test", 443)).toBe(reason);
    expect(records()).toMatchObject([
      { event: "dial-refused", reason },
      { event: "dial-refused", reason, host: "name.test" },
    ]);
  });

  it.each([
    "2130706433",
    "0x7f000001",
    "0177.0.0.1",
    "127.1",
    "0x7f.1",
    "127.0.0.1.",
    "fe80::1%lo",
    "1.2.3.4:80",
    "a b",
    "",
    ".",
    "a..b",
    "a\0b",
  ])("%j, which is neither a name nor an address", async (name) => {
    const { it: guest, asked } = instance(LOOPBACK);
    expect(await guest.dialRefusal(name, 443)).toBe("invalid-name");
    expect(asked).toEqual([]);
  });

  it.each([
    "metadata.google.internal",
    "METADATA.google.internal.",
    "metadata．google．internal",
    "x.metadata.google.internal",
    "metadata.azure.internal",
  ])("the metadata service by its name %j, before it is looked up and whatever is opened", async (name) => {
    const { it: guest, asked } = instance({ allowNetworks: ["0.0.0.0/0", "::/0"] }, { "metadata.google.internal": ["8.8.8.8"] });
    expect(await guest.dialRefusal(name, 80)).toBe("metadata");
    expect(asked).toEqual([]);
  });

  it("the metadata address where every network was opened", async () => {
    const { it: guest } = instance({ allowNetworks: ["0.0.0.0/0", "::/0", "169.254.169.254/32"] }, { "a.test": ["169.254.169.254"] });
    for (const name of ["169.254.169.254", "::ffff:169.254.169.254", "a.test"]) expect(await guest.dialRefusal(name, 80)).toBe("metadata");
  });

  it("a name of which one answer is refused, wherever it stands", async () => {
    const many = Array.from({ length: 40 }, (_, i) => `127.0.0.${i + 1}`);
    const { it: guest } = instance(LOOPBACK, { "first.test": ["10.0.0.1", "127.0.0.1"], "last.test": [...many, "10.0.0.1"] });
    expect(await guest.dialRefusal("first.test", server.port)).toBe("private");
    expect(await guest.dialRefusal("last.test", server.port)).toBe("private");
  });

  it("an address inside a translated one, where its network was opened: only mapped it is the same place", async () => {
    const { it: guest } = instance(LOOPBACK);
    expect(await guest.dialRefusal("::ffff:127.0.0.1", server.port)).toBe("connected");
    for (const address of ["64:ff9b::7f00:1", "2002:7f00:1::", "::127.0.0.1"])
      expect(await guest.dialRefusal(address, server.port)).toBe("loopback");
  });

  it("what this process listens on itself, in every spelling, and what the program named", async () => {
    const { it: guest } = instance({ ...LOOPBACK, allowNetworks: ["127.0.0.0/8", "::1/128", "0.0.0.0/8"], refuse: ["127.0.0.1:9999"] });
    const listener = new GatewayInstance({ grants: { listen: ["127.0.0.1:0"] } });
    instances.push(listener);
    const [, port] = await listener.listen();
    expect(await guest.dialRefusal("127.0.0.1", port)).toBe("own-listener");
    expect(await guest.dialRefusal("::ffff:127.0.0.1", port)).toBe("own-listener");
    expect(await guest.dialRefusal("0.0.0.0", port)).toBe("own-listener");
    expect(await guest.dialRefusal("127.0.0.1", 9999)).toBe("own-listener");
    listener.dispose();
    expect(await guest.dialRefusal("127.0.0.1", port)).toBe("connection-refused");
  });

  it("port 0, and a name that nobody knows", async () => {
    const { it: guest, records } = instance({}, {});
    expect(await guest.dialRefusal("server.test", 0)).toBe("invalid-name");
    expect(await guest.dialRefusal("server.test", 443)).toBe("name-unresolvable");
    expect(records()).toMatchObject([{ event: "dial-failed", reason: "name-unresolvable" }]);
  });

  it("to connect where it could not record that it did", async () => {
    let connections = 0;
    const quiet = await tcpServer(() => connections++);
    const { it: guest, file } = instance(LOOPBACK);
    fillDisk(file);
    expect(await guest.dialRefusal("127.0.0.1", quiet.port)).toBe("not-recorded");
    expect(connections).toBe(0);
    quiet.close();
  });

  it("to wait for a lookup beyond the time that was given", async () => {
    const made = new GatewayInstance({ gateway: { dial: {} }, resolver: () => new Promise(() => {}) });
    instances.push(made);
    expect(await witError(() => made.dial("server.test", 443, { timeout: 1_000_000n }))).toBe("timeout");
  });

  it("to finish before the end and twice", async () => {
    const { it: guest } = instance(LOOPBACK, { "server.test": ["127.0.0.1"] });
    const dialing = guest.gateway["sallyport:gateway/dial"].dial("server.test", server.port, {});
    expect(await witError(() => dialing.finish())).toBe("would-block");
    await dialing.subscribe().block();
    dialing.finish();
    expect(await witError(() => dialing.finish())).toBe("finished");
  });

  it("a grant that it does not understand, when the instance is made", () => {
    for (const dial of [
      { allowNetworks: ["10.0.0.1/8"] },
      { allowNetworks: ["all"] },
      { allow: ["http://x"] },
      { refuse: ["localhost:1"] },
    ])
      expect(() => new GatewayInstance({ gateway: { dial } })).toThrow(GrantError);
  });
});
