import { once } from "node:events";
import { connect } from "node:net";
import tls from "node:tls";
import { expect, test } from "vitest";
import { TlsConnection } from "../../../host/tls/connection.ts";
import { makePki } from "../../support/pki.ts";
import { anchors, keyPair, listening, suspended, target, tlsHost } from "../../support/tls-over-tcp.ts";

test.each(["TLSv1.2", "TLSv1.3"] as const)("the flight that was withheld leaves in one piece over %s", async (version) => {
  const pki = await makePki({ leaf: { dns: ["server.test"] } });
  const server = tls.createServer({
    key: pki.leaf.keyPem,
    cert: pki.chainPem,
    minVersion: version,
    maxVersion: version,
    requestCert: true,
    rejectUnauthorized: false,
  });
  server.on("tlsClientError", () => {});
  const socket = connect(await listening(server), "127.0.0.1");
  try {
    await once(socket, "connect");
    const client = new TlsConnection(
      tlsHost({ anchors: anchors(pki.root) }),
      { role: "client", points: new Set(["verify"]) },
      target("server.test"),
    );
    client.settings.identities = [keyPair(pki)];
    socket.on("data", (bytes: Buffer) => client.publicOutput.write(Uint8Array.from(bytes)));
    client.publicInput.changed.listen(() => {
      if (client.phase.tag !== "established" && !isResumed) socket.write(client.publicInput.read(65_536));
    });
    let isResumed = false;
    client.start();
    await suspended(client);
    expect(client.publicInput.available()).toBe(0);
    isResumed = true;
    client.resume([]);
    const flight = client.publicInput.readChunk(65_536);
    expect([flight.length > 100, client.publicInput.available()]).toEqual([true, 0]);
    client.terminate();
  } finally {
    socket.destroy();
    server.close();
  }
});
