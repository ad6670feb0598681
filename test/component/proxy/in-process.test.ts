import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, statSync, writeFileSync } from "node:fs";
import https from "node:https";
import net, { type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import tls from "node:tls";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  createProxy,
  NeedsRestartError,
  PolicyRefusedError,
  type Proxy,
  ProxyConnectError,
  type ProxyOptions,
} from "../../../host/proxy/index.ts";
import { recordsOf } from "../../support/gateway-instance.ts";
import { makePki, type TestPki } from "../../support/pki.ts";

let folder: string;
let pki: TestPki;
let server: https.Server;
let echo: net.Server;
let port: number;
let echoPort: number;
const records: Record<string, unknown>[] = [];
let proxy: Proxy;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "sallyport-test-"));
  pki = await makePki({ leaf: { dns: ["a.test"] } });
  server = https.createServer({ key: pki.leaf.keyPem, cert: pki.chainPem }, (request, response) => {
    if (request.url === "/slow") setTimeout(() => response.end("slow"), 500);
    else if (request.method === "POST") {
      const hash = createHash("sha256");
      request.on("data", (chunk: Buffer) => hash.update(chunk)).on("end", () => response.end(hash.digest("hex")));
    } else response.end(`${request.url} ${request.headers.authorization ?? ""}`);
  });
  echo = net.createServer({ allowHalfOpen: true }, (socket) => void socket.on("error", () => {}).pipe(socket));
  for (const it of [server, echo]) {
    it.listen(0, "127.0.0.1");
    await once(it, "listening");
  }
  port = (server.address() as AddressInfo).port;
  echoPort = (echo.address() as AddressInfo).port;
  proxy = await createProxy({ ...options(), audit: (record) => void records.push(record) });
});
afterAll(async () => {
  await proxy.close();
  server.closeAllConnections();
  server.close();
  echo.close();
  rmSync(folder, { recursive: true, force: true });
});

function options(change: object = {}): ProxyOptions {
  const at = (name: string, more: object = {}) => ({
    match: [`=${name}`],
    mode: "front",
    front: { server_name: "a.test", address: `127.0.0.1:${port}` },
    ...more,
  });
  const policy = {
    version: 1,
    allow_networks: ["127.0.0.0/8"],
    hosts: [
      at("a.test"),
      at("read.test", { requests: { default: "allow", secrets: [{ name: "gh", header: "authorization" }] } }),
      { match: [`127.0.0.1:${echoPort}`], mode: "tunnel", opaque: true },
    ],
    secrets: { gh: { env: ["GH_TOKEN"] } },
    timeouts: { drain_seconds: 5 },
    ...change,
  };
  writeFileSync(join(folder, "secret"), "the-secret\n", { mode: 0o600 });
  const gh = { source: { file: join(folder, "secret") }, servers: [`a.test:${port}`], forms: [{ field: "authorization" }] };
  return { policy, tls: { anchors: [pki.root.der] }, secrets: { gh }, onLine: () => {} };
}

function request(through: Proxy, url: string, more: https.RequestOptions & { body?: Buffer } = {}): Promise<string> {
  const { body, ...rest } = more;
  return new Promise((resolve, reject) => {
    const { hostname } = new URL(url);
    const createConnection: https.RequestOptions["createConnection"] = (_, done) => {
      through.connect(`${hostname}:443`).then(
        (socket) => done!(null, tls.connect({ socket, servername: hostname, ca: through.ca, ALPNProtocols: ["http/1.1"] })),
        (error: Error) => done!(error, undefined as never),
      );
      return undefined;
    };
    const asked = https.request(url, { createConnection, defaultPort: 443, ...rest }, (response) => {
      let text = "";
      response.on("data", (chunk) => (text += String(chunk))).on("end", () => resolve(text));
    });
    asked.on("error", reject).end(body);
  });
}

