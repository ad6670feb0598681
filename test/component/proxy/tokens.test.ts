import { generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingHttpHeaders, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import tls from "node:tls";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { KeyPair } from "../../../host/identity/private-identity.ts";
import { bindingOf } from "../../../src/tokens/index.ts";
import { encodeBase64url } from "../../../src/wire/base64url.ts";
import { httpsServer, type TestServer } from "../../support/https-servers.ts";
import { type Certified, EKU, makeCertificate, makePki, type TestPki } from "../../support/pki.ts";
import { type ProxyOptions, readHead, startProxy, talk, type TestProxy, TOKEN } from "../../support/proxy.ts";

const AUDIENCE = "gate";
const DAY = 86_400;

let pki: TestPki;
let proxyCertificate: Certified;
let alice: Certified;
let mallory: Certified;
/** Of another authority than the one that the proxy trusts. */
let stranger: Certified;
let server: TestServer;
let plain: Server;
let seen: IncomingHttpHeaders;
let key: KeyObject;
let access: { keys: { issuer: string; publicKey: string }[]; revoked: { issuer: string; subject: string }[] };
let policy: Record<string, unknown>;
let proxy: TestProxy;

beforeAll(async () => {
  pki = await makePki({ leaf: { dns: ["a.test", "group.test"] } });
  const issuer = pki.intermediates[0]!;
  const clientEku = [EKU.clientAuth];
  proxyCertificate = await makeCertificate({ dns: ["localhost"] }, issuer);
  alice = await makeCertificate({ cn: "alice", eku: clientEku }, pki.root);
  mallory = await makeCertificate({ cn: "mallory", eku: clientEku }, pki.root);
  stranger = await makeCertificate({ cn: "alice", eku: clientEku });
  server = await httpsServer(pki, (request, response) => {
    seen = request.headers;
    response.end("the page");
  });
  plain = createServer((request, response) => {
    seen = request.headers;
    response.end("the plain page");
  }).listen(0, "127.0.0.1");
  await once(plain, "listening");
  const pair = generateKeyPairSync("ed25519");
  key = pair.privateKey;
  access = { keys: [{ issuer: "ops", publicKey: pair.publicKey.export({ format: "jwk" }).x! }], revoked: [] };
  policy = {
    version: 1,
    ports: [server.port, plainPort()],
    allow_networks: ["127.0.0.0/8"],
    anchors: { test: "test.pem" },
    hosts: [
      { match: ["group.test"], mode: "tunnel", groups: ["BEAM"] },
      { match: ["a.test"], mode: "intercept", requests: { default: "allow" }, upstream: { anchors: ["test"] } },
    ],
    ca: { permit: ["a.test"] },
  };
  proxy = await start();
});
afterAll(async () => {
  await proxy[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
  plain.close();
  expect(proxy.stderr()).toBe("");
});

function start(args: string[] = [], options: Partial<ProxyOptions> = {}): Promise<TestProxy> {
  return startProxy({
    policy,
    anchors: { test: pki.root.pem },
    permit: { names: ["a.test"] },
    names: { "a.test": ["127.0.0.1"], "group.test": ["127.0.0.1"] },
    access: { "tokens.json": JSON.stringify(access), "clients.pem": pki.root.pem },
    tls: { identities: { gate: identityOf(proxyCertificate) } },
    args: [
      ..."--tls-listen=127.0.0.1:0 --tls-identity=gate --client-certificates=required --tokens=required".split(/[ =]/),
      "--audience",
      AUDIENCE,
      ...args,
    ],
    ...options,
  });
}

function identityOf(of: Certified) {
  const pem = `${of.keyPem}\n${of.pem}\n${pki.intermediates[0]!.pem}`;
  return KeyPair.parsePem(new TextEncoder().encode(pem), undefined, "host").forWorker();
}

function plainPort(): number {
  return (plain.address() as AddressInfo).port;
}

/** Signed by Node, and not by the code under test. */
function token(claims: Record<string, unknown> = {}, by: KeyObject = key): string {
  const whole = {
    sub: "alice",
    groups: ["BEAM"],
    exp: Math.floor(Date.now() / 1000) + DAY,
    iss: "ops",
    aud: AUDIENCE,
    cnf: encodeBase64url(bindingOf(alice.der)),
    ...claims,
  };
  const payload = encodeBase64url(new TextEncoder().encode(JSON.stringify(whole)));
  return `cap:${payload}.${encodeBase64url(sign(null, new TextEncoder().encode(payload), by))}`;
}

interface Entered {
  status: number;
  head: string;
  socket: tls.TLSSocket;
}

async function outer(
  certificate: Certified | null = alice,
  to: TestProxy = proxy,
  options: tls.ConnectionOptions = {},
): Promise<tls.TLSSocket> {
  const socket = tls.connect({
    host: "127.0.0.1",
    port: to.tlsPort,
    servername: "localhost",
    ca: pki.root.pem,
    ...(certificate === null ? {} : { key: certificate.keyPem, cert: certificate.pem }),
    ...options,
  });
  socket.on("error", () => {});
  await once(socket, "secureConnect");
  return socket;
}

async function ask(socket: tls.TLSSocket, target: string, authorization: string | undefined): Promise<Entered> {
  const field = authorization === undefined ? "" : `Proxy-Authorization: ${authorization}\r\n`;
  socket.write(`CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n${field}\r\n`);
  const reading = readHead(socket);
  socket.resume();
  const head = await reading;
  return { status: Number(/^HTTP\/1\.1 (\d+)/.exec(head)?.[1] ?? 0), head, socket };
}

async function enter(
  authorization: string | undefined,
  certificate: Certified = alice,
  host = "a.test",
  to: TestProxy = proxy,
): Promise<Entered> {
  return await ask(await outer(certificate, to), `${host}:${server.port}`, authorization);
}

/** Ask on a connection that is new, and the record of it, which may be written a little after the answer. */
async function askRecorded(
  socket: tls.TLSSocket,
  authorization: string | undefined,
  by: TestProxy = proxy,
): Promise<{ status: number; record: Record<string, unknown> }> {
  // What happened before the handshake is written by now: records wait for no more than a turn of the event loop.
  const before = by.said("authentication").length;
  const { status } = await ask(socket, `a.test:${server.port}`, authorization);
  await by.recorded(() => by.said("authentication").length > before);
  return { status, record: by.said("authentication").at(-1)! };
}

/** The status, and the reason in the record, of somebody who is not let in. */
async function refusal(
  authorization: string | undefined,
  certificate: Certified = alice,
  by: TestProxy = proxy,
): Promise<{ status: number; reason: unknown }> {
  const socket = await outer(certificate, by);
  const { status, record } = await askRecorded(socket, authorization, by);
  socket.destroy();
  return { status, reason: record["decision"] === "deny" ? record["reason"] : undefined };
}

const GET = "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n";

describe("a token bound to the client's certificate", () => {
  it("opens the way to the page, and the record says whose it is", async () => {
    const { status, socket } = await enter(`Bearer ${token()}`);
    expect(status).toBe(200);
    expect((await talk(socket, { ca: proxy.ca }, GET)).text).toMatch(/^HTTP\/1\.1 200 OK[^]*the page$/);
    const record = await proxy.recorded(({ event, decision }) => event === "authentication" && decision === "allow");
    expect(record).toMatchObject({ reason: "subject alice", rule: "token of ops", client_subject: expect.stringContaining("alice") });
  });

  it("is taken as the password of Basic", async () => {
    const { status, socket } = await enter(`Basic ${Buffer.from(`anybody:${token()}`).toString("base64")}`);
    socket.destroy();
    expect(status).toBe(200);
  });

  it("opens what the policy has for its groups, and a token of another group does not", async () => {
    const inside = await enter(`Bearer ${token()}`, alice, "group.test");
    expect(inside.status).toBe(200);
    inside.socket.destroy();
    const outside = await enter(`Bearer ${token({ groups: ["CREW"] })}`, alice, "group.test");
    expect(outside.status).toBe(403);
    outside.socket.destroy();
  });

  it("lets requests in plain HTTP in, and goes no further than the proxy", async () => {
    const socket = await outer();
    socket.write(
      `GET http://a.test:${plainPort()}/ HTTP/1.1\r\nHost: a.test:${plainPort()}\r\nProxy-Authorization: Bearer ${token()}\r\nConnection: close\r\n\r\n`,
    );
    const chunks: Buffer[] = [];
    for await (const chunk of socket) chunks.push(chunk as Buffer);
    expect(Buffer.concat(chunks).toString()).toMatch(/^HTTP\/1\.1 200 OK[^]*the plain page/);
    expect(seen).not.toHaveProperty("proxy-authorization");
  });

  it("does not go on to the server from within an interception either", async () => {
    const { socket } = await enter(`Bearer ${token()}`);
    await talk(socket, { ca: proxy.ca }, GET.replace("\r\n\r\n", `\r\nProxy-Authorization: Bearer ${token()}\r\n\r\n`));
    expect(seen.host).toBe("a.test");
    expect(seen).not.toHaveProperty("proxy-authorization");
  });
});

describe("407 with the code of the check that failed", () => {
  it.each<[what: string, claims: Record<string, unknown>, reason: string]>([
    ["an expired token", { exp: 1_600_000_000 }, "expired"],
    ["one for another audience", { aud: "elsewhere" }, "audience-mismatch"],
    ["one that is bound to nothing", { cnf: undefined }, "unbound"],
    ["one that is bound to another certificate", { cnf: encodeBase64url(new Uint8Array(32)) }, "binding-mismatch"],
    ["one of an issuer that nobody trusts", { iss: "nobody" }, "unknown-issuer"],
    ["one that is bound to another connection", { "tls-exporter": encodeBase64url(new Uint8Array(32)) }, "binding-mismatch"],
  ])("%s", async (_, claims, reason) => {
    expect(await refusal(`Bearer ${token(claims)}`)).toEqual({ status: 407, reason });
  });

  it("one that another client shows than the one that it was made for", async () => {
    expect(await refusal(`Bearer ${token()}`, mallory)).toEqual({ status: 407, reason: "binding-mismatch" });
  });

  it("one that another key signed", async () => {
    expect(await refusal(`Bearer ${token({}, generateKeyPairSync("ed25519").privateKey)}`)).toEqual({
      status: 407,
      reason: "bad-signature",
    });
  });

  it.each([
    ["none", undefined, "no-token"],
    ["the session token of the other listener", `Bearer ${TOKEN}`, "missing-prefix"],
    ["another scheme", "Digest x", "malformed-credentials"],
    ["more than any token has", `Bearer cap:${"A".repeat(10_000)}`, "malformed-credentials"],
  ])("%s", async (_, authorization, reason) => {
    expect(await refusal(authorization)).toEqual({ status: 407, reason });
  });

  it("two of them", async () => {
    expect(await refusal(`Bearer ${token()}\r\nProxy-Authorization: Bearer ${token()}`)).toEqual({
      status: 407,
      reason: "malformed-credentials",
    });
  });

  it("on the listener without TLS, where nothing is bound", async () => {
    const { connectThrough } = await import("../../support/proxy.ts");
    const { status, socket } = await connectThrough(proxy, `a.test:${server.port}`, { token: token() });
    socket.destroy();
    expect(status).toBe(407);
  });

  it("is followed by a retry on the same connection, and by the end after three", async () => {
    const socket = await outer();
    expect((await ask(socket, `a.test:${server.port}`, undefined)).status).toBe(407);
    await drainAnswer(socket);
    expect((await ask(socket, `a.test:${server.port}`, `Bearer ${token()}`)).status).toBe(200);
    socket.destroy();
    const other = await outer();
    const text: Buffer[] = [];
    other.on("data", (chunk: Buffer) => text.push(chunk));
    const head = `CONNECT a.test:${server.port} HTTP/1.1\r\nHost: a.test\r\n\r\n`;
    other.write(head.repeat(4));
    await once(other, "end");
    expect(
      Buffer.concat(text)
        .toString()
        .match(/^HTTP\/1\.1 407/gm),
    ).toHaveLength(3);
    expect(Buffer.concat(text).toString()).toMatch(/Connection: close/);
  });

  it("leaves no token in the records", () => {
    expect(JSON.stringify(proxy.records())).not.toMatch(/cap:/);
  });
});

describe("the client's certificate", () => {
  it("has to be of an authority that the proxy trusts: the same name of another one does not shake hands", async () => {
    const socket = await outer(stranger).catch((error: unknown) => error as Error);
    if (!(socket instanceof Error))
      await expect(ask(socket, `a.test:${server.port}`, `Bearer ${token()}`)).resolves.toMatchObject({ status: 0 });
    await proxy.recorded(({ event, error }) => event === "handshake" && String(error).startsWith("client: "));
  });

  it("has to be there", async () => {
    const socket = await outer(null, proxy).catch((error: unknown) => error as Error);
    if (!(socket instanceof Error))
      await expect(ask(socket, `a.test:${server.port}`, `Bearer ${token()}`)).resolves.toMatchObject({ status: 0 });
  });

  it.each(["TLSv1.2", "TLSv1.3"] as const)("is shown anew by a client that comes back with its session (%s)", async (maxVersion) => {
    const first = await outer(alice, proxy, { maxVersion });
    let session: Buffer | undefined = first.getSession();
    first.on("session", (fresh: Buffer) => (session = fresh));
    expect((await ask(first, `a.test:${server.port}`, `Bearer ${token()}`)).status).toBe(200);
    first.destroy();
    // The thief of a session and a token has another certificate, or none.
    const second = await outer(mallory, proxy, { maxVersion, ...(session === undefined ? {} : { session }) });
    expect(second.isSessionReused()).toBe(false);
    const { status, record } = await askRecorded(second, `Bearer ${token()}`);
    second.destroy();
    expect(status).toBe(407);
    expect(record).toMatchObject({ reason: "binding-mismatch", client_subject: expect.stringContaining("mallory") });
  });
});

describe("a token that was copied", () => {
  it.each(["TLSv1.2", "TLSv1.3"] as const)(
    "opens no second connection where it was bound to one, the session's or not (%s)",
    async (maxVersion) => {
      const first = await outer(alice, proxy, { maxVersion });
      let session: Buffer | undefined = first.getSession();
      first.on("session", (fresh: Buffer) => (session = fresh));
      const exported = first.exportKeyingMaterial(32, "EXPORTER-Channel-Binding", Buffer.alloc(0));
      const copied = `Bearer ${token({ "tls-exporter": encodeBase64url(exported) })}`;
      expect((await ask(first, `a.test:${server.port}`, copied)).status).toBe(200);
      first.destroy();
      const second = await outer(alice, proxy, { maxVersion, ...(session === undefined ? {} : { session }) });
      const { status, record } = await askRecorded(second, copied);
      second.destroy();
      expect(status).toBe(407);
      expect(record).toMatchObject({ decision: "deny", reason: "binding-mismatch" });
    },
  );

  it("opens nothing over TLS in one direction, where clients need no certificate", async () => {
    const other = await start(["--client-certificates", "optional"]);
    try {
      const thief = await outer(null, other);
      const { status, record } = await askRecorded(thief, `Bearer ${token()}`, other);
      thief.destroy();
      expect(status).toBe(407);
      expect(record).toMatchObject({ decision: "deny", reason: "binding-mismatch" });
      const owner = await enter(`Bearer ${token()}`, alice, "a.test", other);
      owner.socket.destroy();
      expect(owner.status).toBe(200);
    } finally {
      await other[Symbol.asyncDispose]();
    }
  });

  it("leaves its subject's name nowhere among those who were let in", async () => {
    const { socket } = await enter(`Bearer ${token({ sub: "impostor" })}`, mallory);
    socket.destroy();
    const record = await proxy.recorded(
      ({ event, client_subject }) => event === "authentication" && String(client_subject).includes("mallory"),
    );
    expect(record).toMatchObject({ decision: "deny" });
    expect(JSON.stringify(proxy.records())).not.toContain("impostor");
  });
});

describe("what is trusted and revoked", () => {
  it("holds for new connections as soon as the host says so, and connections that are there go on", async () => {
    const there = await enter(`Bearer ${token()}`);
    proxy.writeAccess("tokens.json", JSON.stringify({ ...access, revoked: [{ issuer: "ops", subject: "alice" }] }));
    expect(await proxy.reload(policy)).toBe("changed 0");
    expect(await refusal(`Bearer ${token()}`)).toEqual({ status: 407, reason: "revoked" });
    expect((await talk(there.socket, { ca: proxy.ca }, GET)).text).toContain("the page");
    proxy.writeAccess("tokens.json", JSON.stringify({ ...access, keys: [] }));
    await proxy.reload(policy);
    expect(await refusal(`Bearer ${token()}`)).toEqual({ status: 407, reason: "unknown-issuer" });
    proxy.writeAccess("tokens.json", JSON.stringify(access));
    await proxy.reload(policy);
    const again = await enter(`Bearer ${token()}`);
    expect(again.status).toBe(200);
    again.socket.destroy();
  });

  it("stays as it was when the file cannot be read", async () => {
    const other = await start();
    try {
      other.writeAccess("tokens.json", "{");
      expect(await other.reload(policy)).toBe("refused");
      const { status, socket } = await enter(`Bearer ${token()}`, alice, "a.test", other);
      socket.destroy();
      expect(status).toBe(200);
    } finally {
      await other[Symbol.asyncDispose]();
    }
  });

  it("ends the connections of the revoked where that is asked for", async () => {
    const other = await start(["--end-revoked"]);
    try {
      const ended = await enter(`Bearer ${token()}`, alice, "group.test", other);
      const stays = await enter(`Bearer ${token({ sub: "bob" })}`, alice, "group.test", other);
      other.writeAccess("tokens.json", JSON.stringify({ ...access, revoked: [{ issuer: "ops", subject: "alice" }] }));
      expect(await other.reload(policy)).toBe("changed 1");
      await once(ended.socket.resume(), "close");
      expect(stays.socket.closed).toBe(false);
      await other.recorded(({ event, error }) => event === "ended" && error === "the subject of the token was revoked");
      other.revoke("bob");
      await once(stays.socket.resume(), "close");
    } finally {
      await other[Symbol.asyncDispose]();
    }
  });
});

describe("what the policy says of tokens", () => {
  const soon = () => Math.floor(Date.now() / 1000) + 3;
  const closed = (socket: tls.TLSSocket) => (socket.closed ? Promise.resolve() : once(socket.resume(), "close"));

  it("by default, what a token opened ends when it expires, and what others opened goes on", async () => {
    const brief = await enter(`Bearer ${token({ exp: soon() })}`, alice, "group.test");
    const long = await enter(`Bearer ${token()}`, alice, "group.test");
    expect([brief.status, long.status]).toEqual([200, 200]);
    await closed(brief.socket);
    await proxy.recorded(({ event, error }) => event === "ended" && error === "the token expired");
    expect(long.socket.closed).toBe(false);
    long.socket.destroy();
  });

  it("end_at_expiry, when it is off, lets it go on, until the policy is another one", async () => {
    const other = await start([], { policy: { ...policy, tokens: { end_at_expiry: false } } });
    try {
      const text = token({ exp: soon() });
      const there = await enter(`Bearer ${text}`, alice, "a.test", other);
      const idle = await enter(`Bearer ${text}`, alice, "group.test", other);
      await expect
        .poll(async () => (await refusal(`Bearer ${text}`, alice, other)).reason, { timeout: 20_000, interval: 200 })
        .toBe("expired");
      // Longer than it takes to look once more.
      await new Promise((resolve) => setTimeout(resolve, 1200));
      expect((await talk(there.socket, { ca: other.ca }, GET)).text).toContain("the page");
      await other.reload(policy);
      await closed(idle.socket);
    } finally {
      await other[Symbol.asyncDispose]();
    }
  });

  it("require_tls_exporter refuses tokens that are bound to no more than the certificate", async () => {
    const other = await start([], { policy: { ...policy, tokens: { require_tls_exporter: true } } });
    try {
      expect(await refusal(`Bearer ${token()}`, alice, other)).toEqual({ status: 407, reason: "unbound" });
      const socket = await outer(alice, other);
      const exported = socket.exportKeyingMaterial(32, "EXPORTER-Channel-Binding", Buffer.alloc(0));
      const bound = await ask(socket, `a.test:${server.port}`, `Bearer ${token({ "tls-exporter": encodeBase64url(exported) })}`);
      expect(bound.status).toBe(200);
      socket.destroy();
    } finally {
      await other[Symbol.asyncDispose]();
    }
  });
});

describe("the way that tokens are asked for", () => {
  it("optional: whoever has none is in no group, and a bad one is still refused", async () => {
    const other = await start(["--tokens", "optional"]);
    try {
      const none = await enter(undefined, alice, "a.test", other);
      const group = await enter(undefined, alice, "group.test", other);
      const bad = await enter(`Bearer ${token({ exp: 1 })}`, alice, "a.test", other);
      for (const { socket } of [none, group, bad]) socket.destroy();
      expect([none.status, group.status, bad.status]).toEqual([200, 403, 407]);
    } finally {
      await other[Symbol.asyncDispose]();
    }
  });

  it("optional is refused where no certificate is required, since it would let everybody in", async () => {
    await expect(start(["--tokens", "optional", "--client-certificates", "optional"])).rejects.toThrow(/lets everybody in/);
  });

  it("off: the certificate is enough, and there are no groups", async () => {
    const other = await start(["--tokens", "off"]);
    try {
      const one = await enter(undefined, alice, "a.test", other);
      const group = await enter(`Bearer ${token()}`, alice, "group.test", other);
      for (const { socket } of [one, group]) socket.destroy();
      expect([one.status, group.status]).toEqual([200, 403]);
    } finally {
      await other[Symbol.asyncDispose]();
    }
  });

  it("off and no certificates: the session token is asked for", async () => {
    const other = await start(["--tokens", "off", "--client-certificates", "none"]);
    try {
      const none = await enter(undefined, alice, "a.test", other);
      const session = await enter(`Bearer ${TOKEN}`, alice, "a.test", other);
      for (const { socket } of [none, session]) socket.destroy();
      expect([none.status, session.status]).toEqual([407, 200]);
    } finally {
      await other[Symbol.asyncDispose]();
    }
  });
});

/** What came with a 407, so that the next answer can be read. */
async function drainAnswer(socket: tls.TLSSocket): Promise<void> {
  const [body] = socket.readableLength > 0 ? [socket.read() as Buffer] : ((await once(socket.resume(), "data")) as [Buffer]);
  socket.pause();
  expect(body.length).toBeGreaterThan(0);
}
