import type { TcpListener } from "../../src/net/listen.ts";
import { SocketError } from "../../src/net/socket-error.ts";
import type { TcpConnection } from "../../src/net/tcp-connection.ts";
import { Cancelled, MILLISECOND, now, type Scope, sleep, spawn } from "../../src/reactor/index.ts";
import { answer } from "./answers.ts";
import { addressOf, Stopped } from "./clients.ts";
import type { Door } from "./proxy-auth.ts";
import { tell } from "./records.ts";
import type { Service, Visit } from "./service.ts";

/**
 * Take the clients of a listener, each by itself: what one does ends its own connection at most.
 *
 * @param listener closed when this returns
 * @param door who is let in there
 * @param serve one client; owns its connection; returns what went wrong
 * @param address what clients' addresses are called, where they have none of a network
 * @throws {SocketError} when nothing can be accepted any more
 */
export async function takeClients(
  listener: TcpListener,
  service: Service,
  stopping: Scope,
  door: Door,
  serve: (tcp: TcpConnection, visit: Visit) => Promise<string | undefined>,
  address?: string,
): Promise<void> {
  try {
    for (;;) {
      const tcp = await accept(listener, stopping);
      if (service.clients.size >= service.live.policy.settings.limits.connections) {
        spawn(() => turnAway(tcp, service));
        continue;
      }
      spawn(() => visitOf(tcp, service, door, serve, address));
    }
  } catch (error) {
    if (!(error instanceof Cancelled) && !(error instanceof Stopped)) throw error;
  } finally {
    listener[Symbol.dispose]();
  }
}

async function visitOf(
  tcp: TcpConnection,
  service: Service,
  door: Door,
  serve: (tcp: TcpConnection, visit: Visit) => Promise<string | undefined>,
  address: string | undefined,
): Promise<void> {
  const client = service.clients.enter(address ?? addressOf(tcp), door);
  await attend({ client, service }, (visit) => serve(tcp, visit));
}

/** Serve a client that has entered, until it leaves. @param serve returns what went wrong */
export async function attend(visit: Visit, serve: (visit: Visit) => Promise<string | undefined>): Promise<void> {
  const { client, service } = visit;
  let error: string | undefined;
  try {
    error = await serve(visit);
  } catch (cause) {
    error = cause instanceof Error ? cause.message : String(cause);
    // Whatever the client and the network do has an error of ours.
    if ((cause as { code?: string }).code?.startsWith("ERR_SALLYPORT_") !== true)
      service.complain(`connection ${client.id}: ${cause instanceof Error ? `${cause.message}\n${cause.stack}` : String(cause)}`);
  } finally {
    leave(visit, error);
  }
}

/** The client has left. @param error what went wrong */
export function leave({ client, service }: Visit, error: string | undefined): void {
  const { fromClient: bytesFromClient, toClient: bytesToClient } = client.tally;
  tell("ended", client.id, {
    clientAddress: client.address,
    bytesFromClient,
    bytesToClient,
    duration: now() - client.began,
    ...(error === undefined ? {} : { error }),
  });
  service.clients.leave(client);
}

/** There are as many clients as there may be. */
export async function turnAway(tcp: TcpConnection, service: Service): Promise<void> {
  service.summary.denied++;
  tell("connection", undefined, { decision: "deny", rule: "$.limits.connections", reason: "too-many-connections" });
  try {
    await answer(tcp.writer, 503, "the proxy has as many connections as it may", { close: true });
  } catch {
    // It has gone.
  } finally {
    tcp[Symbol.dispose]();
  }
}

async function accept(listener: TcpListener, stopping: Scope): Promise<TcpConnection> {
  for (let failures = 1; ; failures++) {
    try {
      return await listener.accept(stopping);
    } catch (error) {
      // A client that left while it waited, or no room for another one just now.
      if (!(error instanceof SocketError) || failures >= MAX_ACCEPT_FAILURES) throw error;
      await sleep(ACCEPT_PAUSE, stopping);
    }
  }
}

/** So many accepts in a row may fail before the proxy gives up. */
const MAX_ACCEPT_FAILURES = 100;
const ACCEPT_PAUSE = BigInt(100) * MILLISECOND;
