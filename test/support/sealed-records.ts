import { createCipheriv, createHmac } from "node:crypto";

/**
 * Records of TLS_AES_128_GCM_SHA256 under a traffic secret (RFC 8446, section 5.2), for saying what the library that shook hands
 * would not: its secret is what it logs as CLIENT_TRAFFIC_SECRET_0.
 */
export class SealedRecords {
  #secret: Uint8Array;
  #key: Uint8Array;
  #iv: Uint8Array;
  #sequence = 0n;

  /** @param secret of a direction in which nothing was sent yet */
  constructor(secret: Uint8Array) {
    this.#secret = secret;
    this.#key = expand(secret, "key", 16);
    this.#iv = expand(secret, "iv", 12);
  }

  /** A record of this content type. */
  seal(contentType: number, payload: Uint8Array): Uint8Array {
    const nonce = Buffer.from(this.#iv);
    nonce.writeBigUInt64BE(nonce.readBigUInt64BE(4) ^ this.#sequence++, 4);
    const length = payload.length + 17;
    const header = Uint8Array.of(23, 3, 3, length >> 8, length & 0xff);
    const cipher = createCipheriv("aes-128-gcm", this.#key, nonce);
    cipher.setAAD(header);
    return Buffer.concat([
      header,
      cipher.update(Buffer.concat([payload, Uint8Array.of(contentType)])),
      cipher.final(),
      cipher.getAuthTag(),
    ]);
  }

  /** A KeyUpdate that asks for one in return; what follows is under the next key. */
  keyUpdate(): Uint8Array {
    const sealed = this.seal(22, Uint8Array.of(24, 0, 0, 1, 1));
    this.#secret = expand(this.#secret, "traffic upd", 32);
    this.#key = expand(this.#secret, "key", 16);
    this.#iv = expand(this.#secret, "iv", 12);
    this.#sequence = 0n;
    return sealed;
  }
}

/** HKDF-Expand-Label with an empty context, for lengths up to that of one hash. */
function expand(secret: Uint8Array, label: string, length: number): Uint8Array {
  const name = Buffer.from(`tls13 ${label}`);
  const info = Buffer.concat([Uint8Array.of(0, length, name.length), name, Uint8Array.of(0, 1)]);
  return createHmac("sha256", secret).update(info).digest().subarray(0, length);
}
