import { connect, type Socket } from "node:net";
import { createServer, type Server, TLSSocket, connect as connectTls } from "node:tls";
import type { AddressInfo } from "node:net";
import { once } from "node:events";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { Interceptor, WitEvent } from "../../../host/gateway/interceptor-imports.ts";
import type { RouteOptions, RouteResource } from "../../../host/gateway/route.ts";
import type { ImportsOptions } from "../../../host/index.ts";
import { GatewayInstance, recordsOf, tcpServer, temporaryFolder } from "../../support/gateway-instance.ts";
import { block, bytes, readAll, text, witError } from "../../support/host-instance.ts";
import { makePki, type TestPki } from "../../support/pki.ts";

const folder = temporaryFolder();
let pki: TestPki;
let server: Server;
let port: number;
const instances: GatewayInstance[] = [];
const sockets: Socket[] = [];

beforeAll(async () => {
  pki = await makePki({ leaf: { dns: ["a.test"] } });
  server = createServer({ key: pki.leaf.keyPem, cert: pki.chainPem, ALPNProtocols: ["http/1.1"] }, (socket) => {
    socket.on("error", () => {}).on("data", (data) => socket.write(`echo ${data.toString()}`));
    socket.on("end", () => socket.end());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  port = (server.address() as AddressInfo).port;
});
afterAll(() => {
  server.close();
  folder.remove();
});
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
  for (const instance of instances.splice(0)) instance.dispose();
});

const SECOND = 1_000_000_000n;
let files = 0;

interface Setup {
  instance: GatewayInstance;
  interceptor: Interceptor;
  port: number;
  file: string;
  /** The next event, of whatever kind. */
  next(): Promise<WitEvent>;
  /** The next event, which has to be of this kind. */
  nextOf<Tag extends WitEvent["tag"]>(tag: Tag): Promise<(WitEvent & { tag: Tag })["val"]>;
  route(options?: Partial<RouteOptions>): RouteResource;
  identity(): InstanceType<GatewayInstance["gateway"]["sallyport:tls/identities"]["PrivateIdentity"]>;
}

async function setup(options: ImportsOptions = {}): Promise<Setup> {
  const file = folder.path(`audit-${++files}`);
  const instance = new GatewayInstance({
    grants: { listen: ["127.0.0.1:0"] },
    gateway: { dial: { allowNetworks: ["127.0.0.0/8"] }, audit: { file, fsync: "none" } },
    resolver: async () => ["127.0.0.1"],
    tls: { anchors: [pki.root.der] },
    ...options,
  });
  instances.push(instance);
  const [listener, listening] = await instance.listen();
  const { Interceptor: Class, Route } = instance.gateway["sallyport:gateway/interceptor"];
  const interceptor = Class.start(listener);
  const waiting: WitEvent[] = [];
  const next = async () => {
    while (waiting.length === 0) {
      await block(interceptor.subscribe());
      waiting.push(...interceptor.next());
    }
    return waiting.shift()!;
  };
  return {
    instance,
    interceptor,
    port: listening,
    file,
    next,
    nextOf: async (tag) => {
      const event = await next();
      expect(
        event.tag,
        JSON.stringify(event, (_, value: unknown) => (typeof value === "bigint" ? String(value) : value)),
      ).toBe(tag);
      return event.val as never;
    },
    route: (changes) =>
      Route.make({
        host: "a.test",
        port,
        connectTimeout: 5n * SECOND,
        handshakeTimeout: 5n * SECOND,
        serverName: "a.test",
        names: [],
        alpnIds: [bytes("http/1.1")],
        identities: [],
        ...changes,
      }),
    identity: () => instance.gateway["sallyport:tls/identities"].PrivateIdentity.parse(pki.leaf.keyDer, pki.chainDer),
  };
}

const CONNECT = "CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n";

async function client(to: number, ...writes: string[]): Promise<Socket> {
  const socket = connect({ port: to, host: "127.0.0.1", noDelay: true });
  sockets.push(socket.on("error", () => {}));
  await once(socket, "connect");
  for (const write of writes) socket.write(write);
  return socket;
}

