import { parseServerName } from "../../src/wire/server-name.ts";
import { WireError } from "../../src/wire/wire-error.ts";
import { KeyPair, type PackedKeyPair } from "../identity/private-identity.ts";
import { AnchorSet } from "../identity/trust-anchors.ts";
import { CERTIFICATE_ERRORS } from "../identity/verdict.ts";
import type { CertificateError } from "../io/source.ts";
import { GrantError } from "../net/grants.ts";
import type { TlsOptions } from "./tls-host.ts";

/** What an instance may do with TLS, as values that can be posted to a worker. Nothing is granted by default. */
export interface TlsGrants {
  /** Identities that the guest may open, by name: `loadIdentity(...).forWorker()`. */
  identities?: Record<string, PackedKeyPair>;
  /** DER certificates to trust in place of the system's. With `systemAnchors` in addition to them. */
  anchors?: readonly Uint8Array[];
  /** DER revocation lists; with one, every certificate of a chain needs a current list. */
  crls?: readonly Uint8Array[];
  systemAnchors?: boolean;
  /** Verdicts that the guest may override, as `server-name:certificate-error`, for example `10.0.0.1:self-signed`. */
  allowInvalid?: readonly string[];
  /** How long a peer may leave a handshake unfinished, in milliseconds. Default 10,000. */
  handshakeTimeout?: number;
  /** Live TLS connections at most. Default 10,000. */
  maxConnections?: number;
  /** Whether node:tls may be given the socket itself where nothing is lost by it. Default true. */
  attach?: boolean;
}

/** @throws {GrantError} when a grant is not understood */
export function tlsOptions(grants: TlsGrants, onRefusal: (line: string) => void): TlsOptions {
  const identities = new Map(Object.entries(grants.identities ?? {}).map(([name, packed]) => [name, KeyPair.fromWorker(packed)]));
  let anchors: AnchorSet | undefined;
  return {
    identities,
    // Parsing the system's roots takes some milliseconds, which an instance that verifies nothing need not spend.
    get anchors() {
      return (anchors ??= makeAnchors(grants));
    },
    allowInvalid: parseAllowInvalid(grants.allowInvalid ?? []),
    handshakeTimeout: grants.handshakeTimeout ?? 10_000,
    maxConnections: grants.maxConnections ?? 10_000,
    attach: grants.attach ?? true,
    onRefusal: (serverName, verdict) => {
      if (serverName === undefined)
        onRefusal("sallyport: refused: accept a client whose certificate was not accepted; a server cannot be granted that");
      else
        onRefusal(
          `sallyport: refused: accept ${serverName} in spite of ${verdict.join(", ")}; grant it with ${verdict.map((error) => `--allow-invalid ${serverName}:${error}`).join(" ")}`,
        );
    },
  };
}

function makeAnchors({ anchors, crls = [], systemAnchors }: TlsGrants): AnchorSet {
  if (anchors === undefined && crls.length === 0) return AnchorSet.system();
  return AnchorSet.fromX509(anchors ?? [], crls, anchors === undefined || systemAnchors === true ? AnchorSet.system() : undefined);
}

function parseAllowInvalid(texts: readonly string[]): Map<string, Set<CertificateError>> {
  const granted = new Map<string, Set<CertificateError>>();
  for (const text of texts) {
    const at = text.lastIndexOf(":");
    const reason = text.slice(at + 1);
    if (at < 1 || !isReason(reason)) {
      throw new GrantError(
        `--allow-invalid ${JSON.stringify(text)} is not understood; write SERVER:REASON, the reason being one of ${REASONS.join(", ")}`,
      );
    }
    const name = serverName(text.slice(0, at));
    const reasons = granted.get(name) ?? new Set();
    granted.set(name, reasons.add(reason));
  }
  return granted;
}

function serverName(text: string): string {
  try {
    const name = parseServerName(text.replace(/^\[(.*)\]$/, "$1"), { trailingDot: "drop" });
    return name.tag === "dns" ? name.name : name.text;
  } catch (error) {
    if (error instanceof WireError) throw new GrantError(`--allow-invalid: ${JSON.stringify(text)} is no server name: ${error.message}`);
    throw error;
  }
}

function isReason(text: string): text is CertificateError {
  return (REASONS as readonly string[]).includes(text);
}

/** What can be overridden. A peer that presented nothing cannot be accepted as somebody. */
const REASONS: readonly CertificateError[] = CERTIFICATE_ERRORS.filter((error) => error !== "none-presented");
