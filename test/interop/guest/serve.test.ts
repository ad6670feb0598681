import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import { EKU, makePki, type TestPki } from "../../support/pki.ts";
import { write, writeIdentity } from "../client/servers.ts";
import { inRepository, type PeerProcess, Scene } from "../peers/process.ts";
import { type ClientOptions, type ClientPeer, clients, opensslClientWith } from "../server/clients.ts";

/** The sample guest under `sallyport serve`, against clients nobody here wrote. */
let pki: TestPki;
let other: TestPki;
let clientPki: TestPki;
const scene = new Scene();

beforeAll(async () => {
  pki = await makePki({ leaf: { dns: ["server.test"] }, intermediates: 2 });
  other = await makePki({ leaf: { dns: ["other.test"] }, keyType: "rsa2048" });
  clientPki = await makePki({ leaf: { cn: "some client", eku: [EKU.clientAuth] } });
});
afterEach(() => scene.end());

/** Serve a folder with one page, with two identities to choose from by server name. */
async function serve(args: string[] = []): Promise<{ port: number; process: PeerProcess }> {
  const site = join(scene.folder, "site");
  mkdirSync(site);
  writeFileSync(join(site, "page.txt"), "a page of the site\n");
  const identities = [pki, other].flatMap(({ leaf, intermediates }, i) => {
    const files = writeIdentity(scene, `identity-${i}`, leaf, intermediates);
    return ["--identity", `number${i}=${files.chain},${files.key}`];
  });
  const program = inRepository("host/cli/bin.mjs");
  const process_ = scene.start(process.execPath, [program, "serve", site, ...identities, "--listen", "127.0.0.1:0", ...args]);
  const [, port] = await process_.waitFor(/^listening on https:\/\/127\.0\.0\.1:(\d+)$/m);
  return { port: Number(port), process: process_ };
}

const ask = (name: string, port: number, options: Partial<ClientOptions> = {}): ClientPeer =>
  clients[name]!(scene, {
    port,
    roots: [pki.root, other.root],
    path: "page.txt",
    request: `GET /page.txt HTTP/1.1\r\nhost: ${options.name ?? "server.test"}\r\nconnection: close\r\n\r\n`,
    ...options,
  });

describe.each(Object.keys(clients))("sallyport serve and %s", (name) => {
  test.each([
    ["1.2", []],
    ["1.3", []],
    ["1.3", ["--no-attach"]],
  ] as const)("a page over TLS %s (%s), and a line in the log that says so", async (version, flags) => {
    const { port, process: server } = await serve([...flags]);
    const client = ask(name, port, { version });
    expect(await client.body()).toContain("a page of the site");
    expect((await client.handshake()).version).toBe(`TLSv${version}`);
    await server.waitFor(new RegExp(`server\\.test TLSv${version} TLS_\\S+ .* full - "GET /page.txt" 200 19\\n`));
  });

  test("the other identity for the other name", async () => {
    const { port } = await serve();
    const client = ask(name, port, { name: "other.test", roots: [other.root] });
    expect(await client.body()).toContain("a page of the site");
  });

  test("a name of neither is refused with unrecognized_name", async () => {
    const { port } = await serve();
    const client = ask(name, port, { name: "third.test" });
    expect(await client.alert()).toBe(112);
    await client.process.exited();
    expect(client.sawHandshake()).toBe(false);
  });

  describe.each(["1.2", "1.3"] as const)("with client certificates required, over TLS %s", (version) => {
    const requiring = () => serve(["--client-auth", "required", "--client-ca", write(scene, "clients.pem", clientPki.root.pem)]);

    test("one is let in and named in the log", async () => {
      const { port, process: server } = await requiring();
      const client = ask(name, port, { version, identity: clientPki });
      expect(await client.body()).toContain("a page of the site");
      await server.waitFor(/full "CN=some client" "GET \/page.txt" 200/);
    });

    test("none is refused, and gets no page", async () => {
      const { port, process: server } = await requiring();
      const client = ask(name, port, { version });
      expect(await client.alert()).toBe(version === "1.3" ? 116 : 40);
      await expect(client.body()).rejects.toThrow();
      expect(server.stdout).not.toContain("GET /page.txt");
    });

    test("a stranger's is refused, and gets no page", async () => {
      const { port, process: server } = await requiring();
      const client = ask(name, port, { version, identity: other });
      expect([42, 43, 46, 48]).toContain(await client.alert());
      await expect(client.body()).rejects.toThrow();
      expect(server.stdout).not.toContain("GET /page.txt");
    });
  });
});

test.each(["openssl s_client", "Go crypto/tls", "Python ssl"])("%s, asking by one name for the site of another: 421", async (name) => {
  const { port } = await serve();
  const client = ask(name, port, { request: "GET /page.txt HTTP/1.1\r\nhost: other.test\r\nconnection: close\r\n\r\n" });
  expect(await client.body()).toMatch(/HTTP\/1\.1 421/);
});

describe("sallyport serve and openssl s_client", () => {
  test("without a server name it is refused, unless a default is wanted", async () => {
    const strict = await serve();
    const refused = opensslClientWith(scene, { port: strict.port, roots: [pki.root] }, ["-noservername"]);
    expect(await refused.alert()).toBe(112);
    await strict.process.stop();
    await scene.end();

    const lenient = await serve(["--default"]);
    const served = opensslClientWith(scene, { port: lenient.port, roots: [pki.root], request: "GET /page.txt HTTP/1.0\r\n\r\n" }, [
      "-noservername",
    ]);
    expect(await served.body()).toContain("a page of the site");
  });

  test("a renegotiation is refused", async () => {
    const { port } = await serve();
    const client = ask("openssl s_client", port, { version: "1.2", request: "" });
    await client.handshake();
    client.process.write("R\n");
    await client.process.waitFor(/RENEGOTIATING[^]*no renegotiation/);
  });
});

test("a dead handshake does not end the server: plain HTTP first, then a page", async () => {
  const { port } = await serve();
  const plain = scene.start("curl", ["-sS", "--max-time", "10", `http://127.0.0.1:${port}/`]);
  expect(await plain.exited()).not.toBe(0);
  expect(await ask("curl", port).body()).toContain("a page of the site");
});
