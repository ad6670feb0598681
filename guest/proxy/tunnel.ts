import { dropInOrder } from "../../src/bindings/drop.ts";
import { type ClientHelloRequest, type ConnectionDecision, hostText } from "../../src/policy/index.ts";
import { timeout } from "../../src/reactor/index.ts";
import type { ClientHello } from "../../src/wire/client-hello.ts";
import { answer, established, linger } from "./answers.ts";
import type { ClientConnection } from "./client-connection.ts";
import { DialFailed, type DialledConnection, dialServer } from "./dialled.ts";
import { alert, alertRecord, readOpening } from "./hello-reader.ts";
import { write } from "./records.ts";
import { relaySides } from "./relay.ts";
import { type Target, targetText, type Visit } from "./service.ts";
import { failureOf } from "./upstreams.ts";
import { seconds } from "./within.ts";

type Tunnel = Extract<ConnectionDecision, { tag: "tunnel" }>;

/**
 * Pass bytes on unread. The server is connected to before the client is told that it may send, so that it hears why not; what
 * it sends first has to be a client hello for that server, unless the tunnel is opaque.
 *
 * @param tcp owned from here on
 * @returns what went wrong, for the record
 */
export async function tunnel(
  tcp: ClientConnection,
  { client, service }: Visit,
  target: Target,
  decision: Tunnel,
): Promise<string | undefined> {
  const { timeouts } = service.live.policy.settings;
  let server: DialledConnection | undefined;
  try {
    try {
      server = await dialServer(hostText(decision.host), target.port, {
        connection: client.id,
        timeout: seconds(timeouts.connect),
        scope: client.scope,
      });
    } catch (error) {
      if (!(error instanceof DialFailed)) throw error;
      const { status, message, reason } = failureOf(error, undefined);
      service.summary.failed++;
      client.tally.toClient += await answer(tcp.writer, status, message, { close: true, scope: client.scope });
      await tcp.endWriting(client.scope);
      await linger(tcp.reader, seconds(LINGER));
      return reason;
    }
    await established(tcp.writer, client.scope);
    if (!decision.opaque) {
      const opening = await timeout(seconds(timeouts.handshake), (scope) => readOpening(tcp.reader, scope), client.scope);
      if (opening.tag === "cut") return "the client left before its client hello was whole";
      if (opening.tag === "other")
        return await refuse(
          tcp,
          { client, service },
          { ...target, because: { rule: "built-in:hello", reason: `not-tls: ${opening.why}` } },
          opening.alert,
        );
      const request = requestOf(opening.hello, client.groups, target);
      const refusal = refusalOf(await service.decider.decideClientHello(request, client.id));
      if (refusal !== undefined)
        return await refuse(
          tcp,
          { client, service },
          { ...target, because: refusal, serverName: nameOf(opening.hello) },
          alert.unrecognizedName,
        );
      const decideAgain = client.stillAllowed;
      client.stillAllowed = service.decider.whenChanged(
        (now) => decideAgain?.() !== false && refusalOf(now.decideClientHello(request)) === undefined,
      );
      client.tally.fromClient += opening.bytes.length;
      await server.writer.write(opening.bytes, client.scope);
    } else {
      const { buffered } = tcp.reader;
      if (buffered > 0) await server.writer.write(tcp.reader.tryRead(buffered)!, client.scope);
      client.tally.fromClient += buffered;
    }
    service.summary.tunnelled++;
    const { error } = await relaySides(tcp, server, { idle: seconds(timeouts.idle), scope: client.scope, tally: client.tally });
    return error;
  } finally {
    dropInOrder(server, tcp);
  }
}

function requestOf({ serverName, encryptedClientHello: ech }: ClientHello, groups: readonly string[], target: Target): ClientHelloRequest {
  return { serverName, ech, target, port: target.port, groups };
}

/** Why a hello may not pass in a tunnel; `undefined` if it may. */
function refusalOf(decision: ConnectionDecision) {
  if (decision.tag === "tunnel") return undefined;
  return decision.tag === "deny" ? decision.because : { rule: decision.because.rule, reason: "server-name-mismatch" as const };
}

interface Refusal extends Target {
  readonly because: { readonly rule: string; readonly reason: string };
  readonly serverName?: string | undefined;
}

async function refuse(tcp: ClientConnection, { client, service }: Visit, refusal: Refusal, description: number): Promise<string> {
  const { because, serverName } = refusal;
  service.summary.denied++;
  write("client-hello", client.id, { decision: "deny", ...because, serverName, target: targetText(refusal) });
  await tcp.writer.write(alertRecord(description), client.scope);
  await tcp.endWriting(client.scope);
  await linger(tcp.reader, seconds(LINGER));
  return because.reason;
}

function nameOf({ serverName }: ClientHello): string | undefined {
  return serverName.tag === "dns" ? serverName.name : undefined;
}

/** Seconds. */
const LINGER = 1;