/** TLS over what was answered with 200. */
function secure(socket: Socket, options: { servername?: string; ca?: string; ALPNProtocols?: string[] } = {}): TLSSocket {
  const made = connectTls({ socket, servername: "a.test", ca: pki.root.pem, ALPNProtocols: ["http/1.1"], ...options });
  return made.on("error", () => {});
}

async function answered(socket: Socket): Promise<string> {
  const [data] = (await once(socket, "data")) as [Buffer];
  return data.toString();
}

/** A client at its hello. */
async function atHello(it: Setup, options?: Parameters<typeof secure>[1]) {
  const socket = await client(it.port, CONNECT);
  const { id } = await it.nextOf("connect");
  it.interceptor.establish(id, 5n * SECOND);
  expect(await answered(socket)).toBe("HTTP/1.1 200 Connection Established\r\n\r\n");
  const tls = secure(socket, options);
  const hello = await it.nextOf("client-hello");
  expect(hello.id).toBe(id);
  return { socket, tls, id, hello };
}

/** A client that has gone on from there. */
async function proceeding(it: Setup, changes?: Partial<RouteOptions>, options?: Parameters<typeof secure>[1]) {
  const at = await atHello(it, options);
  it.interceptor.proceed(at.id, 7n, it.identity(), bytes("http/1.1"), it.route(changes));
  return at;
}

/** Both handshakes are done. */
async function established(it: Setup) {
  const at = await proceeding(it);
  return { ...at, event: await it.nextOf("established") };
}

function closed(socket: Socket): Promise<unknown> {
  // By hand: an error is no reason to wait no longer.
  return socket.closed ? Promise.resolve() : new Promise((resolve) => socket.resume().once("close", resolve));
}

describe("an interceptor", () => {
  it.each([true, false])("takes a client from CONNECT to the end, with a question at each decision (attached: %s)", async (attach) => {
    const it = await setup({ tls: { anchors: [pki.root.der], attach } });
    const socket = await client(it.port, "CONNECT A.test.:443 HTTP/1.1\r\nHost: x\r\nProxy-Authorization: Basic abc\r\n\r\n");
    const asked = await it.nextOf("connect");
    expect(asked).toMatchObject({ host: "a.test", port: 443, authorization: "Basic abc", headBytes: 73 });
    expect(asked.address).toBe(`127.0.0.1:${socket.localPort}`);
    it.interceptor.establish(asked.id, 5n * SECOND);
    await answered(socket);
    const tls = secure(socket);
    const hello = await it.nextOf("client-hello");
    expect(hello).toMatchObject({ id: asked.id, serverName: { tag: "dns", val: "a.test" }, encryptedClientHello: false });
    expect(hello.alpnIds.map(text)).toEqual(["http/1.1"]);
    it.interceptor.proceed(asked.id, 7n, it.identity(), bytes("http/1.1"), it.route());
    const up = await it.nextOf("established");
    expect(up).toMatchObject({
      id: asked.id,
      serverAddress: "127.0.0.1",
      client: { protocolVersion: 0x0304 },
      server: { protocolVersion: 0x0304 },
    });
    it.interceptor.relay(asked.id, 5n * SECOND);
    tls.write("hello");
    expect(String((await once(tls, "data"))[0])).toBe("echo hello");
    tls.end();
    expect(await it.nextOf("ended")).toEqual({
      id: asked.id,
      fromClient: 5n,
      toClient: 10n,
      outcome: expect.objectContaining({ tag: "ok" }),
    });
    await closed(tls);
    expect(await witError(() => it.interceptor.relay(asked.id, 1n))).toBe("unknown");
    it.instance.dispose();
    const records = recordsOf(it.file);
    expect(records.map(({ event }) => event)).toEqual(["accepted", "dial", "end", "end"]);
    expect(records[1]).toMatchObject({ connection: 7, host: "a.test", port });
  });

  it("moves nothing before it is told to, and loses nothing that came earlier", async () => {
    const it = await setup();
    const { tls, id } = await established(it);
    tls.write("early");
    await new Promise((resolve) => setTimeout(resolve, 50));
    it.interceptor.relay(id, 5n * SECOND);
    expect(String((await once(tls, "data"))[0])).toBe("echo early");
  });

  it("takes a hello that was sent with the CONNECT, before the answer", async () => {
    const it = await setup();
    const socket = await client(it.port, CONNECT + "\x16\x03\x01");
    const { id } = await it.nextOf("connect");
    it.interceptor.establish(id, SECOND / 10n);
    await answered(socket);
    // Half a hello: it waits for the rest, and no longer than it may.
    expect(await it.nextOf("client-failed")).toEqual({ id, failure: { tag: "timeout" } });
    await closed(socket);
  });

  it("serves many clients at a time, each by its own number", async () => {
    const it = await setup();
    const ids = new Set<number>();
    for (let i = 0; i < 5; i++) ids.add((await established(it)).id);
    expect(ids.size).toBe(5);
    for (const id of ids) it.interceptor.relay(id, 5n * SECOND);
  });

  it("asks with the rest unread for whatever is no plain CONNECT", async () => {
    const it = await setup();
    for (const head of ["GET / HTTP/1.1\r\nHost: a\r\n\r\n", "CONNECT a.test:443 HT", "\x16\x03\x01", "CONNECT a:1 HTTP/1.0\r\n\r\n"]) {
      await client(it.port, head);
      const id = await it.nextOf("other");
      expect(await witError(() => it.interceptor.establish(id, SECOND)), head).toBe("wrong-phase");
      const [socket, input, output] = it.interceptor.take(id);
      expect(Buffer.from(await input.blockingRead(100n)).toString("latin1")).toBe(head);
      for (const one of [input, output, socket]) one[Symbol.dispose]();
    }
  });

  it("asks about a client that sends nothing, or leaves", async () => {
    const it = await setup();
    await client(it.port);
    const silent = await it.nextOf("other");
    const left = await client(it.port);
    left.end();
    const id = await it.nextOf("other");
    expect(it.interceptor.abort(silent, 80)).toEqual([0n, 0n]);
    const [socket, input, output] = it.interceptor.take(id);
    expect(await readAll(input)).toHaveLength(0);
    for (const one of [input, output, socket]) one[Symbol.dispose]();
  });
});

