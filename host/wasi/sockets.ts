import type { HostContext } from "../context.ts";
import { type IoError, WitError } from "../io/error.ts";
import { Resource } from "../io/ledger.ts";
import { Pollable } from "../io/poll.ts";
import type { Lookup } from "../net/name-lookup.ts";
import { type NetworkErrorCode, networkErrorCode } from "../net/network-error.ts";
import { type WitFamily, type WitIpAddress, toWitIp } from "./socket-address.ts";
import { Network, TcpSocket } from "./tcp.ts";

/** wasi:sockets for one instance. There is no UDP. */
export function socketsImports(context: HostContext): SocketsImports {
  return {
    "wasi:sockets/network": { Network, networkErrorCode: (error) => error.failure.network },
    "wasi:sockets/instance-network": { instanceNetwork: () => new Network(context.ledger) },
    "wasi:sockets/ip-name-lookup": {
      ResolveAddressStream,
      resolveAddresses: (_network, name) => {
        try {
          return new ResolveAddressStream(context, context.lookup.start(name));
        } catch (cause) {
          throw new WitError(networkErrorCode(cause));
        }
      },
    },
    "wasi:sockets/tcp": { TcpSocket },
    "wasi:sockets/tcp-create-socket": { createTcpSocket: (family) => new TcpSocket(context, family) },
    "wasi:sockets/udp": { UdpSocket, IncomingDatagramStream, OutgoingDatagramStream },
    "wasi:sockets/udp-create-socket": {
      createUdpSocket: () => {
        throw new WitError<NetworkErrorCode>("not-supported");
      },
    },
  };
}

export interface SocketsImports {
  "wasi:sockets/network": { Network: typeof Network; networkErrorCode(error: IoError): string | undefined };
  "wasi:sockets/instance-network": { instanceNetwork(): Network };
  "wasi:sockets/ip-name-lookup": {
    ResolveAddressStream: typeof ResolveAddressStream;
    resolveAddresses(network: Network, name: string): ResolveAddressStream;
  };
  "wasi:sockets/tcp": { TcpSocket: typeof TcpSocket };
  "wasi:sockets/tcp-create-socket": { createTcpSocket(family: WitFamily): TcpSocket };
  "wasi:sockets/udp": {
    UdpSocket: typeof UdpSocket;
    IncomingDatagramStream: typeof IncomingDatagramStream;
    OutgoingDatagramStream: typeof OutgoingDatagramStream;
  };
  "wasi:sockets/udp-create-socket": { createUdpSocket(family: WitFamily): UdpSocket };
}

/** wasi:sockets/ip-name-lookup `resolve-address-stream`. */
export class ResolveAddressStream extends Resource {
  readonly #lookup: Lookup;
  #next = 0;

  constructor(context: HostContext, lookup: Lookup) {
    super(context.ledger);
    this.#lookup = lookup;
  }

  /** @throws {WitError} `would-block` until the answer is there, the lookup's error after it failed */
  resolveNextAddress(): WitIpAddress | undefined {
    const state = this.#lookup.state();
    if (state.tag === "pending") throw new WitError<NetworkErrorCode>("would-block");
    if (state.tag === "failed") throw new WitError<NetworkErrorCode>(state.error.code);
    const address = state.addresses[this.#next];
    if (address === undefined) return undefined;
    this.#next++;
    return toWitIp(address);
  }

  subscribe(): Pollable {
    const ready = () => this.#lookup.state().tag !== "pending";
    return new Pollable(this.ledger, this.#lookup.changed.when(ready), this);
  }
}

// jco asks for the classes of an interface even if no object of them can exist.

/** wasi:sockets/udp `udp-socket`: none is ever made. */
export class UdpSocket extends Resource {}

/** wasi:sockets/udp `incoming-datagram-stream`: none is ever made. */
export class IncomingDatagramStream extends Resource {}

/** wasi:sockets/udp `outgoing-datagram-stream`: none is ever made. */
export class OutgoingDatagramStream extends Resource {}
