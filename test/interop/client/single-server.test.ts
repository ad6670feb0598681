import { afterEach, beforeAll, describe, expect, test } from "vitest";
import { makePki, type TestPki } from "../../support/pki.ts";
import { anchors, clientTo, established, outcomeOf, readAll, suspended, tlsHost, writeAll } from "../../support/tls-over-tcp.ts";
import { Scene } from "../peers/process.ts";
import { opensslServerWith, servers, startNodeServer } from "./servers.ts";

let pki: TestPki;
let rsa: TestPki;
const scene = new Scene();

beforeAll(async () => {
  pki = await makePki({ leaf: { dns: ["server.test"] }, intermediates: 2 });
  rsa = await makePki({ leaf: { dns: ["server.test"] }, keyType: "rsa2048" });
});
afterEach(() => scene.end());

const identity = () => ({ leaf: pki.leaf, intermediates: pki.intermediates });

function begin(port: number, points: Parameters<typeof clientTo>[2] = []) {
  const client = clientTo(port, "server.test", points, tlsHost({ anchors: anchors(pki.root, rsa.root) }));
  scene.onEnd(() => client.terminate());
  return client;
}

describe.each(["1.2", "1.3"] as const)("openssl s_server over TLS %s", (version) => {
  test("serves its page of session facts (-www), which agrees with ours", async () => {
    const peer = await opensslServerWith(scene, { ...identity(), version }, ["-www"]);
    const client = begin(peer.port);
    client.start();
    await established(client);
    await writeAll(client.privateOutput, Buffer.from("GET / HTTP/1.0\r\n\r\n"));
    const page = await readAll(client.privateInput);
    expect(page).toMatch(new RegExp(`Protocol +: TLSv${version}`));
    const [, cipher] = /Cipher +: (\S+)/.exec(page)!;
    const names: Record<number, string> = {
      0x1301: "TLS_AES_128_GCM_SHA256",
      0x1302: "TLS_AES_256_GCM_SHA384",
      0xc02b: "ECDHE-ECDSA-AES128-GCM-SHA256",
      0xc02c: "ECDHE-ECDSA-AES256-GCM-SHA384",
    };
    expect(names[client.info()!.cipherSuite]).toBe(cipher);
  });

  test("prints nothing of the session while the client is held, and all of it once it is resumed", async () => {
    const peer = await opensslServerWith(scene, { ...identity(), version }, []);
    const client = begin(peer.port, ["verify"]);
    client.start();
    await suspended(client);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(peer.process.output).not.toMatch(/SSL SESSION PARAMETERS|CIPHER is/);
    client.resume([]);
    await established(client);
    await peer.process.waitFor(/BEGIN SSL SESSION PARAMETERS[^]*CIPHER is/);
  });

  test("prints the alert and nothing of the session when the client aborts", async () => {
    const peer = await opensslServerWith(scene, { ...identity(), version }, []);
    const client = begin(peer.port, ["verify"]);
    client.start();
    await suspended(client);
    client.abort(42);
    await peer.process.waitFor(/alert bad certificate.*SSL alert number 42/);
    expect(peer.process.output).not.toMatch(/SSL SESSION PARAMETERS|CIPHER is/);
  });

  test("gets the group it insists on, in TLS 1.3 by a HelloRetryRequest", async () => {
    // RSA: in TLS 1.2 the groups limit the curves of certificates too.
    const peer = await opensslServerWith(scene, { leaf: rsa.leaf, intermediates: rsa.intermediates, version }, [
      "-rev",
      "-groups",
      "P-384",
    ]);
    const client = begin(peer.port);
    client.settings.groups = [0x001d, 0x0018];
    client.start();
    await established(client);
    expect(client.info()?.group).toBe(0x0018);
  });

  test("with no group in common answers handshake_failure", async () => {
    const peer = await opensslServerWith(scene, { ...identity(), version }, ["-rev", "-groups", "P-384"]);
    const client = begin(peer.port);
    client.settings.groups = [0x001d];
    client.start();
    expect(await outcomeOf(client)).toEqual({ tag: "err", val: { tag: "alert-received", val: 40 } });
  });
});

test.each(["Go crypto/tls", "Node https"])("%s agrees on X25519MLKEM768 when nothing is configured", async (name) => {
  const peer = await servers[name]!(scene, { ...identity(), version: "1.3" });
  const client = begin(peer.port);
  client.start();
  await established(client);
  expect(client.info()?.group).toBe(0x11ec);
  if (name === "Go crypto/tls") expect(JSON.parse(await peer.handshake())).toMatchObject({ group: 0x11ec });
});

test("a server that speaks plain HTTP is no TLS, in words", async () => {
  const peer = await startNodeServer(scene, { tls: {}, plain: true });
  const client = begin(peer.port);
  client.start();
  expect(await outcomeOf(client)).toEqual({ tag: "err", val: { tag: "protocol" } });
  expect(client.detail).toContain("not TLS");
});
