import type { Socket } from "node:net";

/** The options of a tcp-socket. They are kept from the start and take effect once there is a connection. */
export class SocketOptions {
  backlog = 128;
  keepAlive = false;
  /** In nanoseconds, whole seconds of them. */
  idle = 7_200_000_000_000n;
  /** In nanoseconds, whole seconds of them. */
  interval = 75_000_000_000n;
  count = 9;
  hopLimit = 64;
  receiveBuffer: bigint | undefined;
  sendBuffer: bigint | undefined;

  /** For a connection accepted on the socket with these options. */
  inherited(): SocketOptions {
    return Object.assign(new SocketOptions(), this);
  }

  apply(socket: Socket): void {
    if (socket.destroyed) return;
    const milliseconds = (nanoseconds: bigint) => Number(nanoseconds / 1_000_000n);
    socket.setKeepAlive({
      enable: this.keepAlive,
      initialDelay: milliseconds(this.idle),
      interval: milliseconds(this.interval),
      count: this.count,
    });
  }
}
