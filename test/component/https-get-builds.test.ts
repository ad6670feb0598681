import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type BuiltGuest, buildGuest, startGuest } from "../support/guest-run.ts";
import { httpsServer, rawAnswer, tcpServer, tlsServer } from "../support/https-servers.ts";
import { makePki, type TestPki } from "../support/pki.ts";

// The other builds of https-get. What they share with the first one is tested there.

let pki: TestPki;
beforeAll(async () => void (pki = await makePki()));

async function get(guest: BuiltGuest, args: string[], trust: TestPki = pki) {
  const run = startGuest(guest.code, {
    grants: { allowNet: ["localhost"] },
    tls: { anchors: [trust.root.der] },
    args: ["https-get", ...args],
  });
  const { handles, ...result } = await run.ended;
  return { code: result.tag === "exit" ? result.code : result, handles, stdout: run.stdout(), stderr: run.stderr() };
}

describe("https-get over wasi:tls", () => {
  let guest: BuiltGuest;
  beforeAll(async () => {
    guest = await buildGuest({ entry: "guest/https-get-wasi-tls/main.ts", wit: "wit/samples", world: "https-get-wasi-tls" });
  });
  afterAll(async () => await guest?.remove());

  it("fetches several pages on one connection and holds nothing at its end", async () => {
    const large = "large".repeat(100_000);
    await using server = await httpsServer(pki, (request, response) => response.end(request.url === "/large" ? large : "small"));
    const { code, stdout, handles, stderr } = await get(guest, [`${server.origin}/large`, `${server.origin}/small`]);
    expect({ code, handles, stderr, whole: stdout === `${large}small` }).toEqual({ code: 0, handles: 0, stderr: "", whole: true });
    expect(server.connections()).toBe(1);
  });

  it("takes a body up to close_notify, and no body that is cut", async () => {
    await using whole = await tlsServer(pki, rawAnswer("HTTP/1.0 200 OK\r\n\r\nwhole"));
    expect(await get(guest, [`${whole.origin}/`])).toMatchObject({ code: 0, stdout: "whole", handles: 0 });
    await using cut = await tlsServer(pki, rawAnswer("HTTP/1.0 200 OK\r\n\r\nhalf", "cut"));
    expect(await get(guest, [`${cut.origin}/`])).toMatchObject({ code: 18, handles: 0 });
  });

  it("leaves whom to trust to the host, and ends with 60 where the host refuses", async () => {
    const other = await makePki();
    await using server = await httpsServer(other, (_, response) => response.end("x"));
    expect(await get(guest, [`${server.origin}/`])).toMatchObject({ code: 60, stdout: "" });
    expect(await get(guest, [`${server.origin}/`], other)).toMatchObject({ code: 0, stdout: "x" });
  });

  it("ends with 35 for what is not TLS and with 7 where nothing listens", async () => {
    await using plain = await tcpServer((socket) => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n"));
    expect(await get(guest, [`${plain.origin}/`])).toMatchObject({ code: 35, stdout: "" });
    expect((await get(guest, ["https://localhost:1/"])).code).toBe(7);
  });

  it.each([
    ["--cacert", "x"],
    ["--crlfile", "x"],
    ["--cert", "x"],
    ["--tls-max", "1.2"],
    ["--pinnedpubkey", `sha256//${"A".repeat(43)}=`],
    ["--accept-invalid"],
  ])("refuses %s, which wasi:tls has nothing for, instead of leaving it undone", async (...flag) => {
    await using server = await httpsServer(pki, (_, response) => response.end("x"));
    const { code, stdout, stderr } = await get(guest, [...flag, `${server.origin}/`]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toContain(`wasi:tls has nothing for ${flag[0]}`);
  });
});

describe("https-get on StarlingMonkey", () => {
  let guest: BuiltGuest;
  beforeAll(async () => {
    guest = await buildGuest({ entry: "guest/https-get/main.ts", wit: "wit/samples", world: "https-get", engine: "starlingmonkey" });
  }, 180_000);
  afterAll(async () => await guest?.remove());

  it("fetches pages and reports the handshake", async () => {
    const large = "large".repeat(100_000);
    await using server = await httpsServer(pki, (request, response) => response.end(request.url === "/large" ? large : "small"));
    const { code, stdout, stderr } = await get(guest, ["-v", `${server.origin}/large`, `${server.origin}/small`]);
    expect({ code, whole: stdout === `${large}small`, connections: server.connections() }).toEqual({
      code: 0,
      whole: true,
      connections: 1,
    });
    expect(stderr).toContain("TLS 1.3, TLS_AES");
    expect(stderr).toContain("the guest decided: go on");
  });

  it("refuses a key that is not pinned, a certificate, and a body that is cut", async () => {
    await using server = await httpsServer(pki, (_, response) => response.end("x"));
    expect((await get(guest, ["--pinnedpubkey", `sha256//${"A".repeat(43)}=`, `${server.origin}/`])).code).toBe(90);
    expect((await get(guest, [`${server.origin}/`], await makePki())).code).toBe(60);
    await using cut = await tlsServer(pki, rawAnswer("HTTP/1.0 200 OK\r\n\r\nhalf", "cut"));
    expect((await get(guest, [`${cut.origin}/`])).code).toBe(18);
  });
});
