import { dropInOrder } from "../../src/bindings/drop.ts";
import type { TcpConnection } from "../../src/net/tcp-connection.ts";
import { hostText } from "../../src/policy/index.ts";
import { timeout } from "../../src/reactor/index.ts";
import { dialServer } from "./dialled.ts";
import { alert, alertRecord, readOpening } from "./hello-reader.ts";
import { intercept } from "./intercept.ts";
import { decided, write } from "./records.ts";
import { relaySides } from "./relay.ts";
import type { Visit } from "./service.ts";
import { seconds } from "./within.ts";

/**
 * Serve one client of a listener that takes TLS as it comes: its hello is all there is to go by.
 *
 * @param tcp owned from here on
 * @param port what names of the hello are for
 * @returns what went wrong, for the record
 */
export async function serveDirectClient(tcp: TcpConnection, visit: Visit, port: number): Promise<string | undefined> {
  const { client, service } = visit;
  const { timeouts } = service.live.policy.settings;
  let isLeft = true;
  try {
    const opening = await timeout(seconds(timeouts.handshake), (scope) => readOpening(tcp.reader, scope), client.scope);
    if (opening.tag === "cut") return "the client left before its client hello was whole";
    if (opening.tag === "other") {
      service.summary.denied++;
      write("client-hello", client.id, {
        decision: "deny",
        rule: "built-in:hello",
        reason: `not-tls: ${opening.why}`,
        clientAddress: client.address,
      });
      await tcp.writer.write(alertRecord(opening.alert), client.scope);
      return opening.why;
    }
    const { serverName, encryptedClientHello: ech } = opening.hello;
    const request = { serverName, ech, target: undefined, port, groups: client.groups };
    const decision = await service.decider.decideClientHello(request, client.id);
    const shown = serverName.tag === "dns" ? serverName.name : undefined;
    if (decision.tag === "intercept" || decision.tag === "front") {
      tcp.reader.unread(opening.bytes);
      isLeft = false;
      return await intercept(tcp, visit, { target: undefined, port });
    }
    write("client-hello", client.id, { ...decided(decision, decision.because), clientAddress: client.address, serverName: shown });
    if (decision.tag === "deny") {
      service.summary.denied++;
      await tcp.writer.write(alertRecord(shown === undefined ? alert.unrecognizedName : alert.accessDenied), client.scope);
      return decision.because.reason;
    }
    client.stillAllowed = service.decider.whenChanged((now) => now.decideClientHello(request).tag === decision.tag);
    using server = await dialServer(hostText(decision.host), port, {
      connection: client.id,
      timeout: seconds(timeouts.connect),
      scope: client.scope,
    });
    client.tally.fromClient += opening.bytes.length;
    await server.writer.write(opening.bytes, client.scope);
    service.summary.tunnelled++;
    const { error } = await relaySides(tcp, server, { idle: seconds(timeouts.idle), scope: client.scope, tally: client.tally });
    return error;
  } finally {
    if (isLeft) dropInOrder(tcp);
  }
}
