import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { KeyPair } from "../../host/identity/private-identity.ts";
import type { ImportsOptions, TlsGrants } from "../../host/index.ts";
import { type BuiltGuest, buildGuest, startGuest } from "../support/guest-run.ts";
import { httpsServer, rawAnswer, tcpServer, type TestServer, tlsServer } from "../support/https-servers.ts";
import { makeCertificate, makeCrl, makePki, type TestPki, toPem } from "../support/pki.ts";

let guest: BuiltGuest;
let pki: TestPki;
let folder: string;

beforeAll(async () => {
  guest = await buildGuest({ entry: "guest/https-get/main.ts", wit: "wit/samples", world: "https-get" });
  pki = await makePki({ intermediates: 2 });
  folder = mkdtempSync(join(tmpdir(), "sallyport-test-"));
  writeFileSync(join(folder, "ca.pem"), pki.root.pem);
});
afterAll(async () => {
  rmSync(folder, { recursive: true, force: true });
  await guest?.remove();
});

interface Given extends Omit<ImportsOptions, "tls"> {
  tls?: TlsGrants;
  stdin?: Readable;
}

/** Run the program to its end, trusting the test's authority, granted loopback. */
async function get(args: string[], given: Given = {}) {
  const run = startGuest(guest.code, {
    grants: { allowNet: ["localhost", "127.0.0.1"] },
    preopens: [{ host: folder, guest: ".", write: true }],
    ...given,
    args: ["https-get", ...args],
    tls: { anchors: [pki.root.der], ...given.tls },
  });
  const { handles, ...result } = await run.ended;
  return {
    result,
    handles,
    code: result.tag === "exit" ? result.code : result.tag,
    stdout: run.stdout(),
    stderr: run.stderr(),
    refusals: run.refusals,
  };
}

/** What lies in the folder beside the authority's certificate. */
function filesLeft(): string[] {
  return readdirSync(folder).filter((name) => name !== "ca.pem");
}

function remove(name: string): void {
  rmSync(join(folder, name), { force: true });
}

const echo = () =>
  httpsServer(pki, (request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const body = Buffer.concat(chunks);
      response.setHeader("x-body", createHash("sha256").update(body).digest("hex"));
      response.end(JSON.stringify({ method: request.method, url: request.url, headers: request.headers, length: body.length }));
    });
  });

