import { createImports, type ImportsOptions } from "../../host/index.ts";
import type { InputStream } from "../../host/io/input-stream.ts";
import type { OutputStream } from "../../host/io/output-stream.ts";
import { type Pollable, poll } from "../../host/io/poll.ts";
import type { CliImports } from "../../host/wasi/cli.ts";
import type { ClocksImports } from "../../host/wasi/clocks.ts";
import type { FilesystemImports } from "../../host/wasi/filesystem.ts";
import type { WitFamily, WitSocketAddress } from "../../host/wasi/socket-address.ts";
import type { SocketsImports } from "../../host/wasi/sockets.ts";
import type { Network, TcpSocket } from "../../host/wasi/tcp.ts";

/** The imports of one instance, called as a guest would call them, without a guest. */
export class HostInstance {
  readonly refusals: string[] = [];
  readonly host;
  readonly wasi: SocketsImports & CliImports & ClocksImports & FilesystemImports;
  readonly network: Network;

  readonly #ownedAtStart: number;

  constructor(options: ImportsOptions = {}) {
    this.host = createImports({ onRefusal: (line) => this.refusals.push(line), ...options });
    this.wasi = this.host.imports as unknown as typeof this.wasi;
    this.#ownedAtStart = this.ledger.owned;
    this.network = this.wasi["wasi:sockets/instance-network"].instanceNetwork();
  }

  get ledger() {
    return this.host.ledger;
  }

  /** What the guest made the host hold of the operating system: sockets, files, armed timers. */
  get owned(): number {
    return Math.max(0, this.ledger.owned - this.#ownedAtStart);
  }

  dispose(): void {
    this.host.dispose();
  }

  tcp(family: WitFamily = "ipv4"): TcpSocket {
    return this.wasi["wasi:sockets/tcp-create-socket"].createTcpSocket(family);
  }

  /** Connect, to the loopback unless another address is given. */
  async connect(to: number | WitSocketAddress): Promise<[TcpSocket, InputStream, OutputStream]> {
    const remote = typeof to === "number" ? loopback(to) : to;
    const socket = this.tcp(remote.tag);
    socket.startConnect(this.network, remote);
    await block(socket.subscribe());
    return [socket, ...socket.finishConnect()];
  }

  /** Listen on a port of the loopback that the system chooses. */
  async listen(family: WitFamily = "ipv4"): Promise<[TcpSocket, number]> {
    const socket = this.tcp(family);
    socket.startBind(this.network, loopback(0, family));
    socket.finishBind();
    socket.startListen();
    await block(socket.subscribe());
    socket.finishListen();
    return [socket, socket.localAddress().val.port];
  }

  async accept(listener: TcpSocket): Promise<[TcpSocket, InputStream, OutputStream]> {
    await block(listener.subscribe());
    return listener.accept();
  }

  /** All addresses of a name. */
  async resolve(name: string): Promise<unknown[]> {
    const stream = this.wasi["wasi:sockets/ip-name-lookup"].resolveAddresses(this.network, name);
    await block(stream.subscribe());
    const found = [];
    for (let it = stream.resolveNextAddress(); it !== undefined; it = stream.resolveNextAddress()) found.push(it);
    return found;
  }
}

export function loopback(port: number, family: WitFamily = "ipv4"): WitSocketAddress {
  if (family === "ipv4") return { tag: "ipv4", val: { port, address: [127, 0, 0, 1] } };
  return { tag: "ipv6", val: { port, flowInfo: 0, scopeId: 0, address: [0, 0, 0, 0, 0, 0, 0, 1] } };
}

/** Wait for a pollable as a guest does, and drop it. */
export async function block(pollable: Pollable): Promise<void> {
  await poll([pollable]);
  pollable[Symbol.dispose]();
}

/** What `run` throws, in the WIT's words: a code, or the tag of a variant. */
export async function witError(run: () => unknown): Promise<string> {
  try {
    await run();
  } catch (error) {
    const payload = (error as { payload?: unknown }).payload;
    if (typeof payload === "string") return payload;
    if (typeof payload === "object" && payload !== null && "tag" in payload) return String(payload.tag);
    throw error;
  }
  return "no error";
}

/** Read until the stream is over. */
export async function readAll(input: InputStream): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for (;;) {
    try {
      chunks.push(await input.blockingRead(65_536n));
    } catch (error) {
      if ((error as { payload?: { tag?: string } }).payload?.tag !== "closed") throw error;
      return Buffer.concat(chunks);
    }
  }
}

export const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
export const bytes = (content: string): Uint8Array => new TextEncoder().encode(content);