describe("what is taken over", () => {
  it("at CONNECT is the connection with its head to be read", async () => {
    const it = await setup();
    const socket = await client(it.port, `${CONNECT}more`);
    const { id } = await it.nextOf("connect");
    const [tcp, input, output] = it.interceptor.take(id);
    expect(text(await input.blockingRead(1000n))).toBe(`${CONNECT}more`);
    await output.blockingWriteAndFlush(bytes("407"));
    expect(await answered(socket)).toBe("407");
    expect(tcp.remoteAddress().val.port).toBe(socket.localPort);
    expect(await witError(() => it.interceptor.take(id))).toBe("unknown");
    for (const one of [input, output, tcp]) one[Symbol.dispose]();
  });

  it("at the hello is the connection with the hello to be read", async () => {
    const it = await setup();
    const { id, tls } = await atHello(it);
    const [tcp, input, output] = it.interceptor.take(id);
    expect(Array.from((await input.blockingRead(5000n)).subarray(0, 3))).toEqual([0x16, 3, 1]);
    expect(await witError(() => it.interceptor.proceed(id, 1n, it.identity(), undefined, it.route()))).toBe("unknown");
    // An alert, by the guest itself.
    await output.blockingWriteAndFlush(Uint8Array.of(0x15, 3, 3, 0, 2, 2, 112));
    const [error] = (await once(tls, "error")) as [NodeJS.ErrnoException];
    expect(error.code).toBe("ERR_SSL_TLSV1_UNRECOGNIZED_NAME");
    for (const one of [input, output, tcp]) one[Symbol.dispose]();
  });

  it("with both handshakes done is two TLS connections", async () => {
    const it = await setup();
    const { id, tls } = await established(it);
    const [clientSide, serverSide] = it.interceptor.takeEstablished(id);
    expect(clientSide.server.info()).toMatchObject({ protocolVersion: 0x0304 });
    expect(serverSide!.client.peerIdentity()).toBeDefined();
    await serverSide!.privateOutput.blockingWriteAndFlush(bytes("by the guest"));
    expect(text(await serverSide!.privateInput.blockingRead(100n))).toBe("echo by the guest");
    await clientSide.privateOutput.blockingWriteAndFlush(bytes("answer"));
    expect(String((await once(tls, "data"))[0])).toBe("answer");
    expect(await witError(() => it.interceptor.relay(id, SECOND))).toBe("unknown");
    expect(await witError(() => clientSide.server.start())).toBe("wrong-phase");
    expect(await witError(() => clientSide.server.streams())).toBe("wrong-phase");
    for (const { privateInput, privateOutput, carrier } of [clientSide, serverSide!])
      for (const one of [privateInput, privateOutput, carrier]) one[Symbol.dispose]();
    clientSide.server[Symbol.dispose]();
    serverSide!.client[Symbol.dispose]();
    await closed(tls);
  });

  it("is the client's TLS connection alone where there is no server", async () => {
    const it = await setup({ gateway: { dial: { allowNetworks: [] } } });
    const { id, tls } = await proceeding(it);
    expect(await it.nextOf("server-failed")).toMatchObject({ id, failure: { tag: "dial", val: { tag: "refused", val: "loopback" } } });
    expect(await witError(() => it.interceptor.relay(id, SECOND))).toBe("wrong-phase");
    const [clientSide, serverSide] = it.interceptor.takeEstablished(id);
    expect(serverSide).toBeUndefined();
    await clientSide.privateOutput.blockingWriteAndFlush(bytes("502"));
    expect(String((await once(tls, "data"))[0])).toBe("502");
  });
});

