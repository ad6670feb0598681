import { connect, createServer } from "node:net";
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import { handshakeType } from "../../../src/wire/handshake.ts";
import type { TlsConnection } from "../../../host/tls/connection.ts";
import { makePki, type TestPki } from "../../support/pki.ts";
import { established, keyPair, listening, outcomeOf, suspended } from "../../support/tls-over-tcp.ts";
import { Scene } from "../peers/process.ts";
import { opensslClientWith } from "./clients.ts";
import { answerOnce, serve } from "./serve.ts";

let pki: TestPki;
const scene = new Scene();

beforeAll(async () => {
  pki = await makePki({ leaf: { dns: ["server.test"] }, intermediates: 2 });
});
afterEach(() => scene.end());

const withIdentity = (connection: TlsConnection) => void (connection.settings.identities = [keyPair(pki)]);
/** Wants what OpenSSL 3.0 has no key share for at first. */
const insistingOnP384 = (connection: TlsConnection) => {
  withIdentity(connection);
  connection.settings.groups = [0x0018];
};
const start = (port: number, rest: string[], version?: "1.2" | "1.3") =>
  opensslClientWith(scene, { port, roots: [pki.root], ...(version === undefined ? {} : { version }) }, rest);

describe("openssl s_client", () => {
  test.each(["1.2", "1.3"] as const)("without a server name is seen without one over TLS %s", async (version) => {
    const served = await serve(scene, ["client-hello"], withIdentity);
    const client = start(served.port, ["-noservername"], version);
    const connection = await served.next();
    await suspended(connection);
    expect(connection.hello?.serverName).toEqual({ tag: "none" });
    connection.resume([]);
    await answerOnce(connection);
    expect(await client.body()).toContain("gnip");
  });

  test.each([
    ["*.server.test", "a wildcard"],
    ["127.0.0.1", "an address"],
    ["server.test/../x", "a path"],
  ])("with the server name %s (%s) is seen with an invalid one", async (name) => {
    const served = await serve(scene, ["client-hello"], withIdentity);
    const client = start(served.port, ["-servername", name]);
    const connection = await served.next();
    await suspended(connection);
    expect(connection.hello?.serverName).toEqual({ tag: "invalid", bytes: expect.anything() });
    connection.abort(112);
    expect(await client.alert()).toBe(112);
  });

  test("with 62 ALPN ids gets the last one of them", async () => {
    const ids = [...Array.from({ length: 61 }, (_, i) => `made-up/${i}`), "http/1.1"];
    const served = await serve(scene, [], (connection) => {
      withIdentity(connection);
      connection.settings.alpnIds = [Buffer.from("http/1.1")];
    });
    const client = start(served.port, ["-servername", "server.test", "-alpn", ids.join(",")]);
    const connection = await served.next();
    await answerOnce(connection);
    expect(connection.hello?.alpnIds).toHaveLength(62);
    expect((await client.handshake()).alpn).toBe("http/1.1");
  });

  test("sees the chain as it was configured, two intermediates included", async () => {
    const served = await serve(scene, [], withIdentity);
    const client = start(served.port, ["-servername", "server.test", "-showcerts"]);
    await answerOnce(await served.next());
    const shown = (await client.body()).match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----\n/g);
    expect(shown?.slice(0, 3).join("")).toBe(pki.chainPem);
  });

  test("that asks for a renegotiation in TLS 1.2 is refused", async () => {
    const served = await serve(scene, [], withIdentity);
    const client = opensslClientWith(scene, { port: served.port, roots: [pki.root], version: "1.2" }, ["-servername", "server.test"]);
    const connection = await served.next();
    await established(connection);
    await client.handshake();
    // A command has to be the first thing of what s_client reads: not before what came earlier has left it.
    await expect.poll(() => connection.privateInput.available()).toBe("ping\nCLOSE\n".length);
    client.process.write("R\n");
    await client.process.waitFor(/RENEGOTIATING/);
    await client.process.waitFor(/no renegotiation/);
    await expect(client.body()).rejects.toThrow();
    // Not one byte of a second handshake came through as data either.
    expect(Buffer.from(connection.privateInput.read(100)).toString()).toBe("ping\nCLOSE\n");
    expect(connection.hello?.serverName).toEqual({ tag: "dns", name: "server.test" });
  });

  test("with a group that we do not want first goes through a HelloRetryRequest", async () => {
    const served = await serve(scene, [], insistingOnP384);
    const client = start(served.port, ["-servername", "server.test", "-groups", "X25519:P-384", "-msg"], "1.3");
    const connection = await served.next();
    await answerOnce(connection);
    expect((await client.body()).match(/ClientHello/g)).toHaveLength(2);
    expect(connection.info()?.group).toBe(0x0018);
  });

  test("with no group in common gets handshake_failure", async () => {
    const served = await serve(scene, [], insistingOnP384);
    const client = start(served.port, ["-servername", "server.test", "-groups", "X25519"], "1.3");
    expect(await outcomeOf(await served.next())).toEqual({ tag: "err", val: { tag: "alert-sent", val: 40 } });
    expect(await client.alert()).toBe(40);
  });

  test("with no cipher suite in common gets handshake_failure", async () => {
    const served = await serve(scene, [], withIdentity);
    const client = start(served.port, ["-servername", "server.test", "-cipher", "ECDHE-ECDSA-AES128-SHA"], "1.2");
    expect(await outcomeOf(await served.next())).toEqual({ tag: "err", val: { tag: "alert-sent", val: 40 } });
    expect(await client.alert()).toBe(40);
  });
});

