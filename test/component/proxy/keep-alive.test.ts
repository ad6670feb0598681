import { once } from "node:events";
import https from "node:https";
import type { AddressInfo } from "node:net";
import tls from "node:tls";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { makePki, type TestPki } from "../../support/pki.ts";
import { connectThrough, startProxy, type TestProxy } from "../../support/proxy.ts";

let pki: TestPki;
let server: https.Server;
let port: number;
let proxy: TestProxy;
const asked: { url: string; set: unknown; body: string; socket: tls.TLSSocket }[] = [];

const policy = (denied: string) => ({
  version: 1,
  ports: [port],
  allow_networks: ["127.0.0.0/8"],
  anchors: { test: "test.pem" },
  hosts: [
    {
      match: ["a.test"],
      mode: "intercept",
      upstream: { anchors: ["test"] },
      requests: {
        default: "deny",
        rules: [
          { action: "allow", paths: ["/ok/**"] },
          { action: "deny", paths: [denied] },
        ],
        set_headers: [{ name: "x-set", value: "by the policy" }],
      },
    },
  ],
});

beforeAll(async () => {
  pki = await makePki({ leaf: { dns: ["a.test"] } });
  server = https.createServer({ key: pki.leaf.keyPem, cert: pki.chainPem }, (request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const body = Buffer.concat(chunks).toString();
      asked.push({ url: request.url!, set: request.headers["x-set"], body, socket: request.socket as tls.TLSSocket });
      response.end(`answer to ${request.url}`);
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  ({ port } = server.address() as AddressInfo);
  proxy = await startProxy({
    policy: policy("/ok/never/**"),
    anchors: { test: pki.root.pem },
    permit: { names: ["a.test"] },
    names: { "a.test": ["127.0.0.1"] },
  });
});
beforeEach(() => void asked.splice(0));
afterAll(async () => {
  const records = proxy.said("request").length;
  await proxy[Symbol.asyncDispose]();
  server.close();
  server.closeAllConnections();
  expect(proxy.stderr()).toBe("");
  // Whoever let them through: each was counted, and recorded once.
  const { requests } = JSON.parse(/^summary (.*)$/m.exec(proxy.stdout())![1]!) as { requests: number };
  expect(requests).toBe(records);
});

/** A connection on which one request after another is sent; each answer has a length. */
class Client {
  private readonly socket: tls.TLSSocket;
  private text = "";

  private constructor(socket: tls.TLSSocket) {
    this.socket = socket;
    socket.on("data", (bytes: Buffer) => (this.text += bytes.toString("latin1")));
    socket.on("error", () => {});
  }

  static async connect(): Promise<Client> {
    const { socket } = await connectThrough(proxy, `a.test:${port}`);
    const secure = tls.connect({ socket, ca: proxy.ca, servername: "a.test", ALPNProtocols: ["http/1.1"] });
    await once(secure, "secureConnect");
    return new Client(secure);
  }

  send(text: string): void {
    this.socket.write(text);
  }

  /** The next answer, head and body. */
  async answer(): Promise<string> {
    for (;;) {
      const end = this.text.indexOf("\r\n\r\n") + 4;
      const length = Number(/^content-length: (\d+)/im.exec(this.text)?.[1] ?? 0);
      if (end > 3 && this.text.length >= end + length) {
        const answer = this.text.slice(0, end + length);
        this.text = this.text.slice(end + length);
        return answer;
      }
      await once(this.socket, "data");
    }
  }

  async get(path: string): Promise<string> {
    this.send(`GET ${path} HTTP/1.1\r\nHost: a.test\r\n\r\n`);
    return await this.answer();
  }

  async leave(): Promise<void> {
    this.socket.end();
    await once(this.socket, "close");
  }
}

const recorded = (path: string) => proxy.said("request").filter((record) => record.path === path);

describe("requests on one connection", () => {
  it("are each decided on, changed, recorded once and answered, over one connection to the server", async () => {
    const client = await Client.connect();
    for (let i = 0; i < 10; i++)
      expect(await client.get("/ok/same?q=secret")).toMatch(/^HTTP\/1\.1 200 [^]*answer to \/ok\/same\?q=secret$/);
    await client.leave();
    expect(new Set(asked.map(({ socket }) => socket)).size).toBe(1);
    expect(asked.map(({ set }) => set)).toEqual(Array.from({ length: 10 }, () => "by the policy"));
    await expect.poll(() => recorded("/ok/same")).toHaveLength(10);
    expect(recorded("/ok/same")[0]).toMatchObject({ decision: "allow", method: "GET", target: `a.test:${port}`, reason: "rule" });
    expect(JSON.stringify(proxy.records())).not.toContain("q=secret");
  });

  it("may be many at once, with bodies, plain ones among others, and stay in their order", async () => {
    const client = await Client.connect();
    client.send("POST /ok/1 HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello");
    client.send(
      "GET /ok/2 HTTP/1.1\r\nHost: a.test\r\nConnection: keep-alive, x\r\nX: 1\r\n\r\nPOST /ok/3 HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
    );
    client.send("GET /ok/4 HTTP/1.1\r\nHost: a");
    const answers = [await client.answer(), await client.answer(), await client.answer()];
    client.send(".test\r\n\r\n");
    answers.push(await client.answer());
    expect(answers.map((text) => /\/ok\/\d/.exec(text)?.[0])).toEqual(["/ok/1", "/ok/2", "/ok/3", "/ok/4"]);
    expect(asked.map(({ url, body }) => url + body)).toEqual(["/ok/1hello", "/ok/2", "/ok/3ab", "/ok/4"]);
    await client.leave();
  });

  it("go on over another connection when the server has ended the one between two of them, each recorded once", async () => {
    const client = await Client.connect();
    await client.get("/ok/before");
    const { socket } = asked[0]!;
    socket.destroy();
    await once(socket, "close");
    expect(await client.get("/ok/repeated")).toContain("answer to /ok/repeated");
    expect(asked.filter(({ url }) => url === "/ok/repeated")).toHaveLength(1);
    await client.leave();
    await expect.poll(() => recorded("/ok/repeated")).toHaveLength(1);
  });

  it("do not reach the server where a rule denies them, between others that do", async () => {
    const client = await Client.connect();
    expect(await client.get("/ok/a")).toContain(" 200 ");
    expect(await client.get("/no")).toContain(" 403 ");
    expect(await client.get("/ok/%2e%2e/no")).toContain(" 403 ");
    client.send("GET /ok/b HTTP/1.1\r\nHost: b.test\r\n\r\n");
    expect(await client.answer()).toContain(" 403 ");
    expect(await client.get("/ok/c")).toContain(" 200 ");
    await client.leave();
    expect(asked.map(({ url }) => url)).toEqual(["/ok/a", "/ok/c"]);
    await expect.poll(() => recorded("/no")).toHaveLength(1);
  });

  it("are not allowed for having been so under an earlier policy", async () => {
    const client = await Client.connect();
    // From the third on, nobody but the host decides.
    for (let i = 0; i < 4; i++) expect(await client.get("/ok/x")).toContain(" 200 ");
    expect(await proxy.reload(policy("/ok/x"))).toMatch(/^changed/);
    expect(await client.get("/ok/x")).toContain(" 403 ");
    expect(asked).toHaveLength(4);
    expect(await proxy.reload(policy("/ok/never/**"))).toMatch(/^changed/);
    expect(await client.get("/ok/x")).toContain(" 200 ");
    await client.leave();
  });
});
