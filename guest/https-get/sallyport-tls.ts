import { PrivateIdentity, TrustAnchors } from "sallyport:tls/identities@0.1.0";
import type { IdentityError } from "sallyport:tls/identities@0.1.0";
import { attempt } from "../../src/bindings/errors.ts";
import { dropInOrder } from "../../src/bindings/drop.ts";
import { decodeUtf8, wellFormed } from "../../src/bindings/text.ts";
import type { ConnectOptions, TlsBinding, TlsConnector } from "../../src/fetch/binding.ts";
import { exitCodes, FetchError } from "../../src/fetch/exit-code.ts";
import { messageOf } from "../../src/fetch/failure.ts";
import type { TrustOptions } from "../../src/fetch/options.ts";
import type { TcpConnection } from "../../src/net/tcp-connection.ts";
import { connectTls, RefusePeer, TlsError, type UnverifiedPeer } from "../../src/tls/index.ts";
import { encodeBase64 } from "../../src/wire/base64url.ts";
import { parsePem } from "../../src/wire/pem.ts";
import { latin1 } from "../../src/wire/utf8.ts";
import { ForwardingChannel } from "./forwarding-channel.ts";

/** TLS by `sallyport:tls`: the server's certificate can be judged here, and the host moves large bodies. */
export const sallyportTls: TlsBinding = {
  async open(options, read) {
    const identity = options.cert === undefined ? undefined : openIdentity(options.cert);
    try {
      return new Connector(options, identity, await readAnchors(options, read));
    } catch (error) {
      identity?.[Symbol.dispose]();
      throw error;
    }
  },
};

class Connector implements TlsConnector {
  readonly #options: TrustOptions;
  readonly #identity: PrivateIdentity | undefined;
  readonly #anchors: TrustAnchors | undefined;

  constructor(options: TrustOptions, identity: PrivateIdentity | undefined, anchors: TrustAnchors | undefined) {
    this.#options = options;
    this.#identity = identity;
    this.#anchors = anchors;
  }

  async connect(transport: TcpConnection, serverName: string, options: ConnectOptions): Promise<ForwardingChannel> {
    const { handshake, observe, useIdentity, scope } = options;
    const { pins, acceptInvalid, maximumVersion } = this.#options;
    let refusal: FetchError | undefined;
    // Without a point to decide at the host's verdict is final, and the handshake costs fewer calls.
    const decides = observe || pins.length > 0 || acceptInvalid;
    try {
      const connection = await connectTls(transport, serverName, {
        alpn: ["http/1.1"],
        identities: this.#identity !== undefined && useIdentity ? [this.#identity] : [],
        anchors: this.#anchors,
        maximumVersion,
        scope,
        onServerIdentity: decides
          ? (server) => {
              handshake.verdict = [...server.verdict];
              if (server.presented) handshake.chain = server.chain();
              refusal = this.#decide(server, serverName, (by, what) => handshake.decisions.push({ point: POINT, by, what }));
              if (refusal !== undefined) throw new RefusePeer(refusal.message);
            }
          : undefined,
      });
      const { protocolVersion, cipherSuite, group, alpnId, sessionReused, overridden } = connection.info;
      Object.assign(handshake, { version: protocolVersion, cipherSuite, group: group ?? undefined, sessionReused });
      handshake.alpn = alpnId === undefined || alpnId === null ? undefined : decodeUtf8(alpnId);
      handshake.overridden = [...overridden];
      return new ForwardingChannel(connection);
    } catch (error) {
      throw refusal ?? error;
    }
  }

  [Symbol.dispose](): void {
    dropInOrder(this.#identity, this.#anchors);
  }

  /** What is wrong with the server in this guest's eyes. */
  #decide(server: UnverifiedPeer, serverName: string, decided: (by: "guest" | "host", what: string) => void): FetchError | undefined {
    const { pins, acceptInvalid } = this.#options;
    if (pins.length > 0) {
      const pin = server.presented ? encodeBase64(server.spkiFingerprint()) : "";
      if (!pins.includes(pin)) {
        decided("guest", `refuse, since its key sha256//${pin} is not pinned`);
        const advice = `if that is right, pin sha256//${pin}`;
        return new FetchError(exitCodes.pin, `the key of ${serverName} is none of those in --pinnedpubkey; ${advice}`);
      }
      decided("guest", `go on, since its key sha256//${pin} is pinned`);
    }
    if (server.verdict.length === 0) {
      if (pins.length === 0) decided("guest", "go on, as the host's verdict allows");
      return undefined;
    }
    const faults = server.verdict.join(", ");
    if (!acceptInvalid) {
      decided("host", `refuse, since its certificate is not acceptable: ${faults}`);
      return undefined;
    }
    try {
      server.accept(server.verdict);
    } catch (error) {
      if (!(error instanceof TlsError)) throw error;
      decided("host", `refuse, since overriding ${faults} is not granted`);
      const grants = server.verdict.map((fault) => `--allow-invalid ${serverName}:${fault}`).join(" ");
      return new FetchError(
        exitCodes.certificate,
        `the certificate of ${serverName} was refused: ${faults}; to go on, grant ${grants}`,
        error,
      );
    }
    decided("guest", `go on in spite of ${faults}`);
    return undefined;
  }
}

function openIdentity(name: string): PrivateIdentity {
  const opened = attempt<PrivateIdentity, IdentityError>(() => PrivateIdentity.open(wellFormed(name)));
  if (opened.tag === "ok") return opened.val;
  const names = PrivateIdentity.names();
  const granted = names.length === 0 ? "none was granted" : `granted are ${names.join(", ")}`;
  throw new FetchError(exitCodes.identity, `--cert ${name}: there is no such identity, ${granted}; grant it with --identity NAME=CERT,KEY`);
}

async function readAnchors(options: TrustOptions, read: (path: string) => Promise<Uint8Array>): Promise<TrustAnchors | undefined> {
  const { cacert, crlfile } = options;
  if (cacert === undefined && crlfile === undefined) return undefined;
  const certificates = cacert === undefined ? [] : await readDer(cacert, "CERTIFICATE", "--cacert", read);
  const lists = crlfile === undefined ? [] : await readDer(crlfile, "X509 CRL", "--crlfile", read);
  const made = attempt<TrustAnchors, IdentityError>(() => TrustAnchors.fromX509(certificates, cacert === undefined, lists));
  if (made.tag === "ok") return made.val;
  throw new FetchError(exitCodes.anchors, `the files of --cacert and --crlfile are not accepted: ${made.val}`);
}

/** All blocks of a PEM file with this label, or the one thing that a DER file is. */
async function readDer(path: string, label: string, flag: string, read: (path: string) => Promise<Uint8Array>): Promise<Uint8Array[]> {
  try {
    const bytes = await read(path);
    if (bytes[0] === DER_SEQUENCE) return [bytes];
    const blocks = parsePem(latin1(bytes), { length: bytes.length }).filter((block) => block.label === label);
    if (blocks.length === 0) throw new Error(`${path}: no PEM block ${label}`);
    return blocks.map((block) => block.bytes);
  } catch (error) {
    throw new FetchError(exitCodes.anchors, `${flag}: ${messageOf(error)}`, error);
  }
}

const POINT = "verify-server-identity";
const DER_SEQUENCE = 0x30;
