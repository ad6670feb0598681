import { once } from "node:events";
import http2 from "node:http2";
import net from "node:net";
import tls from "node:tls";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { KeyPair } from "../../../host/identity/private-identity.ts";
import { tcpServer, type TestServer, tlsServer } from "../../support/https-servers.ts";
import { type Certified, EKU, makeCertificate, makePki, type TestPki } from "../../support/pki.ts";
import { connectThrough, type ProxyOptions, startProxy, talk, type TestProxy, through } from "../../support/proxy.ts";

/** What servers see of the proxy, what it wants of them, and what becomes of clients whose server does not do its part. */
let pki: TestPki;
/** Echoes, and notes what it was asked for. */
let echo: TestServer;
const hellos: { servername: string; protocols: string[] }[] = [];
/** What `echo` takes, in its order of preference. */
let taken: string[];
const running: TestProxy[] = [];
const names = Object.fromEntries(["a.test", "b.test", "front.test", "hidden.test"].map((name) => [name, ["127.0.0.1"]]));

beforeAll(async () => {
  pki = await makePki({ leaf: { dns: ["a.test", "b.test", "cdn.test"] } });
  echo = await tlsServer(pki, (socket) => void socket.pipe(socket), {
    ALPNCallback: ({ servername, protocols }) => {
      hellos.push({ servername, protocols });
      return taken.find((id) => protocols.includes(id));
    },
  });
});
afterEach(async () => {
  for (const proxy of running.splice(0)) {
    await proxy[Symbol.asyncDispose]();
    expect(proxy.stderr()).toBe("");
  }
});
afterAll(() => echo[Symbol.asyncDispose]());

const upstream = { anchors: ["test"] };
const intercepted = { match: ["a.test", "b.test"], mode: "intercept", upstream };

async function start(hosts: object[], options: Partial<ProxyOptions> & { ports?: number[]; more?: object } = {}): Promise<TestProxy> {
  const { ports = [], more, ...rest } = options;
  taken = ["h2", "http/1.1"];
  hellos.length = 0;
  const proxy = await startProxy({
    policy: {
      version: 1,
      ports: [echo.port, ...ports],
      allow_networks: ["127.0.0.0/8"],
      anchors: { test: "test.pem" },
      hosts,
      ...more,
    },
    names,
    anchors: { test: pki.root.pem },
    permit: { names: ["a.test", "b.test", "front.test"] },
    ...rest,
  });
  running.push(proxy);
  return proxy;
}

