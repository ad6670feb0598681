import type { Socket } from "node:net";
import type { ClientHello } from "../../src/wire/client-hello.ts";
import type { HostMover } from "../io/source.ts";
import { connectionOf } from "../net/tcp-socket.ts";
import { defaultGroups, isTls13Suite } from "./wire-names.ts";
import { type Settings, spokenVersions, TLS13 } from "./settings.ts";

/** A TCP socket that node:tls may have, in place of the two movers that carried its bytes. */
export interface Attachment {
  socket: Socket;
  /** The one key exchange group that is offered: node:tls does not tell a server which was used, so it gets no choice. */
  group: number;
  /** The connection is over: the movers report it as theirs. */
  finish(failed: boolean): void;
}

/**
 * Give node:tls the socket itself, after the hello was read: it saves a copy and a call for each record, which is a third of
 * the cost of bulk data. Only where nothing is lost by it:
 *
 * - both public streams are moved by the host, whole, to and from one TCP connection;
 * - no client certificate is asked for, since nothing can be withheld on such a socket;
 * - TLS 1.3 will be spoken, with a suite in common and a group that the client has sent a key for: then the group is known,
 *   there is no second hello that would have to be compared with the first, and no alert of node:tls that would go unseen.
 *
 * What is lost all the same: close_notify cannot be told from a bare FIN, so the end is `unauthenticated`.
 *
 * @param pending what was read from the network and belongs to node:tls
 */
export function attach(
  hello: ClientHello,
  settings: Settings,
  inbound: HostMover | undefined,
  outbound: HostMover | undefined,
  pending: () => Uint8Array,
): Attachment | undefined {
  if (inbound === undefined || outbound === undefined || settings.clientCertificate !== "none") return undefined;
  if (spokenVersions(settings).maximum < TLS13 || !hello.protocolVersions.includes(TLS13)) return undefined;
  if (!hello.cipherSuites.some((suite) => isTls13Suite(suite) && (settings.cipherSuites?.includes(suite) ?? true))) return undefined;
  const group = (settings.groups ?? defaultGroups).find((candidate) => hello.keyShareGroups.includes(candidate));
  if (group === undefined || !inbound.canHandOver || !outbound.canHandOver) return undefined;
  const tcp = connectionOf(inbound.source, outbound.sink);
  if (tcp?.canDetach !== true) return undefined;
  // First the movers, who would otherwise take the streams' end for the network's.
  const finishers = [inbound.handOver(), outbound.handOver()] as const;
  const { socket, buffered } = tcp.detach()!;
  const before = pending();
  if (before.length + buffered.length > 0) socket.unshift(Buffer.concat([before, buffered]));
  const [readBefore, writtenBefore] = [socket.bytesRead - buffered.length, socket.bytesWritten];
  return {
    socket,
    group,
    finish: (failed) => {
      finishers[0](failed, socket.bytesRead - readBefore);
      finishers[1](failed, socket.bytesWritten - writtenBefore);
    },
  };
}