describe("a command to an interceptor", () => {
  it("for a number that nobody has is an error", async () => {
    const it = await setup();
    for (const id of [0, 1, 99, -1, 2 ** 31]) {
      expect(await witError(() => it.interceptor.establish(id, SECOND))).toBe("unknown");
      expect(await witError(() => it.interceptor.proceed(id, 1n, it.identity(), undefined, it.route()))).toBe("unknown");
      expect(await witError(() => it.interceptor.relay(id, SECOND))).toBe("unknown");
      expect(await witError(() => it.interceptor.take(id))).toBe("unknown");
      expect(await witError(() => it.interceptor.takeEstablished(id))).toBe("unknown");
      expect(await witError(() => it.interceptor.abort(id, 80))).toBe("unknown");
    }
  });

  it("in a phase that it is not for is an error, and changes nothing", async () => {
    const it = await setup();
    const { interceptor } = it;
    const wrong = async (id: number, ...right: string[]) => {
      const commands = {
        establish: () => interceptor.establish(id, SECOND),
        proceed: () => interceptor.proceed(id, 1n, it.identity(), undefined, it.route()),
        relay: () => interceptor.relay(id, SECOND),
        take: () => interceptor.take(id),
        takeEstablished: () => interceptor.takeEstablished(id),
      };
      for (const [name, command] of Object.entries(commands))
        if (!right.includes(name)) expect(await witError(command), name).toBe("wrong-phase");
    };
    const socket = await client(it.port, CONNECT);
    const { id } = await it.nextOf("connect");
    await wrong(id, "establish", "take");
    interceptor.establish(id, 5n * SECOND);
    await wrong(id);
    await answered(socket);
    const tls = secure(socket);
    await it.nextOf("client-hello");
    await wrong(id, "proceed", "take");
    interceptor.proceed(id, 7n, it.identity(), bytes("http/1.1"), it.route());
    await wrong(id);
    await it.nextOf("established");
    await wrong(id, "relay", "takeEstablished");
    interceptor.relay(id, 5n * SECOND);
    await wrong(id);
    tls.write("still");
    expect(String((await once(tls, "data"))[0])).toBe("echo still");
  });

  it("is refused with what is none of its arguments", async () => {
    const it = await setup();
    const { id } = await atHello(it);
    expect(await witError(() => it.interceptor.proceed(id, 1n, it.identity(), new Uint8Array(0), it.route()))).toBe("invalid-argument");
    expect(await witError(() => it.interceptor.proceed(id, 1n, it.identity(), new Uint8Array(256), it.route()))).toBe("invalid-argument");
    for (const alert of [0, 90]) expect(await witError(() => it.interceptor.abort(id, alert))).toBe("invalid-argument");
    expect(await witError(() => it.route({ serverName: "a..b" }))).toBe("invalid-argument");
    expect(await witError(() => it.route({ names: Array<string>(17).fill("a.test") }))).toBe("invalid-argument");
    expect(await witError(() => it.route({ alpnIds: [new Uint8Array(0)] }))).toBe("invalid-argument");
    expect(await witError(() => it.route({ identities: Array.from({ length: 17 }, () => it.identity()) }))).toBe("invalid-argument");
    expect(await witError(() => it.route({ host: "a".repeat(2000) }))).toBe("invalid-argument");
  });

  it("to begin is refused for a socket that does not listen, or is waited for", async () => {
    const it = await setup();
    const { Interceptor: Class } = it.instance.gateway["sallyport:gateway/interceptor"];
    expect(await witError(() => Class.start(it.instance.tcp()))).toBe("invalid-argument");
    const [listener] = await it.instance.listen();
    const pollable = listener.subscribe();
    expect(await witError(() => Class.start(listener))).toBe("invalid-argument");
    pollable[Symbol.dispose]();
    listener[Symbol.dispose]();
  });

  it("for a client that has reset its connection ends nothing but that", async () => {
    const it = await setup();
    const socket = await client(it.port, CONNECT);
    const { id } = await it.nextOf("connect");
    socket.resetAndDestroy();
    await expect.poll(() => recordsOf(it.file).map(({ event }) => event)).toEqual(["accepted", "end"]);
    expect(await witError(() => it.interceptor.establish(id, SECOND))).toBe("gone");
    expect(it.interceptor.abort(id, 80)).toEqual([0n, 0n]);
    await established(it);
  });

  it("is refused past the limit of TLS connections", async () => {
    const it = await setup({ tls: { anchors: [pki.root.der], maxConnections: 1 } });
    const { id, tls } = await proceeding(it);
    expect(await it.nextOf("server-failed")).toMatchObject({ id, failure: { tag: "tls", val: [{ tag: "not-permitted" }, undefined] } });
    await client(it.port, CONNECT);
    const second = await it.nextOf("connect");
    expect(await witError(() => it.interceptor.establish(second.id, SECOND))).toBe("not-permitted");
    tls.destroy();
  });
});

