import { closeSync, mkdtempSync, openSync, readdirSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { authorityImports } from "../../host/authority/imports.ts";
import type { HttpImports } from "../../host/forward/http1-imports.ts";
import type { AuditEvent } from "../../host/gateway/audit.ts";
import type { ControlEvent } from "../../host/gateway/control.ts";
import type { DialError, DialledConnection } from "../../host/gateway/dial.ts";
import type { EventQueue } from "../../host/gateway/event-queue.ts";
import type { InterceptorImports } from "../../host/gateway/interceptor-imports.ts";
import type { IdentityClasses } from "../../host/identity/identity-classes.ts";
import type { SecretImports } from "../../host/gateway/secrets.ts";
import type { ImportsOptions } from "../../host/index.ts";
import type { InputStream } from "../../host/io/input-stream.ts";
import type { Resource } from "../../host/io/ledger.ts";
import type { OutputStream } from "../../host/io/output-stream.ts";
import type { Pollable } from "../../host/io/poll.ts";
import type { Endpoint } from "../../host/tls/endpoint.ts";
import { block, HostInstance } from "./host-instance.ts";

/** The gateway's imports of one instance, called as a guest would call them. */
export class GatewayInstance extends HostInstance {
  readonly gateway: GatewayInterfaces;

  constructor(options: ImportsOptions = {}) {
    super(options);
    this.gateway = this.host.imports as unknown as GatewayInterfaces;
  }

  /** Dial and wait for the outcome. @throws {WitError<DialError>} */
  async dial(name: string, port: number, options: { connection?: bigint; timeout?: bigint } = {}): Promise<DialledConnection> {
    const dialing = this.gateway["sallyport:gateway/dial"].dial(name, port, options);
    try {
      await block(dialing.subscribe());
      return dialing.finish();
    } finally {
      dialing[Symbol.dispose]();
    }
  }

  /** Why a dial is refused: the refusal, or the tag of another error. */
  async dialRefusal(name: string, port: number): Promise<string> {
    try {
      const connection = await this.dial(name, port);
      connection.input[Symbol.dispose]();
      connection.output[Symbol.dispose]();
    } catch (error) {
      const { payload } = error as { payload?: DialError };
      if (payload === undefined) throw error;
      return payload.tag === "refused" ? payload.val : payload.tag;
    }
    return "connected";
  }
}

export interface GatewayInterfaces {
  "sallyport:gateway/event-queue": { Queue: new () => EventQueue };
  "sallyport:gateway/control": { Channel: { open(): Resource & { subscribe(): Pollable; next(): ControlEvent | undefined } } };
  "sallyport:gateway/audit": { record(event: AuditEvent): void };
  "sallyport:gateway/http": HttpImports;
  "sallyport:gateway/interceptor": InterceptorImports;
  "sallyport:gateway/secrets": SecretImports;
  "sallyport:tls/connection": {
    Client: new (serverName: string, points: { verifyServerIdentity?: boolean; connected?: boolean }) => TlsClient;
    ClientSuspension: { resume(suspension: TlsSuspension): void };
  };
  "sallyport:tls/forward": {
    relay(a: InputStream, aOut: OutputStream, b: InputStream, bOut: OutputStream, options: { atEnd: "propagate" }): Resource;
  };
  "sallyport:gateway/authorities": ReturnType<typeof authorityImports>;
  "sallyport:tls/identities": IdentityClasses;
  "sallyport:gateway/dial": {
    dial(
      name: string,
      port: number,
      options: { connection?: bigint; timeout?: bigint },
    ): Resource & { subscribe(): Pollable; finish(): DialledConnection };
  };
}

/** As the WIT resource `client`. */
export interface TlsClient extends Endpoint {
  configureVerification(verification: { anchors?: Resource; names: string[] }): void;
  suspend(): TlsSuspension;
}

interface TlsSuspension {
  acceptPeer(overriding: string[]): void;
}

/** A folder of its own for one test file. */
export function temporaryFolder(): { path: (name: string) => string; remove(): void } {
  const folder = mkdtempSync(join(tmpdir(), "sallyport-gateway-"));
  return { path: (name) => join(folder, name), remove: () => rmSync(folder, { recursive: true, force: true }) };
}

/** Let every further write to a file that this process has open fail, as on a full disk. */
export function fillDisk(file: string): void {
  const [fd] = readdirSync("/proc/self/fd")
    .filter((name) => linkOf(`/proc/self/fd/${name}`) === file)
    .map(Number);
  if (fd === undefined) throw new Error(`${file} is not open`);
  closeSync(fd);
  // The lowest number that is free is given out next.
  const opened: number[] = [];
  do opened.push(openSync("/dev/full", "w"));
  while (opened.at(-1) !== fd && opened.length < 100);
  for (const other of opened) if (other !== fd) closeSync(other);
}

function linkOf(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}

/** The records of an audit file. */
export function recordsOf(file: string): Record<string, unknown>[] {
  return readFileSync(file, "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

/** A TCP server on the loopback. */
export async function tcpServer(onConnection: (socket: Socket) => void): Promise<{ port: number; server: Server; close(): void }> {
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket.on("error", () => {}));
    onConnection(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const close = () => {
    server.close();
    for (const socket of sockets) socket.destroy();
  };
  return { port: (server.address() as AddressInfo).port, server, close };
}
