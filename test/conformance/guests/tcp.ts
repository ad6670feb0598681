import { subscribeDuration } from "wasi:clocks/monotonic-clock@0.2.12";
import type { InputStream, OutputStream } from "wasi:io/streams@0.2.12";
import { instanceNetwork } from "wasi:sockets/instance-network@0.2.12";
import type { TcpSocket } from "wasi:sockets/tcp@0.2.12";
import { createTcpSocket } from "wasi:sockets/tcp-create-socket@0.2.12";
import { u64 } from "../../../src/bindings/integers.ts";
import type { Cleanup } from "./program.ts";

/** Both directions of a connection of any kind. */
export interface Duplex {
  input: InputStream;
  output: OutputStream;
}

/** Connect to `address:port`, IPv4. */
export function dial(peer: string, cleanup: Cleanup): Duplex & { socket: TcpSocket } {
  const [host = "", port] = peer.split(":");
  const [a = 0, b = 0, c = 0, d = 0] = host.split(".").map(Number);
  using network = instanceNetwork();
  const socket = createTcpSocket("ipv4");
  // Its streams are its children: what holds them is released before this.
  cleanup(() => socket[Symbol.dispose]());
  socket.startConnect(network, { tag: "ipv4", val: { port: Number(port), address: [a, b, c, d] } });
  {
    using ready = socket.subscribe();
    ready.block();
  }
  const [input, output] = socket.finishConnect();
  return { socket, input, output };
}

/** Let the host have some turns. */
export function rest(milliseconds = 1): void {
  using timer = subscribeDuration(u64(milliseconds * 1_000_000));
  timer.block();
}