describe("a handshake that does not come about", () => {
  it("is told for a client that does not trust the certificate", async () => {
    const it = await setup();
    const { id, tls } = await proceeding(it, undefined, { ca: pki.leaf.pem });
    expect(await it.nextOf("client-failed")).toMatchObject({ id, failure: { tag: "tls" } });
    expect(await witError(() => it.interceptor.takeEstablished(id))).toBe("unknown");
    await closed(tls);
  });

  it("is told for a client that sends no TLS", async () => {
    const it = await setup();
    const socket = await client(it.port, CONNECT);
    const { id } = await it.nextOf("connect");
    it.interceptor.establish(id, 5n * SECOND);
    await answered(socket);
    socket.write("GET / HTTP/1.1\r\n\r\n");
    expect(await it.nextOf("client-failed")).toMatchObject({ id, failure: { tag: "tls", val: [{ tag: "protocol" }, expect.any(String)] } });
  });

  it("is told for a client that leaves after 200", async () => {
    const it = await setup();
    const socket = await client(it.port, CONNECT);
    const { id } = await it.nextOf("connect");
    it.interceptor.establish(id, 5n * SECOND);
    await answered(socket);
    socket.end();
    expect(await it.nextOf("client-failed")).toMatchObject({
      id,
      failure: { tag: "tls", val: [{ tag: "truncated" }, expect.any(String)] },
    });
  });

  it("is told when a guest has not answered a hello in time", async () => {
    const it = await setup();
    const socket = await client(it.port, CONNECT);
    const { id } = await it.nextOf("connect");
    it.interceptor.establish(id, SECOND / 5n);
    await answered(socket);
    const tls = secure(socket);
    await it.nextOf("client-hello");
    expect(await it.nextOf("client-failed")).toEqual({ id, failure: { tag: "timeout" } });
    expect(await witError(() => it.interceptor.proceed(id, 1n, it.identity(), undefined, it.route()))).toBe("unknown");
    await closed(tls);
  });

  it("is told for a client whose protocols are none of the answer's", async () => {
    const it = await setup();
    const { id } = await atHello(it, { ALPNProtocols: ["h2"] });
    it.interceptor.proceed(id, 7n, it.identity(), bytes("http/1.1"), it.route());
    expect(await it.nextOf("client-failed")).toMatchObject({
      id,
      failure: { tag: "tls", val: [{ tag: "alert-sent", val: 120 }, expect.any(String)] },
    });
  });

  it("is told for a server with another name", async () => {
    const it = await setup();
    const { id } = await proceeding(it, { serverName: "b.test" });
    const failed = await it.nextOf("server-failed");
    expect(failed).toMatchObject({
      id,
      serverAddress: "127.0.0.1",
      failure: { tag: "tls", val: [{ tag: "certificate", val: "name-mismatch" }, expect.any(String)] },
    });
  });

  it("is told for a server that the host's anchors do not vouch for, and that the guest's do is enough", async () => {
    const it = await setup({ tls: { anchors: [(await makePki()).root.der] } });
    const first = await proceeding(it);
    expect(await it.nextOf("server-failed")).toMatchObject({
      id: first.id,
      failure: { tag: "tls", val: [{ tag: "certificate", val: "unknown-issuer" }, expect.any(String)] },
    });
    const anchors = it.instance.gateway["sallyport:tls/identities"].TrustAnchors.fromX509([pki.root.der], false, []);
    await proceeding(it, { anchors });
    await it.nextOf("established");
  });

  it("is told for a server that refuses, or that there is none of", async () => {
    const it = await setup();
    const gone = await tcpServer(() => {});
    gone.close();
    const { id } = await proceeding(it, { port: gone.port });
    expect(await it.nextOf("server-failed")).toMatchObject({ id, failure: { tag: "dial", val: { tag: "connection-refused" } } });
    const address = await proceeding(it, { host: "10.0.0.1" });
    expect(await it.nextOf("server-failed")).toMatchObject({
      id: address.id,
      failure: { tag: "dial", val: { tag: "refused", val: "private" } },
    });
    const other = await proceeding(it, { host: "not a name" });
    expect(await it.nextOf("server-failed")).toMatchObject({ id: other.id, failure: { tag: "dial", val: { tag: "invalid-name" } } });
  });

  it("is told for a server that says nothing in time", async () => {
    const it = await setup();
    const silent = await tcpServer(() => {});
    const { id, tls } = await proceeding(it, { port: silent.port, handshakeTimeout: SECOND / 5n });
    expect(await it.nextOf("server-failed")).toMatchObject({ id, failure: { tag: "timeout" }, serverAddress: "127.0.0.1" });
    // The client has its handshake, and can be told.
    expect(tls.authorized).toBe(true);
    silent.close();
  });

  it("is no dial where the guest was granted none", async () => {
    const it = await setup({ gateway: {} });
    const { id } = await proceeding(it);
    expect(await it.nextOf("server-failed")).toMatchObject({ id, failure: { tag: "dial", val: { tag: "refused", val: "not-granted" } } });
  });
});

