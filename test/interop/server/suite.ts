import { afterEach, beforeAll, describe, expect, test } from "vitest";
import type { TlsConnection } from "../../../host/tls/connection.ts";
import { EKU, makePki, type TestPki } from "../../support/pki.ts";
import { anchors, established, keyPair, outcomeOf, suspended } from "../../support/tls-over-tcp.ts";
import { Scene } from "../peers/process.ts";
import type { ClientOptions, ClientPeer } from "./clients.ts";
import { answerOnce, serve } from "./serve.ts";

/** What a client does in its own way. */
export interface ClientTraits {
  /** It presents no certificate from an authority that the server did not name. */
  isShy?: boolean;
  /** Alerts that it has for a server that it does not trust beside unknown_ca. */
  otherRefusals?: number[];
}

/** Everything that a server of ours shows against any client. */
export function serverSuite(
  name: string,
  client: (scene: Scene, options: ClientOptions) => ClientPeer,
  { isShy = false, otherRefusals = [] }: ClientTraits = {},
): void {
  let ecdsa: TestPki;
  let rsa: TestPki;
  let other: TestPki;
  let clientPki: TestPki;
  const scene = new Scene();

  beforeAll(async () => {
    const leaf = { dns: ["server.test"] };
    ecdsa = await makePki({ leaf, intermediates: 2 });
    rsa = await makePki({ leaf, intermediates: 2, keyType: "rsa2048" });
    other = await makePki({ leaf: { dns: ["other.test"] } });
    clientPki = await makePki({ leaf: { cn: "some client", eku: [EKU.clientAuth] } });
  });
  afterEach(() => scene.end());

  const withIdentity = (connection: TlsConnection) => void (connection.settings.identities = [keyPair(ecdsa)]);
  const asking = (connection: TlsConnection) => {
    withIdentity(connection);
    connection.settings.clientCertificate = "required";
    connection.settings.anchors = anchors(clientPki.root);
  };

  describe(`a server of ${name}`, () => {
    const start = (options: Omit<ClientOptions, "roots"> & { roots?: ClientOptions["roots"] }) =>
      client(scene, { roots: [ecdsa.root, rsa.root], ...options });

    describe.each(["1.2", "1.3"] as const)("over TLS %s", (version) => {
      test.each(["ECDSA", "RSA"])("serves with an %s certificate, and both reports agree", async (kind) => {
        const served = await serve(scene, [], (connection) => {
          connection.settings.identities = [keyPair(kind === "RSA" ? rsa : ecdsa)];
        });
        const client = start({ port: served.port, version });
        const connection = await served.next();
        expect(await answerOnce(connection)).toContain("ping");
        expect(await client.body()).toContain("gnip");
        expect(await client.handshake()).toMatchObject({ version: `TLSv${version}`, reused: false });
        expect(connection.info()).toMatchObject({ protocolVersion: version === "1.2" ? 0x0303 : 0x0304, sessionReused: false });
        expect([0x11ec, 0x001d, 0x0017]).toContain(connection.info()!.group);
      });

      test("held at client-hello and resumed: the client goes on with what was configured there", async () => {
        const served = await serve(scene, ["client-hello"], () => {});
        const client = start({ port: served.port, version });
        const connection = await served.next();
        expect(await suspended(connection)).toBe("client-hello");
        expect(connection.hello?.serverName).toEqual({ tag: "dns", name: "server.test" });
        expect(connection.publicInput.available()).toBe(0);
        expect(client.sawHandshake()).toBe(false);
        withIdentity(connection);
        connection.resume([]);
        await answerOnce(connection);
        expect(await client.body()).toContain("gnip");
      });

      test("aborted at client-hello: the client reads that alert and sees no handshake", async () => {
        const served = await serve(scene, ["client-hello"], withIdentity);
        const client = start({ port: served.port, version });
        const connection = await served.next();
        await suspended(connection);
        connection.abort(112);
        expect(await client.alert()).toBe(112);
        await client.process.exited();
        expect(client.sawHandshake()).toBe(false);
      });

      test("asks for a certificate and sees the whole chain of it", async () => {
        const served = await serve(scene, [], asking);
        const client = start({ port: served.port, version, identity: clientPki });
        const connection = await served.next();
        await answerOnce(connection);
        expect(await client.body()).toContain("gnip");
        expect(connection.peer?.chain?.leaf.subject).toBe("CN=some client");
        expect(connection.peer?.chain?.der).toHaveLength(2);
      });

      test("refuses a client without the required certificate, which reads why", async () => {
        const served = await serve(scene, [], asking);
        const client = start({ port: served.port, version });
        expect(await outcomeOf(await served.next())).toEqual({ tag: "err", val: { tag: "certificate", val: "none-presented" } });
        expect(await client.alert()).toBe(version === "1.3" ? 116 : 40);
      });

      test("refuses the certificate of a stranger, if it is presented at all", async () => {
        const served = await serve(scene, [], (connection) => {
          asking(connection);
          connection.settings.anchors = anchors(other.root);
        });
        const client = start({ port: served.port, version, identity: clientPki });
        const reason = isShy ? "none-presented" : "unknown-issuer";
        expect(await outcomeOf(await served.next())).toEqual({ tag: "err", val: { tag: "certificate", val: reason } });
        if (!isShy) expect(await client.alert()).toBe(48);
        await expect(client.body()).rejects.toThrow();
      });

      test("held at verify-client-identity and resumed, then answers", async () => {
        const served = await serve(scene, ["verify"], asking);
        const client = start({ port: served.port, version, identity: clientPki });
        const connection = await served.next();
        expect(await suspended(connection)).toBe("verify");
        expect(connection.peer?.verdict).toEqual([]);
        connection.resume([]);
        await answerOnce(connection);
        expect(await client.body()).toContain("gnip");
      });

      test("aborted at verify-client-identity: the client reads that alert and gets nothing", async () => {
        const served = await serve(scene, ["verify"], asking);
        const client = start({ port: served.port, version, identity: clientPki });
        // Java tries a request that failed once more.
        const abortAll = async (): Promise<never> => {
          for (;;) {
            const connection = await served.next();
            await suspended(connection);
            connection.abort(49);
          }
        };
        expect(await Promise.race([client.alert(), abortAll()])).toBe(49);
        await expect(client.body()).rejects.toThrow();
        // Where TLS allows it: in TLS 1.3 a client is done before its certificate was seen (RFC 8446, section 4.4).
        if (version === "1.2") expect(client.sawHandshake()).toBe(false);
      });

      test("is told so by a client that does not trust it", async () => {
        const served = await serve(scene, [], withIdentity);
        const client = start({ port: served.port, version, roots: [other.root] });
        const outcome = await outcomeOf(await served.next());
        expect(outcome).toMatchObject({ tag: "err", val: { tag: "alert-received" } });
        expect([48, ...otherRefusals]).toContain((outcome as { val: { val: number } }).val.val);
        await client.process.exited();
        expect(client.sawHandshake()).toBe(false);
      });

      test("refuses a client that it has no identity for", async () => {
        const served = await serve(scene, [], () => {});
        const client = start({ port: served.port, version });
        expect(await outcomeOf(await served.next())).toEqual({ tag: "err", val: { tag: "alert-sent", val: 40 } });
        expect(await client.alert()).toBe(40);
      });
    });

    test("notices a client that is killed with the handshake unfinished", async () => {
      const served = await serve(scene, ["client-hello"], withIdentity);
      const client = start({ port: served.port });
      const connection = await served.next();
      await suspended(connection);
      await client.process.stop();
      connection.resume([]);
      expect((await outcomeOf(connection))?.val).toMatchObject({ tag: expect.stringMatching(/^(truncated|transport)$/) });
    });

    test("takes a client that is killed after the handshake for a truncation", async () => {
      const served = await serve(scene, [], withIdentity);
      const client = start({ port: served.port });
      const connection = await served.next();
      await established(connection);
      await client.handshake();
      await client.process.stop();
      expect(["truncated", "transport"]).toContain(tagOf(await outcomeOf(connection)));
    });
  });
}

function tagOf(outcome: TlsConnection["outcome"]): string | undefined {
  return outcome?.tag === "ok" ? outcome.val : outcome?.val.tag;
}
