import { afterEach, beforeAll, describe, expect, test } from "vitest";
import { makePki, type TestPki } from "../../support/pki.ts";
import { anchors, clientTo, established, outcomeOf, readAll, tlsHost, writeAll } from "../../support/tls-over-tcp.ts";
import { Scene } from "../peers/process.ts";
import { type ServerPeer, servers } from "./servers.ts";
import { clientSuite } from "./suite.ts";

clientSuite("openssl s_server", servers["openssl s_server"]!, { isSerial: true });
clientSuite("Go crypto/tls", servers["Go crypto/tls"]!, { otherRefusals: [42] });
clientSuite("Node https", servers["Node https"]!);

let pki: TestPki;
const scene = new Scene();

beforeAll(async () => {
  pki = await makePki({ leaf: { dns: ["server.test"] }, intermediates: 2 });
});
afterEach(() => scene.end());

const identity = ({ leaf, intermediates }: TestPki) => ({ leaf, intermediates });

function begin(peer: ServerPeer) {
  const client = clientTo(peer.port, "server.test", [], tlsHost({ anchors: anchors(pki.root) }));
  scene.onEnd(() => client.terminate());
  return client;
}

async function fetch(peer: ServerPeer, client: ReturnType<typeof begin>): Promise<string> {
  await established(client);
  await writeAll(client.privateOutput, Buffer.from(peer.request("ping")));
  return await readAll(client.privateInput);
}

describe("a client of a server that stops in the middle", () => {
  test.each(["Go crypto/tls", "Node https"])("%s, after the client hello: truncated", async (name) => {
    const peer = await servers[name]!(scene, { ...identity(pki), behave: "close-at-hello" });
    const client = begin(peer);
    client.start();
    expect(await outcomeOf(client)).toEqual({ tag: "err", val: { tag: "truncated" } });
    expect(peer.handshakes()).toBe(0);
  });

  test("Go crypto/tls, after its flight: truncated", async () => {
    const peer = await servers["Go crypto/tls"]!(scene, { ...identity(pki), version: "1.2", behave: "close-after-flight" });
    const client = begin(peer);
    client.start();
    expect((await outcomeOf(client))?.val).toMatchObject({ tag: expect.stringMatching(/^(truncated|transport)$/) });
    expect(peer.handshakes()).toBe(0);
  });

  test.each([
    ["Go crypto/tls", "1.2"],
    ["Go crypto/tls", "1.3"],
    ["Node https", "1.2"],
    ["Node https", "1.3"],
  ] as const)("%s over TLS %s, before its close_notify: truncated, with what came before", async (name, version) => {
    const peer = await servers[name]!(scene, { ...identity(pki), version, behave: "truncate" });
    const client = begin(peer);
    client.start();
    await expect(fetch(peer, client)).rejects.toThrow("truncated");
    expect(client.outcome).toEqual({ tag: "ok", val: "truncated" });

    const tolerant = begin(peer);
    tolerant.settings.truncation = "tolerate";
    tolerant.start();
    expect(await fetch(peer, tolerant)).toContain("gnip");
    expect(tolerant.outcome).toEqual({ tag: "ok", val: "truncated" });
  });

  test("openssl s_server, killed with a request open: truncated", async () => {
    const peer = await servers["openssl s_server"]!(scene, identity(pki));
    const client = begin(peer);
    client.start();
    await established(client);
    await peer.handshake();
    await peer.process.stop();
    await expect(readAll(client.privateInput)).rejects.toThrow("truncated");
  });
});
