import { generateKeyPairSync } from "node:crypto";
import { describe, expect, test } from "vitest";
import { encodePem, parsePem } from "../../../src/wire/pem.ts";
import { expectWireError } from "../../support/wire-errors.ts";

const bytes = Uint8Array.from({ length: 100 }, (_, index) => index);
const block = encodePem("CERTIFICATE", bytes);

describe("parsePem", () => {
  test("finds every block and passes over the text around them", () => {
    const text = `Subject: CN=x\n\n${block}between -----BEGIN NOTHING-----\n${encodePem("PRIVATE KEY", bytes.subarray(1))}after\n`;
    expect(parsePem(text)).toEqual([
      { label: "CERTIFICATE", bytes, headers: [], text: block },
      { label: "PRIVATE KEY", bytes: bytes.subarray(1), headers: [], text: encodePem("PRIVATE KEY", bytes.subarray(1)) },
    ]);
    expect(parsePem("no block at all")).toEqual([]);
    expect(parsePem("")).toEqual([]);
  });

  test("takes CRLF, lines of any length, and no line end after the last", () => {
    for (const text of [block.replaceAll("\n", "\r\n"), block.trimEnd(), block.replaceAll(/(?<=[A-Za-z0-9+/])\n(?=[A-Za-z0-9+/])/g, "")]) {
      expect(parsePem(text)[0]?.bytes).toEqual(bytes);
    }
  });

  test("reads what Node writes, and gives old-style headers", () => {
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const plain = privateKey.export({ type: "pkcs8", format: "pem" }) as string;
    expect(parsePem(plain)[0]?.bytes).toEqual(new Uint8Array(privateKey.export({ type: "pkcs8", format: "der" })));
    const old = privateKey.export({ type: "sec1", format: "pem", cipher: "aes-256-cbc", passphrase: "x" }) as string;
    const [parsed] = parsePem(old);
    expect(parsed?.label).toBe("EC PRIVATE KEY");
    expect(parsed?.headers[0]).toBe("Proc-Type: 4,ENCRYPTED");
    expect(parsed?.text).toBe(old);
  });

  const faults: [string, string][] = [
    ["has no END", block.slice(0, 100)],
    ["has the END of another", block.replace("END CERTIFICATE", "END PRIVATE KEY")],
    ["has a block inside", block.replace("\n", `\n${block}`)],
    ["has a character that is not base64", block.replace("AAEC", "AA!C")],
    ["lacks padding", block.replace("=", "")],
    ["has text after its BEGIN", block.replace("-----\n", "-----x\n")],
    ["has an empty label", block.replaceAll("CERTIFICATE", "")],
    ["has a label in lower case", block.replaceAll("CERTIFICATE", "certificate")],
    ["has a label with a line break", block.replaceAll("CERTIFICATE", "A\nB")],
    ["is empty", "-----BEGIN X-----\n-----END X-----\n"],
    ["has headers and nothing else", "-----BEGIN X-----\nA: b\n-----END X-----\n"],
    ["has padding in the middle", "-----BEGIN X-----\nAA==\nAAAA\n-----END X-----\n"],
    ["has stray bits", "-----BEGIN X-----\nAB==\n-----END X-----\n"],
  ];
  test.each(faults)("refuses a block that %s", (_, text) => expectWireError(() => parsePem(text), "invalid-pem"));
  test("refuses a good block before a bad one all the same", () => expectWireError(() => parsePem(`${block}-----BEGIN X`), "invalid-pem"));

  test("refuses more than its limits", () => {
    expectWireError(() => parsePem(block, { length: block.length - 1 }), "too-large");
    expectWireError(() => parsePem(block.repeat(3), { blocks: 2 }), "too-large");
    expect(parsePem(block.repeat(2), { blocks: 2, length: 2 * block.length })).toHaveLength(2);
  });
});