/** An interception that is up, or the code of what kept it. */
async function shake(proxy: TestProxy, host: string, port: number, ALPNProtocols: string[]): Promise<tls.TLSSocket | string> {
  const { socket } = await connectThrough(proxy, `${host}:${port}`);
  const connection = tls.connect({ socket, servername: host, ca: proxy.ca, ALPNProtocols });
  return await new Promise((resolve) => {
    connection.once("secureConnect", () => resolve(connection));
    connection.once("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    connection.once("close", () => resolve("closed"));
  });
}

/** Send something and wait for its echo. */
async function echoed(connection: tls.TLSSocket | string): Promise<string> {
  if (typeof connection === "string") return connection;
  connection.write("hello");
  return await new Promise((resolve) => {
    connection.once("data", (chunk) => resolve(String(chunk)));
    connection.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    connection.once("close", () => resolve("closed"));
  });
}

const failures = (proxy: TestProxy) => proxy.said("handshake").flatMap(({ error }) => (error === undefined ? [] : [String(error)]));

describe("the server is offered", () => {
  it.each([[["http/1.1"]], [["h2"]], [["h2", "http/1.1"]]])("what the client offers, and nothing else: %j", async (offered) => {
    const proxy = await start([intercepted]);
    const connection = await shake(proxy, "a.test", echo.port, offered);
    expect(await echoed(connection)).toBe("hello");
    expect((connection as tls.TLSSocket).alpnProtocol).toBe(offered[0]);
    expect(hellos).toEqual([{ servername: "a.test", protocols: offered }]);
    (connection as tls.TLSSocket).destroy();
  });

  it("only what it chose before, once that is known, to a client that offers more", async () => {
    const proxy = await start([intercepted]);
    taken = ["http/1.1"];
    for (const protocols of [["h2", "http/1.1"], ["http/1.1"]]) {
      const connection = (await shake(proxy, "a.test", echo.port, ["h2", "http/1.1"])) as tls.TLSSocket;
      expect(connection.alpnProtocol).toBe("http/1.1");
      expect(await echoed(connection)).toBe("hello");
      expect(hellos.at(-1)).toEqual({ servername: "a.test", protocols });
      connection.destroy();
    }
  });

  it("only what the route allows", async () => {
    const proxy = await start([{ ...intercepted, alpn: ["http/1.1"] }]);
    expect(await echoed(await shake(proxy, "a.test", echo.port, ["h2", "http/1.1"]))).toBe("hello");
    expect(hellos).toEqual([{ servername: "a.test", protocols: ["http/1.1"] }]);
  });
});

describe("a protocol that both sides cannot have", () => {
  it("gives a client of h2 nothing where the server takes HTTP/1.1 alone, and is recorded", async () => {
    const proxy = await start([intercepted]);
    taken = ["http/1.1"];
    expect(await echoed(await shake(proxy, "a.test", echo.port, ["h2"]))).not.toBe("hello");
    await expect.poll(() => failures(proxy)).toEqual([expect.stringMatching(/^upstream: tls: /)]);
  });

  it("ends a connection whose server changed its mind, and the next one is asked anew", async () => {
    const proxy = await start([intercepted]);
    const both = ["h2", "http/1.1"];
    (await shake(proxy, "a.test", echo.port, both)) as tls.TLSSocket;
    taken = ["http/1.1"];
    expect(await echoed(await shake(proxy, "a.test", echo.port, both))).not.toBe("hello");
    await expect.poll(() => failures(proxy)).toEqual([expect.stringMatching(/^upstream: tls: /)]);
    const third = (await shake(proxy, "a.test", echo.port, both)) as tls.TLSSocket;
    expect([third.alpnProtocol, await echoed(third)]).toEqual(["http/1.1", "hello"]);
    third.destroy();
  });
});

describe("a front", () => {
  const fronted = (more: object = {}) => ({
    match: ["front.test"],
    mode: "front",
    front: { server_name: "cdn.test", address: `127.0.0.1:${echo.port}`, ...more },
    upstream,
  });

  it.each([[["h2"]], [["http/1.1"]]])("is asked for under its own name, with the client's protocol: %j", async (offered) => {
    const proxy = await start([fronted()]);
    const connection = (await shake(proxy, "front.test", echo.port, offered)) as tls.TLSSocket;
    expect(await echoed(connection)).toBe("hello");
    expect(hellos).toEqual([{ servername: "cdn.test", protocols: offered }]);
    expect(connection.getPeerCertificate().subjectaltname).toBe("DNS:front.test");
    connection.destroy();
  });

  it("may show one of its further names", async () => {
    const proxy = await start([fronted({ server_name: "other.test", verify_names: ["b.test"] })]);
    expect(await echoed(await shake(proxy, "front.test", echo.port, ["http/1.1"]))).toBe("hello");
    expect(hellos[0]!.servername).toBe("other.test");
  });

  it("that shows none of them is a 502", async () => {
    const proxy = await start([fronted({ server_name: "other.test", verify_names: ["c.test", "test"] })]);
    const result = await through(proxy, `front.test:${echo.port}`, { ca: proxy.ca, servername: "front.test" });
    expect(result.text).toMatch(/^HTTP\/1\.1 502 [^]*certificate/);
    expect(failures(proxy)).toEqual(["upstream: certificate: name-mismatch"]);
  });

  it.each([
    ["169.254.169.254:443", "metadata"],
    ["[::ffff:10.0.0.1]:443", "private"],
    ["[64:ff9b::a00:1]:443", "private"],
    ["0.0.0.0:443", "unspecified"],
  ])("at %s is not connected to, whatever the policy says", async (address, reason) => {
    const proxy = await start([fronted({ address })]);
    const result = await through(proxy, `front.test:${echo.port}`, { ca: proxy.ca, servername: "front.test" });
    expect(result.text).toMatch(/^HTTP\/1\.1 403 /);
    expect(proxy.records().filter(({ event }) => event === "dial-refused")).toEqual([expect.objectContaining({ by: "host", reason })]);
    expect(hellos).toEqual([]);
  });

  it("is not connected to for what the deny list names", async () => {
    const proxy = await start([{ ...fronted(), match: ["front.test"] }], { more: { deny: ["sub.front.test"] } });
    expect((await through(proxy, `sub.front.test:${echo.port}`, { ca: proxy.ca })).connect).toBe(403);
    const { ending } = await through(proxy, `front.test:${echo.port}`, { ca: proxy.ca, servername: "sub.front.test" });
    expect(ending).toMatch(/ALERT|ERR_SSL/);
    expect(proxy.said("client-hello").at(-1)).toMatchObject({ decision: "deny", rule: "$.deny[0]", reason: "deny-list" });
    expect(hellos).toEqual([]);
  });
});

describe("a server that wants to know who asks", () => {
  let own: Certified;
  let picky: TestServer;
  let seen: (string | undefined)[];

  beforeAll(async () => {
    own = await makeCertificate({ cn: "the proxy", eku: [EKU.clientAuth] }, pki.root);
    picky = await tlsServer(
      pki,
      (socket) => {
        seen.push(socket.getPeerCertificate().subject?.CN as string | undefined);
        socket.pipe(socket);
      },
      { requestCert: true, rejectUnauthorized: true, ca: pki.root.pem },
    );
  });
  afterAll(() => picky[Symbol.asyncDispose]());
  const identities = () => ({
    me: KeyPair.parsePem(new TextEncoder().encode(`${own.keyPem}\n${own.pem}`), undefined, "host").forWorker(),
  });

  it("is shown the identity of the route, and no other route shows it", async () => {
    seen = [];
    const proxy = await start(
      [
        { match: ["a.test"], mode: "intercept", upstream: { ...upstream, identity: "me" } },
        { match: ["b.test"], mode: "intercept", upstream },
      ],
      { ports: [picky.port], tls: { identities: identities() } },
    );
    expect(await echoed(await shake(proxy, "a.test", picky.port, ["http/1.1"]))).toBe("hello");
    expect(await echoed(await shake(proxy, "b.test", picky.port, ["http/1.1"]))).not.toBe("hello");
    expect(seen).toEqual(["the proxy"]);
    expect(proxy.records()).toContainEqual(expect.objectContaining({ by: "host", event: "identity" }));
  });

  it("is shown nothing, and the client hears of it, where the host was given no such identity", async () => {
    seen = [];
    const proxy = await start([{ match: ["a.test"], mode: "intercept", upstream: { ...upstream, identity: "me" } }], {
      ports: [picky.port],
    });
    const { text } = await through(proxy, `a.test:${picky.port}`, { ca: proxy.ca });
    expect(text).toMatch(/^HTTP\/1\.1 502 [^]*me/);
    expect(failures(proxy)).toEqual(["upstream: policy"]);
    expect(seen).toEqual([]);
  });
});

describe("what a server is trusted for", () => {
  it("is its own route's authorities alone, where the policy says so", async () => {
    const stranger = await makePki({ leaf: { dns: ["a.test"] } });
    const anchors = { test: pki.root.pem, stranger: stranger.root.pem };
    const of = (name: string, only: boolean) => ({
      match: [`${name}.test`],
      mode: "intercept",
      upstream: { anchors: [name === "a" ? "stranger" : "test"], only_anchors: only },
    });
    const proxy = await start([of("a", true), of("b", true)], {
      anchors,
      more: { anchors: { test: "test.pem", stranger: "stranger.pem" } },
    });
    const refused = await through(proxy, `a.test:${echo.port}`, { ca: proxy.ca, servername: "a.test" });
    expect(refused.text).toMatch(/^HTTP\/1\.1 502 [^]*certificate/);
    expect(await echoed(await shake(proxy, "b.test", echo.port, ["http/1.1"]))).toBe("hello");
    expect(failures(proxy)).toEqual([expect.stringMatching(/^upstream: certificate: /)]);
  });
});

describe("a server that takes its time", () => {
  it.each([[["http/1.1"]], [["h2", "http/1.1"]]])(
    "over its handshake is a 504, and recorded as the server's doing: %j",
    async (offered) => {
      await using silent = await tcpServer((socket) => void socket.resume());
      const proxy = await start([intercepted], { ports: [silent.port], more: { timeouts: { handshake_seconds: 1 } } });
      const result = await through(proxy, `a.test:${silent.port}`, { ca: proxy.ca, ALPNProtocols: offered });
      expect(result.text).toMatch(/^HTTP\/1\.1 504 /);
      expect(failures(proxy)).toEqual(["upstream: timeout"]);
    },
  );

  it("over its first byte in a tunnel holds up nobody else", async () => {
    await using silent = await tcpServer((socket) => void socket.resume());
    const hosts = [{ match: ["hidden.test"], mode: "tunnel", opaque: true }, intercepted];
    const proxy = await start(hosts, { ports: [silent.port], more: { timeouts: { idle_seconds: 1 } } });
    const { socket } = await connectThrough(proxy, `hidden.test:${silent.port}`);
    // `once` would reject for a reset.
    const gone = new Promise((resolve) => socket.on("error", () => {}).on("close", resolve));
    socket.resume().write("anybody there?");
    expect(await echoed(await shake(proxy, "a.test", echo.port, ["http/1.1"]))).toBe("hello");
    await gone;
    expect(await proxy.recorded(({ event, error }) => event === "ended" && String(error).includes("idle"))).toMatchObject({
      bytes_from_client: 14,
    });
  });
});

describe("a server that is not there", () => {
  it("is a 502 with the reason for an intercepted request, and the dial is in the host's record", async () => {
    const closed = net.createServer().listen(0, "127.0.0.1");
    await once(closed, "listening");
    const { port } = closed.address() as net.AddressInfo;
    await new Promise((resolve) => closed.close(resolve));
    const proxy = await start([intercepted], { ports: [port] });
    const result = await through(proxy, `a.test:${port}`, { ca: proxy.ca });
    expect(result.text).toMatch(/^HTTP\/1\.1 502 /);
    expect(failures(proxy)).toEqual([expect.stringMatching(/^upstream: dial: /)]);
    expect(proxy.records()).toContainEqual(expect.objectContaining({ by: "host", event: "dial-failed", host: "a.test" }));
  });

  it("is a cut for a client of h2, which could read no answer, and recorded", async () => {
    await using rude = await tcpServer((socket) => void socket.end("220 ready\r\n"));
    const proxy = await start([intercepted], { ports: [rude.port] });
    expect(await echoed(await shake(proxy, "a.test", rude.port, ["h2"]))).not.toBe("hello");
    await expect.poll(() => failures(proxy)).toEqual([expect.stringMatching(/^upstream: tls: /)]);
  });
});

describe("an address", () => {
  const address = { match: ["127.0.0.1"], mode: "intercept", upstream };

  it("that was connected to without a name gets a certificate for exactly that address", async () => {
    const local = await makePki({ leaf: { ip: ["127.0.0.1"] } });
    await using server = await tlsServer(local, (socket) => void socket.pipe(socket));
    const proxy = await start([address], {
      ports: [server.port],
      anchors: { test: local.root.pem },
      permit: { names: ["a.test"], networks: ["127.0.0.0/8"] },
    });
    const { socket } = await connectThrough(proxy, `127.0.0.1:${server.port}`);
    const connection = tls.connect({ socket, host: "127.0.0.1", ca: proxy.ca });
    expect(await echoed(connection)).toBe("hello");
    expect(connection.authorized).toBe(true);
    expect(connection.getPeerCertificate().subjectaltname).toBe("IP Address:127.0.0.1");
    connection.destroy();
  });

  it("that the host's authority is not for gets none, and both say so", async () => {
    const proxy = await start([address]);
    const { socket } = await connectThrough(proxy, `127.0.0.1:${echo.port}`);
    const { text } = await talk(socket, { servername: "", ca: proxy.ca }, "x");
    expect(text).toBe("");
    expect(proxy.said("client-hello").at(-1)).toMatchObject({ decision: "deny", reason: "not-issued: address-not-permitted" });
    expect(proxy.records()).toContainEqual(expect.objectContaining({ by: "host", event: "certificate-refused" }));
  });

  it("that stands in no entry is refused, whatever the default is", async () => {
    const proxy = await start([intercepted], { more: { default: "tunnel" } });
    expect((await through(proxy, `127.0.0.1:${echo.port}`, {})).text).toMatch(/^HTTP\/1\.1 403 [^]*address-not-listed/);
  });
});

describe("a hello for another name than the one connected to", () => {
  it("decides by itself where the policy says so: certificate, server name and verification are for it", async () => {
    const proxy = await start([intercepted], { more: { sni_mismatch: "decide" } });
    const { socket } = await connectThrough(proxy, `a.test:${echo.port}`);
    const connection = tls.connect({ socket, servername: "b.test", ca: proxy.ca, ALPNProtocols: ["http/1.1"] });
    expect(await echoed(connection)).toBe("hello");
    expect(connection.getPeerCertificate().subjectaltname).toBe("DNS:b.test");
    expect(hellos.map(({ servername }) => servername)).toEqual(["b.test"]);
    expect(proxy.records().findLast(({ event }) => event === "dial")).toMatchObject({ by: "host", host: "b.test" });
    connection.destroy();
  });

  it("is refused there too if it is denied, or handled in another way", async () => {
    const hosts = [
      { match: ["a.test"], mode: "intercept", upstream },
      { match: ["b.test"], mode: "tunnel" },
    ];
    const proxy = await start(hosts, { more: { sni_mismatch: "decide", deny: ["front.test"] } });
    for (const [servername, reason] of [
      ["b.test", "server-name-mismatch"],
      ["front.test", "deny-list"],
    ] as const) {
      const { text } = await through(proxy, `a.test:${echo.port}`, { servername, ca: proxy.ca });
      expect(text).toBe("");
      expect(proxy.said("client-hello").at(-1)).toMatchObject({ decision: "deny", reason });
    }
    expect(hellos).toEqual([]);
  });
});

describe("half a connection", () => {
  it("that the client has ended still carries what the server has to say, over TLS on both sides", async () => {
    await using late = await tlsServer(
      pki,
      (socket) => {
        let text = "";
        socket.on("data", (chunk) => (text += String(chunk)));
        socket.on("end", () => void socket.end(`you said ${text}`));
      },
      { allowHalfOpen: true },
    );
    const proxy = await start([intercepted], { ports: [late.port] });
    const { socket } = await connectThrough(proxy, `a.test:${late.port}`);
    socket.allowHalfOpen = true;
    const connection = tls.connect({ socket, servername: "a.test", ca: proxy.ca, allowHalfOpen: true } as tls.ConnectionOptions);
    connection.end("all of it");
    let text = "";
    for await (const chunk of connection) text += String(chunk);
    expect(text).toBe("you said all of it");
    const ended = await proxy.recorded(({ event }) => event === "ended");
    expect(ended).not.toHaveProperty("error");
    expect(ended).toMatchObject({ bytes_from_client: 9, bytes_to_client: 18 });
  });
});

describe("a name that was learnt through the proxy", () => {
  it("of a denied host was never looked up", async () => {
    const looked: string[] = [];
    const watched = new Proxy(names, {
      get: (all, name) => {
        looked.push(String(name));
        return all[String(name)];
      },
    });
    const proxy = await start([intercepted], { names: watched, more: { deny: ["hidden.test"] } });
    expect((await through(proxy, `hidden.test:${echo.port}`, {})).connect).toBe(403);
    expect((await through(proxy, `unlisted.test:${echo.port}`, {})).connect).toBe(403);
    expect(await echoed(await shake(proxy, "a.test", echo.port, ["http/1.1"]))).toBe("hello");
    expect([...new Set(looked)]).toEqual(["a.test"]);
  });
});

it("h2 goes through whole: streams, their bodies and their trailers", async () => {
  const server = http2.createSecureServer({ key: pki.leaf.keyPem, cert: pki.chainPem });
  server.on("stream", (stream: http2.ServerHttp2Stream) => {
    stream.respond({ ":status": 200 }, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "x-sum": "1" }));
    stream.pipe(stream);
  });
  server.on("sessionError", () => {});
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as net.AddressInfo;
  const proxy = await start([intercepted], { ports: [port] });
  const connection = (await shake(proxy, "a.test", port, ["h2"])) as tls.TLSSocket;
  const session = http2.connect("https://a.test", { createConnection: () => connection });
  const exchange = async (body: Buffer) => {
    const request = session.request({ ":method": "POST", ":path": "/" });
    const trailers = once(request, "trailers");
    request.end(body);
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const [fields] = (await trailers) as [Record<string, string>];
    return [Buffer.concat(chunks).equals(body), fields["x-sum"]];
  };
  const bodies = Array.from({ length: 5 }, (_, index) => Buffer.alloc(100_000, index));
  expect(await Promise.all(bodies.map(exchange))).toEqual(bodies.map(() => [true, "1"]));
  session.destroy();
  server.close();
});