describe("a second client hello, after a HelloRetryRequest,", () => {
  test("that is let through unchanged completes", async () => {
    const served = await serve(scene, [], insistingOnP384);
    const port = await forging(served.port, (hello) => hello);
    const client = start(port, ["-servername", "server.test", "-alpn", "http/1.1", "-groups", "X25519:P-384"], "1.3");
    await answerOnce(await served.next());
    expect(await client.body()).toContain("gnip");
  });

  test.each([
    ["server name", "server.test", "sorver.test"],
    ["ALPN ids", "http/1.1", "http/1.0"],
  ])("with another %s is refused with illegal_parameter", async (what, from, to) => {
    const served = await serve(scene, [], insistingOnP384);
    const port = await forging(served.port, (hello) => replaced(hello, from, to));
    const client = start(port, ["-servername", "server.test", "-alpn", "http/1.1", "-groups", "X25519:P-384"], "1.3");
    const connection = await served.next();
    expect(await outcomeOf(connection)).toEqual({ tag: "err", val: { tag: "alert-sent", val: 47 } });
    expect(connection.detail).toContain(`changed its ${what}`);
    expect(await client.alert()).toBe(47);
    expect(client.sawHandshake()).toBe(false);
  });

  /** A relay that forges the second client hello of a connection; everything else passes as it is. @returns its port */
  async function forging(to: number, forge: (hello: Buffer) => Buffer): Promise<number> {
    const relay = createServer((near) => {
      const far = connect(to, "127.0.0.1");
      for (const socket of [near, far]) socket.on("error", () => {});
      scene.onEnd(() => [near, far].forEach((socket) => socket.destroy()));
      let hellos = 0;
      near.on("data", (bytes: Buffer) => {
        // OpenSSL sends a ChangeCipherSpec before its second hello.
        const at = bytes[0] === 20 ? 6 : 0;
        const isHello = bytes[at] === 22 && bytes[at + 5] === handshakeType.clientHello;
        if (isHello) hellos++;
        far.write(isHello && hellos === 2 ? forge(bytes) : bytes);
      });
      near.on("end", () => far.end());
      far.pipe(near);
    });
    scene.onEnd(() => relay.close());
    return await listening(relay);
  }

  function replaced(bytes: Buffer, from: string, to: string): Buffer {
    const at = bytes.indexOf(from);
    expect(at).toBeGreaterThan(0);
    const changed = Buffer.from(bytes);
    changed.write(to, at);
    return changed;
  }
});
