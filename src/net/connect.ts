import { instanceNetwork } from "wasi:sockets/instance-network@0.2.12";
import type { Network } from "wasi:sockets/network@0.2.12";
import { createTcpSocket } from "wasi:sockets/tcp-create-socket@0.2.12";
import { dropInOrder } from "../bindings/drop.ts";
import { Scope } from "../reactor/cancel.ts";
import { Event } from "../reactor/event.ts";
import { MILLISECOND, type Nanoseconds, race, sleep } from "../reactor/reactor.ts";
import type { IpAddress } from "../wire/ip-address.ts";
import { resolveHost } from "./resolve.ts";
import { type SocketAddress, toWit } from "./socket-address.ts";
import { operate, tryOperation } from "./socket-error.ts";
import { TcpConnection } from "./tcp-connection.ts";

/** How long an attempt has before the next address is tried beside it (RFC 8305, section 5). */
const ATTEMPT_DELAY: Nanoseconds = BigInt(250) * MILLISECOND;

/**
 * Connect to a host: resolve it, then try its addresses in turn. The next attempt starts when one fails or after 250 ms;
 * the first connection wins and the others are given up.
 *
 * @param host a DNS name or an IP address
 * @throws {SocketError} of the name lookup, or of the first address tried if all failed
 * @throws the scope's reason when it is cancelled
 */
export async function connectTcp(host: string, port: number, scope?: Scope): Promise<TcpConnection> {
  using network = instanceNetwork();
  const addresses = await resolveHost(network, host, scope);
  return await firstToConnect(network, addresses, port, scope);
}

/** Connect to one address. @throws {SocketError} @throws the scope's reason when it is cancelled */
export async function connectAddress(network: Network, to: SocketAddress, scope?: Scope): Promise<TcpConnection> {
  scope?.throwIfCancelled();
  const operation = `connect to ${to.address.text} port ${to.port}`;
  const socket = operate(operation, () => createTcpSocket(to.address.tag));
  const ready = new Event(() => socket.subscribe());
  try {
    operate(operation, () => socket.startConnect(network, toWit(to)));
    for (;;) {
      const streams = tryOperation(operation, () => socket.finishConnect());
      if (streams === undefined) {
        await ready.wait(scope);
        continue;
      }
      ready[Symbol.dispose]();
      return new TcpConnection(socket, ...streams.value);
    }
  } catch (error) {
    dropInOrder(ready, socket);
    throw error;
  }
}

async function firstToConnect(network: Network, addresses: IpAddress[], port: number, parent?: Scope): Promise<TcpConnection> {
  using scope = new Scope(parent);
  const errors: unknown[] = [];
  let winner: TcpConnection | undefined;
  let decided = false;
  const attempts: Promise<void>[] = [];
  for (const address of addresses) {
    const attempt = connectAddress(network, { address, port }, scope).then(
      (connection) => {
        // Two may be ready in one turn: the second is nobody's.
        if (winner === undefined && !decided) winner = connection;
        else connection[Symbol.dispose]();
      },
      (error: unknown) => {
        errors.push(error);
      },
    );
    attempts.push(attempt);
    await race([() => attempt, (waiting) => sleep(ATTEMPT_DELAY, waiting)], scope);
    if (winner !== undefined) break;
  }
  await untilDecided(attempts, () => winner !== undefined);
  decided = true;
  scope.cancel();
  if (winner === undefined) throw parent?.reason ?? errors[0];
  return winner;
}

/** Resolves once one attempt has won or all have failed. */
function untilDecided(attempts: Promise<void>[], won: () => boolean): Promise<void> {
  return new Promise((resolve) => {
    let open = attempts.length;
    for (const attempt of attempts) {
      attempt.then(() => {
        if (--open === 0 || won()) resolve();
      });
    }
  });
}
