import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  sign,
} from "node:crypto";
import { parseClientHello } from "../../src/wire/client-hello.ts";
import type { TestPki } from "./pki.ts";

/**
 * A TLS 1.3 server that says what it likes, when it likes: TLS_AES_128_GCM_SHA256 and X25519 only, no state machine. It
 * exists because a real library refuses to misbehave.
 */
export class HostileTls13 {
  readonly #pki: TestPki;
  readonly #ephemeral = generateKeyPairSync("x25519");
  #transcript: Uint8Array = new Uint8Array(0);
  #handshakeSecret: Uint8Array = zeros;
  #clientHandshake: Uint8Array = zeros;
  #write: { key: Uint8Array; iv: Uint8Array; sequence: bigint } | undefined;
  #read: { key: Uint8Array; iv: Uint8Array; sequence: bigint } | undefined;
  #master: Uint8Array = zeros;
  #serverApplication: Uint8Array = zeros;
  #clientFinished: Uint8Array = new Uint8Array(0);

  constructor(pki: TestPki) {
    this.#pki = pki;
  }

  /**
   * ServerHello to Finished in answer to a client hello, as one run of records. Afterwards `seal` is under the application
   * key.
   *
   * @param psk resume with this key in place of a certificate
   */
  flight(clientHello: Uint8Array, psk?: Uint8Array): Uint8Array {
    const hello = parseClientHello(clientHello);
    const peer = x25519Share(hello.extensions.find((extension) => extension.type === 51)!.data);
    const spki = Buffer.concat([Buffer.from("302a300506032b656e032100", "hex"), peer]);
    const shared = diffieHellman({
      privateKey: this.#ephemeral.privateKey,
      publicKey: createPublicKey({ key: spki, format: "der", type: "spki" }),
    });
    const own = this.#ephemeral.publicKey.export({ type: "spki", format: "der" }).subarray(-32);
    const serverHello = message(
      2,
      Uint8Array.of(3, 3),
      createHash("sha256").update(own).digest(),
      vector(1, hello.sessionId),
      Uint8Array.of(0x13, 0x01, 0),
      vector(
        2,
        extension(43, Uint8Array.of(3, 4)),
        extension(51, Uint8Array.of(0, 0x1d), vector(2, own)),
        ...(psk === undefined ? [] : [extension(41, Uint8Array.of(0, 0))]),
      ),
    );
    this.#say(clientHello);
    this.#say(serverHello);
    const early = extract(zeros, psk ?? zeros);
    this.#handshakeSecret = extract(derive(early, "derived", hash(new Uint8Array(0))), shared);
    this.#clientHandshake = derive(this.#handshakeSecret, "c hs traffic", hash(this.#transcript));
    const serverHandshake = derive(this.#handshakeSecret, "s hs traffic", hash(this.#transcript));
    this.#read = keys(this.#clientHandshake);
    this.#write = keys(serverHandshake);
    const messages = [message(8, vector(2))];
    this.#say(messages[0]!);
    if (psk === undefined) {
      const entries = this.#pki.chainDer.map((der) => Buffer.concat([vector(3, der), vector(2)]));
      messages.push(message(11, vector(1), vector(3, ...entries)));
      this.#say(messages.at(-1)!);
      const signed = Buffer.concat([
        Buffer.alloc(64, 0x20),
        Buffer.from("TLS 1.3, server CertificateVerify"),
        Uint8Array.of(0),
        hash(this.#transcript),
      ]);
      messages.push(message(15, Uint8Array.of(4, 3), vector(2, sign("sha256", signed, this.#pki.leaf.keyPem))));
      this.#say(messages.at(-1)!);
    }
    messages.push(message(20, finished(serverHandshake, this.#transcript)));
    this.#say(messages.at(-1)!);
    const protectedFlight = this.seal(22, Buffer.concat(messages));
    this.#master = extract(derive(this.#handshakeSecret, "derived", hash(new Uint8Array(0))), zeros);
    this.#serverApplication = derive(this.#master, "s ap traffic", hash(this.#transcript));
    this.#write = keys(this.#serverApplication);
    // What the client will say is no secret to the server, which need not wait for it.
    this.#clientFinished = message(20, finished(this.#clientHandshake, this.#transcript));
    return Buffer.concat([record(22, serverHello), protectedFlight]);
  }

  /** A record under the current key. */
  seal(contentType: number, payload: Uint8Array): Uint8Array {
    const write = this.#write!;
    const inner = Buffer.concat([payload, Uint8Array.of(contentType)]);
    const header = Uint8Array.of(23, 3, 3, (inner.length + 16) >> 8, (inner.length + 16) & 0xff);
    const cipher = createCipheriv("aes-128-gcm", write.key, nonce(write));
    cipher.setAAD(header);
    const sealed = Buffer.concat([cipher.update(inner), cipher.final()]);
    return Buffer.concat([header, sealed, cipher.getAuthTag()]);
  }

  /** A ticket, and the key that a session resumed with it has. */
  ticket(bytes = Buffer.from("ticket")): { record: Uint8Array; psk: Uint8Array } {
    const ticketNonce = Uint8Array.of(1);
    const newSessionTicket = message(4, Uint8Array.of(0, 0, 0x1c, 0x20, 0, 0, 0, 0), vector(1, ticketNonce), vector(2, bytes), vector(2));
    const resumption = derive(this.#master, "res master", hash(Buffer.concat([this.#transcript, this.#clientFinished])));
    const pieces: Uint8Array[] = [];
    for (let at = 0; at < newSessionTicket.length; at += 16_000) pieces.push(this.seal(22, newSessionTicket.subarray(at, at + 16_000)));
    return { record: Buffer.concat(pieces), psk: derive(resumption, "resumption", ticketNonce) };
  }

  /** A KeyUpdate that asks for one in return; what follows is under the next key. */
  keyUpdate(): Uint8Array {
    const sealed = this.seal(22, message(24, Uint8Array.of(1)));
    this.#serverApplication = derive(this.#serverApplication, "traffic upd", new Uint8Array(0));
    this.#write = keys(this.#serverApplication);
    return sealed;
  }

  /** The first record of these under the client's handshake key: its content type and payload. */
  open(records: Uint8Array): { contentType: number; payload: Uint8Array } {
    let rest = records;
    while (rest[0] === 20) rest = rest.subarray(5 + (rest[3]! << 8) + rest[4]!);
    const length = (rest[3]! << 8) | rest[4]!;
    const body = rest.subarray(5, 5 + length);
    const decipher = createDecipheriv("aes-128-gcm", this.#read!.key, nonce(this.#read!));
    decipher.setAAD(rest.subarray(0, 5));
    decipher.setAuthTag(body.subarray(-16));
    const inner = Buffer.concat([decipher.update(body.subarray(0, -16)), decipher.final()]);
    return { contentType: inner.at(-1)!, payload: inner.subarray(0, -1) };
  }

  #say(bytes: Uint8Array): void {
    this.#transcript = Buffer.concat([this.#transcript, bytes]);
  }
}

/** Bytes as plaintext records. */
export function record(contentType: number, payload: Uint8Array): Uint8Array {
  return Buffer.concat([Uint8Array.of(contentType, 3, 3, payload.length >> 8, payload.length & 0xff), payload]);
}

const zeros = new Uint8Array(32);

function message(type: number, ...body: Uint8Array[]): Uint8Array {
  return Buffer.concat([Uint8Array.of(type), vector(3, ...body)]);
}

function extension(type: number, ...data: Uint8Array[]): Uint8Array {
  return Buffer.concat([Uint8Array.of(type >> 8, type & 0xff), vector(2, ...data)]);
}

function vector(lengthBytes: number, ...parts: Uint8Array[]): Uint8Array {
  const body = Buffer.concat(parts);
  const header = Buffer.alloc(lengthBytes);
  header.writeUIntBE(body.length, 0, lengthBytes);
  return Buffer.concat([header, body]);
}

function x25519Share(keyShare: Uint8Array): Uint8Array {
  for (let at = 2; at < keyShare.length;) {
    const length = (keyShare[at + 2]! << 8) | keyShare[at + 3]!;
    if (keyShare[at] === 0 && keyShare[at + 1] === 0x1d) return keyShare.subarray(at + 4, at + 4 + length);
    at += 4 + length;
  }
  throw new Error("the client offers no X25519 share");
}

function hash(bytes: Uint8Array): Uint8Array {
  return createHash("sha256").update(bytes).digest();
}

function extract(salt: Uint8Array, secret: Uint8Array): Uint8Array {
  return createHmac("sha256", salt).update(secret).digest();
}

function derive(secret: Uint8Array, label: string, context: Uint8Array, length = 32): Uint8Array {
  const info = Buffer.concat([Uint8Array.of(0, length), vector(1, Buffer.from(`tls13 ${label}`)), vector(1, context)]);
  return createHmac("sha256", secret).update(info).update(Uint8Array.of(1)).digest().subarray(0, length);
}

function keys(secret: Uint8Array): { key: Uint8Array; iv: Uint8Array; sequence: bigint } {
  return { key: derive(secret, "key", new Uint8Array(0), 16), iv: derive(secret, "iv", new Uint8Array(0), 12), sequence: 0n };
}

function nonce(state: { iv: Uint8Array; sequence: bigint }): Uint8Array {
  const bytes = Buffer.from(state.iv);
  bytes.writeBigUInt64BE(bytes.readBigUInt64BE(4) ^ state.sequence++, 4);
  return bytes;
}

function finished(secret: Uint8Array, transcript: Uint8Array): Uint8Array {
  return createHmac("sha256", derive(secret, "finished", new Uint8Array(0)))
    .update(hash(transcript))
    .digest();
}