describe("https-get fetches", () => {
  it("a page with a length, writes it to standard output and holds nothing at its end", async () => {
    await using server = await httpsServer(pki, (_, response) => response.end("a page\n"));
    expect(await get([`${server.origin}/`])).toEqual({
      result: { tag: "exit", code: 0 },
      code: 0,
      handles: 0,
      stdout: "a page\n",
      stderr: "",
      refusals: [],
    });
  });

  it("a body in chunks, and one that close_notify ends", async () => {
    const text = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n1\r\n!\r\n0\r\nX-T: 1\r\n\r\n";
    await using chunked = await tlsServer(pki, rawAnswer(text));
    expect(await get([`${chunked.origin}/`])).toMatchObject({ code: 0, stdout: "hello!", handles: 0 });
    await using closing = await tlsServer(pki, rawAnswer("HTTP/1.0 200 OK\r\n\r\nup to the end"));
    expect(await get([`${closing.origin}/`])).toMatchObject({ code: 0, stdout: "up to the end", handles: 0 });
  });

  it("a large body into a file, which the host moves, and goes on with the same connection", async () => {
    const large = Buffer.from(Array.from({ length: 3_000_001 }, (_, i) => i % 251));
    await using server = await httpsServer(pki, (request, response) => response.end(request.url === "/large" ? large : "small"));
    const { code, stdout, handles } = await get([`${server.origin}/large`, `${server.origin}/small`, "-o", "large.bin"]);
    expect({ code, stdout, handles, connections: server.connections() }).toEqual({ code: 0, stdout: "small", handles: 0, connections: 1 });
    expect(readFileSync(join(folder, "large.bin")).equals(large)).toBe(true);
    remove("large.bin");
  });

  it("a large body that close_notify ends into standard output", async () => {
    const body = "0123456789".repeat(100_000);
    await using server = await tlsServer(pki, rawAnswer(`HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n${body}`));
    const { code, stdout } = await get([`${server.origin}/`]);
    expect({ code, whole: stdout === body }).toEqual({ code: 0, whole: true });
  });

  it("what comes after interim responses, and no body for HEAD", async () => {
    const text = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 Fine\r\nContent-Length: 4\r\n\r\nbody";
    await using hints = await tlsServer(pki, rawAnswer(text));
    expect(await get(["-i", `${hints.origin}/`])).toMatchObject({ code: 0, stdout: "HTTP/1.1 200 Fine\r\nContent-Length: 4\r\n\r\nbody" });
    await using head = await tlsServer(pki, rawAnswer("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"));
    expect(await get(["-X", "HEAD", `${head.origin}/`])).toMatchObject({ code: 0, stdout: "" });
  });

  it("with the method, fields and data that it was given", async () => {
    await using server = await echo();
    const { stdout } = await get(["-d", "a=1", "-d", "b=2", "-H", "X-Tra: yes", "-H", "User-Agent:", `${server.origin}/p?q`]);
    const sent = JSON.parse(stdout);
    expect(sent).toMatchObject({ method: "POST", url: "/p?q", length: 7, headers: { "x-tra": "yes", "content-length": "7" } });
    expect(sent.headers["user-agent"]).toBeUndefined();
    expect(JSON.parse((await get(["-X", "PUT", "-d", "x", `${server.origin}/`])).stdout).method).toBe("PUT");
  });

  it("with a file or standard input as data, large ones after the server asked for them", async () => {
    const data = Buffer.alloc(400_000, "data!");
    writeFileSync(join(folder, "data.bin"), data);
    await using server = await echo();
    const sum = createHash("sha256").update(data).digest("hex");
    const { stdout } = await get(["-i", "-d", "@data.bin", `${server.origin}/`]);
    expect(stdout).toContain(`x-body: ${sum}`);
    expect(stdout).toContain('"expect":"100-continue"');
    expect((await get(["-i", "-d", "@-", `${server.origin}/`], { stdin: Readable.from([data]) })).stdout).toContain(`x-body: ${sum}`);
    remove("data.bin");
  });

  it("a large body that a server takes without having asked for it", async () => {
    await using server = await tlsServer(pki, (socket) => {
      let length = 0;
      socket.on("data", (bytes: Buffer) => {
        length += bytes.length;
        if (length > 200_000) socket.end("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nall\n");
      });
    });
    expect(await get(["-d", "x".repeat(200_000), `${server.origin}/`])).toMatchObject({ code: 0, stdout: "all\n", handles: 0 });
  });

  it("large chunks, which the host moves, as one body", async () => {
    const chunk = "0123456789".repeat(30_000);
    const text = `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${`${chunk.length.toString(16)}\r\n${chunk}\r\n`.repeat(2)}0\r\n\r\n`;
    await using server = await tlsServer(pki, rawAnswer(text, "open"));
    const { code, stdout, handles } = await get([`${server.origin}/`]);
    expect({ code, handles, whole: stdout === chunk + chunk }).toEqual({ code: 0, handles: 0, whole: true });
  });

  it("the answer of a server that refuses a large body unseen", async () => {
    const refusal = "HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nno\n";
    await using server = await tlsServer(pki, rawAnswer(refusal));
    expect(await get(["-d", "x".repeat(200_000), `${server.origin}/`])).toMatchObject({ code: 0, stdout: "no\n", handles: 0 });
  });

  it("over TLS 1.2 if that is the most it may, and says what was negotiated", async () => {
    await using server = await httpsServer(pki, (_, response) => response.end("x"));
    const { stderr, code } = await get(["-v", "--tls-max", "1.2", `${server.origin}/`]);
    expect(code).toBe(0);
    for (const part of [
      "TLS 1.2, TLS_ECDHE",
      "ALPN http/1.1",
      "certificate 3: ",
      "for localhost, 127.0.0.1, ::1",
      "verdict: acceptable",
      "the guest decided: go on",
      "> GET / HTTP/1.1",
      "< HTTP/1.1 200 OK",
    ])
      expect(stderr).toContain(part);
  });

  it("from where --connect-to leads, under the name of the URL", async () => {
    await using server = await httpsServer(pki, (request, response) => response.end(request.headers.host));
    const { stdout } = await get(["--connect-to", `localhost:443:127.0.0.1:${server.port}`, "https://localhost/"]);
    expect(stdout).toBe("localhost");
  });

  it("from an address by its IP subject alternative name", async () => {
    await using server = await httpsServer(pki, (_, response) => response.end("x"));
    expect((await get([`https://127.0.0.1:${server.port}/`])).code).toBe(0);
  });
});

