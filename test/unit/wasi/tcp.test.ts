import { connect, createServer } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { Trap } from "../../../host/io/ledger.ts";
import { poll } from "../../../host/io/poll.ts";
import type { WitFamily, WitSocketAddress } from "../../../host/wasi/socket-address.ts";
import type { TcpSocket } from "../../../host/wasi/tcp.ts";
import { HostInstance, block, bytes, loopback, readAll, text, witError } from "../../support/host-instance.ts";

const instances: HostInstance[] = [];
function instance(lenientDrops = false): HostInstance {
  const made = new HostInstance({
    lenientDrops,
    grants: { allowNet: ["127.0.0.0/8", "::1", "0.0.0.0/0"], listen: ["127.0.0.1:0", "[::1]:0", ":1-65535"] },
  });
  instances.push(made);
  return made;
}
afterEach(() => instances.splice(0).forEach((made) => made.dispose()));

/** A connected pair within one instance. */
async function pair(made = instance()) {
  const [listener, port] = await made.listen();
  const [client, clientInput, clientOutput] = await made.connect(port);
  const [accepted, input, output] = await made.accept(listener);
  return {
    made,
    listener,
    client: { socket: client, input: clientInput, output: clientOutput },
    server: { socket: accepted, input, output },
  };
}

const families: WitFamily[] = ["ipv4", "ipv6"];
const v6 = (...address: number[]): WitSocketAddress => ({ tag: "ipv6", val: { port: 80, flowInfo: 0, scopeId: 0, address } });

describe("tcp-socket, as an application uses it", () => {
  it.each(families)("listens, accepts and carries bytes over %s, dropping one direction at a time", async (family) => {
    const made = instance();
    const [listener, port] = await made.listen(family);
    const [client, clientInput, clientOutput] = await made.connect(loopback(port, family));
    clientOutput.write(new Uint8Array(0));
    clientOutput.write(bytes("Hello, world!"));
    const [accepted, input, output] = await made.accept(listener);
    clientOutput[Symbol.dispose]();
    expect(input.read(0n)).toHaveLength(0);
    expect(text(await readAll(input))).toBe("Hello, world!");
    output.write(bytes("still open this way"));
    output[Symbol.dispose]();
    expect(text(await readAll(clientInput))).toBe("still open this way");
    for (const it of [clientInput, client, input, accepted, listener, made.network]) it[Symbol.dispose]();
    expect(made.ledger.handles).toBe(0);
  });

  it("says closed, not nothing, once the peer has ended", async () => {
    const { client, server } = await pair();
    server.socket.shutdown("send");
    await block(client.input.subscribe());
    expect(await witError(() => client.input.read(10n))).toBe("closed");
    expect(client.output.checkWrite()).toBeGreaterThan(0n);
  });

  it("shuts receiving down at once, buffered bytes included", async () => {
    const { client, server } = await pair();
    server.output.write(bytes("unread"));
    await block(client.input.subscribe());
    client.socket.shutdown("receive");
    expect(await witError(() => client.input.read(10n))).toBe("closed");
    expect(await witError(() => client.input.blockingRead(10n))).toBe("closed");
    client.output.write(bytes("other way"));
    expect(text(await server.input.blockingRead(100n))).toBe("other way");
  });

  it("shuts sending down: every later use is closed, the peer sees the end, receiving goes on", async () => {
    const { client, server } = await pair();
    client.socket.shutdown("send");
    expect(await witError(() => client.output.write(bytes("x")))).toBe("closed");
    expect(await witError(() => client.output.checkWrite())).toBe("closed");
    expect(await witError(() => client.output.flush())).toBe("closed");
    expect(await witError(() => client.output.blockingFlush())).toBe("closed");
    expect(await witError(() => server.input.blockingRead(1n))).toBe("closed");
    server.output.write(bytes("back"));
    expect(text(await client.input.blockingRead(10n))).toBe("back");
  });

  it("shuts both down", async () => {
    const { client } = await pair();
    client.socket.shutdown("both");
    expect(await witError(() => client.input.read(1n))).toBe("closed");
    expect(await witError(() => client.output.checkWrite())).toBe("closed");
  });

  it("does not lose what was written before a shutdown", async () => {
    const { client, server } = await pair();
    let total = 0;
    while (client.output.checkWrite() > 0n && total < 4_000_000) {
      const chunk = Number(client.output.checkWrite());
      client.output.write(new Uint8Array(chunk));
      total += chunk;
    }
    client.socket.shutdown("send");
    expect(await readAll(server.input)).toHaveLength(total);
  });

  it("reports a reset as a failure, then closed", async () => {
    const server = createServer((socket) => socket.once("data", () => socket.resetAndDestroy())).listen(0, "127.0.0.1");
    await new Promise((resolve) => server.once("listening", resolve));
    const [, input, output] = await instance().connect((server.address() as { port: number }).port);
    output.write(bytes("x"));
    await block(input.subscribe());
    expect(await witError(() => input.read(1n))).toBe("last-operation-failed");
    expect(await witError(() => input.read(1n))).toBe("closed");
    server.close();
  });

  it("is not starved of the network by a guest that polls a timer which is always ready", async () => {
    const { made, client, server } = await pair();
    const [timer, readable] = [made.wasi["wasi:clocks/monotonic-clock"].subscribeDuration(0n), client.input.subscribe()];
    server.output.write(bytes("x"));
    let spins = 0;
    while (![...(await poll([timer, readable]))].includes(1)) expect(++spins).toBeLessThan(1_000_000);
    expect(text(client.input.read(1n))).toBe("x");
  });

  it("traps when it is dropped before its streams, unless the instance is lenient", async () => {
    const strict = await pair();
    expect(() => strict.client.socket[Symbol.dispose]()).toThrow(Trap);
    const lenient = await pair(instance(true));
    lenient.client.socket[Symbol.dispose]();
    lenient.client.output.write(bytes("alive"));
    expect(text(await lenient.server.input.blockingRead(10n))).toBe("alive");
  });
});

