import type { ClientHello } from "../../src/wire/client-hello.ts";
import type { KeyPair } from "../identity/private-identity.ts";
import { Alert } from "./alert.ts";
import { type Settings, spokenVersions, TLS12 } from "./settings.ts";

/** How a server answers a client hello. */
export type Answer =
  | { tag: "accept"; identity: KeyPair; alpnId: Uint8Array | undefined }
  | { tag: "refuse"; alert: number; detail: string };

/** Choose identity and ALPN id. Pure; what node:tls would do itself but cannot be asked about. */
export function answerHello(hello: ClientHello, settings: Settings): Answer {
  const { minimum, maximum } = spokenVersions(settings);
  if (!hello.protocolVersions.some((version) => version >= minimum && version <= maximum)) {
    return { tag: "refuse", alert: Alert.protocolVersion, detail: "no protocol version in common" };
  }
  const identity = settings.identities.find((candidate) => canVerify(hello, candidate));
  if (identity === undefined) {
    const detail =
      settings.identities.length === 0 ? "no identity is configured" : "the client can verify none of the configured identities";
    return { tag: "refuse", alert: Alert.handshakeFailure, detail };
  }
  if (settings.alpnIds.length === 0 || hello.alpnIds.length === 0) return { tag: "accept", identity, alpnId: undefined };
  const alpnId = settings.alpnIds.find((id) => hello.alpnIds.some((offered) => sameBytes(id, offered)));
  if (alpnId === undefined) return { tag: "refuse", alert: Alert.noApplicationProtocol, detail: "no ALPN id in common" };
  return { tag: "accept", identity, alpnId };
}

/** Whether the client names a scheme that the identity's key can sign with. A TLS 1.2 client may name none at all. */
function canVerify(hello: ClientHello, identity: KeyPair): boolean {
  if (hello.signatureSchemes.length === 0) return hello.protocolVersions.every((version) => version <= TLS12);
  return schemesOf(identity).some((scheme) => hello.signatureSchemes.includes(scheme));
}

/** The signature schemes of RFC 8446, section 4.2.3, that a key can sign a handshake with. PKCS #1 is for TLS 1.2 only. */
function schemesOf(identity: KeyPair): readonly number[] {
  const key = identity.chain.leaf.publicKey;
  if (key.asymmetricKeyType === "ed25519") return [0x0807];
  if (key.asymmetricKeyType === "ec") return ecdsaSchemes.get(key.asymmetricKeyDetails?.namedCurve ?? "") ?? [];
  return [0x0804, 0x0805, 0x0806, 0x0401, 0x0501, 0x0601];
}

/** In TLS 1.2 the curve and the hash of an ECDSA scheme are independent. */
const ecdsaSchemes = new Map<string, readonly number[]>([
  ["prime256v1", [0x0403, 0x0503, 0x0603]],
  ["secp384r1", [0x0503, 0x0403, 0x0603]],
  ["secp521r1", [0x0603, 0x0403, 0x0503]],
]);

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}