describe("https-get and its connections", () => {
  it("uses one for the URLs of an origin, or one each with --no-keepalive", async () => {
    await using server = await httpsServer(pki, (_, response) => response.end("x"));
    const urls = [1, 2, 3].map((i) => `${server.origin}/${i}`);
    expect((await get(urls)).stdout).toBe("xxx");
    expect(server.connections()).toBe(1);
    expect(await get(["--no-keepalive", ...urls])).toMatchObject({ stdout: "xxx", handles: 0 });
    expect(server.connections()).toBe(4);
  });

  it("asks once more on a new one if the server had closed an idle one", async () => {
    await using server = await tlsServer(pki, rawAnswer("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"));
    expect(await get([`${server.origin}/1`, `${server.origin}/2`])).toMatchObject({ code: 0, stdout: "xx" });
    expect(server.connections()).toBe(2);
  });

  it("does not take bytes behind an answer for the next answer", async () => {
    const text = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    await using server = await tlsServer(pki, rawAnswer(text, "open"));
    expect(await get([`${server.origin}/1`, `${server.origin}/2`])).toMatchObject({ code: 0, stdout: "xx" });
    expect(server.connections()).toBe(2);
  });
});

describe("https-get and redirects", () => {
  const redirecting = (location: (port: number) => string, status = 302): Promise<TestServer> => {
    const server = httpsServer(pki, (request, response) => {
      if (request.url === "/from") {
        response.writeHead(status, { location: location(request.socket.localPort!) }).end();
      } else response.end(`${request.method} ${JSON.stringify(request.headers)}`);
    });
    return server;
  };

  it("does not follow them unasked", async () => {
    await using server = await redirecting(() => "/to");
    expect(await get(["-i", `${server.origin}/from`])).toMatchObject({ code: 0, stdout: expect.stringContaining("location: /to") });
  });

  it("follows them on the same connection, with a POST becoming a GET at 302 and staying at 307", async () => {
    await using moved = await redirecting(() => "/to");
    expect((await get(["-L", "-d", "x", `${moved.origin}/from`])).stdout).toMatch(/^GET .*/);
    expect(moved.connections()).toBe(1);
    await using kept = await redirecting(() => "/to", 307);
    expect((await get(["-L", "-d", "x", `${kept.origin}/from`])).stdout).toMatch(/^POST .*"content-length":"1"/);
  });

  it("does not show what may be secret to another origin", async () => {
    const fields = ["-H", "Authorization: Bearer t", "-H", "X-Api-Key: k", "-H", "Cookie: c=1", "-H", "Accept-Language: de"];
    await using server = await redirecting((port) => `https://127.0.0.1:${port}/to`);
    const { stdout } = await get(["-L", ...fields, `${server.origin}/from`]);
    expect(stdout).toContain('"accept-language":"de"');
    for (const name of ["authorization", "x-api-key", "cookie"]) expect(stdout).not.toContain(name);
    await using same = await redirecting(() => "/to");
    expect((await get(["-L", ...fields, `${same.origin}/from`])).stdout).toContain("Bearer t");
  });

  it("refuses one to http and one in circles, with 47", async () => {
    await using down = await redirecting(() => "http://localhost/to");
    expect(await get(["-L", `${down.origin}/from`])).toMatchObject({ code: 47, stdout: "", stderr: expect.stringContaining("http") });
    await using circle = await redirecting(() => "/from");
    expect(await get(["-L", `${circle.origin}/from`])).toMatchObject({
      code: 47,
      stderr: expect.stringContaining("more than 10 redirects"),
      handles: 0,
    });
  });

  it("to a host that was not granted end with 6 and a line that names the flag", async () => {
    await using server = await redirecting(() => "https://elsewhere.test/to");
    const { code, refusals } = await get(["-L", `${server.origin}/from`]);
    expect(code).toBe(6);
    expect(refusals.join("\n")).toContain("--allow-net elsewhere.test");
  });
});

