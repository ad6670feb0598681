import { ByteReader } from "./byte-reader.ts";
import { ByteWindow } from "./byte-window.ts";
import { type Extension, extensionType, readExtensions } from "./extensions.ts";
import { HandshakeReader, handshakeType } from "./handshake.ts";
import { contentType, MAX_PLAINTEXT_LENGTH, RecordReader } from "./record.ts";
import { type RequestedServerName, requestedServerName } from "./server-name.ts";
import { alertDescription, illegal, malformed, TlsWireError } from "./wire-error.ts";

/** A client hello that parsed. Lists are in the client's order and keep GREASE values (RFC 8701): they are what was sent. */
export interface ClientHello {
  /** From server_name (RFC 6066): lower case if it is a DNS name, the bytes if it is anything else. */
  readonly serverName: RequestedServerName;
  /** ProtocolName list of ALPN (RFC 7301); empty if none was offered. */
  readonly alpnIds: readonly Uint8Array[];
  /** supported_versions if present; otherwise the legacy version, which speaks for TLS 1.2 at most (RFC 8446, 4.2.1). */
  readonly protocolVersions: readonly number[];
  readonly cipherSuites: readonly number[];
  /** signature_algorithms; empty if absent. */
  readonly signatureSchemes: readonly number[];
  /** supported_groups; empty if absent. */
  readonly groups: readonly number[];
  /** Groups that key_share has keys for. */
  readonly keyShareGroups: readonly number[];
  /** Whether encrypted_client_hello is present, real or GREASE: the names here are then the outer ones. */
  readonly encryptedClientHello: boolean;
  readonly hasPreSharedKey: boolean;
  readonly hasEarlyData: boolean;
  /** 32 bytes. */
  readonly random: Uint8Array;
  /** 0 to 32 bytes. */
  readonly sessionId: Uint8Array;
  readonly legacyVersion: number;
  readonly compressionMethods: Uint8Array;
  /** Every extension, those that are not looked into included. */
  readonly extensions: readonly Extension[];
  /** The handshake message with its header of 4 bytes, without record headers. */
  readonly raw: Uint8Array;
}

/**
 * Reads the client hello that opens a connection, from any split into segments and records. What it holds is bounded: one
 * hello of 64 KiB at most, in records of any size.
 */
export class ClientHelloReader {
  readonly #records = new RecordReader(MAX_PLAINTEXT_LENGTH);
  readonly #handshake = new HandshakeReader();
  readonly #received = new ByteWindow();

  /**
   * Everything that was pushed, as it came: what a TLS library that is to continue has to be fed. Includes whatever
   * followed the hello.
   */
  received(): Uint8Array {
    return this.#received.peek();
  }

  /** How many bytes at the end of `received` came behind the records of the hello that was returned. */
  get following(): number {
    return this.#records.pending;
  }

  /**
   * Take what came from the network. The chunk must not change afterwards. Push nothing more once a hello was returned or
   * an error thrown.
   *
   * @returns the hello, or `more` if it is not complete
   * @throws TlsWireError with the alert to send: `not-tls`, `record-overflow`, `unexpected-record`, `unexpected-message`,
   *   `message-too-long`, `malformed-message`, `illegal-parameter`, `unsupported-version`
   */
  push(chunk: Uint8Array): ClientHello | "more" {
    this.#records.push(chunk);
    this.#received.push(chunk);
    for (;;) {
      const record = this.#records.next();
      if (record === undefined) return this.#more();
      if (record.contentType !== contentType.handshake) {
        throw new TlsWireError("unexpected-record", alertDescription.unexpectedMessage, "the first record is no handshake");
      }
      this.#handshake.push(record);
      if (this.#handshake.upcomingType() !== handshakeType.clientHello) throw notAHello();
      const message = this.#handshake.next();
      if (message === undefined) continue;
      // Nothing may share a record with the hello: keys change after it (RFC 8446, section 5.1).
      if (this.#handshake.pending > 0) {
        throw new TlsWireError("unexpected-message", alertDescription.unexpectedMessage, "bytes follow the client hello in its record");
      }
      return parseClientHello(message.bytes);
    }
  }

  #more(): "more" {
    // Records of a few bytes each would let headers outweigh the hello many times over.
    if (this.#received.length > MAX_HELLO_ON_THE_WIRE) {
      throw new TlsWireError("message-too-long", alertDescription.illegalParameter, "the client hello is spread over too many records");
    }
    return "more";
  }
}

/**
 * Parses a ClientHello message (RFC 8446, section 4.1.2; RFC 5246, section 7.4.1.2) with its handshake header.
 *
 * @throws TlsWireError with the alert to send: `unexpected-message`, `malformed-message`, `illegal-parameter`,
 *   `unsupported-version`
 */
