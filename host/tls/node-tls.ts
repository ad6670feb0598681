import type { X509Certificate } from "node:crypto";
import type { Socket } from "node:net";
import tls from "node:tls";
import type { VerifyError } from "../identity/verdict.ts";
import { JsTransport } from "./js-transport.ts";

/**
 * The fence around node:tls: everything that is not its public interface is used here and nowhere else.
 *
 * Not public, and why it is needed: `_handle.verifyError` and reading the peer before the handshake is done (a verdict
 * while our flight is withheld), `_handle.onkeylog` (sealing an alert; also works for servers), `_handle.onnewsession`
 * (the public event is tied to `tls.connect`), `_start` (a client on a TLSSocket that was not made by `tls.connect`, whose
 * checks we replace), `_tlsOptions` (what it keeps for nothing), the wrapper's `doWrite` (a public stream costs a `setImmediate` per write)
 * and `_handle.readBuffer` (it is what its listener for `data` calls in the end).
 */

/** What to give to node:tls. Every field is made by this host: nothing that a guest shaped comes through. */
export interface NodeTlsOptions {
  role: "client" | "server";
  context: tls.SecureContext;
  /** SNI, clients only; absent for IP addresses. */
  serverName?: string;
  /** ALPN ids in wire format. */
  alpn?: Uint8Array;
  /** Clients: a session of an earlier connection. */
  session?: Buffer;
  /** Servers: ask for a certificate. */
  requestCertificate: boolean;
}

/** What node:tls tells. */
export interface NodeTlsEvents {
  /** Our side of the handshake is done. */
  finished(): void;
  /** Decrypted bytes. */
  data(bytes: Uint8Array): void;
  /** close_notify arrived; every byte before it was told. */
  closeNotify(): void;
  /** The TLS library gave up. `code` is OpenSSL's reason as node names it. */
  failed(code: string): void;
  /** Over a socket: it is closed. */
  closed?(): void;
  /** Clients: a session that may be resumed later. */
  session?(session: Buffer): void;
  /** A line of key material. Only asked for where an alert may have to be sealed. */
  keyLog?(line: string): void;
}

/** One TLS connection inside node:tls. */
export interface NodeTls {
  /** Begin to tell `data`. Until then decrypted bytes wait in node:tls. */
  open(): void;
  /** Encrypt; `done` is called when the bytes have become records and were given to the transport. */
  write(bytes: Uint8Array, done: () => void): void;
  /** Bytes given to `write` that are not done. */
  readonly pending: number;
  pause(): void;
  resume(): void;
  /** Take what is decrypted and was held back by `pause`, or before `open`. Nothing is told after that. */
  drain(): Uint8Array[];
  /** Whether close_notify arrived, perhaps behind bytes that were not told yet. */
  readonly isInboundClosed: boolean;
  /** Send close_notify. */
  end(): void;
  destroy(): void;
  /** Whether it is over, by us or by a failure that is told in the next tick. */
  readonly isDestroyed: boolean;
  /** OpenSSL's verdict on the chain, or `undefined` if it was content. */
  verifyError(): VerifyError | undefined;
  /** The peer's certificates as they were sent, leaf first; empty if it sent none. */
  peerChain(): X509Certificate[];
  /** Our certificate: of several pairs the one that OpenSSL chose. */
  readonly localCertificate: X509Certificate | undefined;
  readonly isSessionReused: boolean;
  readonly protocol: string | undefined;
  readonly cipher: string | undefined;
  /** The negotiated ALPN id as node gives it. */
  readonly alpn: string | undefined;
  /** `undefined` if it is over. */
  exportKeyingMaterial(length: number, label: string, context: Uint8Array | undefined): Uint8Array | undefined;
}

interface TlsHandle {
  verifyError(): { code?: string; message: string } | null | undefined;
  onkeylog: (line: Buffer) => void;
  enableKeylogCallback(): void;
  onnewsession: (id: Buffer, session: Buffer) => void;
  enableSessionCallbacks(): void;
  _parentWrap?: { doWrite(request: object, chunks: Uint8Array[]): number; _handle: StreamHandle | null };
}

interface StreamHandle {
  finishWrite(request: object, status: number): void;
  readBuffer(bytes: Uint8Array): void;
}

type PrivateSocket = tls.TLSSocket & {
  _handle: TlsHandle | null;
  _start(): void;
  _releaseControl(): void;
  setServername(name: string): void;
  _readableState: { ended: boolean };
  _tlsOptions: { ALPNProtocols?: Uint8Array | undefined };
};

/**
 * Start TLS over a transport of ours, or over a socket, which node:tls then has for itself. A client's hello is written
 * before this returns.
 */
