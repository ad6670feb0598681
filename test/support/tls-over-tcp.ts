import { connect, type Server, type Socket } from "node:net";
import { KeyPair } from "../../host/identity/private-identity.ts";
import { AnchorSet } from "../../host/identity/trust-anchors.ts";
import { Transfer } from "../../host/forward/transfer.ts";
import type { Sink, Source } from "../../host/io/source.ts";
import { TcpConnection } from "../../host/net/tcp-socket.ts";
import { TlsConnection } from "../../host/tls/connection.ts";
import type { Target } from "../../host/tls/connection-info.ts";
import type { Point } from "../../host/tls/phase.ts";
import { TlsHost, type TlsOptions } from "../../host/tls/tls-host.ts";
import { parseServerName } from "../../src/wire/server-name.ts";
import type { Certified, TestPki } from "./pki.ts";

/** Drives the TLS engine over real TCP sockets, without a guest: what a guest's pumps would do is done by transfers. */

export function tlsHost(options: Partial<TlsOptions> = {}): TlsHost {
  return new TlsHost({
    identities: new Map(),
    anchors: AnchorSet.fromX509([]),
    allowInvalid: new Map(),
    handshakeTimeout: 5000,
    maxConnections: 1000,
    attach: false,
    ...options,
  });
}

export function keyPair(pki: TestPki): KeyPair {
  return KeyPair.parse(pki.leaf.keyDer, pki.chainDer, "host");
}

export function anchors(...roots: Certified[]): AnchorSet {
  return AnchorSet.fromX509(roots.map((root) => root.der));
}

export function target(name: string): Target {
  const server = parseServerName(name);
  return server.tag === "dns" ? { server, name: server.name, sni: server.name } : { server, name: server.text, sni: undefined };
}

/** A client engine connected to `port` on loopback; its public side is pumped. Not started. */
export function clientTo(port: number, name: string, points: Point[], host: TlsHost): TlsConnection {
  const connection = new TlsConnection(host, { role: "client", points: new Set(points) }, target(name));
  pump(connection, connect({ port, host: "127.0.0.1", allowHalfOpen: true }));
  return connection;
}

/** A server engine for an accepted socket; its public side is pumped. Not started. */
export function serverFor(socket: Socket, points: Point[], host: TlsHost): TlsConnection {
  const connection = new TlsConnection(host, { role: "server", points: new Set(points) });
  pump(connection, socket);
  return connection;
}

export function pump(connection: TlsConnection, socket: Socket): void {
  const tcp = new TcpConnection(socket);
  const options = { limit: undefined, atEnd: "propagate" as const, idleTimeout: undefined };
  new Transfer(tcp.source, connection.publicOutput, options).start();
  new Transfer(connection.publicInput, tcp.sink, options).start();
}

/** Resolves when `reached` holds; looks again whenever the connection changes. */
export async function until(connection: TlsConnection, reached: () => boolean): Promise<void> {
  if (reached()) return;
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => {
      stop();
      reject(
        new Error(
          `not reached; phase ${JSON.stringify(connection.phase)}, outcome ${JSON.stringify(connection.outcome)} (${connection.detail})`,
        ),
      );
    }, 10_000);
    const stop = connection.changed.listen(() => {
      if (!reached()) return;
      clearTimeout(timer);
      stop();
      resolve();
    });
  });
}

/** Until the next requested point, and take it. */
export async function suspended(connection: TlsConnection): Promise<Point> {
  await until(connection, () => connection.canSuspend || connection.pointsPassed);
  const { phase } = connection;
  if (phase.tag !== "held" || !connection.suspend())
    throw new Error(`no point reached: ${JSON.stringify(connection.outcome)} (${connection.detail})`);
  return phase.at;
}

export async function established(connection: TlsConnection): Promise<void> {
  await until(connection, () => connection.pointsPassed);
  if (connection.phase.tag !== "established")
    throw new Error(`not established: ${JSON.stringify(connection.outcome)} (${connection.detail})`);
}

export async function outcomeOf(connection: TlsConnection): Promise<TlsConnection["outcome"]> {
  await until(connection, () => connection.outcome !== undefined);
  return connection.outcome;
}

/** Everything until the end, as text; a failure is thrown as its TLS error's tag. */
export async function readAll(source: Source): Promise<string> {
  const chunks: Uint8Array[] = [];
  for (;;) {
    const chunk = source.read(65_536);
    if (chunk.length > 0) {
      chunks.push(chunk);
      continue;
    }
    const state = source.state();
    if (state.tag === "ended") return Buffer.concat(chunks).toString();
    if (state.tag === "failed") throw new Error(`stream failed: ${state.failure.tls?.tag ?? state.failure.message}`);
    await new Promise<void>((resolve) => {
      const stop = source.changed.listen(() => {
        stop();
        resolve();
      });
    });
  }
}

export async function writeAll(sink: Sink, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) {
    const room = sink.capacity();
    if (room === 0) {
      if (sink.state().tag !== "open") throw new Error("sink is closed");
      await new Promise<void>((resolve) => {
        const stop = sink.changed.listen(() => {
          stop();
          resolve();
        });
      });
      continue;
    }
    const chunk = bytes.subarray(at, at + room);
    sink.write(chunk);
    at += chunk.length;
  }
}

export async function listening(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}
