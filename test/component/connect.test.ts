import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import net, { type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import tls from "node:tls";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { loadComponent } from "../../host/component/cache.ts";
import { compileComponent } from "../../host/component/instance.ts";
import { KeyPair } from "../../host/identity/private-identity.ts";
import { type GuestRun, startGuest } from "../support/guest-run.ts";
import { EKU, makeCertificate, makePki, type TestPki } from "../support/pki.ts";
import { connectThrough, readHead } from "../support/proxy.ts";

/** The forwarder of `sallyport connect` before a proxy that does what it likes. */
const SESSION = "fedcba9876543210fedcba9876543210";
const TOKEN = `cap:${"b".repeat(40)}.${"s".repeat(86)}`;
const folder = mkdtempSync(join(tmpdir(), "sallyport-connect-"));
let pki: TestPki;
let proxy: tls.Server;
let guest: GuestRun;
let port: number;
/** What the proxy does with a connection. */
let behave: (socket: tls.TLSSocket, head: string) => void;
let heads: string[];

beforeAll(async () => {
  pki = await makePki({ leaf: { dns: ["localhost"], ip: ["127.0.0.1"] } });
  const client = await makeCertificate({ cn: "me", eku: [EKU.clientAuth] }, pki.root);
  proxy = tls.createServer({ key: pki.leaf.keyPem, cert: pki.chainPem, ca: pki.root.pem, requestCert: true }, (socket) => {
    socket.on("error", () => {});
    let text = "";
    socket.on("data", (chunk: Buffer) => {
      text += chunk.toString("latin1");
      if (!text.includes("\r\n\r\n")) return;
      const [head] = text.split("\r\n\r\n", 1);
      text = "";
      heads.push(head!);
      behave(socket, head!);
    });
  });
  await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
  const at = `127.0.0.1:${(proxy.address() as AddressInfo).port}`;
  const pem = new TextEncoder().encode(`${client.keyPem}\n${client.pem}`);
  const code = await compileComponent(await loadComponent(readFileSync(new URL("../../dist/components/connect.wasm", import.meta.url))));
  guest = startGuest(code, {
    args: ["connect", "--listen", "127.0.0.1:0", "--proxy", at, "--identity", "me"],
    env: { SALLYPORT_CONNECT_TOKEN: SESSION },
    grants: { allowNet: [at], listen: ["127.0.0.1:0"] },
    preopens: [{ host: folder, guest: "/token", write: false }],
    tls: { identities: { me: KeyPair.parsePem(pem, undefined, "host").forWorker() }, anchors: [pki.root.der] },
  });
  port = Number((await guest.said(/^listening 127\.0\.0\.1:(\d+)$/m))[1]);
});
afterAll(() => {
  proxy.close();
  rmSync(folder, { recursive: true, force: true });
});
beforeEach(() => {
  heads = [];
  writeFileSync(join(folder, "current"), TOKEN);
});

const ask = (fields?: string) =>
  connectThrough({ port }, "server.test:443", { token: SESSION, ...(fields === undefined ? {} : { fields }) });

/** What comes until the end. */
async function rest(socket: net.Socket): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString("latin1");
}

describe("a tunnel", () => {
  it("is asked for with the capability token and nothing of what the client said, and carries bytes both ways", async () => {
    behave = (socket) => {
      socket.write("HTTP/1.1 200 OK\r\n\r\nfirst bytes");
      behave = () => {};
      socket.removeAllListeners("data").pipe(socket);
    };
    const { status, socket } = await ask("X-Secret: of-the-client\r\n");
    expect(status).toBe(200);
    expect(heads).toEqual([`CONNECT server.test:443 HTTP/1.1\r\nHost: server.test:443\r\nProxy-Authorization: Bearer ${TOKEN}`]);
    socket.end("and more");
    expect(await rest(socket)).toBe("first bytesand more");
  });

  it("is not opened for a client without the session's token, however often it tries", async () => {
    const socket = net.connect(port, "127.0.0.1");
    socket.write("CONNECT server.test:443 HTTP/1.1\r\nHost: server.test\r\nProxy-Authorization: Bearer wrong\r\n\r\n".repeat(4));
    expect((await rest(socket)).match(/^HTTP\/1\.1 407/gm)).toHaveLength(3);
    expect(heads).toEqual([]);
  });

  it("is asked for once more with a token that was renewed meanwhile", async () => {
    const renewed = `${TOKEN.slice(0, -1)}t`;
    behave = (socket, head) => {
      if (head.includes(renewed)) return void socket.write("HTTP/1.1 200 OK\r\n\r\n");
      writeFileSync(join(folder, "current"), renewed);
      socket.write("HTTP/1.1 407 No\r\nContent-Length: 2\r\n\r\nno");
    };
    const { status, socket } = await ask();
    socket.destroy();
    expect([status, heads.length]).toEqual([200, 2]);
  });

  it("is not asked for again and again", async () => {
    behave = (socket) => {
      writeFileSync(join(folder, "current"), `${TOKEN.slice(0, -2)}${10 + heads.length}`);
      socket.write("HTTP/1.1 407 No\r\nContent-Length: 2\r\n\r\nno");
      if (heads.length > 20) socket.destroy();
    };
    const { status, socket } = await ask();
    socket.destroy();
    expect(status).toBe(502);
    expect(heads.length).toBeLessThan(4);
  });
});

