import { connect, createServer, type Socket } from "node:net";
import tls from "node:tls";
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import type { TlsConnection } from "../../../host/tls/connection.ts";
import type { Point } from "../../../host/tls/phase.ts";
import { makePki, makeCertificate, type TestPki } from "../../support/pki.ts";
import {
  anchors,
  established,
  keyPair,
  listening,
  outcomeOf,
  readAll,
  serverFor,
  suspended,
  tlsHost,
  writeAll,
} from "../../support/tls-over-tcp.ts";

let pki: TestPki;
let otherPki: TestPki;
let rsaPki: TestPki;
let clientPki: TestPki;
const cleanup: (() => void)[] = [];
/** Whether node:tls may have the socket itself. */
let attach = false;

beforeAll(async () => {
  pki = await makePki({ leaf: { dns: ["server.test"] }, intermediates: 2 });
  otherPki = await makePki({ leaf: { dns: ["other.test"] }, intermediates: 0 });
  rsaPki = await makePki({ leaf: { dns: ["server.test"] }, keyType: "rsa2048" });
  clientPki = await makePki({ leaf: { cn: "client", eku: ["1.3.6.1.5.5.7.3.2"] } });
});
afterEach(() => cleanup.splice(0).forEach((close) => close()));

interface Served {
  port: number;
  /** The next accepted connection. */
  next(): Promise<TlsConnection>;
}

/** A TCP server whose connections are served by the engine; `configure` runs before `start`. */
async function serve(points: Point[], configure: (connection: TlsConnection) => void, host = tlsHost({ attach })): Promise<Served> {
  const accepted: TlsConnection[] = [];
  const waiting: ((connection: TlsConnection) => void)[] = [];
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    cleanup.push(() => socket.destroy());
    const connection = serverFor(socket, points, host);
    configure(connection);
    connection.start();
    const waiter = waiting.shift();
    if (waiter === undefined) accepted.push(connection);
    else waiter(connection);
  });
  cleanup.push(() => server.close());
  return {
    port: await listening(server),
    next: () => {
      const connection = accepted.shift();
      return connection === undefined ? new Promise((resolve) => waiting.push(resolve)) : Promise.resolve(connection);
    },
  };
}

const withIdentity = (connection: TlsConnection) => void (connection.settings.identities = [keyPair(pki)]);

/** A node:tls client. Resolves with what it read, or rejects with the error's code. */
function fetchWith(port: number, options: tls.ConnectionOptions, send = "ping"): Promise<{ text: string; socket: tls.TLSSocket }> {
  return new Promise((resolve, reject) => {
    const socket = tls.connect({ port, host: "127.0.0.1", servername: "server.test", ca: pki.root.pem, ...options }, () =>
      socket.write(send),
    );
    let text = "";
    socket.on("data", (d) => (text += d.toString()));
    socket.on("end", () => resolve({ text, socket }));
    socket.on("error", (error: NodeJS.ErrnoException) => reject(new Error(error.code ?? error.message)));
    cleanup.push(() => socket.destroy());
  });
}

