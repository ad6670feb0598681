import { constants } from "node:crypto";
import tls from "node:tls";
import { closeContext } from "../identity/close-context.ts";
import type { KeyPair } from "../identity/private-identity.ts";
import type { AnchorSet } from "../identity/trust-anchors.ts";
import { type Settings, spokenVersions } from "./settings.ts";
import type { SharedBudget } from "./shared-budget.ts";
import { defaultSuites, groupList, isTls13Suite, schemeList, suiteList, versionName } from "./wire-names.ts";

/** Contexts kept for the next connection. One costs some 100 KiB in OpenSSL, more with many anchors. */
const MAX_CONTEXTS = 256;
/** Bytes of their anchors in OpenSSL, about. */
const MAX_WEIGHT = 256 * 1024 * 1024;

interface Entry {
  context: tls.SecureContext;
  weight: number;
  users: number;
}

const contexts = new Map<string, Entry>();
let total = 0;

/** A context that a connection uses. */
export interface ContextLease {
  context: tls.SecureContext;
  /** The connection is over. Called once. */
  end(): void;
}

/**
 * The OpenSSL context for these settings, made once and shared by every connection that is configured alike: making one
 * costs 0.2 ms, and 5 ms with the system's anchors.
 *
 * @param budget of the instance: every difference in its settings is another context, with all anchors in it
 * @param identities what may be presented
 * @param groups in place of those that are configured
 * @param anchors what the peer is verified against; `undefined` where no certificate is asked for
 * @returns `undefined` past the budget
 */
export function leaseContext(
  budget: SharedBudget,
  role: "client" | "server",
  settings: Settings,
  identities: readonly KeyPair[],
  anchors: AnchorSet | undefined,
  groups: readonly number[] | undefined = settings.groups,
): ContextLease | undefined {
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
  const weight = anchors?.contextSize ?? 0;
  if (!budget.enter(key, weight)) return undefined;
  const entry = contexts.get(key) ?? { context: make(settings, identities, anchors, tickets, groups), weight, users: 0 };
  entry.users++;
  keep(key, entry);
  return {
    context: entry.context,
    end: () => {
      budget.leave(key);
      entry.users--;
      if (contexts.get(key) !== entry) closeUnused(entry);
    },
  };
}

/** Last used goes last: the first of the map is the one to give up. */
function keep(key: string, entry: Entry): void {
  if (!contexts.delete(key)) total += entry.weight;
  contexts.set(key, entry);
  for (const [oldKey, old] of contexts) {
    if (contexts.size <= MAX_CONTEXTS && total <= MAX_WEIGHT) return;
    contexts.delete(oldKey);
    total -= old.weight;
    closeUnused(old);
  }
}

function closeUnused(entry: Entry): void {
  if (entry.users === 0) closeContext(entry.context);
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
