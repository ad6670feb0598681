import { once } from "node:events";
import type { Socket } from "node:net";
import tls from "node:tls";
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import { makeCrl, makePki, makeCertificate, type TestPki } from "../../support/pki.ts";
import { AnchorSet } from "../../../host/identity/trust-anchors.ts";
import {
  anchors,
  clientTo,
  established,
  keyPair,
  listening,
  outcomeOf,
  readAll,
  suspended,
  tlsHost,
  writeAll,
} from "../../support/tls-over-tcp.ts";

let pki: TestPki;
let clientPki: TestPki;
let otherPki: TestPki;
let rsaPki: TestPki;
const cleanup: (() => void)[] = [];

beforeAll(async () => {
  pki = await makePki({ leaf: { dns: ["server.test"], ip: ["127.0.0.1"] }, intermediates: 2 });
  clientPki = await makePki({ leaf: { cn: "client", eku: ["1.3.6.1.5.5.7.3.2"] } });
  otherPki = await makePki({ leaf: { cn: "other", eku: ["1.3.6.1.5.5.7.3.2"] } });
  rsaPki = await makePki({ leaf: { cn: "rsa", keyType: "rsa2048", eku: ["1.3.6.1.5.5.7.3.2"] } });
});
afterEach(() => cleanup.splice(0).forEach((close) => close()));

interface Peer {
  port: number;
  secured: tls.TLSSocket[];
  errors: string[];
}

