import { Authority } from "../authority/authority.ts";
import { AuthorityError } from "../authority/authority-error.ts";
import { CaStore } from "../authority/ca-store.ts";
import type { Limits } from "../authority/limits.ts";
import { parseLimits } from "../authority/parse-limits.ts";
import type { PolicySettings } from "../policy/policy-component.ts";

/** Who issues the certificates that a proxy shows. */
export interface ProxyAuthority {
  authority: Authority;
  /** DER: what clients have to trust. More than one while an authority follows another. */
  roots: Uint8Array[];
}

/** What the policy needs certificates for; `undefined` if for nothing. @throws {AuthorityError} `bad-limits` */
export function neededLimits({ permittedNames, permittedNetworks }: PolicySettings): Limits | undefined {
  if (permittedNames.length === 0 && permittedNetworks.length === 0) return undefined;
  if (permittedNames.length === 0)
    throw new AuthorityError(
      "bad-limits",
      "the policy intercepts addresses alone: name a domain in ca.permit, since an authority for no name is not made here",
    );
  return parseLimits({ dns: permittedNames, ip: permittedNetworks, allowPrivateSuffixes: true });
}

/**
 * The authority of a proxy: from a folder, or one for this run that nobody will ever have the key of.
 *
 * @throws {AuthorityError} also when the one of the folder does not cover what the policy intercepts
 */
export async function openProxyAuthority(folder: string | undefined, settings: PolicySettings): Promise<ProxyAuthority | undefined> {
  const limits = neededLimits(settings);
  if (limits === undefined) return undefined;
  const longestLifetime = BigInt(settings.leafLifetime);
  if (folder === undefined) {
    const authority = await Authority.ephemeral({ limits, validity: EPHEMERAL_VALIDITY, longestLifetime });
    return { authority, roots: [authority.chain.der.at(-1)!] };
  }
  const store = new CaStore(folder);
  return { authority: await Authority.from(store.load(limits), { longestLifetime }), roots: store.roots() };
}

/** Seconds: longer than a proxy runs without a restart. */
const EPHEMERAL_VALIDITY = 90n * 86_400n;