describe("tcp-socket, state by state", () => {
  const any = v6(0, 0, 0, 0, 0, 0, 0, 0);
  const calls: Record<string, (socket: TcpSocket, made: HostInstance) => unknown> = {
    startBind: (socket, made) => socket.startBind(made.network, loopback(0)),
    finishBind: (socket) => socket.finishBind(),
    startConnect: (socket, made) => socket.startConnect(made.network, loopback(9)),
    finishConnect: (socket) => socket.finishConnect(),
    startListen: (socket) => socket.startListen(),
    finishListen: (socket) => socket.finishListen(),
    accept: (socket) => socket.accept(),
    shutdown: (socket) => socket.shutdown("both"),
    localAddress: (socket) => socket.localAddress(),
    remoteAddress: (socket) => socket.remoteAddress(),
  };
  const answers = async (socket: TcpSocket, made: HostInstance, names: string[]) => {
    const found: Record<string, string> = {};
    for (const name of names) found[name] = await witError(() => calls[name]!(socket, made));
    return found;
  };
  const all = Object.keys(calls);
  const each = (names: string[], code: string) => Object.fromEntries(names.map((name) => [name, code]));
  const finish = ["finishBind", "finishConnect", "finishListen"];
  const rest = (...without: string[]) => all.filter((name) => !finish.includes(name) && !without.includes(name));

  it("unbound: only bind and connect can start", async () => {
    const made = instance();
    const socket = made.tcp();
    expect(socket.isListening()).toBe(false);
    expect(socket.addressFamily()).toBe("ipv4");
    const names = rest("startBind", "startConnect");
    expect(await answers(socket, made, [...finish, ...names])).toEqual({
      ...each(finish, "not-in-progress"),
      ...each(names, "invalid-state"),
    });
  });

  it("bound: has an address, and can connect or listen", async () => {
    const made = instance();
    const socket = made.tcp();
    socket.startBind(made.network, loopback(0));
    expect(await witError(() => socket.startListen())).toBe("concurrency-conflict");
    expect(await witError(() => socket.startBind(made.network, loopback(0)))).toBe("concurrency-conflict");
    expect(await witError(() => socket.localAddress())).toBe("invalid-state");
    socket.finishBind();
    expect(socket.localAddress()).toMatchObject({ tag: "ipv4", val: { address: [127, 0, 0, 1] } });
    expect(socket.localAddress().val.port).toBeGreaterThan(0);
    const names = rest("localAddress", "startConnect", "startListen");
    expect(await answers(socket, made, [...finish, ...names])).toEqual({
      ...each(finish, "not-in-progress"),
      ...each(names, "invalid-state"),
    });
  });

  it("bound but not listening: refuses connections", async () => {
    const made = instance();
    const socket = made.tcp();
    socket.startBind(made.network, loopback(0));
    socket.finishBind();
    expect(await witError(() => made.connect(socket.localAddress().val.port))).toBe("connection-refused");
  });

  it("listening: accepts, and nothing else", async () => {
    const made = instance();
    const [socket] = await made.listen();
    expect(socket.isListening()).toBe(true);
    expect(socket.subscribe().ready()).toBe(false);
    expect(await witError(() => socket.accept())).toBe("would-block");
    const names = rest("accept", "localAddress");
    expect(await answers(socket, made, [...finish, ...names])).toEqual({
      ...each(finish, "not-in-progress"),
      ...each(names, "invalid-state"),
    });
  });

  it("connecting: would-block until it is decided", async () => {
    const made = instance();
    const [, port] = await made.listen();
    const socket = made.tcp();
    socket.startConnect(made.network, loopback(port));
    expect(await witError(() => socket.finishConnect())).toBe("would-block");
    expect(await witError(() => socket.startConnect(made.network, loopback(port)))).toBe("concurrency-conflict");
    await block(socket.subscribe());
    expect(socket.finishConnect()).toHaveLength(2);
  });

  it("connected: has both addresses, and starts nothing any more", async () => {
    const { made, client, server } = await pair();
    expect(client.socket.localAddress()).toEqual(server.socket.remoteAddress());
    expect(client.socket.remoteAddress()).toEqual(server.socket.localAddress());
    expect(client.socket.isListening()).toBe(false);
    const names = rest("localAddress", "remoteAddress", "shutdown");
    expect(await answers(client.socket, made, [...finish, ...names])).toEqual({
      ...each(finish, "not-in-progress"),
      ...each(names, "invalid-state"),
    });
  });

  it("after a connect that failed: says why once, then nothing can be done", async () => {
    const made = instance();
    const [listener, port] = await made.listen();
    listener[Symbol.dispose]();
    const socket = made.tcp();
    socket.startConnect(made.network, loopback(port));
    await block(socket.subscribe());
    expect(await witError(() => socket.finishConnect())).toBe("connection-refused");
    expect(await answers(socket, made, all)).toEqual({ ...each(finish, "not-in-progress"), ...each(rest(), "invalid-state") });
  });

  it("a refused or impossible connect leaves the socket as it was", async () => {
    const made = instance();
    const socket = made.tcp();
    expect(await witError(() => socket.startConnect(made.network, loopback(0)))).toBe("invalid-argument");
    const [, port] = await made.listen();
    socket.startConnect(made.network, loopback(port));
    await block(socket.subscribe());
    socket.finishConnect();
  });

  it("connects from the address it was bound to", async () => {
    const made = instance();
    const [listener, port] = await made.listen();
    const socket = made.tcp();
    socket.startBind(made.network, loopback(0));
    socket.finishBind();
    const local = socket.localAddress();
    socket.startConnect(made.network, loopback(port));
    await block(socket.subscribe());
    socket.finishConnect();
    expect(socket.localAddress()).toEqual(local);
    const [accepted] = await made.accept(listener);
    expect(accepted.remoteAddress()).toEqual(local);
  });

  it.each([
    ["an address of the other family", "ipv4", loopback(80, "ipv6")],
    ["an address of the other family", "ipv6", loopback(80)],
    ["port 0", "ipv4", loopback(0)],
    ["the unspecified address", "ipv4", { tag: "ipv4", val: { port: 80, address: [0, 0, 0, 0] } }],
    ["the unspecified address", "ipv6", any],
    ["a multicast address", "ipv4", { tag: "ipv4", val: { port: 80, address: [224, 0, 0, 1] } }],
    ["a multicast address", "ipv6", v6(0xff02, 0, 0, 0, 0, 0, 0, 1)],
    ["the broadcast address", "ipv4", { tag: "ipv4", val: { port: 80, address: [255, 255, 255, 255] } }],
    ["an IPv4 address in IPv6 form", "ipv6", v6(0, 0, 0, 0, 0, 0xffff, 0x7f00, 1)],
  ] as [string, WitFamily, WitSocketAddress][])("does not connect to %s (%s)", async (_, family, remote) => {
    const made = instance();
    expect(await witError(() => made.tcp(family).startConnect(made.network, remote))).toBe("invalid-argument");
  });

  it.each([
    ["the other family", "ipv4", loopback(0, "ipv6")],
    ["multicast", "ipv4", { tag: "ipv4", val: { port: 0, address: [224, 0, 0, 1] } }],
    ["broadcast", "ipv4", { tag: "ipv4", val: { port: 0, address: [255, 255, 255, 255] } }],
    ["an IPv4 address in IPv6 form", "ipv6", v6(0, 0, 0, 0, 0, 0xffff, 0x7f00, 1)],
  ] as [string, WitFamily, WitSocketAddress][])("does not bind to %s (%s)", async (_, family, local) => {
    const made = instance();
    expect(await witError(() => made.tcp(family).startBind(made.network, local))).toBe("invalid-argument");
  });

  it("does not bind twice to one port, nor to an address of another machine", async () => {
    const made = instance();
    const [, port] = await made.listen();
    expect(await witError(() => made.tcp().startBind(made.network, loopback(port)))).toBe("address-in-use");
    const elsewhere: WitSocketAddress = { tag: "ipv4", val: { port, address: [192, 0, 2, 1] } };
    expect(await witError(() => made.tcp().startBind(made.network, elsewhere))).toBe("address-not-bindable");
  });

  it("listens on an IPv6 address for IPv6 only", async () => {
    const made = instance();
    const [, port] = await made.listen();
    const socket = made.tcp("ipv6");
    socket.startBind(made.network, { tag: "ipv6", val: { port, flowInfo: 0, scopeId: 0, address: [0, 0, 0, 0, 0, 0, 0, 0] } });
    socket.finishBind();
    socket.startListen();
    await block(socket.subscribe());
    socket.finishListen();
  });
});

