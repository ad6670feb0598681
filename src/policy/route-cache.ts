import type { Routed } from "./locate.ts";

/**
 * What a policy has for hosts that were asked for of late: a policy never changes, and connections and requests ask for the
 * same few again and again. Bounded, since clients choose the names.
 */
export class RouteCache {
  private readonly routes = new Map<string, Routed>();

  /**
   * The route under this name of a host as a client wrote it, this port and these groups; found out by `locate` if it is not
   * known.
   */
  route(host: string, port: number, groups: readonly string[], locate: () => Routed): Routed {
    if (host.length > MAX_HOST || groups.length > MAX_GROUPS) return locate();
    // The host comes last, since anything may stand in it; the texts before it say themselves where they end.
    const key = `${port} ${groups.length === 0 ? "[]" : JSON.stringify(groups)} ${host}`;
    const known = this.routes.get(key);
    if (known !== undefined) return known;
    const routed = locate();
    if (this.routes.size >= MAX_ROUTES) this.routes.clear();
    this.routes.set(key, routed);
    return routed;
  }
}

const MAX_ROUTES = 512;
const MAX_HOST = 254;
const MAX_GROUPS = 32;
