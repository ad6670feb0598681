import { afterEach, beforeAll, describe, expect, test } from "vitest";
import { AnchorSet } from "../../../host/identity/trust-anchors.ts";
import type { Point } from "../../../host/tls/phase.ts";
import { EKU, makeCertificate, makeCrl, makePki, type TestPki } from "../../support/pki.ts";
import { anchors, clientTo, established, keyPair, outcomeOf, readAll, suspended, tlsHost, writeAll } from "../../support/tls-over-tcp.ts";
import { Scene } from "../peers/process.ts";
import type { ServerOptions, ServerPeer } from "./servers.ts";

/** What a server does in its own way. */
export interface ServerTraits {
  /** Part of the answer to a request for `ping`. */
  reply?: string;
  /** It serves one connection after the other. */
  isSerial?: boolean;
  /** Alerts that it has for a missing client certificate beside the right one. */
  otherRefusals?: number[];
  /** It completes the handshake without a client certificate, and refuses in its answer. */
  refusesLate?: boolean;
  /** Its alert for a client that does not speak TLS 1.1 any more. Default: protocol_version. */
  oldVersionAlert?: number;
  /** In TLS 1.3 it sends user_canceled before close_notify, and node:tls does not see what comes after that: no end is authenticated. */
  cancelsFirst?: boolean;
}