export function startNodeTls(transport: JsTransport | Socket, options: NodeTlsOptions, events: NodeTlsEvents): NodeTls {
  const socket = new tls.TLSSocket(transport as never, {
    isServer: options.role === "server",
    secureContext: options.context,
    requestCert: options.requestCertificate,
    // Verdicts are this host's: OpenSSL's is read and judged while the next flight is withheld.
    rejectUnauthorized: false,
    ...(options.alpn === undefined ? {} : { ALPNProtocols: options.alpn }),
    ...(options.session === undefined ? {} : { session: options.session }),
  }) as PrivateSocket;
  const handle = socket._handle;
  if (handle === null) throw new Error("node:tls made no handle");
  // OpenSSL has it by now. Node keeps a copy of a few bytes, and with it the 64 KiB of which that is a part.
  socket._tlsOptions.ALPNProtocols = undefined;
  socket._releaseControl();
  if (transport instanceof JsTransport) shortenWays(handle, transport);
  else {
    socket.on("close", () => events.closed?.());
    // A socket of ours stays half-open, and a peer that leaves within the handshake is gone all the same.
    const leftEarly = () => events.closed?.();
    socket.once("end", leftEarly);
    socket.once("secure", () => socket.off("end", leftEarly));
  }

  if (events.keyLog !== undefined) {
    const { keyLog } = events;
    handle.onkeylog = (line) => keyLog(line.toString("latin1"));
    handle.enableKeylogCallback();
  }
  if (events.session !== undefined) {
    const { session } = events;
    handle.onnewsession = (_id, bytes) => session(bytes);
    handle.enableSessionCallbacks();
  }
  socket.on("secure", () => events.finished());
  socket.on("error", (error: NodeJS.ErrnoException) => events.failed(error.code ?? "UNKNOWN"));
  let opened = false;
  let corked = false;
  const tell = (bytes: Uint8Array) => events.data(bytes);
  const uncork = () => {
    corked = false;
    socket.uncork();
  };

  if (options.role === "client") {
    if (options.serverName !== undefined) socket.setServername(options.serverName);
    socket._start();
  }

  return {
    open() {
      if (opened) return;
      opened = true;
      socket.on("end", () => events.closeNotify());
      socket.on("data", tell);
    },
    write(bytes, done) {
      // What is written in one turn becomes one run of records.
      if (!corked) {
        corked = true;
        socket.cork();
        process.nextTick(uncork);
      }
      socket.write(bytes, done);
    },
    get pending() {
      return socket.writableLength;
    },
    pause: () => void socket.pause(),
    resume: () => void socket.resume(),
    drain() {
      // `read` would tell them as well.
      socket.off("data", tell);
      const chunks: Uint8Array[] = [];
      for (let chunk = socket.read() as Uint8Array | null; chunk !== null; chunk = socket.read() as Uint8Array | null) chunks.push(chunk);
      return chunks;
    },
    get isInboundClosed() {
      return socket._readableState.ended;
    },
    end: () => void socket.end(),
    destroy: () => void socket.destroy(),
    get isDestroyed() {
      return socket.destroyed;
    },
    verifyError() {
      const error = socket._handle?.verifyError();
      return error === null || error === undefined ? undefined : { code: error.code ?? "UNSPECIFIED", reason: error.message };
    },
    peerChain() {
      const chain: X509Certificate[] = [];
      for (let certificate = socket.getPeerX509Certificate(); certificate !== undefined; certificate = certificate.issuerCertificate) {
        chain.push(certificate);
        if (chain.length > MAX_CHAIN) break;
      }
      return chain;
    },
    get localCertificate() {
      return socket.getX509Certificate();
    },
    get isSessionReused() {
      return socket.isSessionReused();
    },
    get protocol() {
      return socket.getProtocol() ?? undefined;
    },
    get cipher() {
      return socket.getCipher()?.name;
    },
    get alpn() {
      return typeof socket.alpnProtocol === "string" ? socket.alpnProtocol : undefined;
    },
    exportKeyingMaterial: (length, label, context) =>
      socket.destroyed
        ? undefined
        : socket.exportKeyingMaterial(length, label, context === undefined ? (undefined as never) : Buffer.from(context)),
  };
}

/** OpenSSL's default depth is 100; nobody needs that many. */
const MAX_CHAIN = 16;

/**
 * Hand ciphertext to the wrapper's handle without an event for each piece, and acknowledge a write as soon as the transport took
 * it. Node's wrapper waits for a `setImmediate` after each; completing inside the write is not an option either, since OpenSSL
 * is still on the stack.
 */
function shortenWays(handle: TlsHandle, transport: JsTransport): void {
  const wrap = handle._parentWrap;
  if (wrap === undefined || wrap._handle === null) throw new Error("node:tls wrapped the transport in an unknown way");
  const stream = wrap._handle;
  transport.readBy((bytes) => wrap._handle?.readBuffer(bytes));
  const acknowledge = (request: object) => {
    if (wrap._handle !== null) stream.finishWrite(request, 0);
  };
  const later = (request: object) => process.nextTick(acknowledge, request);
  wrap.doWrite = (request, chunks) => {
    for (const chunk of chunks) transport.take(chunk);
    transport.whenRoom(later, request);
    return 0;
  };
}
