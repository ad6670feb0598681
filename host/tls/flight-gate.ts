import { handshakeType } from "../../src/wire/handshake.ts";
import { contentType, RecordReader, type TlsRecord } from "../../src/wire/record.ts";

/**
 * What is withheld.
 *
 * `client`: everything after the client hellos, that is the flight that completes the handshake, in either version.
 * `server`: everything from our ChangeCipherSpec on, which in TLS 1.2 is the flight that completes the handshake. In
 * TLS 1.3 it is not, and the gate has to be told (`expectTls13`); there `holdAll` comes later.
 * `none`: nothing.
 */
export type Withholding = "client" | "server" | "none";

/** Between the TLS library and the network: keeps our next flight until the peer was judged. */
export class FlightGate {
  #mode: Withholding | "all";
  #records: RecordReader | undefined = new RecordReader();
  #held: Uint8Array[] = [];
  #deferred: TlsRecord | undefined;
  /** The description of the last plaintext alert that went out. */
  sentAlert: number | undefined;

  constructor(mode: Withholding) {
    this.#mode = mode;
  }

  /** Whether a flight is being withheld. */
  get isHolding(): boolean {
    return this.#held.length > 0;
  }

  /** Server: the version is TLS 1.3, whose first flight has a ChangeCipherSpec in the middle and may go. */
  expectTls13(): void {
    if (this.#mode === "server") this.#mode = "none";
  }

  /** From here on nothing goes out. */
  holdAll(): void {
    this.#mode = "all";
  }

  /** Ciphertext that the TLS library wrote. @returns what may go to the network now */
  push(bytes: Uint8Array): Uint8Array[] {
    if (this.#mode === "all") {
      this.#held.push(bytes);
      return [];
    }
    if (this.#records === undefined) return [bytes];
    const go: Uint8Array[] = [];
    this.#records.push(bytes);
    for (let record = this.#records.next(); record !== undefined; record = this.#records.next()) this.#sort(record, go);
    return go;
  }

  /** The peer passed: everything may go, now and from here on. */
  release(): Uint8Array[] {
    const go = this.#takeAll();
    this.#mode = "none";
    this.#records = undefined;
    return go;
  }

  /** The peer was refused: what is withheld is never sent. */
  discard(): void {
    this.#takeAll();
  }

  #takeAll(): Uint8Array[] {
    const all = this.#held;
    this.#held = [];
    if (this.#deferred !== undefined) all.unshift(this.#deferred.bytes);
    this.#deferred = undefined;
    const rest = this.#records?.rest();
    if (rest !== undefined && rest.length > 0) all.push(rest);
    return all;
  }

  #sort(record: TlsRecord, go: Uint8Array[]): void {
    if (record.contentType === contentType.alert && record.payload.length === 2) {
      this.sentAlert = record.payload[1];
      go.push(record.bytes);
      return;
    }
    if (this.isHolding) {
      this.#held.push(record.bytes);
      return;
    }
    if (this.#mode === "client") this.#sortClient(record, go);
    else if (this.#mode === "server" && record.contentType === contentType.changeCipherSpec) this.#held.push(record.bytes);
    else go.push(record.bytes);
  }

  /** A ChangeCipherSpec comes before a second client hello as well as before the last flight: the next record tells. */
  #sortClient(record: TlsRecord, go: Uint8Array[]): void {
    if (record.contentType === contentType.changeCipherSpec && this.#deferred === undefined) {
      this.#deferred = record;
      return;
    }
    const isHello = record.contentType === contentType.handshake && record.payload[0] === handshakeType.clientHello;
    const to = isHello ? go : this.#held;
    if (this.#deferred !== undefined) to.push(this.#deferred.bytes);
    this.#deferred = undefined;
    to.push(record.bytes);
  }
}
