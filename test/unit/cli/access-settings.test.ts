import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { accessFlags, accessOf } from "../../../host/cli/access-settings.ts";
import { parseCommandLine } from "../../../host/cli/command.ts";
import { command as connect } from "../../../host/cli/commands/connect.ts";
import { makeCertificate } from "../../support/pki.ts";

const folder = mkdtempSync(join(tmpdir(), "sallyport-access-"));
const ca = join(folder, "ca.pem");

beforeAll(async () => writeFileSync(ca, (await makeCertificate({ isCa: true })).pem));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function settings(line: string) {
  const args = line.split(" ").filter((word) => word !== "");
  return accessOf(parseCommandLine(args, { ...accessFlags, identity: { type: "string", multiple: true } }));
}

const TLS = "--tls-listen 127.0.0.1:0 --identity proxy=a.pem,a.key";

describe("listeners with TLS to the proxy itself", () => {
  it("are none unless they are asked for", () => {
    expect(settings("")).toBeUndefined();
  });

  it("ask for what they were given the means to check, and for all of it", () => {
    expect(settings(`${TLS} --client-ca ${ca} --keyring ring.json`)).toMatchObject({
      identity: "proxy",
      audience: "proxy",
      clientCertificates: "required",
      tokens: "required",
      endRevoked: false,
    });
    expect(settings(TLS)).toMatchObject({ clientCertificates: "none", tokens: "off", trust: undefined });
  });

  it("are called by their identity's name where nothing else is said", () => {
    const named = "--tls-listen 127.0.0.1:0 --identity gate=a.pem,a.key --tls-identity gate";
    expect(settings(named)).toMatchObject({ identity: "gate", audience: "gate" });
    expect(settings(`${named} --audience somebody`)).toMatchObject({ audience: "somebody" });
  });

  it.each([
    ["--keyring ring.json", /--keyring is for --tls-listen/],
    ["--client-ca ca.pem", /--client-ca is for --tls-listen/],
    ["--end-revoked", /--end-revoked is for --tls-listen/],
    ["--tls-listen 127.0.0.1:0", /needs --identity proxy=CERT,KEY/],
    [`${TLS} --tls-identity other`, /needs --identity other=CERT,KEY/],
    [`${TLS} --client-cert optional`, /--client-cert needs --client-ca/],
    [`${TLS} --client-ca ${ca} --client-cert never`, /one of required, optional/],
    [`${TLS} --tokens required`, /need --keyring/],
    [`${TLS} --revocations r.json`, /need --keyring/],
    [`${TLS} --keyring ring.json --tokens maybe`, /one of required, optional, off/],
    [`${TLS} --keyring ring.json --tokens optional`, /lets everybody in/],
    [`${TLS} --client-ca ${ca} --client-cert optional --keyring ring.json --tokens optional`, /lets everybody in/],
    [`${TLS} --client-ca ${join(folder, "missing.pem")}`, /missing\.pem/],
  ])("refuse %s", (line, message) => {
    expect(() => settings(line)).toThrow(message);
  });
});

describe("sallyport connect", () => {
  const identity = ["--identity", "me=a.pem,a.key"];
  it.each<[args: string[], message: RegExp]>([
    [["--", "true"], /which proxy/],
    [["--proxy", "http://gate.test:1", ...identity, "--token", "t"], /never sent in the clear/],
    [["--proxy", "https://user:secret@gate.test:1", ...identity, "--token", "t"], /takes https:\/\/HOST:PORT/],
    [["--proxy", "https://gate.test:1/path", ...identity, "--token", "t"], /takes https:\/\/HOST:PORT/],
    [["--proxy", "https://gate.test", "--token", "t"], /takes one --identity/],
    [["--proxy", "https://gate.test", ...identity, ...identity, "--token", "t"], /takes one --identity/],
    [["--proxy", "https://gate.test", ...identity], /takes --token FILE or --token-command/],
    [["--proxy", "https://gate.test", ...identity, "--token", "t", "--token-command", "c"], /takes --token FILE or --token-command/],
    [["--proxy", "https://gate.test", ...identity, "--token", "t", "--listen", "0.0.0.0:1"], /of the loopback/],
    [["--proxy", "https://gate.test", ...identity, "--token", "t", "surplus"], /the command to run after --/],
    [["--proxy", "https://gate.test", ...identity, "--token", "t", "--"], /the command to run after --/],
  ])("refuses %j", async (args, message) => {
    await expect(connect.run(args)).rejects.toThrow(message);
  });
});