describe("tcp-socket options", () => {
  it("read back as they were set, and are inherited by what is accepted", async () => {
    const made = instance();
    const socket = made.tcp();
    const set = () => {
      socket.setKeepAliveEnabled(true);
      socket.setKeepAliveIdleTime(42_000_000_000n);
      socket.setKeepAliveInterval(43_000_000_000n);
      socket.setKeepAliveCount(7);
      socket.setHopLimit(33);
      socket.setReceiveBufferSize(65_536n);
      socket.setSendBufferSize(65_537n);
      socket.setListenBacklogSize(2n ** 64n - 1n);
    };
    const read = (of: TcpSocket) => [
      of.keepAliveEnabled(),
      of.keepAliveIdleTime(),
      of.keepAliveInterval(),
      of.keepAliveCount(),
      of.hopLimit(),
      of.receiveBufferSize(),
      of.sendBufferSize(),
    ];
    set();
    const expected = [true, 42_000_000_000n, 43_000_000_000n, 7, 33, 65_536n, 65_537n];
    expect(read(socket)).toEqual(expected);
    socket.startBind(made.network, loopback(0));
    socket.finishBind();
    socket.startListen();
    await block(socket.subscribe());
    socket.finishListen();
    await made.connect(socket.localAddress().val.port);
    expect(read((await made.accept(socket))[0])).toEqual(expected);
  });

  it("refuse zero", async () => {
    const socket = instance().tcp();
    const zero = [
      () => socket.setKeepAliveIdleTime(0n),
      () => socket.setKeepAliveInterval(0n),
      () => socket.setKeepAliveCount(0),
      () => socket.setHopLimit(0),
      () => socket.setReceiveBufferSize(0n),
      () => socket.setSendBufferSize(0n),
      () => socket.setListenBacklogSize(0n),
    ];
    for (const set of zero) expect(await witError(set)).toBe("invalid-argument");
  });

  it("take extremes without failing", () => {
    const socket = instance().tcp();
    const most = 2n ** 64n - 1n;
    socket.setKeepAliveIdleTime(1n);
    expect(socket.keepAliveIdleTime()).toBe(1_000_000_000n);
    socket.setKeepAliveIdleTime(most);
    socket.setKeepAliveInterval(most);
    socket.setKeepAliveCount(0xffff_ffff);
    expect(socket.keepAliveCount()).toBe(127);
  });

  it("do not set the backlog of a connection or a listener", async () => {
    const { client, listener } = await pair();
    expect(await witError(() => client.socket.setListenBacklogSize(1n))).toBe("invalid-state");
    expect(await witError(() => listener.setListenBacklogSize(1n))).toBe("not-supported");
  });
});

