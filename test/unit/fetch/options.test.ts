import { describe, expect, it } from "vitest";
import { FetchError } from "../../../src/fetch/exit-code.ts";
import { type Options, parseOptions } from "../../../src/fetch/options.ts";

function parsed(...args: string[]): Options {
  const options = parseOptions(args);
  if (options === "help") throw new Error("help");
  return options;
}

const URL = "https://a.test/";
const PIN = `sha256//${"A".repeat(43)}=`;

describe("the options of https-get", () => {
  it("have safe defaults", () => {
    expect(parsed(URL)).toMatchObject({
      targets: [{ url: URL, output: undefined }],
      location: false,
      keepAlive: true,
      fail: false,
      maxTime: undefined,
      trust: { cacert: undefined, cert: undefined, pins: [], acceptInvalid: false, maximumVersion: undefined },
    });
  });

  it("are taken in every spelling, before and after URLs", () => {
    for (const args of [
      ["-o", "f", URL],
      ["-of", URL],
      [URL, "--output", "f"],
      ["--output=f", "--", URL],
      ["-iof", URL],
    ])
      expect(parsed(...args).targets).toEqual([{ url: URL, output: "f" }]);
    expect(parsed("-iLfvs", URL)).toMatchObject({ include: true, location: true, fail: true, verbose: true, silent: true });
  });

  it("give outputs to URLs in their order", () => {
    expect(parsed(URL, "-o", "1", URL, URL, "-o", "-").targets.map(({ output }) => output)).toEqual(["1", "-", undefined]);
  });

  it("take values that look like flags", () => {
    expect(parsed("-d", "--json", URL)).toMatchObject({ data: ["--json"], json: false });
  });

  it("take seconds, versions, pins and places", () => {
    expect(parsed("--max-time", "0.5", "--tls-max", "1.2", "--pinnedpubkey", `${PIN};${PIN}`, URL)).toMatchObject({
      maxTime: 0.5,
      trust: { maximumVersion: 0x0303, pins: [PIN.slice(8), PIN.slice(8)] },
    });
    expect(parsed("--connect-to", "A.test:443:[::1]:8443", "--connect-to", ":::1", URL).connectTo).toEqual([
      { from: { host: "a.test", port: 443 }, to: { host: "::1", port: 8443 } },
      { from: { host: undefined, port: undefined }, to: { host: undefined, port: 1 } },
    ]);
  });

  it("are not looked at further when help was asked for", () => {
    expect(parseOptions(["-h"])).toBe("help");
    expect(parseOptions(["--help", "--max-time", "never"])).toBe("help");
  });

  it.each([
    [[]],
    [["-o", "f"]],
    [["-o", "f", "-o", "g", URL]],
    [["--json", "-o", "-", URL]],
    [["-q", URL]],
    [["--location=yes", URL]],
    [["--output"]],
    [["__proto__", "--__proto__", URL]],
    [["--toString", URL]],
    [["-X", "GET /", URL]],
    [["-X", "CONNECT", URL]],
    [["-H", "no colon", URL]],
    [["-H", ": empty", URL]],
    [["-H", "A: b\r\nC: d", URL]],
    [["-H", "A: ü", URL]],
    [["-H", "Content-Length: 1", URL]],
    [["-H", "transfer-encoding: chunked", URL]],
    [["--max-time", "0", URL]],
    [["--max-time", "1e3", URL]],
    [["--max-time", "-1", URL]],
    [["--tls-max", "1.1", URL]],
    [["--pinnedpubkey", "", URL]],
    [["--pinnedpubkey", `${PIN};`, URL]],
    [["--pinnedpubkey", PIN.replace("256", "1"), URL]],
    [["--pinnedpubkey", `sha256//${"!".repeat(44)}`, URL]],
    [["--connect-to", "a:1:b", URL]],
    [["--connect-to", "a:1:b:70000", URL]],
    [["--connect-to", "a@b:1:c:2", URL]],
  ])("refuse %j with code 2", (args) => {
    expect(() => parseOptions(args)).toThrow(FetchError);
    expect(() => parseOptions(args)).toThrow(expect.objectContaining({ exitCode: 2 }));
  });
});
