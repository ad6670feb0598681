import type { ServerName } from "../../src/wire/server-name.ts";
import { PublicChain } from "../identity/public-identity.ts";
import type { AnchorSet } from "../identity/trust-anchors.ts";
import { verdict } from "../identity/verdict.ts";
import type { Peer, Target } from "./connection-info.ts";
import type { NodeTls } from "./node-tls.ts";
import type { Settings } from "./settings.ts";

/** The names one of which a server's leaf must cover. */
function namesOf(settings: Settings, target: Target | undefined): readonly ServerName[] {
  if (settings.names.length > 0) return settings.names;
  return target === undefined ? [] : [target.server];
}

/**
 * Look at the certificates that the peer showed, with everything that is wrong with them.
 *
 * @param role ours: a client judges a server
 * @param anchors of the host, where the settings name none; asked for only then, since reading all of them takes milliseconds
 */
export function judge(
  node: NodeTls,
  role: "client" | "server",
  settings: Settings,
  target: Target | undefined,
  anchors: () => AnchorSet,
): Peer {
  const certificates = node.peerChain();
  const chain = certificates.length === 0 ? undefined : new PublicChain(certificates);
  const isClient = role === "client";
  if (chain === undefined && !isClient && settings.clientCertificate === "optional") return { chain, verdict: [] };
  return {
    chain,
    verdict: verdict({
      verifyError: node.verifyError(),
      chain,
      peer: isClient ? "server" : "client",
      names: isClient ? namesOf(settings, target) : [],
      anchors: settings.anchors ?? anchors(),
      now: BigInt(Math.floor(Date.now() / 1000)),
    }),
  };
}
