import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Certified } from "../../support/pki.ts";
import type { NodeServerOptions } from "../peers/node-server.ts";
import { cached, inRepository, type PeerProcess, type Scene } from "../peers/process.ts";

/** How a server that nobody here wrote is to be set up. */
export interface ServerOptions {
  leaf: Certified;
  /** What it sends after the leaf. */
  intermediates?: Certified[];
  /** The only version it speaks. */
  version?: Version | "1.1";
  alpn?: string[];
  /** Clients need a certificate from this authority. */
  clientRoot?: Certified;
  behave?: "truncate" | "close-at-hello" | "close-after-flight";
}

export type Version = "1.2" | "1.3";

/** A running server, and its own view of what happened. */
export interface ServerPeer {
  port: number;
  process: PeerProcess;
  /** A request for `text`; the answer has the same text backwards. */
  request(text: string): string;
  /** How many handshakes it has seen to their end. */
  handshakes(): number;
  /** Until it has seen a handshake to its end, and what it printed of it. */
  handshake(): Promise<string>;
  /** Until it was told an alert. */
  alert(): Promise<number>;
}

export const servers: Record<string, (scene: Scene, options: ServerOptions) => Promise<ServerPeer>> = {
  "openssl s_server": opensslServer,
  "Go crypto/tls": goServer,
  "Node https": nodeServer,
};

/** With -rev it answers each line backwards, and ends at CLOSE. */
async function opensslServer(scene: Scene, options: ServerOptions): Promise<ServerPeer> {
  return await opensslServerWith(scene, options, ["-rev"]);
}

/** `openssl s_server` in the mode that `mode` selects. */
export async function opensslServerWith(scene: Scene, options: ServerOptions, mode: readonly string[]): Promise<ServerPeer> {
  const files = writeIdentity(scene, "server", options.leaf, options.intermediates);
  const args = ["s_server", "-accept", "127.0.0.1:0", "-cert", files.leaf, "-key", files.key, ...mode];
  if (options.intermediates !== undefined) args.push("-cert_chain", files.rest);
  if (options.version === "1.1") args.push("-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0");
  else if (options.version !== undefined) args.push(options.version === "1.2" ? "-tls1_2" : "-tls1_3");
  if (options.alpn !== undefined) args.push("-alpn", options.alpn.join(","));
  if (options.clientRoot !== undefined)
    args.push("-Verify", "3", "-verify_return_error", "-CAfile", write(scene, "clients.pem", options.clientRoot.pem));
  if (options.behave !== undefined) throw new Error("s_server always plays by the rules");
  const process = scene.start("openssl", args);
  const [, port] = await process.waitFor(/^ACCEPT 127\.0\.0\.1:(\d+)/m);
  const seen = /^CONNECTION ESTABLISHED$|^CIPHER is/gm;
  return {
    port: Number(port),
    process,
    request: (text) => `${text}\nCLOSE\n`,
    handshakes: () => process.output.match(seen)?.length ?? 0,
    handshake: async () => {
      await process.waitFor(/^CONNECTION ESTABLISHED$|^CIPHER is/m);
      return process.output;
    },
    alert: async () => Number((await process.waitFor(/SSL alert number (\d+)/))[1]),
  };
}

async function goServer(scene: Scene, options: ServerOptions): Promise<ServerPeer> {
  const files = writeIdentity(scene, "server", options.leaf, options.intermediates);
  const args = ["serve", "-cert", files.chain, "-key", files.key];
  if (options.version !== undefined) args.push("-version", options.version);
  if (options.alpn !== undefined) args.push("-alpn", options.alpn.join(","));
  if (options.clientRoot !== undefined) args.push("-require", "-ca", write(scene, "clients.pem", options.clientRoot.pem));
  if (options.behave !== undefined) args.push("-behave", options.behave);
  return await tellingServer(scene.start(cached("go-peer"), args), (text) => `${text}\nCLOSE\n`);
}

async function nodeServer(scene: Scene, options: ServerOptions): Promise<ServerPeer> {
  const { leaf, intermediates = [], version, clientRoot, alpn } = options;
  if (options.behave === "close-after-flight") throw new Error("Node cannot be made to do that");
  const tls: NodeServerOptions["tls"] = { key: leaf.keyPem, cert: [leaf, ...intermediates].map((c) => c.pem).join("") };
  if (version === "1.1") Object.assign(tls, { minVersion: "TLSv1", maxVersion: "TLSv1.1", ciphers: "DEFAULT@SECLEVEL=0" });
  else if (version !== undefined) Object.assign(tls, { minVersion: `TLSv${version}`, maxVersion: `TLSv${version}` });
  if (alpn !== undefined) tls.ALPNProtocols = alpn;
  if (clientRoot !== undefined) Object.assign(tls, { requestCert: true, rejectUnauthorized: true, ca: clientRoot.pem });
  return await startNodeServer(scene, { tls, behave: options.behave });
}

export async function startNodeServer(scene: Scene, options: NodeServerOptions): Promise<ServerPeer> {
  const program = inRepository("test/interop/peers/node-server.ts");
  return await tellingServer(
    scene.start(process.execPath, [program, write(scene, "node-server.json", JSON.stringify(options))]),
    (text) => `GET /${text} HTTP/1.1\r\nhost: server.test\r\nconnection: close\r\n\r\n`,
  );
}

interface Event {
  event: string;
  port?: number;
  alert?: number;
}

/** A server that tells what happens as JSON, one object a line. */
export async function tellingServer(process: PeerProcess, request: (text: string) => string): Promise<ServerPeer> {
  const [listening] = await process.events<Event>(1);
  return {
    port: listening!.port!,
    process,
    request,
    handshakes: () => process.eventsSoFar<Event>().filter(({ event }) => event === "handshake").length,
    handshake: async () => JSON.stringify(await process.event<Event>("a handshake", ({ event }) => event === "handshake")),
    alert: async () => (await process.event<Event>("an alert", ({ alert }) => alert !== undefined)).alert!,
  };
}

/** PEM files for a program: `chain` is leaf and intermediates, `rest` the intermediates alone. */
export function writeIdentity(scene: Scene, name: string, leaf: Certified, intermediates: readonly Certified[] = []) {
  const rest = intermediates.map((certificate) => certificate.pem).join("");
  return {
    leaf: write(scene, `${name}-leaf.pem`, leaf.pem),
    key: write(scene, `${name}-key.pem`, leaf.keyPem),
    rest: write(scene, `${name}-rest.pem`, rest),
    chain: write(scene, `${name}-chain.pem`, leaf.pem + rest),
  };
}

export function write(scene: Scene, name: string, text: string): string {
  const path = join(scene.folder, name);
  writeFileSync(path, text, { mode: 0o600 });
  return path;
}
