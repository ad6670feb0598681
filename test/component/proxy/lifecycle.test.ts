import { once } from "node:events";
import http2 from "node:http2";
import net, { type AddressInfo } from "node:net";
import tls from "node:tls";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { tcpServer, type TestServer, tlsServer } from "../../support/https-servers.ts";
import { makePki, type TestPki } from "../../support/pki.ts";
import { connectThrough, type ProxyOptions, startProxy, talk, type TestProxy, through } from "../../support/proxy.ts";

let pki: TestPki;
let echo: TestServer;
let secure: TestServer;
const running: TestProxy[] = [];
const names = Object.fromEntries(["a.test", "b.test", "raw.test", "front.test", "x.front.test"].map((name) => [name, ["127.0.0.1"]]));

beforeAll(async () => {
  pki = await makePki({ leaf: { dns: ["a.test", "b.test"] } });
  echo = await tcpServer((socket) => void socket.on("error", () => {}).pipe(socket));
  secure = await tlsServer(pki, (socket) => void socket.pipe(socket), { ALPNProtocols: ["http/1.1"] });
});
afterEach(async () => {
  for (const proxy of running.splice(0)) await proxy[Symbol.asyncDispose]();
});
afterAll(async () => {
  await echo[Symbol.asyncDispose]();
  await secure[Symbol.asyncDispose]();
});

async function start(options: Partial<ProxyOptions> & { policy: object }): Promise<TestProxy> {
  const proxy = await startProxy({
    names,
    anchors: { test: pki.root.pem },
    permit: { names: ["a.test", "b.test", "front.test"] },
    ...options,
  });
  running.push(proxy);
  return proxy;
}

function policy(hosts: object[], more: object = {}): object {
  return {
    version: 1,
    ports: [echo.port, secure.port],
    allow_networks: ["127.0.0.0/8"],
    anchors: { test: "test.pem" },
    timeouts: { drain_seconds: 1 },
    hosts,
    ...more,
  };
}

const upstream = { anchors: ["test"] };
const raw = { match: ["raw.test"], mode: "tunnel", opaque: true };
const intercepted = { match: ["a.test", "b.test"], mode: "intercept", upstream };

/** An opaque tunnel that has carried something. */
async function openTunnel(proxy: TestProxy): Promise<net.Socket> {
  const { status, socket } = await connectThrough(proxy, `raw.test:${echo.port}`);
  expect(status).toBe(200);
  socket.write("hello");
  socket.resume();
  await once(socket, "data");
  return socket;
}

/** However it ends: `once` would reject for a reset. */
function closed(socket: net.Socket): Promise<void> {
  socket.on("error", () => {});
  return new Promise((resolve) => socket.once("close", () => resolve()));
}

describe("a policy that changes", () => {
  it("ends the tunnels that it no longer allows, and no others", async () => {
    const proxy = await start({ policy: policy([raw, intercepted]) });
    const tunnel = await openTunnel(proxy);
    const { socket } = await connectThrough(proxy, `a.test:${secure.port}`);
    const kept = tls.connect({ socket, servername: "a.test", ca: proxy.ca });
    kept.write("one");
    await once(kept, "data");
    expect(await proxy.reload(policy([intercepted]))).toBe("changed 1");
    await closed(tunnel);
    kept.write("two");
    expect(String((await once(kept, "data"))[0])).toBe("two");
    kept.destroy();
    expect(await proxy.recorded(({ event, error }) => event === "ended" && String(error).includes("policy was changed"))).toMatchObject({
      by: "component",
    });
    expect((await through(proxy, `raw.test:${echo.port}`, {})).connect).toBe(403);
  });

  it("ends connections that would now be handled in another way", async () => {
    const proxy = await start({ policy: policy([intercepted]) });
    const { socket } = await connectThrough(proxy, `a.test:${secure.port}`);
    const connection = tls.connect({ socket, servername: "a.test", ca: proxy.ca });
    connection.on("error", () => {});
    connection.write("one");
    await once(connection, "data");
    expect(await proxy.reload(policy([{ ...intercepted, requests: { default: "deny" } }]))).toBe("changed 1");
    await closed(connection);
  });

  it("and is bad leaves the old one in force", async () => {
    const proxy = await start({ policy: policy([raw]) });
    const tunnel = await openTunnel(proxy);
    expect(await proxy.reload({ version: 1, hosts: [{ match: [], mode: "open" }] })).toBe("refused");
    expect(
      await proxy.reload(policy([{ match: ["a.test"], mode: "intercept", upstream }], { anchors: { test: "x", missing: "missing.pem" } })),
    ).toBe("refused");
    tunnel.write("still here");
    expect(String((await once(tunnel, "data"))[0])).toBe("still here");
    expect(proxy.stderr()).toMatch(/the new policy is not used: \$\.hosts/);
    expect(proxy.said("policy").map(({ reason }) => reason)).toEqual(["loaded", "refused", "refused"]);
    tunnel.destroy();
  });
});

