import { constants } from "node:crypto";
import tls from "node:tls";
import type { KeyPair } from "../identity/private-identity.ts";
import type { AnchorSet } from "../identity/trust-anchors.ts";
import { type Settings, spokenVersions } from "./settings.ts";
import { defaultSuites, groupList, isTls13Suite, schemeList, suiteList, versionName } from "./wire-names.ts";

/** Contexts kept. One costs some 100 KiB in OpenSSL, more with many anchors. */
const MAX_CONTEXTS = 256;

const contexts = new Map<string, tls.SecureContext>();

/**
 * The OpenSSL context for these settings, made once and shared by every connection that is configured alike: making one
 * costs 0.2 ms, and 5 ms with the system's anchors.
 *
 * @param identities what may be presented
 * @param groups in place of those that are configured
 * @param anchors what the peer is verified against; `undefined` where no certificate is asked for
 */
export function secureContext(
  role: "client" | "server",
  settings: Settings,
  identities: readonly KeyPair[],
  anchors: AnchorSet | undefined,
  groups: readonly number[] | undefined = settings.groups,
): tls.SecureContext {
  const tickets = role === "client" || (settings.useSessions && settings.clientCertificate === "none");
  const key = [
    role,
    identities.map((identity) => identity.id).join(","),
    anchors?.id,
    settings.minimumVersion,
    settings.maximumVersion,
    settings.cipherSuites,
    groups,
    settings.signatureSchemes,
    tickets,
  ].join("|");
  const cached = contexts.get(key);
  if (cached !== undefined) {
    // Last used goes last: the first of the map is the one to give up.
    contexts.delete(key);
    contexts.set(key, cached);
    return cached;
  }
  const made = make(settings, identities, anchors, tickets, groups);
  contexts.set(key, made);
  if (contexts.size > MAX_CONTEXTS) contexts.delete(contexts.keys().next().value!);
  return made;
}

function make(
  settings: Settings,
  identities: readonly KeyPair[],
  anchors: AnchorSet | undefined,
  tickets: boolean,
  groups: readonly number[] | undefined,
): tls.SecureContext {
  const { minimum, maximum } = spokenVersions(settings);
  // The last pair that OpenSSL is given is the one that it prefers.
  const pems = firstOfEachKind(identities)
    .toReversed()
    .map((identity) => identity.credentials());
  let secureOptions = constants.SSL_OP_NO_RENEGOTIATION | constants.SSL_OP_NO_COMPRESSION | constants.SSL_OP_CIPHER_SERVER_PREFERENCE;
  if (!tickets) secureOptions |= constants.SSL_OP_NO_TICKET;
  return tls.createSecureContext({
    ...(pems.length === 0 ? {} : { key: pems.map((pem) => pem.key), cert: pems.map((pem) => pem.cert) }),
    ...(anchors === undefined ? { ca: [] } : anchors.tlsOptions()),
    ciphers: cipherList(settings.cipherSuites),
    ...(groups === undefined ? {} : { ecdhCurve: groupList(groups) }),
    ...(settings.signatureSchemes === undefined ? {} : { sigalgs: schemeList(settings.signatureSchemes) }),
    minVersion: versionName(minimum),
    maxVersion: versionName(maximum),
    secureOptions,
  });
}

/** OpenSSL holds one pair for each kind of key, and takes the certificate of one with the key of another for a mistake. */
function firstOfEachKind(identities: readonly KeyPair[]): KeyPair[] {
  return identities.filter(({ algorithm }, index) => identities.findIndex((other) => other.algorithm === algorithm) === index);
}

/** node takes the suites of both versions in one list; a version without a suite in it would keep OpenSSL's own. */
function cipherList(suites: readonly number[] | undefined): string {
  if (suites === undefined) return defaultSuites;
  return suiteList([...suites.filter(isTls13Suite), ...suites.filter((suite) => !isTls13Suite(suite))])!;
}
