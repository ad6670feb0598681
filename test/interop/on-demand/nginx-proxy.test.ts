import { afterEach, beforeAll, describe, expect, test } from "vitest";
import { makePki, type TestPki } from "../../support/pki.ts";
import { anchors, keyPair, outcomeOf } from "../../support/tls-over-tcp.ts";
import { write, writeIdentity } from "../client/servers.ts";
import { Scene } from "../peers/process.ts";
import { answerOnce, serve } from "../server/serve.ts";
import { startNginx } from "./peers.ts";

/** nginx in front of a server of ours, which it speaks TLS with. */
let pki: TestPki;
const scene = new Scene();

beforeAll(async () => {
  pki = await makePki({ leaf: { dns: ["server.test"] }, intermediates: 2 });
});
afterEach(() => scene.end());

async function proxy(to: number, name = "server.test") {
  const own = writeIdentity(scene, "own", pki.leaf, pki.intermediates);
  const lines = [
    `proxy_pass https://127.0.0.1:${to};`,
    `proxy_ssl_server_name on; proxy_ssl_name ${name}; proxy_ssl_verify on; proxy_ssl_verify_depth 3;`,
    `proxy_ssl_trusted_certificate ${write(scene, "ca.pem", pki.root.pem)};`,
    `proxy_ssl_certificate ${own.chain}; proxy_ssl_certificate_key ${own.key}; proxy_ssl_protocols TLSv1.2 TLSv1.3;`,
  ];
  return await startNginx(scene, (port) => `server { listen 127.0.0.1:${port}; location / { ${lines.join(" ")} } }`);
}

const fetchVia = (port: number) => scene.start("curl", ["-sS", "-i", "--max-time", "10", `http://127.0.0.1:${port}/ping`]);

describe("nginx as a reverse proxy", () => {
  test.each([
    [0x0303, "TLS 1.2"],
    [0x0304, "TLS 1.3"],
  ])("%i (%s): fetches from us with its certificate, and resumes no session for that", async (version) => {
    const served = await serve(scene, [], (connection) => {
      const { settings } = connection;
      settings.identities = [keyPair(pki)];
      settings.clientCertificate = "required";
      settings.anchors = anchors(pki.root);
      settings.minimumVersion = settings.maximumVersion = version;
    });
    const front = await proxy(served.port);
    for (let round = 0; round < 2; round++) {
      const client = fetchVia(front.port);
      const connection = await served.next();
      await answerOnce(connection);
      expect(await client.exited()).toBe(0);
      expect(client.stdout).toMatch(/^HTTP\/1\.1 200[^]*gnip$/m);
      expect(connection.hello?.serverName).toEqual({ tag: "dns", name: "server.test" });
      expect(connection.info()).toMatchObject({ protocolVersion: version, sessionReused: false });
    }
  });

  test("resumes its session where no certificate is asked for", async () => {
    const served = await serve(scene, [], (connection) => void (connection.settings.identities = [keyPair(pki)]));
    const front = await proxy(served.port);
    const reused: (boolean | undefined)[] = [];
    for (let round = 0; round < 2; round++) {
      const client = fetchVia(front.port);
      const connection = await served.next();
      await answerOnce(connection);
      await client.exited();
      reused.push(connection.info()?.sessionReused);
    }
    expect(reused).toEqual([false, true]);
  });

  test("is told unrecognized_name for another name, and answers 502", async () => {
    const served = await serve(scene, ["client-hello"], (connection) => void (connection.settings.identities = [keyPair(pki)]));
    const front = await proxy(served.port, "other.test");
    const client = fetchVia(front.port);
    const connection = await served.next();
    await expect.poll(() => connection.hello?.serverName).toEqual({ tag: "dns", name: "other.test" });
    connection.suspend();
    connection.abort(112);
    expect(await outcomeOf(connection)).toEqual({ tag: "err", val: { tag: "alert-sent", val: 112 } });
    await front.process.waitFor(/SSL alert number 112/);
    await client.exited();
    expect(client.stdout).toContain("HTTP/1.1 502");
  });
});