describe("a proxy that stops", () => {
  it("waits for what runs, and takes nothing new", async () => {
    const proxy = await start({ policy: policy([raw], { timeouts: { drain_seconds: 10 } }) });
    const tunnel = await openTunnel(proxy);
    const stopped = proxy.stop(60_000);
    await expect
      .poll(
        () =>
          new Promise((resolve) =>
            net
              .connect(proxy.port, "127.0.0.1")
              .on("error", () => resolve("refused"))
              .on("connect", function (this: net.Socket) {
                this.destroy();
                resolve("open");
              }),
          ),
      )
      .toBe("refused");
    tunnel.write("last words");
    expect(String((await once(tunnel, "data"))[0])).toBe("last words");
    tunnel.end();
    expect(await stopped).toEqual({ tag: "exit", code: 0, handles: 0 });
    expect(proxy.stdout()).toMatch(/^summary \{"connections":1,"tunnelled":1/m);
  });

  it("ends what still runs when the time is over, and records it", async () => {
    const proxy = await start({ policy: policy([raw]) });
    const tunnel = await openTunnel(proxy);
    const gone = closed(tunnel);
    expect(await proxy.stop(60_000)).toMatchObject({ tag: "exit", code: 0, handles: 0 });
    await gone;
    expect(proxy.said("ended").at(-1)).toMatchObject({ bytes_from_client: 5, bytes_to_client: 5, error: "the proxy stopped" });
  });

  it("lets clients go that have asked for nothing", async () => {
    const proxy = await start({ policy: policy([raw], { timeouts: { drain_seconds: 30 } }) });
    const idle = net.connect(proxy.port, "127.0.0.1");
    idle.resume();
    await once(idle, "connect");
    await proxy.stop(60_000);
    idle.destroy();
  });
});

describe("a proxy that must record everything", () => {
  it("refuses what it cannot record", async () => {
    const proxy = await start({
      policy: policy([raw, intercepted]),
      gateway: { dial: { allow: ["*"], allowNetworks: ["127.0.0.0/8"] }, audit: { file: "/dev/full", mode: "strict" } },
    }).catch((error: unknown) => String(error));
    expect(proxy).toMatch(/regular file/);
  });
});

describe("without a certification authority", () => {
  it("nothing is intercepted, and tunnels go on", async () => {
    const proxy = await startProxy({ policy: policy([raw, intercepted]), names, anchors: { test: pki.root.pem } });
    running.push(proxy);
    expect((await through(proxy, `a.test:${secure.port}`, {})).connect).toBe(503);
    (await openTunnel(proxy)).destroy();
  });

  it("a name that the host's authority is not for is refused at the hello, and recorded by both", async () => {
    const proxy = await start({ policy: policy([intercepted]), permit: { names: ["b.test"] } });
    const result = await through(proxy, `a.test:${secure.port}`, { ca: proxy.ca });
    expect(result.text).toBe("");
    expect(proxy.said("client-hello").at(-1)).toMatchObject({ decision: "deny", reason: "not-issued: name-not-permitted" });
    expect(proxy.records().find(({ event }) => event === "certificate-refused")).toMatchObject({
      by: "host",
      names: ["a.test"],
      reason: "name-not-permitted",
    });
  });
});

describe("a front", () => {
  it("is verified as the front, and the client sees what it asked for", async () => {
    const front = { server_name: "a.test", verify_names: ["b.test"], address: `127.0.0.1:${secure.port}` };
    const proxy = await start({ policy: policy([{ match: ["front.test"], mode: "front", front, upstream }]) });
    const { socket } = await connectThrough(proxy, `front.test:${echo.port}`);
    const connection = tls.connect({ socket, servername: "front.test", ca: proxy.ca });
    connection.write("x");
    expect(String((await once(connection, "data"))[0])).toBe("x");
    expect(connection.getPeerCertificate().subjectaltname).toBe("DNS:front.test");
    connection.destroy();
    expect(proxy.said("client-hello").at(-1)).toMatchObject({ decision: "front", route: "front.test" });
  });

  it("whose certificate is for another name is a 502", async () => {
    const front = { server_name: "x.front.test", address: `127.0.0.1:${secure.port}` };
    const proxy = await start({ policy: policy([{ match: ["front.test"], mode: "front", front, upstream }]) });
    const result = await through(proxy, `front.test:${echo.port}`, { ca: proxy.ca, servername: "front.test" });
    expect(result.text).toMatch(/^HTTP\/1\.1 502 [^]*name-mismatch/);
  });
});

describe("pins", () => {
  const pinned = (pin: string) => policy([{ match: ["a.test"], mode: "intercept", upstream: { anchors: ["test"], pins: [pin] } }]);

  it("let the server through whose key they name", async () => {
    const { createHash } = await import("node:crypto");
    const spki = pki.leaf.x509.publicKey.export({ type: "spki", format: "der" });
    const proxy = await start({ policy: pinned(`sha256/${createHash("sha256").update(spki).digest("base64")}`) });
    const { socket } = await connectThrough(proxy, `a.test:${secure.port}`);
    const connection = tls.connect({ socket, servername: "a.test", ca: proxy.ca });
    connection.write("x");
    expect(String((await once(connection, "data"))[0])).toBe("x");
    connection.destroy();
  });

  it("refuse every other, whoever vouches for it", async () => {
    const proxy = await start({ policy: pinned(`sha256/${Buffer.alloc(32, 1).toString("base64")}`) });
    expect((await through(proxy, `a.test:${secure.port}`, { ca: proxy.ca })).text).toMatch(/^HTTP\/1\.1 502 [^]*pinned/);
  });
});

describe("h2", () => {
  it("is offered to the client where the server takes it, and only there", async () => {
    const server = http2.createSecureServer({ key: pki.leaf.keyPem, cert: pki.chainPem });
    server.on("stream", (stream) => stream.end("over h2"));
    server.on("sessionError", () => {});
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const proxy = await start({ policy: { ...policy([intercepted]), ports: [port, secure.port] } });
    for (const round of [1, 2]) {
      const { socket } = await connectThrough(proxy, `a.test:${port}`);
      const connection = tls.connect({ socket, servername: "a.test", ca: proxy.ca, ALPNProtocols: ["h2", "http/1.1"] });
      await once(connection, "secureConnect");
      expect([round, connection.alpnProtocol]).toEqual([round, "h2"]);
      const session = http2.connect("https://a.test", { createConnection: () => connection });
      const request = session.request({ ":path": "/" });
      let text = "";
      for await (const chunk of request) text += String(chunk);
      expect(text).toBe("over h2");
      session.destroy();
    }
    const { socket } = await connectThrough(proxy, `b.test:${secure.port}`);
    const other = tls.connect({ socket, servername: "b.test", ca: proxy.ca, ALPNProtocols: ["h2", "http/1.1"] });
    await once(other, "secureConnect");
    expect(other.alpnProtocol).toBe("http/1.1");
    other.destroy();
    server.close();
  });
});

describe("a listener for TLS as it comes", () => {
  it("intercepts by the server name, tunnels by it, and refuses what has none", async () => {
    // Names of a hello are for port 443 there, where nothing listens: what matters is how they are decided on.
    const proxy = await start({
      direct: true,
      policy: {
        ...policy([{ match: ["a.test"], mode: "front", front: { server_name: "a.test", address: `127.0.0.1:${secure.port}` }, upstream }]),
        ports: [443],
      },
    });
    const one = await new Promise<string>((resolve) => {
      const connection = tls.connect({ port: proxy.directPort, host: "127.0.0.1", servername: "a.test", ca: proxy.ca }, () =>
        connection.write("straight"),
      );
      connection.on("data", (chunk) => {
        resolve(String(chunk));
        connection.destroy();
      });
    });
    expect(one).toBe("straight");
    const refused = await talk(net.connect(proxy.directPort, "127.0.0.1"), { servername: "b.test", ca: proxy.ca }, "x");
    expect(refused.ending).toMatch(/ACCESS_DENIED|ERR_SSL/);
    const plain = net.connect(proxy.directPort, "127.0.0.1");
    plain.resume().write("GET / HTTP/1.1\r\n\r\n");
    await once(plain, "close");
    expect(proxy.said("client-hello").map(({ decision }) => decision)).toEqual(["front", "deny", "deny"]);
  });
});
