import { createServer } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import type { WitSocketAddress } from "../../../host/wasi/socket-address.ts";
import { addressFromBytes, groupsOf } from "../../../host/net/endpoint.ts";
import { refusalLine } from "../../../host/net/access.ts";
import { parseIpAddress } from "../../../src/wire/ip-address.ts";
import { HostInstance, loopback, witError } from "../../support/host-instance.ts";

const instances: HostInstance[] = [];
function instance(allowNet: string[], answers: Record<string, string[]> = {}): HostInstance {
  const made = new HostInstance({
    grants: { allowNet },
    resolver: async (name) => answers[name] ?? Promise.reject(Object.assign(new Error("no"), { code: "ENOTFOUND" })),
  });
  instances.push(made);
  return made;
}
afterEach(() => instances.splice(0).forEach((made) => made.dispose()));

const at = (text: string, port: number): WitSocketAddress => {
  const address = parseIpAddress(text);
  if (address.tag === "ipv4") return { tag: "ipv4", val: { port, address: [...address.bytes] } };
  return { tag: "ipv6", val: { port, flowInfo: 0, scopeId: 0, address: groupsOf(address) } };
};
/** What start-connect says; a connect that is permitted fails later or not at all. */
const startConnect = (made: HostInstance, text: string, port: number) =>
  witError(() => {
    const remote = at(text, port);
    made.tcp(remote.tag).startConnect(made.network, remote);
  });

