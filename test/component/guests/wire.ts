// Runs the parsers of src/wire in the sandbox. Also imported by its test, which wants the same answers from both engines.
import { decodeBase64url, encodeBase64url } from "../../../src/wire/base64url.ts";
import { readCertificate } from "../../../src/wire/certificate.ts";
import { ClientHelloReader } from "../../../src/wire/client-hello.ts";
import { decodeHex, encodeHex } from "../../../src/wire/hex.ts";
import { parseIpPrefix } from "../../../src/wire/ip-address.ts";
import { encodePem, parsePem } from "../../../src/wire/pem.ts";
import { printable } from "../../../src/wire/printable.ts";
import { parseServerName } from "../../../src/wire/server-name.ts";
import { decodeUtf8, encodeUtf8, latin1 } from "../../../src/wire/utf8.ts";
import { WireError } from "../../../src/wire/wire-error.ts";

const readers: Record<string, (bytes: Uint8Array) => unknown> = {
  hello(bytes) {
    const reader = new ClientHelloReader();
    const half = bytes.length >> 1;
    return [reader.push(bytes.slice(0, half)), reader.push(bytes.slice(half)), reader.received()];
  },
  certificate: (bytes) => readCertificate(bytes),
  base64url: (bytes) => [encodeBase64url(bytes), decodeBase64url(encodeBase64url(bytes))],
  strictBase64url: (bytes) => decodeBase64url(latin1(bytes)),
  hex: (bytes) => decodeHex(encodeHex(bytes)),
  pem: (bytes) => parsePem(`before\n${encodePem("X", bytes)}`),
  utf8(bytes) {
    const text = decodeUtf8(bytes);
    return [text, text.length, encodeUtf8(text), printable(text)];
  },
  name: (bytes) => parseServerName(latin1(bytes)),
  prefix: (bytes) => parseIpPrefix(latin1(bytes)),
};

/** The answer of a parser, or the code of its error, as JSON. */
export function read(what: string, bytes: Uint8Array): string {
  try {
    return JSON.stringify(readers[what]!(bytes), plain);
  } catch (error) {
    return error instanceof WireError ? `${error.name} ${error.code}: ${error.message}` : `unexpected: ${String(error)}`;
  }
}

function plain(_key: string, value: unknown): unknown {
  if (typeof value === "bigint") return `${value}n`;
  return value instanceof Uint8Array ? encodeHex(value) : value;
}
