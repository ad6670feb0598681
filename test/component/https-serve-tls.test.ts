import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import tls from "node:tls";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type BuiltGuest, buildGuest } from "../support/guest-run.ts";
import { exchange, type HttpsServer, startHttpsServer } from "../support/https-server.ts";
import { makeCertificate, makeCrl, makePki, type TestPki, toPem } from "../support/pki.ts";

let guest: BuiltGuest;
let folder: string;
let site: string;
/** Two sites, each under an authority of its own. */
let one: TestPki;
let two: TestPki;
let clients: TestPki;
let strangers: TestPki;
let server: HttpsServer;
const running: HttpsServer[] = [];

beforeAll(async () => {
  guest = await buildGuest({ entry: "guest/https-serve/main.ts", wit: "wit/samples", world: "https-serve" });
  one = await makePki({ leaf: { dns: ["one.test", "*.w.test"] }, intermediates: 2 });
  two = await makePki({ leaf: { dns: ["Two.Test"] }, keyType: "rsa2048" });
  clients = await makePki({ leaf: { cn: "Alice\u0001Client", dns: [] } });
  strangers = await makePki({ leaf: { cn: "Mallory", dns: [] } });
  folder = mkdtempSync(join(tmpdir(), "sallyport-test-"));
  site = join(folder, "site");
  for (const path of [site, join(folder, "ca"), join(folder, "crl")]) mkdirSync(path);
  writeFileSync(join(site, "index.html"), "page");
  writeFileSync(join(folder, "ca/ca.pem"), clients.root.pem);
  const crls = await Promise.all([makeCrl(clients.root), makeCrl(clients.intermediates[0]!, [clients.leaf])]);
  writeFileSync(join(folder, "crl/ca.pem"), clients.root.pem + crls.map((crl) => toPem("X509 CRL", crl)).join(""));
  server = await start(["--identity", "one", "--identity", "two", "-v"]);
});
afterAll(async () => {
  for (const each of running) each.close();
  await guest?.remove();
  rmSync(folder, { recursive: true, force: true });
});

async function start(args: string[], handshakeTimeout = 10_000): Promise<HttpsServer> {
  const options = { tls: { handshakeTimeout }, folders: { "/ca": join(folder, "ca"), "/crl": join(folder, "crl") } };
  const started = await startHttpsServer(guest.code, site, { one, two }, args, options);
  running.push(started);
  return started;
}

/** What a client gets: the page, or how it was refused. */
async function ask(options: tls.ConnectionOptions, to = server): Promise<string> {
  const { text, ending } = await exchange(to.port, options, "GET / HTTP/1.0\r\n\r\n");
  return text.startsWith("HTTP/1.1 200 ") && text.endsWith("page") && ending === "end" ? "page" : ending;
}

const toOne = () => ({ servername: "one.test", ca: one.root.pem });
const toTwo = () => ({ servername: "two.test", ca: two.root.pem });

