import { dropInOrder } from "../../src/bindings/drop.ts";
import type { RequestHead } from "../../src/http1/index.ts";
import type { ClientConnection } from "./client-connection.ts";
import { DialFailed, type DialledConnection, dialServer } from "./dialled.ts";
import { MessageStreams } from "./message-streams.ts";
import type { Incoming } from "./request-head.ts";
import { lingerOn, type Requests, serveRequests, type ServerLink, type Understood } from "./requests.ts";
import type { Target, Visit } from "./service.ts";
import { failureOf } from "./upstreams.ts";
import { seconds } from "./within.ts";

/**
 * Serve requests in plain HTTP, whose target names the server (RFC 9112, section 3.2.2). Each is decided on.
 *
 * @param tcp owned from here on
 * @param first read already
 * @returns what ended it early, for the record
 */
export async function servePlain(tcp: ClientConnection, visit: Visit, first: Incoming): Promise<string | undefined> {
  const { client, service } = visit;
  service.summary.plain++;
  const requests: Requests = {
    asksForToken: true,
    understand: (head, upgrade) => understand(head, upgrade, client.groups),
    // Their targets name a server each.
    plain: undefined,
    connect: async (target) => {
      const { timeouts } = service.live.policy.settings;
      try {
        const connection = await dialServer(target.host, target.port, {
          connection: client.id,
          timeout: seconds(timeouts.connect),
          scope: client.scope,
        });
        return { tag: "ok", val: new PlainLink(connection, target) };
      } catch (error) {
        if (!(error instanceof DialFailed)) throw error;
        return { tag: "err", val: failureOf(error, undefined) };
      }
    },
  };
  const streams = new MessageStreams(tcp);
  try {
    const error = await serveRequests(streams, visit, requests, first);
    if (!streams.isBroken) {
      await streams.writer.flush(client.scope).catch(() => {});
      streams.writer[Symbol.dispose]();
      tcp.closeOutput?.();
      await lingerOn(streams);
    }
    return error;
  } finally {
    dropInOrder(streams, tcp);
  }
}

function understand(head: RequestHead, upgrade: string | undefined, groups: readonly string[]): Understood {
  if (head.form !== "absolute" || head.authority === undefined) {
    const why = "this is a proxy: ask for http://host/path, or use CONNECT";
    return { tag: "refused", status: head.form === "authority" ? 405 : 400, why };
  }
  if (!head.target.toLowerCase().startsWith("http:")) return { tag: "refused", status: 400, why: "https goes through CONNECT" };
  const target: Target = { host: head.authority.host, port: head.authority.port ?? 80 };
  const question = {
    ...target,
    secure: false,
    method: head.method,
    path: head.path,
    authority: head.fields.get("host") ?? authorityText(target),
    upgrade,
    groups,
  };
  return { tag: "request", target, question };
}

function authorityText({ host, port }: Target): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

class PlainLink implements ServerLink {
  readonly streams: MessageStreams;
  readonly target: Target;
  readonly tls = undefined;
  private readonly connection: DialledConnection;

  constructor(connection: DialledConnection, target: Target) {
    this.connection = connection;
    this.streams = new MessageStreams(connection);
    this.target = target;
  }

  [Symbol.dispose](): void {
    dropInOrder(this.streams, this.connection);
  }
}
