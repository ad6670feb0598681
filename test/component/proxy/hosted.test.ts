import { once } from "node:events";
import net from "node:net";
import tls from "node:tls";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { tcpServer, type TestServer, tlsServer } from "../../support/https-servers.ts";
import { makePki, type TestPki } from "../../support/pki.ts";
import { readHead, startProxy, talk, type TestProxy, TOKEN } from "../../support/proxy.ts";

/** The way of a connection that the host takes through, and that of one that the guest does all of: nobody can tell them apart. */
let pki: TestPki;
let server: TestServer;
let silent: TestServer;
let closedPort: number;
const running: TestProxy[] = [];

beforeAll(async () => {
  pki = await makePki({ leaf: { dns: ["a.test", "rules.test"] } });
  server = await tlsServer(
    pki,
    (socket) => {
      socket.on("data", (data) => {
        if (!data.toString().startsWith("GET")) return void socket.write(data);
        socket.end("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
      });
      socket.on("end", () => socket.end());
    },
    { ALPNProtocols: ["http/1.1"] },
  );
  silent = await tcpServer((socket) => void socket.resume());
  const gone = await tcpServer(() => {});
  closedPort = gone.port;
  await gone[Symbol.asyncDispose]();
});
afterEach(async () => {
  for (const proxy of running.splice(0)) {
    await proxy[Symbol.asyncDispose]();
    expect(proxy.stderr()).toBe("");
  }
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await silent[Symbol.asyncDispose]();
});

async function start(): Promise<TestProxy> {
  const upstream = { anchors: ["test"], only_anchors: true };
  const proxy = await startProxy({
    policy: {
      version: 1,
      ports: [server.port, silent.port, closedPort],
      allow_networks: ["127.0.0.0/8"],
      anchors: { test: "test.pem" },
      timeouts: { handshake_seconds: 2, idle_seconds: 1 },
      hosts: [
        { match: ["a.test"], mode: "intercept", upstream },
        { match: ["wrong.test"], mode: "intercept", upstream },
        {
          match: ["rules.test"],
          mode: "intercept",
          upstream,
          requests: { default: "deny", rules: [{ methods: ["GET"], paths: ["/**"], action: "allow" }] },
        },
      ],
    },
    names: Object.fromEntries(["a.test", "rules.test", "wrong.test"].map((name) => [name, ["127.0.0.1"]])),
    anchors: { test: pki.root.pem },
    permit: { names: ["a.test", "rules.test", "wrong.test"] },
  });
  running.push(proxy);
  return proxy;
}

/** Sent whole the host reads a CONNECT; in two pieces it is the guest's. */
type By = "host" | "guest";

async function connected(proxy: TestProxy, by: By, target: string): Promise<net.Socket> {
  const socket = net.connect({ port: proxy.port, host: "127.0.0.1", noDelay: true });
  socket.on("error", () => {});
  const head = `CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\nProxy-Authorization: Bearer ${TOKEN}\r\n\r\n`;
  if (by === "host") socket.write(head);
  else {
    socket.write(head.slice(0, 30));
    await new Promise((resolve) => setTimeout(resolve, 30));
    socket.write(head.slice(30));
  }
  await readHead(socket);
  return socket;
}

/** What differs from one run to the next, or is the same thing in another run's numbers. */
const VARIES = new Set([
  "time",
  "instance",
  "duration_ms",
  "client",
  "client_address",
  "listener",
  "leaf_serial",
  "fingerprint",
  "not_before",
  "not_after",
]);

/** The records of one client, by the component and by the host: each in their order, but that two ends may come in any. */
async function recordsOf(proxy: TestProxy, act: (proxy: TestProxy) => Promise<unknown>) {
  await act(proxy);
  await proxy.recorded(({ by, event }) => by === "component" && event === "ended");
  await expect
    .poll(() => proxy.records().filter(({ by, event }) => by === "host" && event === "end").length, { timeout: 5000 })
    .toBe(
      proxy.records().filter(({ event }) => event === "accepted" || event === "dial").length -
        proxy.records().filter(({ event }) => event === "dial-failed").length,
    );
  const plain = proxy.records().map((record) => Object.fromEntries(Object.entries(record).filter(([key]) => !VARIES.has(key))));
  const of = (who: string) => plain.filter(({ by }) => by === who);
  const isEnd = ({ event }: Record<string, unknown>) => event === "end";
  const ends = of("host")
    .filter(isEnd)
    // How many bytes of TLS there were is a matter of signatures; an end that is cut may be seen by either side first.
    .map((record) => JSON.stringify({ ...record, bytes_sent: undefined, bytes_received: undefined, reason: undefined }))
    .toSorted();
  return { component: of("component"), host: of("host").filter((record) => !isEnd(record)), ends };
}

const secure = (socket: net.Socket, proxy: TestProxy, servername = "a.test", ca = proxy.ca): tls.TLSSocket =>
  tls.connect({ socket, servername, ca, ALPNProtocols: ["http/1.1"] }).on("error", () => {});

const closed = (socket: net.Socket): Promise<unknown> =>
  new Promise((resolve) => (socket.closed ? resolve(undefined) : socket.resume().once("close", resolve)));

const histories: Record<string, (proxy: TestProxy, by: By) => Promise<unknown>> = {
  "sends, and hears the answer": async (proxy, by) => {
    const connection = secure(await connected(proxy, by, `a.test:${server.port}`), proxy);
    connection.write("hello");
    await once(connection, "data");
    connection.end();
    await closed(connection);
  },
  "asks for what a rule allows": async (proxy, by) => {
    const socket = await connected(proxy, by, `rules.test:${server.port}`);
    await talk(socket, { servername: "rules.test", ca: proxy.ca }, "GET /x HTTP/1.1\r\nHost: rules.test\r\nConnection: close\r\n\r\n");
  },
  "asks for what no rule allows": async (proxy, by) => {
    const socket = await connected(proxy, by, `rules.test:${server.port}`);
    await talk(socket, { servername: "rules.test", ca: proxy.ca }, "PUT /x HTTP/1.1\r\nHost: rules.test\r\nConnection: close\r\n\r\n");
  },
  "says nothing after the handshake": async (proxy, by) => {
    const connection = secure(await connected(proxy, by, `a.test:${server.port}`), proxy);
    await once(connection, "secureConnect");
    await new Promise((resolve) => setTimeout(resolve, 50));
    connection.end();
    await closed(connection);
  },
  "does not trust the certificate": async (proxy, by) =>
    await closed(secure(await connected(proxy, by, `a.test:${server.port}`), proxy, "a.test", pki.root.pem)),
  "asks for another name": async (proxy, by) =>
    await closed(secure(await connected(proxy, by, `a.test:${server.port}`), proxy, "rules.test")),
  "speaks none of the protocols": async (proxy, by) => {
    const socket = await connected(proxy, by, `a.test:${server.port}`);
    await closed(tls.connect({ socket, servername: "a.test", ca: proxy.ca, ALPNProtocols: ["x"] }).on("error", () => {}));
  },
  "speaks no TLS": async (proxy, by) => {
    const socket = await connected(proxy, by, `a.test:${server.port}`);
    socket.write("GET / HTTP/1.1\r\n\r\n");
    await closed(socket);
  },
  "leaves before its hello": async (proxy, by) => {
    const socket = await connected(proxy, by, `a.test:${server.port}`);
    socket.end();
    await closed(socket);
  },
  "never sends a hello": async (proxy, by) => await closed(await connected(proxy, by, `a.test:${server.port}`)),
  "sends nothing for too long": async (proxy, by) => {
    const connection = secure(await connected(proxy, by, `a.test:${server.port}`), proxy);
    connection.write("hello");
    await closed(connection);
  },
  "wants a server that is not there": async (proxy, by) => {
    const socket = await connected(proxy, by, `a.test:${closedPort}`);
    const { text } = await talk(socket, { ca: proxy.ca }, "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    expect(text).toMatch(/^HTTP\/1\.1 502 /);
  },
  "wants a server that says nothing": async (proxy, by) => {
    const socket = await connected(proxy, by, `a.test:${silent.port}`);
    const { text } = await talk(socket, { ca: proxy.ca }, "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    expect(text).toMatch(/^HTTP\/1\.1 504 /);
  },
  "wants a server that has another certificate": async (proxy, by) => {
    const socket = await connected(proxy, by, `wrong.test:${server.port}`);
    const { text } = await talk(socket, { servername: "wrong.test", ca: proxy.ca }, "GET / HTTP/1.1\r\nHost: wrong.test\r\n\r\n");
    expect(text).toMatch(/^HTTP\/1\.1 502 /);
  },
  "is no longer allowed": async (proxy, by) => {
    const connection = secure(await connected(proxy, by, `a.test:${server.port}`), proxy);
    connection.write("hello");
    await once(connection, "data");
    await proxy.reload({ version: 1, hosts: [] });
    await closed(connection);
  },
};

describe("the records of a client", () => {
  it.each(Object.keys(histories))("that %s are the same, whoever takes it through", async (name) => {
    const act = histories[name]!;
    const byHost = await recordsOf(await start(), (proxy) => act(proxy, "host"));
    const byGuest = await recordsOf(await start(), (proxy) => act(proxy, "guest"));
    expect(byHost.component.length).toBeGreaterThan(1);
    expect(byHost).toEqual(byGuest);
  });
});

describe("a connection that the host takes through", () => {
  const handlesFor = async (by: By): Promise<number> => {
    const proxy = await start();
    const one = secure(await connected(proxy, by, `a.test:${server.port}`), proxy);
    one.write("hello");
    await once(one, "data");
    const before = proxy.handles();
    const another = secure(await connected(proxy, by, `a.test:${server.port}`), proxy);
    another.write("hello");
    await once(another, "data");
    const handles = proxy.handles() - before;
    one.destroy();
    another.destroy();
    return handles;
  };

  it("costs the guest no handle, and is told apart from one that it takes through itself by that alone", async () => {
    expect(await handlesFor("host")).toBe(0);
    expect(await handlesFor("guest")).toBeGreaterThan(3);
  });

  it("is decided on anew under another policy", async () => {
    const proxy = await start();
    await histories["sends, and hears the answer"]!(proxy, "host");
    await proxy.reload({ version: 1, ports: [server.port], hosts: [] });
    const socket = net.connect(proxy.port, "127.0.0.1");
    socket.write(`CONNECT a.test:${server.port} HTTP/1.1\r\nHost: x\r\nProxy-Authorization: Bearer ${TOKEN}\r\n\r\n`);
    expect(await readHead(socket)).toMatch(/^HTTP\/1\.1 403 /);
    socket.destroy();
  });

  it("is not let in without its token, and may show it after that", async () => {
    const proxy = await start();
    const socket = net.connect(proxy.port, "127.0.0.1");
    let heard = "";
    socket.on("data", (data) => (heard += data.toString()));
    const head = `CONNECT a.test:${server.port} HTTP/1.1\r\nHost: x\r\n`;
    const statuses = () => Array.from(heard.matchAll(/HTTP\/1\.1 (\d+)/g), ([, status]) => status);
    socket.write(`${head}\r\n`);
    await expect.poll(statuses).toEqual(["407"]);
    socket.write(`${head}Proxy-Authorization: Bearer ${TOKEN.slice(0, -1)}0\r\n\r\n`);
    await expect.poll(statuses).toEqual(["407", "407"]);
    socket.write(`${head}Proxy-Authorization: Bearer ${TOKEN}\r\n\r\n`);
    await expect.poll(statuses).toEqual(["407", "407", "200"]);
    socket.destroy();
  });
});