export function parseClientHello(message: Uint8Array): ClientHello {
  const outer = new ByteReader(message, "the client hello");
  if (outer.u8() !== handshakeType.clientHello) throw notAHello();
  const reader = new ByteReader(outer.vector(3, 0, 0xffffff), "the client hello");
  outer.end();

  const legacyVersion = reader.u16();
  if (legacyVersion >> 8 !== 0x03) {
    throw new TlsWireError("unsupported-version", alertDescription.protocolVersion, "the client hello is not of TLS");
  }
  const random = reader.bytes(32);
  const sessionId = reader.vector(1, 0, 32, "the session id");
  const cipherSuites = reader.numbers(2, 2, 0xfffe, "the list of cipher suites");
  const compressionMethods = reader.vector(1, 1, 0xff, "the list of compression methods");
  const extensions = readExtensions(reader, "the client hello");
  reader.end();

  const data = (type: number) => extensions.find((extension) => extension.type === type)?.data;
  const protocolVersions = readVersions(data(extensionType.supportedVersions), legacyVersion);
  checkCompression(compressionMethods, protocolVersions);
  checkPreSharedKey(extensions);
  const earlyData = data(extensionType.earlyData);
  if (earlyData !== undefined && earlyData.length > 0) throw malformed("early_data is not empty");

  return {
    serverName: readServerName(data(extensionType.serverName)),
    alpnIds: readAlpnIds(data(extensionType.alpn)),
    protocolVersions,
    cipherSuites,
    signatureSchemes: readNumbers(data(extensionType.signatureAlgorithms), "signature_algorithms"),
    groups: readNumbers(data(extensionType.supportedGroups), "supported_groups"),
    keyShareGroups: readKeyShareGroups(data(extensionType.keyShare)),
    encryptedClientHello: data(extensionType.encryptedClientHello) !== undefined,
    hasPreSharedKey: data(extensionType.preSharedKey) !== undefined,
    hasEarlyData: earlyData !== undefined,
    random,
    sessionId,
    legacyVersion,
    compressionMethods,
    extensions,
    raw: message,
  };
}

function readVersions(data: Uint8Array | undefined, legacyVersion: number): number[] {
  if (data === undefined) return [Math.min(legacyVersion, 0x0303)];
  const reader = new ByteReader(data, "supported_versions");
  const versions = reader.numbers(1, 2, 254, "supported_versions");
  reader.end();
  return versions;
}

function checkCompression(methods: Uint8Array, versions: number[]): void {
  if (!methods.includes(0)) throw illegal("the client does not offer to go without compression");
  if (versions.includes(0x0304) && methods.length !== 1) throw illegal("a client of TLS 1.3 offers compression");
}

/** RFC 8446, section 4.2.11: its binders cover all that comes before, so it has to be the last. */
function checkPreSharedKey(extensions: readonly Extension[]): void {
  const index = extensions.findIndex((extension) => extension.type === extensionType.preSharedKey);
  if (index === -1) return;
  if (index !== extensions.length - 1) throw illegal("pre_shared_key is not the last extension");
  const reader = new ByteReader(extensions[index]!.data, "pre_shared_key");
  reader.vector(2, 7, 0xffff, "the list of pre-shared keys");
  reader.vector(2, 33, 0xffff, "the list of binders");
  reader.end();
}

/** RFC 6066, section 3. Exactly one host_name is all that any client sends and any TLS library takes. */
function readServerName(data: Uint8Array | undefined): RequestedServerName {
  if (data === undefined) return { tag: "none" };
  const reader = new ByteReader(data, "server_name");
  const list = new ByteReader(reader.vector(2, 1, 0xffff, "the list of server names"), "the list of server names");
  reader.end();
  if (list.u8() !== 0) throw malformed("a server name is of an unknown type");
  const name = list.vector(2, 1, 0xffff, "the server name");
  if (list.left > 0) throw illegal("there is more than one server name");
  return requestedServerName(name);
}

function readAlpnIds(data: Uint8Array | undefined): Uint8Array[] {
  if (data === undefined) return [];
  const reader = new ByteReader(data, "ALPN");
  const list = new ByteReader(reader.vector(2, 2, 0xffff, "the list of ALPN ids"), "the list of ALPN ids");
  reader.end();
  const ids: Uint8Array[] = [];
  while (list.left > 0) ids.push(list.vector(1, 1, 0xff, "an ALPN id"));
  return ids;
}

function readNumbers(data: Uint8Array | undefined, what: string): number[] {
  if (data === undefined) return [];
  const reader = new ByteReader(data, what);
  const numbers = reader.numbers(2, 2, 0xfffe, what);
  reader.end();
  return numbers;
}

/** RFC 8446, section 4.2.8. An empty list is allowed: it asks for a HelloRetryRequest. */
function readKeyShareGroups(data: Uint8Array | undefined): number[] {
  if (data === undefined) return [];
  const reader = new ByteReader(data, "key_share");
  const list = new ByteReader(reader.vector(2, 0, 0xffff, "the list of key shares"), "the list of key shares");
  reader.end();
  const groups = new Set<number>();
  while (list.left > 0) {
    const group = list.u16();
    list.vector(2, 1, 0xffff, "a key share");
    if (groups.has(group)) throw illegal("key_share has a group twice");
    groups.add(group);
  }
  return [...groups];
}

function notAHello(): TlsWireError {
  return new TlsWireError("unexpected-message", alertDescription.unexpectedMessage, "the first message is no client hello");
}

/** Four times the longest hello: room for any sensible split into records, and an end for the others. */
const MAX_HELLO_ON_THE_WIRE = 0x4_0000;