async function echoOnce(connection: TlsConnection): Promise<void> {
  await established(connection);
  await writeAll(connection.privateOutput, Buffer.from("pong"));
  connection.closeOutput();
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

describe.each([
  ["our own transport", false],
  ["the socket itself where that is possible", true],
] as const)("over %s", (_, isAttached) => {
  beforeAll(() => void (attach = isAttached));
  describe.each(["TLSv1.2", "TLSv1.3"] as const)("a server over %s", (version) => {
    const versions = { minVersion: version, maxVersion: version };

    test("serves, and sends its whole chain", async () => {
      const served = await serve([], withIdentity);
      const fetched = fetchWith(served.port, versions);
      const connection = await served.next();
      await echoOnce(connection);
      const { text, socket } = await fetched;
      expect(text).toBe("pong");
      let length = 0;
      for (let c = socket.getPeerX509Certificate(); c !== undefined; c = c.issuerCertificate) length++;
      expect(length).toBeGreaterThanOrEqual(3);
      expect(connection.info()).toMatchObject({ protocolVersion: version === "TLSv1.3" ? 0x0304 : 0x0303, sessionReused: false });
      expect(connection.info()?.group).toBeTypeOf("number");
    });

    test("held at client-hello has answered nothing, and goes on with what is configured there", async () => {
      const served = await serve(["client-hello"], () => {});
      const fetched = fetchWith(served.port, { ...versions, ALPNProtocols: ["h2", "http/1.1"] });
      const connection = await served.next();
      expect(await suspended(connection)).toBe("client-hello");
      expect(connection.hello?.serverName).toEqual({ tag: "dns", name: "server.test" });
      expect(connection.hello?.alpnIds.map((id) => Buffer.from(id).toString())).toEqual(["h2", "http/1.1"]);
      await pause(40);
      expect(connection.publicInput.available()).toBe(0);
      withIdentity(connection);
      connection.settings.alpnIds = [Buffer.from("http/1.1")];
      connection.resume([]);
      await echoOnce(connection);
      const { text, socket } = await fetched;
      expect(text).toBe("pong");
      expect(socket.alpnProtocol).toBe("http/1.1");
      expect(Buffer.from(connection.info()?.alpnId ?? []).toString()).toBe("http/1.1");
    });

    test("aborted at client-hello sends that alert in plaintext", async () => {
      const served = await serve(["client-hello"], () => {});
      const fetched = fetchWith(served.port, versions);
      const connection = await served.next();
      await suspended(connection);
      connection.abort(112);
      await expect(fetched).rejects.toThrow("UNRECOGNIZED_NAME");
    });

    test("without ALPN in common answers no_application_protocol", async () => {
      const served = await serve([], (connection) => {
        withIdentity(connection);
        connection.settings.alpnIds = [Buffer.from("h2")];
      });
      const fetched = fetchWith(served.port, { ...versions, ALPNProtocols: ["http/1.1"] });
      const connection = await served.next();
      await expect(fetched).rejects.toThrow("NO_APPLICATION_PROTOCOL");
      expect(await outcomeOf(connection)).toEqual({ tag: "err", val: { tag: "alert-sent", val: 120 } });
    });

    test("without an identity answers handshake_failure", async () => {
      const served = await serve([], () => {});
      const fetched = fetchWith(served.port, versions);
      const connection = await served.next();
      await expect(fetched).rejects.toThrow("HANDSHAKE_FAILURE");
      expect(await outcomeOf(connection)).toEqual({ tag: "err", val: { tag: "alert-sent", val: 40 } });
    });

    test("chooses the identity that the client can verify", async () => {
      const served = await serve([], (connection) => void (connection.settings.identities = [keyPair(rsaPki), keyPair(pki)]));
      const fetched = fetchWith(served.port, { ...versions, sigalgs: "ECDSA+SHA256", ca: [pki.root.pem, rsaPki.root.pem] });
      await echoOnce(await served.next());
      expect((await fetched).socket.getPeerX509Certificate()?.publicKey.asymmetricKeyType).toBe("ec");
    });

    test("asks for a certificate and sees it", async () => {
      const served = await serve([], (connection) => {
        withIdentity(connection);
        connection.settings.clientCertificate = "required";
        connection.settings.anchors = anchors(clientPki.root);
      });
      const fetched = fetchWith(served.port, { ...versions, key: clientPki.leaf.keyPem, cert: clientPki.chainPem });
      const connection = await served.next();
      await echoOnce(connection);
      expect((await fetched).text).toBe("pong");
      expect(connection.peer?.chain?.leaf.subject).toBe("CN=client");
    });

    test("refuses a client without a required certificate, with the alert for it", async () => {
      const served = await serve([], (connection) => {
        withIdentity(connection);
        connection.settings.clientCertificate = "required";
        connection.settings.anchors = anchors(clientPki.root);
      });
      const fetched = fetchWith(served.port, versions);
      const connection = await served.next();
      await expect(fetched).rejects.toThrow(version === "TLSv1.3" ? "CERTIFICATE_REQUIRED" : "HANDSHAKE_FAILURE");
      expect(await outcomeOf(connection)).toEqual({ tag: "err", val: { tag: "certificate", val: "none-presented" } });
    });

    test("refuses a client certificate of a stranger, and moves no byte for it", async () => {
      const served = await serve([], (connection) => {
        withIdentity(connection);
        connection.settings.clientCertificate = "optional";
        connection.settings.anchors = anchors(otherPki.root);
      });
      const fetched = fetchWith(served.port, { ...versions, key: clientPki.leaf.keyPem, cert: clientPki.chainPem });
      const connection = await served.next();
      await expect(fetched).rejects.toThrow("UNKNOWN_CA");
      expect(connection.privateInput.available()).toBe(0);
      expect((await outcomeOf(connection))?.tag).toBe("err");
    });

    test("lets a client without an optional certificate in", async () => {
      const served = await serve([], (connection) => {
        withIdentity(connection);
        connection.settings.clientCertificate = "optional";
        connection.settings.anchors = anchors(clientPki.root);
      });
      const fetched = fetchWith(served.port, versions);
      const connection = await served.next();
      await echoOnce(connection);
      expect((await fetched).text).toBe("pong");
      expect(connection.peer?.chain).toBeUndefined();
    });

    test("held at verify-client-identity passes no application data; resumed, it does", async () => {
      const served = await serve(["verify"], (connection) => {
        withIdentity(connection);
        connection.settings.clientCertificate = "required";
        connection.settings.anchors = anchors(clientPki.root);
      });
      let secured = false;
      const fetched = fetchWith(served.port, { ...versions, key: clientPki.leaf.keyPem, cert: clientPki.chainPem });
      void fetched.then(() => (secured = true));
      const connection = await served.next();
      expect(await suspended(connection)).toBe("verify");
      await writeAll(connection.privateOutput, Buffer.from("pong"));
      await pause(50);
      expect(connection.privateInput.available()).toBe(0);
      expect(secured).toBe(false);
      connection.resume([]);
      await established(connection);
      connection.closeOutput();
      expect((await fetched).text).toBe("pong");
    });

    test("aborted at verify-client-identity: the client gets the alert", async () => {
      const served = await serve(["verify"], (connection) => {
        withIdentity(connection);
        connection.settings.clientCertificate = "required";
        connection.settings.anchors = anchors(clientPki.root);
      });
      const fetched = fetchWith(served.port, { ...versions, key: clientPki.leaf.keyPem, cert: clientPki.chainPem });
      const connection = await served.next();
      await suspended(connection);
      connection.abort(49);
      await expect(fetched).rejects.toThrow("ACCESS_DENIED");
    });

    test("resumes sessions, but never where it asks for certificates", async () => {
      for (const [asks, reused] of [
        [false, true],
        [true, false],
      ] as const) {
        const served = await serve([], (connection) => {
          withIdentity(connection);
          if (!asks) return;
          connection.settings.clientCertificate = "required";
          connection.settings.anchors = anchors(clientPki.root);
        });
        const options = { ...versions, key: clientPki.leaf.keyPem, cert: clientPki.chainPem };
        let session: Buffer | undefined;
        const first = new Promise<void>((resolve) => {
          const socket = tls.connect({ port: served.port, host: "127.0.0.1", servername: "server.test", ca: pki.root.pem, ...options });
          socket.on("session", (s) => (session = s));
          socket.on("data", () => {});
          socket.on("end", () => resolve());
          socket.on("error", () => resolve());
        });
        await echoOnce(await served.next());
        await first;
        const second = fetchWith(served.port, { ...options, ...(session === undefined ? {} : { session }) });
        const connection = await served.next();
        await echoOnce(connection);
        const { socket } = await second;
        expect([asks, connection.info()?.sessionReused, socket.isSessionReused()]).toEqual([asks, reused, reused]);
      }
    });
  });

  test("a server at client-hello is held for resumed sessions too", async () => {
    const served = await serve(["client-hello"], withIdentity);
    let session: Buffer | undefined;
    for (let round = 0; round < 2; round++) {
      const done = new Promise<void>((resolve, reject) => {
        const socket = tls.connect({
          port: served.port,
          host: "127.0.0.1",
          servername: "server.test",
          ca: pki.root.pem,
          ...(session ? { session } : {}),
        });
        socket.on("session", (s) => (session = s));
        socket.on("data", () => {});
        socket.on("end", () => resolve());
        socket.on("error", reject);
      });
      const connection = await served.next();
      expect(await suspended(connection)).toBe("client-hello");
      connection.resume([]);
      await echoOnce(connection);
      await done;
      expect(connection.info()?.sessionReused).toBe(round === 1);
    }
  });

  describe("a server against hostile clients", () => {
    async function raw(port: number): Promise<{ socket: Socket; received: () => Buffer }> {
      const chunks: Buffer[] = [];
      const socket = connect(port, "127.0.0.1");
      socket.on("data", (d) => chunks.push(Buffer.from(d)));
      socket.on("error", () => {});
      cleanup.push(() => socket.destroy());
      await new Promise((resolve) => socket.once("connect", resolve));
      return { socket, received: () => Buffer.concat(chunks) };
    }

    test.each([
      ["plain HTTP", Buffer.from("GET / HTTP/1.1\r\n\r\n")],
      ["an SSLv2 hello", Buffer.from("802e0100020015000000100100800200800300800400800500800600800700c0", "hex")],
      ["an application data record first", Uint8Array.of(23, 3, 3, 0, 1, 0)],
      ["a handshake message that is no hello", Uint8Array.of(22, 3, 1, 0, 4, 2, 0, 0, 0)],
      ["a hello that announces 16 MiB", Uint8Array.of(22, 3, 1, 0, 4, 1, 0xff, 0xff, 0xff)],
    ])("%s is answered with a fatal alert, and nothing else breaks", async (_, bytes) => {
      const served = await serve([], withIdentity);
      const { socket, received } = await raw(served.port);
      socket.write(bytes);
      const connection = await served.next();
      expect((await outcomeOf(connection))?.tag).toBe("err");
      await expect.poll(() => received().subarray(0, 6).toString("hex")).toMatch(/^1503..000202$/);
      const fetched = fetchWith(served.port, {});
      await echoOnce(await served.next());
      expect((await fetched).text).toBe("pong");
    });

    test("a client that says nothing is timed out", async () => {
      const served = await serve([], withIdentity, tlsHost({ handshakeTimeout: 80 }));
      await raw(served.port);
      expect(await outcomeOf(await served.next())).toEqual({ tag: "err", val: { tag: "timeout" } });
    });

    test("TLS 1.2 renegotiation is refused", async () => {
      const served = await serve([], withIdentity);
      const errors: string[] = [];
      const socket = tls.connect(
        { port: served.port, host: "127.0.0.1", servername: "server.test", ca: pki.root.pem, maxVersion: "TLSv1.2" },
        () => socket.renegotiate({}, (error) => void errors.push(error === null ? "renegotiated" : "refused")),
      );
      socket.on("error", (error: NodeJS.ErrnoException) => errors.push(error.code ?? ""));
      cleanup.push(() => socket.destroy());
      await established(await served.next());
      await expect.poll(() => errors.length).toBeGreaterThan(0);
      expect(errors.join()).not.toContain("renegotiated");
    });

    test("a TLS 1.1 client gets protocol_version", async () => {
      const served = await serve([], withIdentity);
      await expect(fetchWith(served.port, { minVersion: "TLSv1", maxVersion: "TLSv1.1", ciphers: "ALL:@SECLEVEL=0" })).rejects.toThrow(
        /PROTOCOL_VERSION/,
      );
      expect(await outcomeOf(await served.next())).toEqual({ tag: "err", val: { tag: "alert-sent", val: 70 } });
    });

    test("goes through a HelloRetryRequest with an honest client", async () => {
      const served = await serve([], (connection) => {
        withIdentity(connection);
        connection.settings.groups = [0x0018];
      });
      const fetched = fetchWith(served.port, { ecdhCurve: "X25519:P-384" });
      const connection = await served.next();
      await echoOnce(connection);
      expect((await fetched).text).toBe("pong");
      expect(connection.info()?.group).toBe(0x0018);
    });
  });
});

describe("a server that node:tls has the socket of", () => {
  beforeAll(() => void (attach = true));

  test("knows the group, cannot tell how the client ended, and says so", async () => {
    const served = await serve([], withIdentity);
    const fetched = fetchWith(served.port, {});
    const connection = await served.next();
    await echoOnce(connection);
    const { socket } = await fetched;
    expect(connection.info()?.group).toBe(0x11ec);
    socket.end();
    expect(await outcomeOf(connection)).toEqual({ tag: "ok", val: "unauthenticated" });
    expect(connection.privateInput.state()).toMatchObject({ tag: "ended", ending: "unauthenticated", mayBeCut: true });
  });

  test("is used for TLS 1.3 with a group the client has a key for, and else not", async () => {
    const cases: [tls.ConnectionOptions, "authenticated" | "unauthenticated"][] = [
      [{}, "unauthenticated"],
      [{ maxVersion: "TLSv1.2" }, "authenticated"],
      [{ ecdhCurve: "P-384" }, "unauthenticated"],
    ];
    for (const [options, ending] of cases) {
      const served = await serve([], withIdentity);
      const fetched = fetchWith(served.port, options);
      const connection = await served.next();
      await echoOnce(connection);
      (await fetched).socket.end();
      expect(await outcomeOf(connection)).toEqual({ tag: "ok", val: ending });
    }
  });

  test("carries a megabyte each way", async () => {
    const served = await serve([], withIdentity);
    const big = "x".repeat(1 << 20);
    const fetched = fetchWith(served.port, {}, big);
    const connection = await served.next();
    await established(connection);
    let got = 0;
    while (got < big.length) {
      const chunk = connection.privateInput.read(1 << 18);
      got += chunk.length;
      if (chunk.length === 0)
        await new Promise<void>((resolve) => {
          const stop = connection.privateInput.changed.listen(() => {
            stop();
            resolve();
          });
        });
    }
    await writeAll(connection.privateOutput, Buffer.from(big));
    connection.closeOutput();
    expect((await fetched).text).toHaveLength(big.length);
  });
});

test("drops: a connection whose handle is dropped ends, and its streams say closed or failed", async () => {
  const served = await serve([], withIdentity);
  const fetched = fetchWith(served.port, {}).catch((error: Error) => error.message);
  const connection = await served.next();
  await established(connection);
  connection.dropHandle();
  // The transfers of the test stand for forwarders, which keep it alive until they end.
  expect(connection.phase.tag).toBe("established");
  connection.abort(0);
  expect(connection.phase.tag).toBe("ended");
  await expect(readAll(connection.privateInput)).rejects.toThrow();
  await fetched;
});

test("a self-made leaf is presented as configured", async () => {
  const leaf = await makeCertificate({ dns: ["server.test"] });
  const { KeyPair } = await import("../../../host/identity/private-identity.ts");
  const served = await serve([], (connection) => void (connection.settings.identities = [KeyPair.parse(leaf.keyDer, [leaf.der], "guest")]));
  const fetched = fetchWith(served.port, { ca: leaf.pem });
  await echoOnce(await served.next());
  expect((await fetched).text).toBe("pong");
});