describe("https-serve chooses an identity at client-hello", () => {
  it("by the name, exactly, whatever its case, and by a wildcard for one whole label", async () => {
    expect(await ask(toOne())).toBe("page");
    expect(await ask(toTwo())).toBe("page");
    expect(await ask({ servername: "a.w.test", ca: one.root.pem })).toBe("page");
    expect(await ask({ ...toOne(), servername: "ONE.test" })).toBe("page");
  });

  it("and sends its chain with every intermediate", async () => {
    // Only the root is known here, and two intermediates stand between.
    const { authorized } = await exchange(server.port, { ...toOne(), rejectUnauthorized: false }, "GET / HTTP/1.0\r\n\r\n");
    expect(authorized).toBe(true);
  });

  it.each(["three.test", "w.test", "a.b.w.test", "one.test.test", "test", "xone.test"])(
    "and refuses %s, which no certificate covers, with unrecognized_name",
    async (servername) => {
      expect(await ask({ servername, rejectUnauthorized: false })).toBe("ERR_SSL_TLSV1_UNRECOGNIZED_NAME");
    },
  );

  it("and refuses a client without a name, unless there is a default", async () => {
    const unnamed = { ca: one.root.pem, checkServerIdentity: () => undefined };
    expect(await ask(unnamed)).toBe("ERR_SSL_TLSV1_UNRECOGNIZED_NAME");
    const lenient = await start(["--identity", "one", "--identity", "two", "--default"]);
    expect(await ask(unnamed, lenient)).toBe("page");
    expect(await ask(toTwo(), lenient)).toBe("page");
    expect(await ask({ servername: "three.test", rejectUnauthorized: false }, lenient)).toBe("ERR_SSL_TLSV1_UNRECOGNIZED_NAME");
  });

  it("among those only that it was told to use", async () => {
    const onlyTwo = await start(["--identity", "two"]);
    expect(await ask(toTwo(), onlyTwo)).toBe("page");
    expect(await ask(toOne(), onlyTwo)).toBe("ERR_SSL_TLSV1_UNRECOGNIZED_NAME");
  });

  it("for a resumed session too", async () => {
    let session: Buffer | undefined;
    const first = tls.connect({ port: server.port, host: "127.0.0.1", ...toOne(), maxVersion: "TLSv1.2" });
    first.on("session", (ticket) => (session = ticket));
    first.write("GET / HTTP/1.0\r\n\r\n");
    await new Promise((resolve) => first.resume().once("close", resolve));
    expect(session).toBeDefined();
    const again = await exchange(server.port, { ...toOne(), session, maxVersion: "TLSv1.2" }, "GET / HTTP/1.0\r\n\r\n");
    expect(again).toMatchObject({ reused: true, ending: "end" });
    expect(again.text).toMatch(/page$/);
    // What was opened for one name opens nothing under another one.
    expect(await ask({ servername: "three.test", session, maxVersion: "TLSv1.2", rejectUnauthorized: false })).toMatch(/UNRECOGNIZED_NAME/);
    const moved = await exchange(server.port, { ...toTwo(), session, maxVersion: "TLSv1.2" }, "GET / HTTP/1.0\r\n\r\n");
    expect(moved).toMatchObject({ reused: false, authorized: true });
  });
});

describe("https-serve agrees on", () => {
  it("HTTP/1.1 by ALPN, or without ALPN, and on nothing else", async () => {
    expect(await ask({ ...toOne(), ALPNProtocols: ["h2", "http/1.1"] })).toBe("page");
    expect(await ask({ ...toOne(), ALPNProtocols: undefined })).toBe("page");
    expect(await ask({ ...toOne(), ALPNProtocols: ["h2"] })).toBe("ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL");
    expect(await ask({ ...toOne(), ALPNProtocols: ["http/1.0", "HTTP/1.1"] })).toBe("ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL");
  });

  it("TLS 1.2 and 1.3, and nothing older", async () => {
    expect(await ask({ ...toOne(), maxVersion: "TLSv1.2" })).toBe("page");
    expect(await ask({ ...toOne(), minVersion: "TLSv1.3" })).toBe("page");
    const old: tls.ConnectionOptions = { minVersion: "TLSv1", maxVersion: "TLSv1.1", ciphers: "DEFAULT@SECLEVEL=0" };
    expect(await ask({ ...toOne(), ...old })).toMatch(/ALERT_PROTOCOL_VERSION/);
  });
});