describe("what an instance may reach", () => {
  it("is nothing by default", async () => {
    const made = instance([]);
    expect(await startConnect(made, "127.0.0.1", 80)).toBe("access-denied");
    expect(await witError(() => made.resolve("localhost"))).toBe("access-denied");
    expect(made.refusals).toEqual([
      "sallyport: refused: connect to 127.0.0.1:80; grant it with --allow-net 127.0.0.1:80",
      'sallyport: refused: resolve "localhost"; grant it with --allow-net localhost:PORT',
    ]);
  });

  it("includes the addresses that a granted name answered with, at the granted port", async () => {
    const server = createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => server.once("listening", resolve));
    const { port } = server.address() as { port: number };
    const made = instance([`app.test:${port}`], { "app.test": ["127.0.0.1", "::1"] });
    expect(await startConnect(made, "127.0.0.1", port)).toBe("access-denied");
    expect(await made.resolve("APP.test.")).toEqual([
      { tag: "ipv4", val: [127, 0, 0, 1] },
      { tag: "ipv6", val: [0, 0, 0, 0, 0, 0, 0, 1] },
    ]);
    await made.connect(loopback(port));
    expect(await startConnect(made, "127.0.0.1", port + 1)).toBe("access-denied");
    expect(made.refusals.at(-1)).toBe(
      `sallyport: refused: connect to "app.test" port ${port + 1}; grant it with --allow-net app.test:${port + 1}`,
    );
    server.close();
  });

  it("does not include what another instance resolved", async () => {
    const one = instance(["app.test"], { "app.test": ["127.0.0.1"] });
    const other = instance(["app.test"], { "app.test": ["127.0.0.1"] });
    await one.resolve("app.test");
    expect(await startConnect(other, "127.0.0.1", 9)).toBe("access-denied");
  });

  it("includes localhost only by its name", async () => {
    const made = new HostInstance({ grants: { allowNet: ["localhost"] } });
    instances.push(made);
    expect((await made.resolve("localhost")).length).toBeGreaterThan(0);
  });

  it("spoils the whole answer if one address in it is restricted", async () => {
    const made = instance(["evil.test"], { "evil.test": ["127.0.0.1", "169.254.169.254"] });
    expect(await witError(() => made.resolve("evil.test"))).toBe("access-denied");
    expect(await startConnect(made, "127.0.0.1", 80)).toBe("access-denied");
    expect(made.refusals[0]).toBe(
      'sallyport: refused: resolve "evil.test": it answers the metadata address 169.254.169.254; grant it with --allow-net 169.254.169.254:80',
    );
  });

  it("accepts a restricted answer that is granted literally", async () => {
    const made = instance(["meta.test", "169.254.169.254:80"], { "meta.test": ["169.254.169.254"] });
    expect(await made.resolve("meta.test")).toEqual([{ tag: "ipv4", val: [169, 254, 169, 254] }]);
    expect(await startConnect(made, "169.254.169.254", 443)).toBe("access-denied");
  });

  it.each([
    "169.254.169.254",
    "100.100.100.200",
    "fd00:ec2::254",
    "fe80::1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::a9fe:a9fe",
    "2002:a9fe:a9fe::",
    "2001:0:102:304::5601:5601",
    "::169.254.169.254",
  ])("never includes %s under grants for everything", async (address) => {
    const made = instance(["*", "0.0.0.0/0", "::/0", "169.254.0.0/16", "rebound.test"], { "rebound.test": [address] });
    expect(await startConnect(made, address, 80)).toBe("access-denied");
    expect(await witError(() => made.resolve("rebound.test"))).toBe("access-denied");
    expect(made.refusals).toHaveLength(2);
  });

  it("cannot be reached through an IPv4 address in IPv6 form", async () => {
    expect(await startConnect(instance(["::/0", "0.0.0.0/0"]), "::ffff:169.254.169.254", 80)).toBe("invalid-argument");
  });

  it("does not include inner addresses under a grant for every name", async () => {
    const made = instance(["*"], { "inner.test": ["10.0.0.1", "127.0.0.1"] });
    await made.resolve("inner.test");
    expect(await startConnect(made, "10.0.0.1", 80)).toBe("access-denied");
    expect(await startConnect(made, "127.0.0.1", 80)).toBe("access-denied");
    expect(made.refusals[0]).toContain("--allow-net 10.0.0.1:80");
  });

  it.each(["2130706433", "0x7f.1", "127.1", "a\0b", "a b", "", "x".repeat(70_000)])("takes %j for no name at all", async (name) => {
    const made = instance(["*"]);
    expect(await witError(() => made.resolve(name))).toBe("invalid-argument");
  });

  it("says which names do not exist, and which could not be asked for", async () => {
    const made = new HostInstance({
      grants: { allowNet: ["*"] },
      resolver: (name) =>
        Promise.reject(
          Object.assign(new Error(name), { code: name === "again.test" ? "EAI_AGAIN" : name === "no.test" ? "ENOTFOUND" : "EWHAT" }),
        ),
    });
    instances.push(made);
    expect(await witError(() => made.resolve("no.test"))).toBe("name-unresolvable");
    expect(await witError(() => made.resolve("again.test"))).toBe("temporary-resolver-failure");
    expect(await witError(() => made.resolve("odd.test"))).toBe("permanent-resolver-failure");
  });

  it("answers would-block while a lookup is under way", async () => {
    const made = new HostInstance({ grants: { allowNet: ["*"] }, resolver: () => new Promise(() => {}) });
    instances.push(made);
    const stream = made.wasi["wasi:sockets/ip-name-lookup"].resolveAddresses(made.network, "slow.test");
    expect(stream.subscribe().ready()).toBe(false);
    expect(await witError(() => stream.resolveNextAddress())).toBe("would-block");
  });

  it("bounds the lookups that are under way", async () => {
    const made = new HostInstance({ grants: { allowNet: ["*"] }, resolver: () => new Promise(() => {}) });
    instances.push(made);
    const ask = () => made.wasi["wasi:sockets/ip-name-lookup"].resolveAddresses(made.network, "slow.test");
    for (let i = 0; i < 64; i++) ask();
    expect(await witError(ask)).toBe("temporary-resolver-failure");
  });

  it("answers an address literal without asking anybody", async () => {
    expect(await instance([]).resolve("10.0.0.1")).toEqual([{ tag: "ipv4", val: [10, 0, 0, 1] }]);
    expect(await instance([]).resolve("::1")).toEqual([{ tag: "ipv6", val: [0, 0, 0, 0, 0, 0, 0, 1] }]);
  });

  it("does not include a place to listen unless it is granted", async () => {
    const made = new HostInstance({ grants: { listen: ["127.0.0.1:0"] } });
    instances.push(made);
    const any: WitSocketAddress = { tag: "ipv4", val: { port: 0, address: [0, 0, 0, 0] } };
    expect(await witError(() => made.tcp().startBind(made.network, any))).toBe("access-denied");
    expect(made.refusals).toEqual(["sallyport: refused: listen on 0.0.0.0:0; grant it with --listen 0.0.0.0:0"]);
  });
});

describe("refusal lines", () => {
  it("hold no control character and no line break", () => {
    const line = refusalLine("resolve \u001b[2J\r\n\u202e\u2028x\ud800", "--allow-net \u0000");
    expect(line).toBe("sallyport: refused: resolve \\u{1b}[2J\\u{d}\\u{a}\\u{202e}\\u{2028}x\\u{d800}; grant it with --allow-net \\u{0}");
  });
  it("are bounded", () => expect(refusalLine("x".repeat(100_000), "y".repeat(100_000)).length).toBeLessThan(700));
  it("spell addresses in one way", () => expect(addressFromBytes(new Uint8Array(16)).text).toBe("::"));
});