/** A node:tls server, and what it saw. */
async function peer(
  options: tls.TlsOptions = {},
  onSecure: (socket: tls.TLSSocket) => void = (s) => s.end("hello from the server"),
): Promise<Peer> {
  const secured: tls.TLSSocket[] = [];
  const errors: string[] = [];
  const server = tls.createServer({ key: pki.leaf.keyPem, cert: pki.chainPem, ...options }, (socket) => {
    secured.push(socket);
    socket.on("error", (error: NodeJS.ErrnoException) => errors.push(error.code ?? error.message));
    onSecure(socket);
  });
  server.on("tlsClientError", (error: NodeJS.ErrnoException) => errors.push(error.code ?? error.message));
  const sockets = new Set<Socket>();
  server.on("connection", (socket) => sockets.add(socket));
  cleanup.push(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return { port: await listening(server), secured, errors };
}

const trusting = () => tlsHost({ anchors: anchors(pki.root) });
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

describe.each(["TLSv1.2", "TLSv1.3"] as const)("a client over %s", (version) => {
  const versions = { minVersion: version, maxVersion: version };

  test("fetches and ends authenticated", async () => {
    const { port } = await peer(versions, (socket) => socket.on("data", (d) => socket.end(`echo ${d.toString()}`)));
    const client = clientTo(port, "server.test", [], trusting());
    client.start();
    await established(client);
    await writeAll(client.privateOutput, Buffer.from("ping"));
    expect(await readAll(client.privateInput)).toBe("echo ping");
    expect(client.outcome).toEqual({ tag: "ok", val: "authenticated" });
    expect(client.info()).toMatchObject({ protocolVersion: version === "TLSv1.3" ? 0x0304 : 0x0303, sessionReused: false, overridden: [] });
    expect(client.info()?.group).toBeTypeOf("number");
    expect(client.peer?.chain?.der).toHaveLength(3);
  });

  test("sends what was written before the handshake was done", async () => {
    const { port } = await peer(versions, (socket) => socket.on("data", (d) => socket.end(`echo ${d.toString()}`)));
    const client = clientTo(port, "server.test", [], trusting());
    expect(client.privateOutput.capacity()).toBe(0);
    client.start();
    await writeAll(client.privateOutput, Buffer.from("early bird"));
    expect(client.privateOutput.pending()).toBeGreaterThan(0);
    expect(await readAll(client.privateInput)).toBe("echo early bird");
  });

  test("held at verify, the server sees no completed handshake; resumed, it does", async () => {
    const server = await peer(versions);
    const client = clientTo(server.port, "server.test", ["verify"], trusting());
    client.start();
    expect(await suspended(client)).toBe("verify");
    expect(client.peer?.verdict).toEqual([]);
    await pause(60);
    expect(server.secured).toHaveLength(0);
    client.resume([]);
    await established(client);
    expect(await readAll(client.privateInput)).toBe("hello from the server");
    expect(server.secured).toHaveLength(1);
  });

  test("aborted at verify, the server gets the alert and no completed handshake", async () => {
    const server = await peer(versions);
    const client = clientTo(server.port, "server.test", ["verify"], trusting());
    client.start();
    await suspended(client);
    expect(client.abort(42)).toBe(true);
    expect(client.outcome).toEqual({ tag: "err", val: { tag: "alert-sent", val: 42 } });
    await expect.poll(() => server.errors).toEqual(["ERR_SSL_SSL/TLS_ALERT_BAD_CERTIFICATE"]);
    expect(server.secured).toHaveLength(0);
  });

  test.each([
    ["wrong name", "other.test", "name-mismatch", "ERR_SSL_SSL/TLS_ALERT_BAD_CERTIFICATE"],
    ["wrong address", "127.0.0.2", "name-mismatch", "ERR_SSL_SSL/TLS_ALERT_BAD_CERTIFICATE"],
  ])("refuses a %s without a verify point, with an alert", async (_, name, error, alert) => {
    const server = await peer(versions);
    const client = clientTo(server.port, name, [], trusting());
    client.start();
    expect(await outcomeOf(client)).toEqual({ tag: "err", val: { tag: "certificate", val: error } });
    await expect.poll(() => server.errors).toEqual([alert]);
    expect(server.secured).toHaveLength(0);
    await expect(readAll(client.privateInput)).rejects.toThrow("certificate");
  });

  test("takes an address in the certificate for an address", async () => {
    const { port } = await peer(versions);
    const client = clientTo(port, "127.0.0.1", [], trusting());
    client.start();
    expect(await readAll(client.privateInput)).toBe("hello from the server");
  });

  test("refuses an unknown issuer with unknown_ca", async () => {
    const server = await peer(versions);
    const client = clientTo(server.port, "server.test", [], tlsHost());
    client.start();
    expect(await outcomeOf(client)).toMatchObject({
      val: { tag: "certificate", val: expect.stringMatching(/unknown-issuer|self-signed/) },
    });
    await expect.poll(() => server.errors).toEqual(["ERR_SSL_TLSV1_ALERT_UNKNOWN_CA"]);
    expect(server.secured).toHaveLength(0);
  });

  test("resumed after a failed verdict ends with that error", async () => {
    const server = await peer(versions);
    const client = clientTo(server.port, "other.test", ["verify"], trusting());
    client.start();
    await suspended(client);
    expect(client.peer?.verdict).toEqual(["name-mismatch"]);
    client.resume([]);
    expect(client.outcome).toEqual({ tag: "err", val: { tag: "certificate", val: "name-mismatch" } });
    await pause(30);
    expect(server.secured).toHaveLength(0);
  });

  test("goes on after an override that names the whole verdict, and says so", async () => {
    const { port } = await peer(versions);
    const client = clientTo(port, "other.test", ["verify"], trusting());
    client.start();
    await suspended(client);
    client.resume(["name-mismatch", "expired"]);
    await established(client);
    expect(client.info()?.overridden).toEqual(["name-mismatch"]);
  });

  test("does not go on after an override that leaves something out", async () => {
    const server = await peer(versions);
    const client = clientTo(server.port, "other.test", ["verify"], tlsHost());
    client.start();
    await suspended(client);
    client.resume(["name-mismatch"]);
    expect(client.outcome?.tag).toBe("err");
    await pause(30);
    expect(server.secured).toHaveLength(0);
  });

  test("presents its identity where the server asks", async () => {
    const server = await peer({ ...versions, requestCert: true, ca: clientPki.root.pem, rejectUnauthorized: true }, (s) =>
      s.end(s.getPeerX509Certificate()?.subject ?? "nobody"),
    );
    const client = clientTo(server.port, "server.test", [], trusting());
    client.settings.identities = [keyPair(clientPki)];
    client.start();
    expect(await readAll(client.privateInput)).toBe("CN=client");
  });

  test("presents the first of several identities of one kind, and none of the others", async () => {
    const server = await peer({ ...versions, requestCert: true, rejectUnauthorized: false }, (s) =>
      s.end(s.getPeerX509Certificate()?.subject ?? "nobody"),
    );
    const client = clientTo(server.port, "server.test", [], trusting());
    client.settings.identities = [keyPair(clientPki), keyPair(otherPki)];
    client.start();
    expect(await readAll(client.privateInput)).toBe("CN=client");
    expect(client.localIdentity?.chain.leaf.subject).toBe("CN=client");
  });

  test.each([[false], [true]])("tells which of two identities of different kinds it presented, the RSA key first: %s", async (rsaFirst) => {
    const server = await peer({ ...versions, requestCert: true, rejectUnauthorized: false }, (s) =>
      s.end(s.getPeerX509Certificate()?.subject ?? "nobody"),
    );
    const client = clientTo(server.port, "server.test", [], trusting());
    const [first, second] = rsaFirst ? [rsaPki, clientPki] : [clientPki, rsaPki];
    client.settings.identities = [keyPair(first), keyPair(second)];
    client.start();
    const presented = await readAll(client.privateInput);
    expect(client.localIdentity?.chain.leaf.subject).toBe(presented);
    if (version === "TLSv1.2") expect(presented).toBe(rsaFirst ? "CN=rsa" : "CN=client");
  });

  test("without an identity is told that one is required", async () => {
    const { port } = await peer({ ...versions, requestCert: true, ca: clientPki.root.pem, rejectUnauthorized: true });
    const client = clientTo(port, "server.test", [], trusting());
    client.start();
    expect(await outcomeOf(client)).toMatchObject({ tag: "err", val: { tag: "alert-received", val: version === "TLSv1.3" ? 116 : 40 } });
  });

  test("tells a truncation from an end", async () => {
    const server = await peer(versions, (socket) => {
      socket.write(
        "half a pa",
        () => (socket as unknown as { _handle: { _parent: { reset?: () => void } } })._handle && setTimeout(() => rawEnd(socket), 20),
      );
    });
    const client = clientTo(server.port, "server.test", [], trusting());
    client.start();
    await expect(readAll(client.privateInput)).rejects.toThrow("truncated");
    expect(client.outcome).toEqual({ tag: "ok", val: "truncated" });
  });

  test("takes a truncation for an end where it is tolerated, and still says so", async () => {
    const server = await peer(versions, (socket) => socket.write("half a pa", () => setTimeout(() => rawEnd(socket), 20)));
    const client = clientTo(server.port, "server.test", [], trusting());
    client.settings.truncation = "tolerate";
    client.start();
    expect(await readAll(client.privateInput)).toBe("half a pa");
    expect(client.outcome).toEqual({ tag: "ok", val: "truncated" });
  });

  test("refuses a revoked certificate", async () => {
    const revokedPki = await makePki({ leaf: { dns: ["server.test"] }, intermediates: 1 });
    const [issuer] = revokedPki.intermediates;
    const { port } = await peer({ ...versions, key: revokedPki.leaf.keyPem, cert: revokedPki.chainPem });
    const client = clientTo(port, "server.test", [], tlsHost());
    client.settings.anchors = AnchorSet.fromX509(
      [revokedPki.root.der],
      [await makeCrl(issuer!, [revokedPki.leaf]), await makeCrl(revokedPki.root)],
    );
    client.start();
    expect(await outcomeOf(client)).toEqual({ tag: "err", val: { tag: "certificate", val: "revoked" } });
  });

  test("reads none of the host's anchors where it is given its own: that takes milliseconds", async () => {
    const { port } = await peer(versions);
    for (const own of [anchors(pki.root), AnchorSet.fromX509([])]) {
      const host = trusting();
      Object.defineProperty(host.options, "anchors", {
        get() {
          throw new Error("the host's anchors were read");
        },
      });
      const client = clientTo(port, "server.test", [], host);
      client.settings.anchors = own;
      client.start();
      if (own.certificates.length > 0) await established(client);
      else expect(await outcomeOf(client)).toEqual({ tag: "err", val: { tag: "certificate", val: "unknown-issuer" } });
    }
  });

  test("refuses a server without the offered ALPN id by its alert", async () => {
    const { port } = await peer({ ...versions, ALPNProtocols: ["h2"] });
    const client = clientTo(port, "server.test", [], trusting());
    client.settings.alpnIds = [Buffer.from("http/1.1")];
    client.start();
    expect(await outcomeOf(client)).toEqual({ tag: "err", val: { tag: "alert-received", val: 120 } });
  });

  test("negotiates ALPN", async () => {
    const { port } = await peer({ ...versions, ALPNProtocols: ["http/1.1"] });
    const client = clientTo(port, "server.test", [], trusting());
    client.settings.alpnIds = [Buffer.from("h2"), Buffer.from("http/1.1")];
    client.start();
    await established(client);
    expect(Buffer.from(client.info()?.alpnId ?? []).toString()).toBe("http/1.1");
  });

  test("half-closes: reads on after close_notify", async () => {
    const { port } = await peer(versions, (socket) => {
      let got = "";
      socket.on("data", (d) => (got += d.toString()));
      socket.on("end", () => socket.end(`you said ${got}`));
    });
    const server = clientTo(port, "server.test", [], trusting());
    server.start();
    await established(server);
    await writeAll(server.privateOutput, Buffer.from("all I have"));
    server.closeOutput();
    expect(await readAll(server.privateInput)).toBe("you said all I have");
    expect(server.phase.tag).toBe("ended");
  });

  test("resumes a session only without a verify point", async () => {
    const host = trusting();
    const { port } = await peer(versions);
    for (const [round, points, reused] of [
      [1, [], false],
      [2, [], true],
      [3, ["verify"], false],
    ] as const) {
      const client = clientTo(port, "server.test", [...points], host);
      client.start();
      if (points.length > 0) {
        await suspended(client);
        client.resume([]);
      }
      await readAll(client.privateInput);
      expect([round, client.info()?.sessionReused]).toEqual([round, reused]);
    }
  });
});

function rawEnd(socket: tls.TLSSocket): void {
  // Cut the TCP connection under TLS: no close_notify.
  (socket as unknown as { _parent?: Socket })._parent?.destroy();
}

describe("a client against peers that do not play by the rules", () => {
  async function rawPeer(onData: (socket: Socket) => void): Promise<number> {
    const { createServer } = await import("node:net");
    const server = createServer((socket) => {
      socket.on("error", () => {});
      socket.once("data", () => onData(socket));
      cleanup.push(() => socket.destroy());
    });
    cleanup.push(() => server.close());
    return listening(server);
  }

  test("plain HTTP in answer is a protocol error, in words", async () => {
    const port = await rawPeer((socket) => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n"));
    const client = clientTo(port, "server.test", [], trusting());
    client.start();
    expect(await outcomeOf(client)).toEqual({ tag: "err", val: { tag: "protocol" } });
    expect(client.detail).toContain("not TLS");
  });

  test("a close in mid-handshake is a truncation", async () => {
    const port = await rawPeer((socket) => socket.end());
    const client = clientTo(port, "server.test", [], trusting());
    client.start();
    expect(await outcomeOf(client)).toEqual({ tag: "err", val: { tag: "truncated" } });
  });

  test("silence is a timeout", async () => {
    const port = await rawPeer(() => {});
    const client = clientTo(port, "server.test", [], tlsHost({ handshakeTimeout: 100 }));
    client.start();
    expect(await outcomeOf(client)).toEqual({ tag: "err", val: { tag: "timeout" } });
  });

  test.each([10, 20, 22, 40, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 70, 71, 80, 90, 110, 112, 115, 120])(
    "alert %i is told as received",
    async (description) => {
      const port = await rawPeer((socket) => socket.end(Uint8Array.of(21, 3, 3, 0, 2, 2, description)));
      const client = clientTo(port, "server.test", [], trusting());
      client.start();
      expect(await outcomeOf(client)).toEqual({ tag: "err", val: { tag: "alert-received", val: description } });
    },
  );

  test("a record that is too long is refused with record_overflow", async () => {
    const port = await rawPeer((socket) => socket.write(Buffer.concat([Uint8Array.of(22, 3, 3, 0xff, 0xff), Buffer.alloc(65_535)])));
    const client = clientTo(port, "server.test", [], trusting());
    client.start();
    expect((await outcomeOf(client))?.tag).toBe("err");
  });
});

describe("a leaf that plain node:tls would take", () => {
  test.each([
    ["a name in the common name only", { cn: "server.test" }, "name-mismatch"],
    ["a wildcard inside a label", { dns: ["s*.test", "serv*.test"] }, "name-mismatch"],
    ["a CA as leaf", { dns: ["server.test"], isCa: true }, "bad-usage"],
    ["an expired leaf", { dns: ["server.test"], notBefore: new Date(Date.now() - 9e8), notAfter: new Date(Date.now() - 1e7) }, "expired"],
    ["a leaf of tomorrow", { dns: ["server.test"], notBefore: new Date(Date.now() + 4e7) }, "not-yet-valid"],
  ])("refuses %s", async (_, leaf, error) => {
    const root = await makeCertificate({ isCa: true });
    const certificate = await makeCertificate(leaf, root);
    const server = await peer({ key: certificate.keyPem, cert: certificate.pem });
    const client = clientTo(server.port, "server.test", [], tlsHost({ anchors: anchors(root) }));
    client.start();
    expect(await outcomeOf(client)).toEqual({ tag: "err", val: { tag: "certificate", val: error } });
    expect(server.secured).toHaveLength(0);
  });

  test("refuses a self-signed leaf as such", async () => {
    const certificate = await makeCertificate({ dns: ["server.test"] });
    const { port } = await peer({ key: certificate.keyPem, cert: certificate.pem });
    const client = clientTo(port, "server.test", [], trusting());
    client.start();
    expect(await outcomeOf(client)).toEqual({ tag: "err", val: { tag: "certificate", val: "self-signed" } });
  });
});

test("offers no CBC suite and nothing below TLS 1.2 by default", async () => {
  const { createServer } = await import("node:net");
  const server = createServer();
  cleanup.push(() => server.close());
  const port = await listening(server);
  const client = clientTo(port, "server.test", [], trusting());
  client.start();
  const [socket] = (await once(server, "connection")) as [Socket];
  const [bytes] = (await once(socket, "data")) as [Buffer];
  const { ClientHelloReader } = await import("../../../src/wire/client-hello.ts");
  const hello = new ClientHelloReader().push(bytes);
  socket.destroy();
  if (hello === "more") throw new Error("incomplete");
  expect(hello.protocolVersions).toEqual([0x0304, 0x0303]);
  expect(hello.cipherSuites.filter((s) => s !== 0x00ff).sort()).toEqual([
    0x1301, 0x1302, 0x1303, 0xc02b, 0xc02c, 0xc02f, 0xc030, 0xcca8, 0xcca9,
  ]);
  expect(hello.groups).toContain(0x11ec);
  expect(hello.serverName).toEqual({ tag: "dns", name: "server.test" });
});
