import { afterEach, beforeAll, describe, expect, test } from "vitest";
import type { TlsConnection } from "../../../host/tls/connection.ts";
import { EKU, makePki, type TestPki } from "../../support/pki.ts";
import { anchors, keyPair, outcomeOf } from "../../support/tls-over-tcp.ts";
import { Scene } from "../peers/process.ts";
import { clients, goClientWith, opensslClientWith, pythonClientWith } from "./clients.ts";
import { answerOnce, serve } from "./serve.ts";
import { serverSuite } from "./suite.ts";

for (const [name, client] of Object.entries(clients)) {
  // Go calls every fault of a certificate bad_certificate.
  serverSuite(name, client, name === "Go crypto/tls" ? { otherRefusals: [42] } : {});
}

let ecdsa: TestPki;
let clientPki: TestPki;
const scene = new Scene();

beforeAll(async () => {
  ecdsa = await makePki({ leaf: { dns: ["server.test"] }, intermediates: 2 });
  clientPki = await makePki({ leaf: { cn: "some client", eku: [EKU.clientAuth] } });
});
afterEach(() => scene.end());

const withIdentity = (connection: TlsConnection) => void (connection.settings.identities = [keyPair(ecdsa)]);
const asking = (connection: TlsConnection) => {
  withIdentity(connection);
  connection.settings.clientCertificate = "required";
  connection.settings.anchors = anchors(clientPki.root);
};

describe.each(["openssl s_client", "Go crypto/tls", "Python ssl"])("ALPN with %s", (name) => {
  test.each(["1.2", "1.3"] as const)("chooses by our preference over TLS %s", async (version) => {
    const served = await serve(scene, [], (connection) => {
      withIdentity(connection);
      connection.settings.alpnIds = [Buffer.from("second"), Buffer.from("first")];
    });
    const client = clients[name]!(scene, { port: served.port, roots: [ecdsa.root], version, alpn: ["none", "first", "second"] });
    const connection = await served.next();
    await answerOnce(connection);
    expect(await client.handshake()).toMatchObject({ alpn: "second" });
    expect(Buffer.from(connection.info()!.alpnId!).toString()).toBe("second");
  });

  test.each(["1.2", "1.3"] as const)("with no id in common refuses with no_application_protocol over TLS %s", async (version) => {
    const served = await serve(scene, [], (connection) => {
      withIdentity(connection);
      connection.settings.alpnIds = [Buffer.from("h2")];
    });
    const client = clients[name]!(scene, { port: served.port, roots: [ecdsa.root], version, alpn: ["http/1.1"] });
    expect(await outcomeOf(await served.next())).toEqual({ tag: "err", val: { tag: "alert-sent", val: 120 } });
    expect(await client.alert()).toBe(120);
    expect(client.sawHandshake()).toBe(false);
  });
});

test.each(["openssl s_client", "Go crypto/tls"])("a TLS 1.1 %s gets protocol_version", async (name) => {
  const served = await serve(scene, [], withIdentity);
  const client = clients[name]!(scene, { port: served.port, roots: [ecdsa.root], version: "1.1" });
  expect(await outcomeOf(await served.next())).toEqual({ tag: "err", val: { tag: "alert-sent", val: 70 } });
  expect(await client.alert()).toBe(70);
});

describe.each(["1.2", "1.3"] as const)("a second connection over TLS %s", (version) => {
  test.each([
    ["Go crypto/tls", false],
    ["Go crypto/tls", true],
    ["Python ssl", false],
    ["Python ssl", true],
  ] as const)("of %s is resumed unless a certificate is asked for (%s)", async (name, asks) => {
    const served = await serve(scene, [], asks ? asking : withIdentity);
    const options = { port: served.port, roots: [ecdsa.root], version, ...(asks ? { identity: clientPki } : {}) };
    const client = name === "Python ssl" ? pythonClientWith(scene, options, { rounds: 2 }) : goClientWith(scene, options, ["-rounds", "2"]);
    const ours: (boolean | undefined)[] = [];
    for (let round = 0; round < 2; round++) {
      const connection = await served.next();
      await answerOnce(connection);
      ours.push(connection.info()?.sessionReused);
    }
    await client.process.exited();
    const theirs = client.process.eventsSoFar<{ event: string; reused: boolean }>().filter(({ event }) => event === "handshake");
    expect(ours).toEqual([false, !asks]);
    expect(theirs.map(({ reused }) => reused)).toEqual([false, !asks]);
  });

  test.each([false, true])("of openssl s_client is resumed unless a certificate is asked for (%s)", async (asks) => {
    const served = await serve(scene, [], asks ? asking : withIdentity);
    const options = { port: served.port, roots: [ecdsa.root], version, ...(asks ? { identity: clientPki } : {}) };
    const session = `${scene.folder}/session.pem`;
    const seen: (boolean | undefined)[] = [];
    for (const way of ["-sess_out", "-sess_in"]) {
      const client = opensslClientWith(scene, options, ["-servername", "server.test", way, session]);
      const connection = await served.next();
      await answerOnce(connection);
      await client.body();
      seen.push(connection.info()?.sessionReused, (await client.handshake()).reused);
    }
    expect(seen).toEqual([false, false, !asks, !asks]);
  });
});

test("X25519MLKEM768 with a Go client that configures nothing, as both see it", async () => {
  const served = await serve(scene, [], withIdentity);
  const client = clients["Go crypto/tls"]!(scene, { port: served.port, roots: [ecdsa.root] });
  const connection = await served.next();
  await answerOnce(connection);
  await client.body();
  expect(connection.info()?.group).toBe(0x11ec);
  expect(client.process.eventsSoFar<{ group?: number }>()[0]?.group).toBe(0x11ec);
});

test("X25519MLKEM768 with a Node client that configures nothing", async () => {
  const served = await serve(scene, [], withIdentity);
  const program = `const socket = require("node:tls").connect(
    { port: ${served.port}, servername: "server.test", ca: ${JSON.stringify(ecdsa.root.pem)} },
    () => socket.write("ping\\nCLOSE\\n"),
  );
  socket.pipe(process.stdout);`;
  const client = scene.start(process.execPath, ["-e", program]);
  const connection = await served.next();
  await answerOnce(connection);
  expect(await client.exited()).toBe(0);
  expect(client.stdout).toBe("gnip\n");
  expect(connection.info()?.group).toBe(0x11ec);
});

test("two intermediates arrive at a Go client, in order", async () => {
  const served = await serve(scene, [], withIdentity);
  const client = clients["Go crypto/tls"]!(scene, { port: served.port, roots: [ecdsa.root] });
  await answerOnce(await served.next());
  await client.body();
  const sums = await Promise.all(
    ecdsa.chainDer.map(async (der) => Buffer.from(await crypto.subtle.digest("SHA-256", Uint8Array.from(der))).toString("hex")),
  );
  expect(client.process.eventsSoFar<{ chain?: string[] }>()[0]?.chain).toEqual(sums);
});
