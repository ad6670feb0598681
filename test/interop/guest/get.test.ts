import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import { EKU, makeCertificate, makeCrl, makePki, type TestPki, toPem } from "../../support/pki.ts";
import {
  opensslServerWith,
  type ServerOptions,
  type ServerPeer,
  servers,
  startNodeServer,
  write,
  writeIdentity,
} from "../client/servers.ts";
import { cached, inRepository, Scene } from "../peers/process.ts";

/** The sample guest under `sallyport get`, and its other build under stock Wasmtime, against servers nobody here wrote. */
let pki: TestPki;
let clientPki: TestPki;
const scene = new Scene();

beforeAll(async () => {
  pki = await makePki({ leaf: { dns: ["server.test"] }, intermediates: 2 });
  clientPki = await makePki({ leaf: { cn: "some client", eku: [EKU.clientAuth] } });
});
afterEach(() => scene.end());

/** The part of a `--json` line that is looked at here. */
interface Report {
  status: number;
  tls: { version: string; group: string; alpn: string; chain: { subject: string }[]; sessionReused: boolean };
}

const serving: Record<string, (options: ServerOptions) => Promise<ServerPeer>> = {
  // -HTTP would serve files; -www answers any request with a page.
  "openssl s_server": (options) => opensslServerWith(scene, options, ["-www"]),
  "Go crypto/tls": (options) => servers["Go crypto/tls"]!(scene, options),
  "Node https": (options) => servers["Node https"]!(scene, options),
};
const identity = () => ({ leaf: pki.leaf, intermediates: pki.intermediates });

/** Run `sallyport get` for a page of that server. */
async function get(port: number, args: string[] = [], name = "server.test") {
  const program = inRepository("host/cli/bin.mjs");
  const ca = write(scene, "ca.pem", pki.root.pem);
  const grants = ["--connect-to", `${name}:${port}:127.0.0.1:${port}`, "--allow-net", `127.0.0.1:${port}`];
  const url = `https://${name}:${port}/ping`;
  const run = scene.start(process.execPath, [program, "get", "-s", "--cacert", ca, ...grants, ...args, url]);
  const code = await run.exited();
  return { code, stdout: run.stdout, output: run.output };
}

describe.each(Object.keys(serving))("sallyport get from %s", (name) => {
  const serve = serving[name]!;

  test.each(["1.2", "1.3"] as const)("fetches over TLS %s and reports what was negotiated", async (version) => {
    const peer = await serve({ ...identity(), version });
    const body = join(scene.folder, "body");
    const { code, stdout, output } = await get(peer.port, ["--json", "-o", body]);
    expect([code, output]).toEqual([0, expect.anything()]);
    const { status, tls } = JSON.parse(stdout) as Report;
    expect(status).toBe(200);
    expect(tls).toMatchObject({ version: `TLS ${version}`, sessionReused: false });
    expect(tls.chain).toHaveLength(3);
    if (version === "1.3") expect(tls.group).toBe(name === "openssl s_server" ? "x25519" : "X25519MLKEM768");
  });

  test.each([
    ["the wrong name", 42, async () => [identity(), ["other.test"], []] as const, "name-mismatch"],
    [
      "an unknown issuer",
      48,
      async () => [identity(), [], ["--cacert", write(scene, "o.pem", clientPki.root.pem)]] as const,
      "unknown-issuer",
    ],
    [
      "a self-signed certificate",
      48,
      async () => [{ leaf: await makeCertificate({ dns: ["server.test"] }) }, [], []] as const,
      "self-signed",
    ],
    ["an expired certificate", 45, async () => [await expired(), [], []] as const, "expired"],
    ["a revoked certificate", 44, async () => [identity(), [], ["--crlfile", await crlFile()]] as const, "revoked"],
  ])("refuses %s with 60, and the server is told with alert %i", async (_what, alert, make, word) => {
    const [options, [serverName], args] = await make();
    const peer = await serve(options);
    const { code, output } = await get(peer.port, [...args], serverName);
    expect([code, output]).toEqual([60, expect.stringContaining(word)]);
    expect(await peer.alert()).toBe(alert);
    if (name !== "openssl s_server") expect(peer.handshakes()).toBe(0);
  });

  test("shows the granted identity where one is required, and ends with 35 without", async () => {
    const peer = await serve({ ...identity(), clientRoot: clientPki.root });
    const files = writeIdentity(scene, "me", clientPki.leaf, clientPki.intermediates);
    expect(await get(peer.port, ["--identity", `me=${files.chain},${files.key}`, "--cert", "me"])).toMatchObject({ code: 0 });
    const { code, output } = await get(peer.port);
    expect(code).toBe(35);
    expect(output).toMatch(/certificate_required/i);
  });

  test("ends with 35 where TLS 1.1 is all there is", async () => {
    const peer = await serve({ ...identity(), version: "1.1" });
    expect(await get(peer.port)).toMatchObject({ code: 35, output: expect.stringContaining("protocol_version") });
  });

  test("ends with 35 where only another ALPN id is spoken", async () => {
    const peer = await serve({ ...identity(), alpn: ["other"] });
    expect(await get(peer.port)).toMatchObject({ code: 35, output: expect.stringContaining("no_application_protocol") });
  });
});