describe("https-serve asks for client certificates", () => {
  const alice = () => ({ key: clients.leaf.keyPem, cert: clients.chainPem });
  const mallory = () => ({ key: strangers.leaf.keyPem, cert: strangers.chainPem });

  it("only where it is told to", async () => {
    expect(await ask({ ...toOne(), ...mallory() })).toBe("page");
    expect(server.stdout()).not.toContain("Mallory");
  });

  describe.each(["TLSv1.2", "TLSv1.3"] as const)("over %s", (maxVersion) => {
    it("that are optional: none is fine, a good one is logged, a stranger's is refused", async () => {
      const asking = await start(["--client-auth", "optional", "--client-ca", "/ca/ca.pem"]);
      expect(await ask({ ...toOne(), maxVersion }, asking)).toBe("page");
      await asking.said("stdout", / full - "GET \/" 200 4\n/);
      expect(await ask({ ...toOne(), ...alice(), maxVersion }, asking)).toBe("page");
      // No control of theirs, and no escape that could be mistaken for one of the log's own.
      const [line] = await asking.said("stdout", /^.*Alice.*$/m);
      expect(line).toContain(String.raw`"CN=Alice\\01Client"`);
      expect(await ask({ ...toOne(), ...mallory(), maxVersion }, asking)).toMatch(/ALERT|ECONNRESET/);
      expect(asking.stdout()).not.toContain("Mallory");
    });

    it("that are required: none and a stranger's are refused", async () => {
      const asking = await start(["--client-auth", "required", "--client-ca", "/ca/ca.pem"]);
      expect(await ask({ ...toOne(), maxVersion }, asking)).toMatch(/ALERT_(CERTIFICATE_REQUIRED|HANDSHAKE_FAILURE)|13_ALERT/);
      expect(await ask({ ...toOne(), ...mallory(), maxVersion }, asking)).toMatch(/UNKNOWN_CA|ALERT/);
      expect(await ask({ ...toOne(), ...alice(), maxVersion }, asking)).toBe("page");
      expect(asking.stdout().match(/GET/g)).toHaveLength(1);
    });

    it("and refuses one that is revoked, is for servers only, or is over", async () => {
      const issuer = clients.intermediates[0]!;
      const revoking = await start(["--client-auth", "required", "--client-ca", "/crl/ca.pem"]);
      expect(await ask({ ...toOne(), ...alice(), maxVersion }, revoking)).toMatch(/ALERT/);
      const asking = await start(["--client-auth", "required", "--client-ca", "/ca/ca.pem"]);
      for (const fault of [{ eku: ["1.3.6.1.5.5.7.3.1"] }, { notAfter: new Date(Date.now() - 60_000) }]) {
        const leaf = await makeCertificate(fault, issuer);
        expect(await ask({ ...toOne(), key: leaf.keyPem, cert: leaf.pem + issuer.pem, maxVersion }, asking)).toMatch(/ALERT/);
      }
      expect(asking.stdout() + revoking.stdout()).not.toContain("GET");
    });
  });
});

describe("https-serve reports handshakes", () => {
  it("with each suspension and who decided what, and no key", async () => {
    const asking = await start(["-v", "--client-auth", "optional", "--client-ca", "/ca/ca.pem"]);
    await ask({ ...toOne(), key: clients.leaf.keyPem, cert: clients.chainPem }, asking);
    await ask({ servername: "three.test", rejectUnauthorized: false }, asking);
    await asking.said("stderr", /ended .*no certificate covers/);
    const report = asking.stderr();
    expect(report).toMatch(/suspended at client-hello[^]*server name +one\.test\n/);
    expect(report).toMatch(/the guest decides +identity "one" \(CN=[^)]*\), whose certificate covers the server name\n/);
    expect(report).toMatch(/suspended at verify-client-identity +CN=Alice\\01Client\n +the host's verdict +no fault found\n/);
    expect(report).toMatch(/suspended at accepted[^]*version +TLS 1\.3\n/);
    expect(report).toMatch(/the guest decides +refuse, no certificate covers the server name\n/);
    expect(report).not.toContain("PRIVATE KEY");
  });

  it("only where it is told to", async () => {
    const quiet = await start(["--quiet"]);
    expect(await ask(toOne(), quiet)).toBe("page");
    expect(await ask({ servername: "three.test", rejectUnauthorized: false }, quiet)).toMatch(/UNRECOGNIZED_NAME/);
    expect({ stdout: quiet.stdout().split("\n").length, stderr: quiet.stderr() }).toEqual({ stdout: 2, stderr: "" });
  });
});

describe("https-serve lets no handshake hang", () => {
  it("that never begins or stops in the middle", async () => {
    const impatient = await start([], 300);
    const { connect } = await import("node:net");
    const ends = [new Uint8Array(0), Uint8Array.of(0x16, 0x03, 0x01, 0x02, 0x00, 0x01)].map(
      (bytes) =>
        new Promise<string>((resolve) => {
          const socket = connect(impatient.port, "127.0.0.1", () => socket.write(bytes));
          socket.on("error", () => {});
          socket.resume().on("close", () => resolve("closed"));
        }),
    );
    expect(await Promise.all(ends)).toEqual(["closed", "closed"]);
    expect(await ask(toOne(), impatient)).toBe("page");
  });
});
