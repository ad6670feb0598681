import { dropInOrder } from "../../src/bindings/drop.ts";
import { hostText, type HttpRequest } from "../../src/policy/index.ts";
import type { TlsConnection } from "../../src/tls/index.ts";
import { MessageStreams } from "./message-streams.ts";
import { lingerOn, type Requests, serveRequests, type ServerLink } from "./requests.ts";
import { type Target, type Visit } from "./service.ts";
import type { Destination, UpstreamConnection } from "./upstreams.ts";
import { seconds } from "./within.ts";

/**
 * Serve the requests of an intercepted connection, each of which is decided on.
 *
 * @param connection the client's; borrowed
 * @param upstream owned from here on
 * @returns what ended it early, for the record
 */
export async function serveInspected(
  connection: TlsConnection,
  visit: Visit,
  destination: Destination,
  upstream: UpstreamConnection,
): Promise<string | undefined> {
  const { client, service } = visit;
  const target: Target = { host: hostText(destination.route.host), port: destination.port };
  const question = (method: string, path: string, authority: string | undefined, upgrade: string | undefined): HttpRequest => ({
    ...target,
    secure: true,
    method,
    path,
    authority,
    upgrade,
    groups: client.groups,
  });
  const requests: Requests = {
    asksForToken: false,
    understand: (head, upgrade) => ({
      tag: "request",
      target,
      question: question(head.method, head.path, head.fields.get("host"), upgrade),
    }),
    plain: ({ method, target: path, host }) => question(method, path, host, undefined),
    connect: async () => {
      const { timeouts } = service.live.policy.settings;
      const result = await service.upstreams.connect(destination, {
        connection: client.id,
        alpn: upstream.alpn === undefined ? [] : [upstream.alpn],
        connectTime: seconds(timeouts.connect),
        handshakeTime: seconds(timeouts.handshake),
        scope: client.scope,
      });
      return result.tag === "err" ? result : { tag: "ok", val: new TlsLink(result.val, target) };
    },
  };
  using streams = new MessageStreams(connection);
  const error = await serveRequests(streams, visit, requests, undefined, new TlsLink(upstream, target));
  // Also where the last response said that it ends with the connection.
  if (!streams.isBroken) {
    await streams.writer.flush(client.scope).catch(() => {});
    connection.endpoint.closeOutput();
    await lingerOn(streams);
  }
  return error;
}

class TlsLink implements ServerLink {
  readonly streams: MessageStreams;
  readonly target: Target;
  readonly tls: TlsConnection;
  private readonly upstream: UpstreamConnection;

  constructor(upstream: UpstreamConnection, target: Target) {
    this.upstream = upstream;
    this.tls = upstream.tls;
    this.streams = new MessageStreams(upstream.tls);
    this.target = target;
  }

  [Symbol.dispose](): void {
    dropInOrder(this.streams, this.upstream);
  }
}
