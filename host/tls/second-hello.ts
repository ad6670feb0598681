import { type ClientHello, parseClientHello } from "../../src/wire/client-hello.ts";
import { HandshakeReader } from "../../src/wire/handshake.ts";
import { contentType, RecordReader } from "../../src/wire/record.ts";
import { sameHello } from "../../src/wire/same-hello.ts";
import { illegal } from "../../src/wire/wire-error.ts";

/**
 * The client hello that answers a HelloRetryRequest. It has to be the first one again but for what was asked for (RFC 8446,
 * section 4.1.2), and the TLS library does not check that: a decision made on the first name would hold for another.
 */
export class SecondHello {
  readonly #first: ClientHello;
  readonly #records = new RecordReader();
  readonly #handshake = new HandshakeReader();
  #isChecked = false;

  constructor(first: ClientHello) {
    this.#first = first;
  }

  /** @throws TlsWireError `illegal-parameter` if it differs, and what parsing throws */
  push(bytes: Uint8Array): void {
    if (this.#isChecked) return;
    this.#records.push(bytes);
    for (let record = this.#records.next(); record !== undefined; record = this.#records.next()) {
      if (record.contentType === contentType.changeCipherSpec) continue;
      this.#handshake.push(record);
      const message = this.#handshake.next();
      if (message === undefined) continue;
      this.#isChecked = true;
      const difference = sameHello(this.#first, parseClientHello(message.bytes));
      if (difference !== undefined) throw illegal(`the second client hello changed its ${difference}`);
      return;
    }
  }
}