describe("what a proxy answers with", () => {
  it.each<[what: string, answer: string, status: number]>([
    ["a refusal is passed on", "HTTP/1.1 403 No\r\nContent-Length: 9\r\n\r\nnot there", 403],
    ["a challenge is not the client's to answer", "HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n", 502],
    ["what is no HTTP is not passed on", "SSH-2.0-x\r\n\r\n", 502],
    ["a head without end is not waited for", `HTTP/1.1 200 OK\r\nX: ${"y".repeat(40_000)}`, 502],
    ["two lengths are none", "HTTP/1.1 403 No\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 502],
    ["interim answers without end are not listened to", "HTTP/1.1 100 Continue\r\n\r\n".repeat(5000), 502],
  ])("%s", async (_, answer, status) => {
    behave = (socket) => void socket.write(answer);
    const { status: told, head, socket } = await ask();
    const text = head + (await rest(socket));
    expect(told).toBe(status);
    expect(text).not.toContain(TOKEN.slice(4, 40));
    expect(text.length).toBeLessThan(2000);
  });

  it("a challenge and its reason are told to whoever runs it as well, since many programs show nothing of it", async () => {
    behave = (socket) => void socket.write("HTTP/1.1 407 No\r\nContent-Length: 13\r\n\r\n\u001b[2Jtoo late!");
    const { socket } = await ask();
    expect(await rest(socket)).toContain("the proxy does not take the capability token: ");
    expect(guest.stderr()).toMatch(/^connect: the proxy does not take the capability token: .*too late!$/m);
    expect(guest.stderr()).not.toContain("\u001b");
  });

  it("a refusal's reason reaches the client whole", async () => {
    behave = (socket) => void socket.write("HTTP/1.1 403 No\r\nContent-Length: 9\r\n\r\nnot there");
    const { head, socket } = await ask();
    expect(head + (await rest(socket))).toMatch(/^HTTP\/1\.1 403 .*not there\n?$/s);
    expect(guest.stderr()).not.toContain("not there");
  });

  it("nothing: the client is told", async () => {
    behave = (socket) => void socket.destroy();
    const { status, socket } = await ask();
    socket.destroy();
    expect(status).toBe(502);
  });

  it.each(["", "not a token", `${TOKEN}\r\nX-Injected: 1`])("is not even asked for with the token %j", async (text) => {
    writeFileSync(join(folder, "current"), text);
    const { status, socket } = await ask();
    socket.destroy();
    expect([status, heads]).toEqual([502, []]);
  });
});

describe("a request in plain HTTP", () => {
  const request = (target: string) => `GET ${target} HTTP/1.1\r\nHost: server.test\r\nProxy-Authorization: Bearer ${SESSION}\r\n\r\n`;

  it("goes on with the capability token in place of the session's, and what the client sends behind it does not", async () => {
    behave = (socket) => void socket.end("HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\npage");
    const socket = net.connect(port, "127.0.0.1");
    socket.write(request("http://server.test/one") + request("http://server.test/two"));
    expect(await rest(socket)).toMatch(/^HTTP\/1\.1 200 OK[^]*page$/);
    expect(heads).toHaveLength(1);
    expect(heads[0]).toMatch(new RegExp(`^GET http://server\\.test/one HTTP/1\\.1[^]*Proxy-Authorization: Bearer ${TOKEN}`));
    expect(heads.join()).not.toContain(SESSION);
  });

  it.each(["GET / HTTP/1.1\r\n", "GET http://a b/ HTTP/1.1\r\n", "\u0016\u0003\u0001\u0002\u0000\u0001\r\n\r\n"])(
    "%j gets no further",
    async (text) => {
      behave = (socket) => void socket.end("HTTP/1.1 400 Bad\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
      const socket = net.connect(port, "127.0.0.1");
      socket.write(`${text}Host: server.test\r\n\r\n`);
      const answered = await Promise.race([readHead(socket), once(socket, "close").then(() => "")]);
      socket.destroy();
      expect(answered).toMatch(/^HTTP\/1\.1 (400|407)|^$/);
      expect(heads).toEqual([]);
    },
  );
});