/** Ports that this process listens on. */
function listening(): Set<string> {
  const inodes = readdirSync("/proc/self/fd").map((fd) => {
    try {
      return /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/self/fd/${fd}`))?.[1];
    } catch {
      return undefined;
    }
  });
  const lines = ["tcp", "tcp6"].flatMap((file) => readFileSync(`/proc/self/net/${file}`, "utf8").split("\n").slice(1));
  return new Set(
    lines
      .map((line) => line.trim().split(/\s+/))
      .filter((fields) => fields[3] === "0A" && inodes.includes(fields[9]))
      .map((fields) => fields[1]!),
  );
}

const refusal = async (connecting: Promise<Duplex>) => {
  const error = await connecting.then(
    () => undefined,
    (cause: unknown) => cause as ProxyConnectError,
  );
  expect(error).toBeInstanceOf(ProxyConnectError);
  return error!;
};

describe("a proxy in this process", () => {
  it("intercepts, for who trusts its authority, and listens on no port", async () => {
    const before = listening();
    expect(before.size).toBe(2);
    expect(await request(proxy, "https://a.test/x")).toBe("/x ");
    expect(listening()).toEqual(before);
  });

  it("is not trusted by anybody else", async () => {
    const socket = tls.connect({ socket: await proxy.connect("a.test:443"), servername: "a.test" });
    const [error] = (await once(socket, "error")) as [NodeJS.ErrnoException];
    expect(error.code).toMatch(/SELF_SIGNED|UNABLE_TO/);
    socket.destroy();
  });

  it("puts secrets in place of their placeholders", async () => {
    const { GH_TOKEN } = proxy.placeholders;
    expect(Object.keys(proxy.placeholders)).toEqual(["GH_TOKEN"]);
    expect(await request(proxy, "https://read.test/y", { headers: { authorization: `Bearer ${GH_TOKEN}` } })).toBe("/y Bearer the-secret");
    expect(await request(proxy, "https://read.test/y", { headers: { "x-other": GH_TOKEN } })).toContain("placeholder");
  });

  it("says in its records, and in those of the host, that the client is in the process", async () => {
    await request(proxy, "https://a.test/");
    const wanted = ["component connection", "host accepted"];
    await expect
      .poll(() => wanted.every((kind) => records.some(({ by, event, client }) => `${by} ${event}` === kind && client === "in-process")))
      .toBe(true);
    expect(records.filter(({ client }) => client !== undefined && client !== "in-process")).toEqual([]);
    const end = () =>
      records.find(({ by, event, client, bytes_sent: sent }) => by === "host" && event === "end" && client !== undefined && sent !== 0);
    await expect.poll(end).toMatchObject({ client: "in-process", bytes_received: expect.any(Number) });
    expect(Math.min(Number(end()!["bytes_sent"]), Number(end()!["bytes_received"]))).toBeGreaterThan(300);
  });

  it("refuses as the policy does, with what it says to people", async () => {
    const error = await refusal(proxy.connect("b.test:443"));
    expect(error).toMatchObject({ code: "ERR_SALLYPORT_PROXY_REFUSED", status: 403 });
    expect(error.message).toContain("the policy does not allow b.test:443");
    expect(await refusal(proxy.connect({ host: "127.0.0.1", port: 1 }))).toMatchObject({ status: 403 });
    await expect(request(proxy, "https://b.test/")).rejects.toMatchObject({ status: 403 });
  });

  it.each([
    "a.test",
    "a.test:0",
    "a.test:65536",
    "a.test:443 x",
    "a.test:443\r\nX: y",
    ":443",
    "a.test/:443",
    "user@a.test:443",
    "::1:443",
    "",
  ])("takes no %j for a target", async (target) => {
    expect(await refusal(proxy.connect(target))).toMatchObject({ code: "ERR_SALLYPORT_PROXY_TARGET" });
  });

  it("carries what is large in both directions, whole, and holds what nobody reads", async () => {
    const body = randomBytes(24 * 1024 * 1024);
    const sum = createHash("sha256").update(body).digest("hex");
    expect(await request(proxy, "https://a.test/", { method: "POST", body })).toBe(sum);
    const socket = await proxy.connect(`127.0.0.1:${echoPort}`);
    let sent = 0;
    // Nobody reads the echo: the bytes have to stop somewhere.
    const chunk = randomBytes(64 * 1024);
    while (sent < 64 * 1024 * 1024) {
      sent += chunk.length;
      if (!socket.write(chunk) && !(await Promise.race([once(socket, "drain").then(() => true), delay(1000)]))) break;
    }
    expect(sent).toBeLessThan(64 * 1024 * 1024);
    let received = 0;
    socket.on("data", (bytes: Buffer) => (received += bytes.length));
    socket.end();
    await once(socket, "close");
    expect(received).toBe(sent);
  });

  it("ends a direction by itself, and is gone when its client is", async () => {
    const socket = await proxy.connect(`127.0.0.1:${echoPort}`);
    socket.end("last words");
    const chunks: Buffer[] = [];
    for await (const chunk of socket) chunks.push(chunk as Buffer);
    expect(Buffer.concat(chunks).toString()).toBe("last words");
    const cut = await proxy.connect(`127.0.0.1:${echoPort}`);
    const before = records.filter(({ event, by }) => event === "ended" && by === "component").length;
    cut.destroy();
    await expect.poll(() => records.filter(({ event, by }) => event === "ended" && by === "component").length).toBeGreaterThan(before);
  });

  it("gives up a connection that is not wanted any more", async () => {
    await expect(proxy.connect("a.test:443", { signal: AbortSignal.abort() })).rejects.toThrow(/aborted/);
    const controller = new AbortController();
    const connecting = proxy.connect("a.test:443", { signal: controller.signal });
    controller.abort();
    await expect(connecting).rejects.toThrow(/aborted/);
  });

  it("lets what runs finish when it is closed, takes nothing new, and leaves no file", async () => {
    const file = join(folder, "drained.jsonl");
    const mine = await createProxy({ ...options(), audit: file, workers: 2 });
    const running = request(mine, "https://a.test/slow");
    await expect.poll(() => readFileSync(file, "utf8")).toContain('"handshake"');
    const closing = mine.close();
    expect(await refusal(mine.connect("a.test:443"))).toMatchObject({ code: "ERR_SALLYPORT_PROXY_CLOSED" });
    expect(await running).toBe("slow");
    expect(await closing).toMatchObject({ connections: 1, intercepted: 1 });
    expect(await mine.close()).toBe(await closing);
    expect(recordsOf(file).some(({ event, client }) => event === "accepted" && client === "in-process")).toBe(true);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(
      readdirSync(tmpdir()).filter((name) => existsSync(join(tmpdir(), name, "anchors")) && name.includes(`-${process.pid}-`)),
    ).toEqual([]);
  });

  it("takes up another policy, and keeps the old one where the new one is bad", async () => {
    await using mine = await createProxy(options());
    expect(await request(mine, "https://a.test/")).toBe("/ ");
    await expect(mine.reload({ version: 7 })).rejects.toThrow(PolicyRefusedError);
    expect(await request(mine, "https://a.test/")).toBe("/ ");
    await expect(mine.reload(options({ allow_networks: [] }).policy as object)).rejects.toThrow(NeedsRestartError);
    await mine.reload(options({ hosts: (options().policy as { hosts: object[] }).hosts.slice(1) }).policy as object);
    expect(await refusal(mine.connect("a.test:443"))).toMatchObject({ status: 403 });
  });

  it("is made of a file as well, and not of what is no policy", async () => {
    const file = join(folder, "policy.json");
    writeFileSync(file, JSON.stringify(options().policy), { mode: 0o600 });
    await using mine = await createProxy({ ...options(), policy: file });
    expect(await request(mine, "https://a.test/")).toBe("/ ");
    await expect(mine.reload({ version: 1 })).rejects.toThrow(/file/);
    await expect(createProxy({ policy: { version: 1, defualt: "deny" } })).rejects.toThrow(PolicyRefusedError);
    await expect(createProxy({ policy: join(folder, "missing.json") })).rejects.toThrow(/missing\.json/);
    await expect(createProxy({ ...options(), workers: 0 })).rejects.toThrow(RangeError);
  });

  it("names its own options where something is missing that the policy names, and none of the command line", async () => {
    const failureOf = (made: Promise<unknown>) =>
      made.then(
        () => undefined,
        (cause: Error) => cause,
      );
    const secret = await failureOf(createProxy({ ...options(), secrets: {} }));
    expect(secret).toBeInstanceOf(NeedsRestartError);
    expect(secret!.message).toBe('it places the secret gh, which was not given: createProxy takes it as secrets["gh"]');
    const { hosts: given } = options().policy as { hosts: object[] };
    const hosts = [...given, { match: ["=c.test"], mode: "intercept", upstream: { identity: "ci" } }];
    const identity = await failureOf(createProxy(options({ hosts })));
    expect(identity).toBeInstanceOf(NeedsRestartError);
    expect(identity!.message).toContain('createProxy takes it as tls.identities["ci"]');
    await using mine = await createProxy(options());
    const later = await failureOf(mine.reload(options({ hosts }).policy as object));
    expect(later!.message).toContain("tls.identities");
    const fixed = await failureOf(mine.reload(options({ allow_networks: [], limits: { dials_per_second: 9 } }).policy as object));
    expect(fixed!.message).toContain("(allow_networks, limits)");
    for (const { message } of [secret!, identity!, later!, fixed!]) expect(message).not.toContain("--");
  });
});

function delay(milliseconds: number): Promise<false> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds, false));
}
