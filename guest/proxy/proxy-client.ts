import { dropInOrder } from "../../src/bindings/drop.ts";
import type { RequestHead } from "../../src/http1/index.ts";
import { answer, established, linger } from "./answers.ts";
import type { ClientConnection } from "./client-connection.ts";
import { intercept } from "./intercept.ts";
import { servePlain } from "./plain.ts";
import { CHALLENGE, credentialsOf, MOST_REFUSALS } from "./credentials.ts";
import type { Refusal } from "./proxy-auth.ts";
import { decided, NotRecorded, write } from "./records.ts";
import { tellRefusal } from "./refusals.ts";
import { type Incoming, nextRequest } from "./request-head.ts";
import { headBounds, type Target, targetText, type Visit } from "./service.ts";
import { tunnel } from "./tunnel.ts";
import { seconds } from "./within.ts";

/**
 * Serve one client of the proxy's listener: a CONNECT, or requests in plain HTTP.
 *
 * @param tcp owned from here on
 * @returns what went wrong, for the record
 */
export async function serveProxyClient(tcp: ClientConnection, visit: Visit): Promise<string | undefined> {
  const entered = await enter(tcp, visit);
  if (entered.tag === "over") return entered.error;
  if (entered.tag === "plain") return await servePlain(tcp, visit, entered.first);
  return await connect(tcp, visit, entered.target);
}

type Entered =
  | { readonly tag: "connect"; readonly target: Target }
  | { readonly tag: "plain"; readonly first: Incoming }
  | { readonly tag: "over"; readonly error: string | undefined };

/** Read heads until one is let in. Drops the connection if none is. */
async function enter(tcp: ClientConnection, visit: Visit): Promise<Entered> {
  let isLeft = true;
  try {
    for (let attempt = 1; ; attempt++) {
      const incoming = await nextRequest(tcp.reader, headBounds(visit.service), visit.client.scope, visit.client.idle);
      if (incoming.tag === "end") return { tag: "over", error: attempt === 1 ? "nothing was asked for" : undefined };
      if (incoming.tag === "cut") return { tag: "over", error: "the client left within a request head" };
      if (incoming.tag === "refused") return await refuse(tcp, visit, incoming.status, incoming.why);
      const { head, framing } = incoming;
      if (head.form !== "authority") {
        isLeft = false;
        return { tag: "plain", first: incoming };
      }
      if (framing.tag !== "none") return await refuse(tcp, visit, 400, "a CONNECT has no body");
      const refusal = visit.client.door.refusal(credentialsOf(head), visit.client);
      if (refusal === undefined) {
        isLeft = false;
        return { tag: "connect", target: targetOf(head) };
      }
      tellRefusal(visit, refusal, targetText(targetOf(head)));
      const isLast = visit.client.refusals >= MOST_REFUSALS || (head.minorVersion === 0 && !head.persistent);
      await challenge(tcp, visit, refusal, isLast);
      if (isLast) return { tag: "over", error: `no valid token was shown: ${refusal.reason}` };
    }
  } finally {
    if (isLeft) dropInOrder(tcp);
  }
}

async function connect(tcp: ClientConnection, visit: Visit, target: Target): Promise<string | undefined> {
  const { client, service } = visit;
  const request = { ...target, groups: client.groups };
  const decision = await service.decider.decideConnect(request, client.id);
  try {
    write("connection", client.id, { ...decided(decision, decision.because), clientAddress: client.address, target: targetText(target) });
  } catch (error) {
    if (!(error instanceof NotRecorded)) throw error;
    return await hangUp(tcp, visit, 503, error.message);
  }
  if (decision.tag === "deny") {
    service.summary.denied++;
    const { reason, rule } = decision.because;
    return await hangUp(tcp, visit, 403, `the policy does not allow ${targetText(target)}: ${reason} (${rule})`);
  }
  client.stillAllowed = service.decider.whenChanged((now) => now.decideConnect(request).tag === decision.tag);
  if (decision.tag === "tunnel") return await tunnel(tcp, visit, target, decision);
  if (service.certificates === undefined) return await hangUp(tcp, visit, 503, "there is no certification authority to intercept with");
  try {
    await established(tcp.writer, client.scope);
  } catch (error) {
    dropInOrder(tcp);
    throw error;
  }
  return await intercept(tcp, visit, { target, port: target.port });
}

function targetOf({ authority }: RequestHead): Target {
  return { host: authority!.host, port: authority!.port! };
}

async function challenge(tcp: ClientConnection, { client }: Visit, { message }: Refusal, close: boolean): Promise<void> {
  const options = { close, fields: [CHALLENGE], scope: client.scope };
  client.tally.toClient += await answer(tcp.writer, 407, message, options);
  if (!close) return;
  await tcp.endWriting(client.scope);
  await linger(tcp.reader, seconds(1));
}

async function refuse(tcp: ClientConnection, visit: Visit, status: number, why: string): Promise<Entered> {
  const { client, service } = visit;
  service.summary.denied++;
  write("connection", client.id, { decision: "deny", rule: "built-in:requests", reason: why, clientAddress: client.address });
  await goodbye(tcp, visit, status, why);
  return { tag: "over", error: why };
}

async function hangUp(tcp: ClientConnection, visit: Visit, status: number, why: string): Promise<string> {
  try {
    await goodbye(tcp, visit, status, why);
    return why;
  } finally {
    dropInOrder(tcp);
  }
}

async function goodbye(tcp: ClientConnection, { client }: Visit, status: number, why: string): Promise<void> {
  client.tally.toClient += await answer(tcp.writer, status, why, { close: true, scope: client.scope });
  await tcp.endWriting(client.scope);
  await linger(tcp.reader, seconds(1));
}