describe("sallyport get", () => {
  test.each([
    ["Go crypto/tls", "the client hello", 35],
    ["Node https", "the client hello", 35],
  ])("from %s that closes after %s ends with %i", async (name, _when, expected) => {
    const peer = await servers[name]!(scene, { ...identity(), behave: "close-at-hello" });
    const { code, output } = await get(peer.port);
    expect([code, output]).toEqual([expected, expect.stringContaining("https-get:")]);
  });

  test("of a body that is cut short ends with 18 and leaves no file", async () => {
    const peer = await servers["Node https"]!(scene, { ...identity(), behave: "truncate" });
    const before = new Set(readdirSync(scene.folder));
    const { code } = await get(peer.port, ["-o", join(scene.folder, "body")]);
    expect(code).toBe(18);
    expect(readdirSync(scene.folder).filter((file) => !before.has(file) && file !== "ca.pem")).toEqual([]);
  });

  test("from a port that speaks plain HTTP ends with 35 and says so", async () => {
    const peer = await startNodeServer(scene, { tls: {}, plain: true });
    expect(await get(peer.port)).toMatchObject({ code: 35, output: expect.stringMatching(/not TLS/i) });
  });

  test("for another key than the pinned one ends with 90, and the server never completes", async () => {
    const peer = await servers["Go crypto/tls"]!(scene, identity());
    const { code } = await get(peer.port, ["--pinnedpubkey", `sha256//${Buffer.alloc(32).toString("base64")}`]);
    expect(code).toBe(90);
    await peer.alert();
    expect(peer.handshakes()).toBe(0);
  });
});

describe("https-get-wasi-tls.wasm on stock Wasmtime", () => {
  async function wasmtime(port: number, args: string[] = []) {
    const component = inRepository("dist/components/https-get-wasi-tls.wasm");
    const grants = ["-S", "tls,inherit-network,allow-ip-name-lookup"];
    const run = scene.start(
      cached("wasmtime/wasmtime_cli/wasmtime"),
      [
        "run",
        ...grants,
        component,
        "-s",
        "--connect-to",
        `server.test:${port}:127.0.0.1:${port}`,
        ...args,
        `https://server.test:${port}/ping`,
      ],
      { env: { RUST_BACKTRACE: "0" } },
    );
    const code = await run.exited();
    return { code, stdout: run.stdout, output: run.output };
  }

  test.each(Object.keys(serving))("refuses the private authority of %s with a message and an exit code", async (name) => {
    const peer = await serving[name]!(identity());
    const { code, stdout, output } = await wasmtime(peer.port);
    expect(code).toBe(60);
    expect(stdout).toBe("");
    expect(output).toContain("https-get: the certificate of server.test was refused");
    expect(output).not.toMatch(/trap|backtrace|panicked|unreachable/i);
    // This Wasmtime sends no alert: it hangs up, and the server knows no more than that no handshake was completed.
    await peer.process.waitFor(/EOF|socket hang up|unexpected eof/);
    expect(peer.handshakes()).toBe(0);
  });

  test("ends with an exit code where nothing listens, where the peer hangs up, and where it speaks no TLS", async () => {
    const closed = await startNodeServer(scene, { tls: {}, plain: true });
    await closed.process.stop();
    const hangingUp = await servers["Go crypto/tls"]!(scene, { ...identity(), behave: "close-at-hello" });
    const plain = await startNodeServer(scene, { tls: {}, plain: true });
    for (const [port, expected] of [
      [closed.port, 7],
      [hangingUp.port, 35],
      [plain.port, 35],
    ] as const) {
      const { code, output } = await wasmtime(port);
      expect([code, output]).toEqual([expected, expect.stringContaining("https-get:")]);
      expect(output).not.toMatch(/trap|backtrace|panicked|unreachable/i);
    }
  });

  test("refuses flags that this build cannot honour rather than ignore them", async () => {
    expect(await wasmtime(1, ["--pinnedpubkey", `sha256//${Buffer.alloc(32).toString("base64")}`])).toMatchObject({ code: 2 });
  });
});

async function expired(): Promise<ServerOptions> {
  const past = { notBefore: new Date(Date.now() - 9e8), notAfter: new Date(Date.now() - 1e7) };
  return { leaf: await makeCertificate({ dns: ["server.test"], ...past }, pki.intermediates[0]), intermediates: pki.intermediates };
}

async function crlFile(): Promise<string> {
  const [issuer, upper] = pki.intermediates;
  const crls = [await makeCrl(issuer!, [pki.leaf]), await makeCrl(upper!), await makeCrl(pki.root)];
  const path = join(scene.folder, "crls.pem");
  writeFileSync(path, crls.map((crl) => toPem("X509 CRL", crl)).join(""));
  return path;
}