/** Everything that a client of ours shows against any server. */
export function clientSuite(
  name: string,
  serve: (scene: Scene, options: ServerOptions) => Promise<ServerPeer>,
  {
    reply = "gnip",
    isSerial = false,
    otherRefusals = [],
    refusesLate = false,
    oldVersionAlert = 70,
    cancelsFirst = false,
  }: ServerTraits = {},
): void {
  /** How many handshakes `oneMoreConnectionHandled` adds. */
  const byTheWay = isSerial ? 0 : 1;
  let ecdsa: TestPki;
  let rsa: TestPki;
  let clientPki: TestPki;
  const scene = new Scene();

  beforeAll(async () => {
    const leaf = { dns: ["server.test"], ip: ["127.0.0.1"] };
    ecdsa = await makePki({ leaf, intermediates: 2 });
    rsa = await makePki({ leaf, intermediates: 2, keyType: "rsa2048" });
    clientPki = await makePki({ leaf: { cn: "some client", eku: [EKU.clientAuth] } });
  });
  afterEach(() => scene.end());

  const trusting = () => tlsHost({ anchors: anchors(ecdsa.root, rsa.root) });
  const identity = ({ leaf, intermediates }: TestPki) => ({ leaf, intermediates });
  const withClientCertificate = (options: ServerOptions) => ({ ...options, clientRoot: clientPki.root });

  /** A client that is on its way. */
  function begin(peer: ServerPeer, name = "server.test", points: Point[] = [], host = trusting()) {
    const client = clientTo(peer.port, name, points, host);
    if (cancelsFirst) client.settings.truncation = "tolerate";
    scene.onEnd(() => client.terminate());
    return client;
  }

  async function fetch(peer: ServerPeer, client: ReturnType<typeof begin>): Promise<string> {
    await established(client);
    await writeAll(client.privateOutput, Buffer.from(peer.request("ping")));
    try {
      return await readAll(client.privateInput);
    } finally {
      client.closeOutput();
    }
  }

  describe(`a client of ${name}`, () => {
    describe.each(["1.2", "1.3"] as const)("over TLS %s", (version) => {
      test.each(["ECDSA", "RSA"])("fetches with an %s certificate, and its report is plausible", async (kind) => {
        const pki = kind === "RSA" ? rsa : ecdsa;
        const peer = await serve(scene, { ...identity(pki), version });
        const client = begin(peer);
        client.start();
        expect(await fetch(peer, client)).toContain(reply);
        expect(client.outcome).toEqual({ tag: "ok", val: cancelsFirst && version === "1.3" ? "truncated" : "authenticated" });
        const info = client.info()!;
        expect(info).toMatchObject({ protocolVersion: version === "1.2" ? 0x0303 : 0x0304, sessionReused: false, overridden: [] });
        const suites = version === "1.3" ? [0x1301, 0x1302, 0x1303] : kind === "RSA" ? [0xc02f, 0xc030, 0xcca8] : [0xc02b, 0xc02c, 0xcca9];
        expect(suites).toContain(info.cipherSuite);
        expect([0x11ec, 0x001d, 0x0017]).toContain(info.group);
      });

      test("has the whole chain, two intermediates included", async () => {
        const peer = await serve(scene, { ...identity(ecdsa), version });
        const client = begin(peer);
        client.start();
        await established(client);
        expect(client.peer?.chain?.der.map((der) => Buffer.from(der))).toEqual(ecdsa.chainDer.map((der) => Buffer.from(der)));
      });

      test("negotiates the ALPN id that both know", async () => {
        const peer = await serve(scene, { ...identity(ecdsa), version, alpn: ["http/1.1"] });
        const client = begin(peer);
        client.settings.alpnIds = [Buffer.from("other"), Buffer.from("http/1.1")];
        client.start();
        await established(client);
        expect(Buffer.from(client.info()!.alpnId!).toString()).toBe("http/1.1");
      });

      test("with no ALPN id in common is told so by the server", async () => {
        const peer = await serve(scene, { ...identity(ecdsa), version, alpn: ["http/1.1"] });
        const client = begin(peer);
        client.settings.alpnIds = [Buffer.from("other")];
        client.start();
        expect(await outcomeOf(client)).toEqual({ tag: "err", val: { tag: "alert-received", val: 120 } });
        expect(peer.handshakes()).toBe(0);
      });

      test("presents its certificate where one is required", async () => {
        const peer = await serve(scene, withClientCertificate({ ...identity(ecdsa), version }));
        const client = begin(peer);
        client.settings.identities = [keyPair(clientPki)];
        client.start();
        expect(await fetch(peer, client)).toContain(reply);
        await peer.handshake();
      });

      test("without a certificate where one is required is told so", async () => {
        const peer = await serve(scene, withClientCertificate({ ...identity(ecdsa), version }));
        const client = begin(peer);
        client.start();
        if (refusesLate) {
          expect(await fetch(peer, client)).toMatch(/^HTTP\/1\.1 400 .*No required SSL certificate was sent/s);
          return;
        }
        const outcome = await outcomeOf(client);
        // RFC 5246, section 7.4.6, asks for handshake_failure; not every server heeds it, nor RFC 8446, section 4.4.2.4.
        const alerts = version === "1.3" ? [116, ...otherRefusals] : [40, ...otherRefusals];
        expect(outcome).toMatchObject({ tag: "err", val: { tag: "alert-received" } });
        expect(alerts).toContain((outcome as { val: { val: number } }).val.val);
      });

      test("refuses the wrong name with bad_certificate", async () => {
        const peer = await serve(scene, { ...identity(ecdsa), version });
        const client = begin(peer, "other.test");
        client.start();
        expect(await outcomeOf(client)).toEqual({ tag: "err", val: { tag: "certificate", val: "name-mismatch" } });
        expect([await peer.alert(), peer.handshakes()]).toEqual([42, 0]);
      });

      test("refuses an expired certificate with certificate_expired", async () => {
        const [issuer] = ecdsa.intermediates;
        const leaf = await makeCertificate(
          { dns: ["server.test"], notBefore: new Date(Date.now() - 9e8), notAfter: new Date(Date.now() - 1e7) },
          issuer,
        );
        const peer = await serve(scene, { leaf, intermediates: ecdsa.intermediates, version });
        const client = begin(peer);
        client.start();
        expect(await outcomeOf(client)).toEqual({ tag: "err", val: { tag: "certificate", val: "expired" } });
        expect([await peer.alert(), peer.handshakes()]).toEqual([45, 0]);
      });

      test("refuses an unknown issuer with unknown_ca", async () => {
        const peer = await serve(scene, { ...identity(ecdsa), version });
        const client = begin(peer, "server.test", [], tlsHost({ anchors: anchors(clientPki.root) }));
        client.start();
        expect(await outcomeOf(client)).toEqual({ tag: "err", val: { tag: "certificate", val: "unknown-issuer" } });
        expect([await peer.alert(), peer.handshakes()]).toEqual([48, 0]);
      });

      test("refuses a self-signed certificate with unknown_ca", async () => {
        const peer = await serve(scene, { leaf: await makeCertificate({ dns: ["server.test"] }), version });
        const client = begin(peer);
        client.start();
        expect(await outcomeOf(client)).toEqual({ tag: "err", val: { tag: "certificate", val: "self-signed" } });
        expect([await peer.alert(), peer.handshakes()]).toEqual([48, 0]);
      });

      test("refuses a certificate that a CRL revokes with certificate_revoked", async () => {
        const peer = await serve(scene, { ...identity(ecdsa), version });
        const client = begin(peer);
        const [issuer, upper] = ecdsa.intermediates;
        const crls = [await makeCrl(issuer!, [ecdsa.leaf]), await makeCrl(upper!), await makeCrl(ecdsa.root)];
        client.settings.anchors = AnchorSet.fromX509([ecdsa.root.der], crls);
        client.start();
        expect(await outcomeOf(client)).toEqual({ tag: "err", val: { tag: "certificate", val: "revoked" } });
        expect([await peer.alert(), peer.handshakes()]).toEqual([44, 0]);
      });

      test("accepts what the CRLs do not revoke", async () => {
        const peer = await serve(scene, { ...identity(ecdsa), version });
        const client = begin(peer);
        const crls = await Promise.all([...ecdsa.intermediates, ecdsa.root].map((issuer) => makeCrl(issuer)));
        client.settings.anchors = AnchorSet.fromX509([ecdsa.root.der], crls);
        client.start();
        expect(await fetch(peer, client)).toContain(reply);
      });

      test("held at verify-server-identity and resumed: the server completes only then", async () => {
        const peer = await serve(scene, { ...identity(ecdsa), version });
        const client = begin(peer, "server.test", ["verify"]);
        client.start();
        expect(await suspended(client)).toBe("verify");
        await oneMoreConnectionHandled(peer);
        await expect.poll(() => peer.handshakes()).toBe(byTheWay);
        client.resume([]);
        expect(await fetch(peer, client)).toContain(reply);
        await expect.poll(() => peer.handshakes()).toBe(1 + byTheWay);
      });

      test("aborted at verify-server-identity: the server sees the alert and never a completed handshake", async () => {
        const peer = await serve(scene, { ...identity(ecdsa), version });
        const client = begin(peer, "server.test", ["verify"]);
        client.start();
        await suspended(client);
        client.abort(49);
        expect(client.outcome).toEqual({ tag: "err", val: { tag: "alert-sent", val: 49 } });
        expect([await peer.alert(), peer.handshakes()]).toEqual([49, 0]);
      });

      test("dropped at verify-server-identity: the server never sees a completed handshake", async () => {
        const peer = await serve(scene, { ...identity(ecdsa), version });
        const client = begin(peer, "server.test", ["verify"]);
        client.start();
        await suspended(client);
        client.terminate();
        await oneMoreConnectionHandled(peer);
        await expect.poll(() => peer.handshakes()).toBe(byTheWay);
      });

      test("resumes a session, and none with a verify point", async () => {
        const peer = await serve(scene, { ...identity(ecdsa), version });
        const host = trusting();
        const reused: (boolean | undefined)[] = [];
        for (const points of [[], [], ["verify"]] as Point[][]) {
          const client = begin(peer, "server.test", points, host);
          client.start();
          if (points.length > 0) {
            await suspended(client);
            client.resume([]);
          }
          await fetch(peer, client);
          reused.push(client.info()?.sessionReused);
        }
        expect(reused).toEqual([false, true, false]);
      });

      /** One whole exchange: whatever the server had to say of an earlier connection has been said. */
      async function oneMoreConnectionHandled(peer: ServerPeer): Promise<void> {
        // While one is held, the next is not looked at.
        if (isSerial) {
          await new Promise((resolve) => setTimeout(resolve, 100));
          return;
        }
        const other = begin(peer);
        other.start();
        await fetch(peer, other);
      }
    });

    test("is told that there is no version in common by a server of TLS 1.1", async () => {
      const peer = await serve(scene, { ...identity(ecdsa), version: "1.1" });
      const client = begin(peer);
      client.start();
      expect(await outcomeOf(client)).toEqual({ tag: "err", val: { tag: "alert-received", val: oldVersionAlert } });
      expect(peer.handshakes()).toBe(0);
    });
  });
}
