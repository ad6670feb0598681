import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { connect, createServer, type TLSSocket } from "node:tls";
import type { AnchorSet } from "../../host/identity/trust-anchors.ts";

/** What OpenSSL's verifier says, as Node passes it on. */
export interface VerifierReport {
  code: string;
  reason: string;
}

/**
 * One real handshake over loopback in which a client verifies a server; `undefined` if the verifier was content.
 *
 * @param server PEM
 */
export async function verifyPeer(server: { key: string; cert: string }, anchors: AnchorSet): Promise<VerifierReport | undefined> {
  const listener = createServer(server);
  listener.on("tlsClientError", () => {});
  listener.listen(0, "127.0.0.1");
  await once(listener, "listening");
  const { port } = listener.address() as AddressInfo;
  const socket = connect({ host: "127.0.0.1", port, servername: "localhost", rejectUnauthorized: false, ...anchors.tlsOptions() });
  try {
    await once(socket, "secureConnect");
    return reportOf(socket);
  } finally {
    socket.destroy();
    listener.close();
  }
}

/** As `verifyPeer`, of a server that verifies a client. @param client PEM; `undefined`: it presents no certificate */
export async function verifyClient(
  client: { key: string; cert: string } | undefined,
  server: { key: string; cert: string },
  anchors: AnchorSet,
): Promise<VerifierReport | undefined> {
  const listener = createServer({ ...server, requestCert: true, rejectUnauthorized: false, ...anchors.tlsOptions() });
  listener.listen(0, "127.0.0.1");
  await once(listener, "listening");
  const { port } = listener.address() as AddressInfo;
  const socket = connect({ host: "127.0.0.1", port, rejectUnauthorized: false, ...client });
  try {
    const [accepted] = (await once(listener, "secureConnection")) as [TLSSocket];
    return reportOf(accepted);
  } finally {
    socket.destroy();
    listener.close();
  }
}

/** `authorizationError` has the code alone, and the text is what tells name constraints from the rest. */
function reportOf(socket: TLSSocket): VerifierReport | undefined {
  const { _handle } = socket as unknown as { _handle: { verifyError(): (Error & { code: string }) | null | undefined } };
  const error = _handle.verifyError();
  return error ? { code: error.code, reason: error.message } : undefined;
}