describe("https-get, when a body is cut short,", () => {
  it.each([
    ["one with a length", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort", "close_notify"],
    ["one with a length, by a cut", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort", "cut"],
    ["a large chunk", `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n493e0\r\n${"x".repeat(299_000)}`, "close_notify"],
    ["one in chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "close_notify"],
    ["one that only a cut ends", "HTTP/1.1 200 OK\r\n\r\nwho knows", "cut"],
    ["a large one with a length", `HTTP/1.1 200 OK\r\nContent-Length: 900000\r\n\r\n${"x".repeat(800_000)}`, "close_notify"],
    ["a large one that only a cut ends", `HTTP/1.1 200 OK\r\n\r\n${"x".repeat(800_000)}`, "cut"],
  ] as const)("ends with 18 and leaves no file: %s", async (_, text, end) => {
    await using server = await tlsServer(pki, rawAnswer(text, end));
    const { code, stderr, handles } = await get(["-o", "short.bin", `${server.origin}/`]);
    expect({ code, handles, left: filesLeft() }).toEqual({ code: 18, handles: 0, left: [] });
    expect(stderr).toMatch(/^https-get: .*\n$/);
  });

  it("keeps the file of an earlier run", async () => {
    writeFileSync(join(folder, "kept.bin"), "earlier");
    await using server = await tlsServer(pki, rawAnswer("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort"));
    expect((await get(["-o", "kept.bin", `${server.origin}/`])).code).toBe(18);
    expect(readFileSync(join(folder, "kept.bin"), "utf8")).toBe("earlier");
    remove("kept.bin");
  });
});

describe("https-get ends with", () => {
  it.each([
    ["2 without a URL", [], 2],
    ["2 for an unknown flag", ["--nope", "https://localhost/"], 2],
    ["2 for a field that would end early", ["-H", "A: b\r\nC: d", "https://localhost/"], 2],
    ["2 for a pin that is none", ["--pinnedpubkey", "sha256//abc", "https://localhost/"], 2],
    ["3 for what is no URL", ["localhost"], 3],
    ["3 for http", ["http://localhost/"], 3],
    ["6 for a name that was not granted", ["https://elsewhere.test/"], 6],
    ["7 where nothing listens", ["https://localhost:1/"], 7],
    ["26 for data that is not there", ["-d", "@nowhere", "https://localhost/"], 26],
    ["58 for an identity that was not granted", ["--cert", "me", "https://localhost/"], 58],
    ["77 for authorities that are not there", ["--cacert", "nowhere.pem", "https://localhost/"], 77],
  ])("%s", async (_, args, code) => {
    const outcome = await get(args);
    expect(outcome).toMatchObject({ code, stdout: "", handles: 0 });
    expect(outcome.stderr).toMatch(/^https-get: [^\n]*\n$/);
  });

  it.each([
    ["8 for what is not HTTP", "SSH-2.0-OpenSSH_9.6\r\n\r\n", 8],
    ["8 for a length that contradicts itself", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx", 8],
    ["8 for a head without end", `HTTP/1.1 200 OK\r\n${"A: b\r\n".repeat(20_000)}`, 8],
    ["8 for an upgrade that nobody asked for", "HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n", 8],
    ["8 for interim responses without end", "HTTP/1.1 100 Continue\r\n\r\n".repeat(50), 8],
    ["8 for a chunk without a size", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxx\r\n", 8],
    ["52 for no answer", "", 52],
    ["56 for half a head", "HTTP/1.1 200 OK\r\nA:", 56],
  ])("%s", async (_, text, code) => {
    await using server = await tlsServer(pki, rawAnswer(text));
    expect(await get([`${server.origin}/`])).toMatchObject({ code, stdout: "", handles: 0 });
  });

  it("22 for a status of 400 or more, with --fail, and writes nothing", async () => {
    await using server = await httpsServer(pki, (_, response) => response.writeHead(404).end("not here"));
    expect(await get(["--fail", "-o", "x.bin", `${server.origin}/`])).toMatchObject({
      code: 22,
      stdout: "",
      stderr: expect.stringContaining("404"),
    });
    expect(filesLeft()).toEqual([]);
    expect(await get([`${server.origin}/`])).toMatchObject({ code: 0, stdout: "not here" });
  });

  it("23 for a file that cannot be written", async () => {
    await using server = await httpsServer(pki, (_, response) => response.end("x"));
    expect((await get(["-o", "no/such/folder.bin", `${server.origin}/`])).code).toBe(23);
    expect((await get(["-o", "/etc/outside", `${server.origin}/`])).code).toBe(23);
    const readOnly = { preopens: [{ host: folder, guest: ".", write: false }] };
    expect((await get(["-o", "x.bin", `${server.origin}/`], readOnly)).code).toBe(23);
  });

  it("28 once --max-time is over, and leaves no file", async () => {
    await using silent = await tlsServer(pki, () => {});
    expect(await get(["--max-time", "0.3", `${silent.origin}/`])).toMatchObject({ code: 28, handles: 0 });
    await using stuck = await tlsServer(pki, rawAnswer(`HTTP/1.1 200 OK\r\nContent-Length: 900000\r\n\r\n${"x".repeat(500_000)}`, "open"));
    expect(await get(["--max-time", "0.5", "-o", "stuck.bin", `${stuck.origin}/`])).toMatchObject({ code: 28, handles: 0 });
    expect(filesLeft()).toEqual([]);
  });

  it("28 for a server that never answers the handshake", async () => {
    await using server = await tcpServer(() => {});
    expect((await get([`${server.origin}/`], { tls: { handshakeTimeout: 300 } })).code).toBe(28);
  });

  it("35 for plain HTTP on the port, for a version that is too old, and for a server that wants a certificate", async () => {
    await using plain = await tcpServer((socket) => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n"));
    expect((await get([`${plain.origin}/`])).code).toBe(35);
    await using next = await httpsServer(pki, (_, response) => response.end("x"), { minVersion: "TLSv1.3" });
    expect((await get(["--tls-max", "1.2", `${next.origin}/`])).code).toBe(35);
    await using mutual = await httpsServer(pki, (_, response) => response.end("x"), { requestCert: true, ca: pki.root.pem });
    expect((await get([`${mutual.origin}/`])).code).toBe(35);
  });

  it("the code of the first URL that failed, having fetched the others", async () => {
    await using server = await httpsServer(pki, (_, response) => response.end("x"));
    expect(await get(["https://localhost:1/", `${server.origin}/`, "ftp://x/"])).toMatchObject({ code: 7, stdout: "x" });
  });
});

describe("https-get and trust", () => {
  it("refuses an authority that it does not know, and takes it from --cacert, in PEM and DER", async () => {
    const other = await makePki();
    await using server = await httpsServer(other, (_, response) => response.end("x"));
    expect(await get([`${server.origin}/`])).toMatchObject({ code: 60, stderr: expect.stringContaining("--cacert") });
    writeFileSync(join(folder, "other.pem"), other.root.pem);
    writeFileSync(join(folder, "other.der"), other.root.der);
    expect((await get(["--cacert", "other.pem", `${server.origin}/`])).code).toBe(0);
    expect((await get(["--cacert", "other.der", `${server.origin}/`])).code).toBe(0);
    expect((await get(["--cacert", "ca.pem", `${server.origin}/`])).code).toBe(60);
    remove("other.pem");
    remove("other.der");
  });

  it.each([
    ["expired", { notAfter: new Date(Date.now() - 60_000) }],
    ["name-mismatch", { dns: ["elsewhere.test"] }],
  ])("refuses a certificate that is at fault (%s) unless the embedder granted that and it was asked to go on", async (fault, leaf) => {
    const bad = await makePki({ leaf });
    const tls = { anchors: [bad.root.der] };
    await using server = await httpsServer(bad, (_, response) => response.end("x"));
    const url = `${server.origin}/`;
    expect(await get([url], { tls })).toMatchObject({ code: 60, stdout: "", stderr: expect.stringContaining(fault) });
    const refused = await get(["--accept-invalid", url], { tls });
    expect(refused).toMatchObject({ code: 60, stderr: expect.stringContaining(`--allow-invalid localhost:${fault}`) });
    const granted = { ...tls, allowInvalid: [`localhost:${fault}`] };
    expect((await get([url], { tls: granted })).code).toBe(60);
    const accepted = await get(["-v", "--accept-invalid", url], { tls: granted });
    expect(accepted).toMatchObject({ code: 0, stdout: "x", stderr: expect.stringContaining(`go on in spite of ${fault}`) });
  });

  it("refuses what a revocation list names", async () => {
    const direct = await makePki({ intermediates: 0 });
    const tls = { anchors: [direct.root.der] };
    await using server = await httpsServer(direct, (_, response) => response.end("x"));
    writeFileSync(join(folder, "none.crl"), await makeCrl(direct.root));
    writeFileSync(join(folder, "leaf.crl"), toPem("X509 CRL", await makeCrl(direct.root, [direct.leaf])));
    writeFileSync(join(folder, "direct.pem"), direct.root.pem);
    expect((await get(["--crlfile", "none.crl", "--cacert", "direct.pem", `${server.origin}/`], { tls })).code).toBe(0);
    const revoked = await get(["--crlfile", "leaf.crl", `${server.origin}/`], { tls });
    expect(revoked).toMatchObject({ code: 60, stderr: expect.stringContaining("revoked") });
    expect((await get(["--crlfile", "direct.pem", `${server.origin}/`], { tls })).code).toBe(77);
    for (const name of ["none.crl", "leaf.crl", "direct.pem"]) remove(name);
  });

  it("takes a server whose key is pinned and refuses any other with 90, before it gets the request", async () => {
    let requests = 0;
    const seen: string[] = [];
    await using server = await httpsServer(
      pki,
      (_, response) => {
        requests++;
        response.end("x");
      },
      {},
      (error) => seen.push(error.message),
    );
    const pin = createHash("sha256")
      .update(pki.leaf.x509.publicKey.export({ type: "spki", format: "der" }))
      .digest("base64");
    const wrong = Buffer.alloc(32, 7).toString("base64");
    const pinned = await get(["-v", "--pinnedpubkey", `sha256//${wrong};sha256//${pin}`, `${server.origin}/`]);
    expect(pinned).toMatchObject({ code: 0, stderr: expect.stringContaining(`sha256//${pin} is pinned`) });
    const refused = await get(["-v", "--pinnedpubkey", `sha256//${wrong}`, `${server.origin}/`]);
    expect(refused).toMatchObject({ code: 90, stdout: "" });
    expect(refused.stderr).toContain(`the guest decided: refuse, since its key sha256//${pin} is not pinned`);
    expect(requests).toBe(1);
    await vi.waitFor(() => expect(seen.join()).toContain("alert bad certificate"));
  });

  it("shows its granted identity to the host of the URL, and not to where a redirect leads", async () => {
    const client = await makeCertificate({ cn: "me" }, pki.root);
    const identities = { me: KeyPair.parse(client.keyDer, [client.der], "host").forWorker() };
    const tls = { identities };
    const asking = { requestCert: true, rejectUnauthorized: false, ca: pki.root.pem };
    const subject = (request: { socket: object }) =>
      (request.socket as { getPeerCertificate(): { subject?: { CN?: string } } }).getPeerCertificate().subject?.CN ?? "nobody";
    await using other = await httpsServer(pki, (request, response) => response.end(subject(request)), asking);
    await using server = await httpsServer(
      pki,
      (request, response) => {
        if (request.url === "/away") response.writeHead(302, { location: `https://127.0.0.1:${other.port}/` });
        response.end(subject(request));
      },
      asking,
    );
    expect((await get(["--cert", "me", `${server.origin}/`], { tls })).stdout).toBe("me");
    expect((await get(["--cert", "me", "-L", `${server.origin}/away`], { tls })).stdout).toBe("nobody");
    expect((await get([`${server.origin}/`], { tls })).stdout).toBe("nobody");
  });
});

describe("https-get --json", () => {
  it("reports each URL on a line, what failed included, and writes bodies to files only", async () => {
    await using server = await httpsServer(pki, (_, response) => response.setHeader("x-y", "z").end("body"));
    const { stdout, code } = await get(["--json", "-o", "body.bin", `${server.origin}/`, "https://localhost:1/"]);
    const [fetched, failed, ...more] = stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(more).toEqual([]);
    expect(fetched).toMatchObject({ status: 200, bytes: 4, headers: expect.arrayContaining([["x-y", "z"]]) });
    expect(fetched.tls).toMatchObject({
      version: "TLS 1.3",
      alpn: "http/1.1",
      verdict: [],
      decisions: [{ point: "verify-server-identity", by: "guest" }],
    });
    expect(fetched.tls.chain).toHaveLength(3);
    expect(fetched.tls.chain[0].names).toEqual(["localhost", "127.0.0.1", "::1"]);
    expect(failed).toMatchObject({ url: "https://localhost:1/", error: { exitCode: 7 } });
    expect(readFileSync(join(folder, "body.bin"), "utf8")).toBe("body");
    expect(code).toBe(7);
    remove("body.bin");
  });

  it("reports the chain and the verdict of a server that was refused", async () => {
    const bad = await makePki({ leaf: { dns: ["elsewhere.test"] } });
    await using server = await httpsServer(bad, (_, response) => response.end("x"));
    const { stdout } = await get(["--json", `${server.origin}/`], { tls: { anchors: [bad.root.der] } });
    const { tls, error } = JSON.parse(stdout);
    expect(tls).toMatchObject({ verdict: ["name-mismatch"], decisions: [{ by: "host" }] });
    expect(tls.chain[0].names).toEqual(["elsewhere.test"]);
    expect(error.exitCode).toBe(60);
  });
});

describe("what https-get tells a terminal", () => {
  it("holds no control character of a peer, and no secret of the user", async () => {
    const text = "HTTP/1.1 200 \x1b[2Jred\r\nContent-Length: 0\r\n\r\n";
    await using hostile = await tlsServer(pki, rawAnswer(text));
    expect((await get(["-v", `${hostile.origin}/`])).stderr).not.toContain("\x1b");
    await using high = await tlsServer(pki, rawAnswer("HTTP/1.1 404 \x9b2J\r\nX: \x85\r\nContent-Length: 0\r\n\r\n"));
    const { stderr } = await get(["-v", "--fail", "-H", "Authorization: Bearer hunter2", `${high.origin}/`]);
    // Latin-1 of UTF-8: a C1 control would show as its own two bytes.
    expect(stderr).not.toMatch(/\xc2[\x80-\x9f]/);
    expect(stderr).not.toContain("hunter2");
    const { stdout } = await get(["--json", `${high.origin}/`]);
    expect(stdout).toMatch(/^[\n\x20-\x7e]*$/);
    expect(JSON.parse(stdout)).toMatchObject({ reason: "\x9b2J", headers: expect.arrayContaining([["X", "\x85"]]) });
  });
});