describe("a guest that does not answer", () => {
  it("has no more clients than its handles would have been for; the others wait to be accepted", async () => {
    const it = await setup({ limits: { handles: 30 } });
    for (let i = 0; i < 12; i++) await client(it.port, CONNECT);
    const asked = [];
    for (let i = 0; i < 10; i++) asked.push((await it.nextOf("connect")).id);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(it.interceptor.next()).toEqual([]);
    for (const id of asked.slice(0, 2)) it.interceptor.abort(id, 80);
    expect((await it.nextOf("connect")).id).not.toBe((await it.nextOf("connect")).id);
  });
});

describe("an interception that is ended", () => {
  it("in each phase ends for the client, without a further event", async () => {
    const it = await setup();
    const connecting = await client(it.port, CONNECT);
    const { id } = await it.nextOf("connect");
    it.interceptor.abort(id, 80);
    await closed(connecting);

    const waiting = await client(it.port, CONNECT);
    const second = await it.nextOf("connect");
    it.interceptor.establish(second.id, 5n * SECOND);
    await answered(waiting);
    it.interceptor.abort(second.id, 80);
    await closed(waiting);

    const held = await atHello(it);
    const refusal = once(held.tls, "error");
    it.interceptor.abort(held.id, 112);
    expect(((await refusal) as [NodeJS.ErrnoException])[0].code).toBe("ERR_SSL_TLSV1_UNRECOGNIZED_NAME");

    const shaking = await proceeding(it);
    it.interceptor.abort(shaking.id, 80);
    await closed(shaking.tls);

    const up = await established(it);
    it.interceptor.abort(up.id, 80);
    await closed(up.tls);

    const relaying = await established(it);
    it.interceptor.relay(relaying.id, 5n * SECOND);
    relaying.tls.write("hello");
    await once(relaying.tls, "data");
    expect(it.interceptor.abort(relaying.id, 80)).toEqual([5n, 10n]);
    await closed(relaying.tls);
    expect(it.interceptor.next()).toEqual([]);
  });

  it("by a server's cut is told as that", async () => {
    const it = await setup();
    const cutting = createServer({ key: pki.leaf.keyPem, cert: pki.chainPem }, (socket) => {
      socket.on("error", () => {}).once("data", () => (socket as unknown as { _parent: Socket })._parent?.destroy() ?? socket.destroy());
    });
    await new Promise<void>((resolve) => cutting.listen(0, "127.0.0.1", resolve));
    const { id, tls } = await proceeding(it, { port: (cutting.address() as AddressInfo).port });
    await it.nextOf("established");
    it.interceptor.relay(id, 5n * SECOND);
    tls.write("x");
    expect(await it.nextOf("ended")).toMatchObject({
      id,
      outcome: { tag: "err", val: { tag: expect.stringMatching(/^(truncated|transport)$/) } },
    });
    await closed(tls);
    cutting.close();
  });

  it("for being idle is told as that", async () => {
    const it = await setup();
    const { id, tls } = await established(it);
    it.interceptor.relay(id, SECOND / 10n);
    expect(await it.nextOf("ended")).toMatchObject({ id, outcome: { tag: "err", val: { tag: "timeout" } } });
    await closed(tls);
  });

  it("with its interceptor leaves nothing behind, in whatever phase", async () => {
    const it = await setup();
    const { instance, interceptor } = it;
    const all: Socket[] = [await client(it.port), (await atHello(it)).tls, (await proceeding(it)).tls];
    await it.nextOf("established");
    const relaying = await established(it);
    interceptor.relay(relaying.id, 5n * SECOND);
    all.push(relaying.tls);
    interceptor[Symbol.dispose]();
    for (const socket of all) await closed(socket);
    await expect.poll(() => instance.owned).toBe(0);
    await expect(client(it.port)).rejects.toMatchObject({ code: "ECONNREFUSED" });
  });

  it("with its instance ends for everybody, and is recorded", async () => {
    const it = await setup();
    const { id, tls } = await established(it);
    it.interceptor.relay(id, 5n * SECOND);
    it.instance.dispose();
    await closed(tls);
    expect(recordsOf(it.file).filter(({ event }) => event === "end")).toHaveLength(2);
  });

  it("goes on when nobody else is taken; whoever was not asked about is asked about at once", async () => {
    const it = await setup();
    const { id, tls } = await established(it);
    await client(it.port);
    await new Promise((resolve) => setTimeout(resolve, 20));
    it.interceptor.finish();
    it.interceptor.finish();
    const silent = await it.nextOf("other");
    await expect(client(it.port)).rejects.toMatchObject({ code: "ECONNREFUSED" });
    it.interceptor.relay(id, 5n * SECOND);
    tls.write("last");
    expect(String((await once(tls, "data"))[0])).toBe("echo last");
    const [socket, input, output] = it.interceptor.take(silent);
    for (const one of [input, output, socket]) one[Symbol.dispose]();
  });
});