describe("an instance that ends", () => {
  it("leaves no socket, listener or timer behind", async () => {
    const { made, listener } = await pair();
    const { port } = listener.localAddress().val;
    void poll([made.wasi["wasi:clocks/monotonic-clock"].subscribeDuration(10n ** 15n)]);
    made.tcp().startBind(made.network, loopback(0));
    await new Promise(setImmediate);
    expect(made.owned).toBeGreaterThan(3);
    made.dispose();
    expect(made.ledger.owned).toBe(0);
    const late = connect(port, "127.0.0.1");
    expect(await new Promise<NodeJS.ErrnoException>((resolve) => late.once("error", resolve))).toMatchObject({ code: "ECONNREFUSED" });
    expect(() => made.tcp()).toThrow(Trap);
  });

  it("owns nothing more once its connections are closed by themselves", async () => {
    const { made, client, server, listener } = await pair();
    for (const it of [client.input, client.output, server.input, server.output, client.socket, server.socket, listener])
      it[Symbol.dispose]();
    for (let i = 0; i < 200 && made.owned > 0; i++) await new Promise((resolve) => setTimeout(resolve, 5));
    expect(made.owned).toBe(0);
  });
});

it("there is no UDP", async () => {
  const { createUdpSocket } = instance().wasi["wasi:sockets/udp-create-socket"];
  expect(await witError(() => createUdpSocket("ipv4"))).toBe("not-supported");
});
