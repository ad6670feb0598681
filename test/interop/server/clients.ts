import type { Certified, TestPki } from "../../support/pki.ts";
import { type Version, write, writeIdentity } from "../client/servers.ts";
import { cached, inRepository, type PeerProcess, type Scene } from "../peers/process.ts";

/** What a client that nobody here wrote is to do: connect, send `ping`, read to the end. */
export interface ClientOptions {
  port: number;
  /** Whom it trusts. */
  roots: Certified[];
  /** Default: `server.test`. */
  name?: string;
  /** The only version that it speaks. Default: all of its own. */
  version?: Version | "1.1";
  alpn?: string[];
  identity?: TestPki;
  /** What it sends. Default: lines to `answerOnce`. */
  request?: string;
  /** What curl asks for. Default: `ping`. */
  path?: string;
}

/** A running client, and its own view of what happened. */
export interface ClientPeer {
  process: PeerProcess;
  /** Until it takes the handshake for done. */
  handshake(): Promise<Handshake>;
  /** Whether it has taken the handshake for done. */
  sawHandshake(): boolean;
  /** Until it has read everything and ended; @throws if it is not content with the end */
  body(): Promise<string>;
  /** Until it was told an alert. */
  alert(): Promise<number>;
}

export interface Handshake {
  /** `TLSv1.3` */
  version: string;
  alpn: string | undefined;
  reused: boolean;
}

export const clients: Record<string, (scene: Scene, options: ClientOptions) => ClientPeer> = {
  "openssl s_client": opensslClient,
  "Go crypto/tls": goClient,
  "Python ssl": pythonClient,
  curl: curlClient,
};

function opensslClient(scene: Scene, options: ClientOptions): ClientPeer {
  return opensslClientWith(scene, options, ["-servername", options.name ?? "server.test"]);
}

/** `openssl s_client` with these further arguments; the server name is one of them. */
export function opensslClientWith(scene: Scene, options: ClientOptions, rest: readonly string[]): ClientPeer {
  const args = [
    "s_client",
    "-connect",
    `127.0.0.1:${options.port}`,
    "-CAfile",
    bundle(scene, options.roots),
    "-verify_return_error",
    "-state",
  ];
  if (options.version === "1.1") args.push("-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0");
  else if (options.version !== undefined) args.push(options.version === "1.2" ? "-tls1_2" : "-tls1_3");
  if (options.alpn !== undefined) args.push("-alpn", options.alpn.join(","));
  if (options.identity !== undefined) {
    const files = writeIdentity(scene, "client", options.identity.leaf, options.identity.intermediates);
    args.push("-cert", files.leaf, "-key", files.key, "-cert_chain", files.rest);
  }
  const process = scene.start("openssl", [...args, ...rest]);
  process.write(options.request ?? "ping\nCLOSE\n");
  // What -state prints: the server's Finished comes last in TLS 1.2, ours in TLS 1.3. The summary is printed of failures too.
  const done = options.version === "1.2" ? /^SSL_connect:SSLv3\/TLS read finished/m : /^SSL_connect:SSLv3\/TLS write finished/m;
  return {
    process,
    sawHandshake: () => done.test(process.output),
    handshake: async () => {
      await process.waitFor(done);
      await process.waitFor(/^ *Verify return code: 0 \(ok\)[^]*^---$/m);
      const [, kind, cipher] = /^(New|Reused), .*Cipher is (\S+)/m.exec(process.output)!;
      const alpn = /^ALPN protocol: (\S+)/m.exec(process.output)?.[1];
      return { version: cipher!.startsWith("TLS_") ? "TLSv1.3" : "TLSv1.2", alpn, reused: kind === "Reused" };
    },
    body: async () => {
      if ((await process.exited()) !== 0) throw new Error(`s_client is not content:\n${process.output}`);
      return process.output;
    },
    alert: async () => Number((await process.waitFor(/SSL alert number (\d+)/))[1]),
  };
}

function goClient(scene: Scene, options: ClientOptions): ClientPeer {
  return goClientWith(scene, options, []);
}

/** The Go client with these further flags. */
export function goClientWith(scene: Scene, options: ClientOptions, rest: readonly string[]): ClientPeer {
  const { port, name = "server.test", version, alpn, identity } = options;
  const args = ["connect", "-address", `127.0.0.1:${port}`, "-name", name, "-ca", bundle(scene, options.roots)];
  if (version !== undefined) args.push("-version", version);
  if (alpn !== undefined) args.push("-alpn", alpn.join(","));
  if (identity !== undefined) {
    const files = writeIdentity(scene, "client", identity.leaf, identity.intermediates);
    args.push("-cert", files.chain, "-key", files.key);
  }
  if (options.request !== undefined) args.push("-request", options.request);
  const process = scene.start(cached("go-peer"), [...args, ...rest]);
  return tellingClient(process);
}

function pythonClient(scene: Scene, options: ClientOptions): ClientPeer {
  return pythonClientWith(scene, options, {});
}

/** The Python client with these further options. */
export function pythonClientWith(scene: Scene, options: ClientOptions, rest: object): ClientPeer {
  const { port, name = "server.test", version, alpn, identity } = options;
  const files = identity === undefined ? undefined : writeIdentity(scene, "client", identity.leaf, identity.intermediates);
  const told = {
    port,
    name,
    version,
    alpn,
    ca: bundle(scene, options.roots),
    cert: files?.chain,
    key: files?.key,
    request: options.request,
    ...rest,
  };
  const process = scene.start("python3", [inRepository("test/interop/peers/python-client.py"), JSON.stringify(told)]);
  const alert = async () => pythonAlerts[(await process.waitFor(/ (?:tlsv1|tlsv13|sslv3) (?:alert )?([a-z ]+) \(_ssl/))[1]!]!;
  return { ...tellingClient(process), alert };
}

/** Python tells alerts by OpenSSL's words only. */
const pythonAlerts: Record<string, number> = {
  "handshake failure": 40,
  "unknown ca": 48,
  "access denied": 49,
  "protocol version": 70,
  "unrecognized name": 112,
  "certificate required": 116,
  "no application protocol": 120,
};

interface Event {
  event: string;
  version?: number | string;
  alpn?: string | null;
  reused?: boolean;
  body?: string;
  alert?: number;
}

/** A client that tells what happens as JSON, one object a line. */
export function tellingClient(process: PeerProcess): ClientPeer {
  const told = (name: string) => process.eventsSoFar<Event>().find(({ event }) => event === name);
  return {
    process,
    sawHandshake: () => told("handshake") !== undefined,
    handshake: async () => {
      const { version, alpn, reused } = await process.event<Event>("a handshake", ({ event }) => event === "handshake");
      const names: Record<number, string> = { 0x0303: "TLSv1.2", 0x0304: "TLSv1.3" };
      return { version: typeof version === "number" ? names[version]! : version!, alpn: alpn || undefined, reused: reused! };
    },
    body: async () => {
      await process.exited();
      const end = told("end");
      if (end === undefined || told("error") !== undefined) throw new Error(`the client is not content:\n${process.output}`);
      return end.body!;
    },
    alert: async () => (await process.event<Event>("an alert", ({ alert }) => alert !== undefined)).alert!,
  };
}

function curlClient(scene: Scene, options: ClientOptions): ClientPeer {
  return curlClientWith(scene, options, ["--http1.1"]);
}

/** curl with these further arguments. */
export function curlClientWith(scene: Scene, options: ClientOptions, rest: readonly string[]): ClientPeer {
  const { port, name = "server.test", version, identity } = options;
  const args = ["-v", "-sS", "--max-time", "10", "--cacert", bundle(scene, options.roots), "--resolve", `${name}:${port}:127.0.0.1`];
  if (version === "1.1" || options.alpn !== undefined) throw new Error("not with this curl");
  if (version !== undefined) args.push(...(version === "1.2" ? ["--tlsv1.2", "--tls-max", "1.2"] : ["--tlsv1.3"]));
  if (identity !== undefined) {
    const files = writeIdentity(scene, "client", identity.leaf, identity.intermediates);
    args.push("--cert", files.chain, "--key", files.key);
  }
  const process = scene.start("curl", [...args, ...rest, `https://${name}:${port}/${options.path ?? "ping"}`]);
  const done = /^\* SSL connection using (\S+) \//m;
  return {
    process,
    sawHandshake: () => done.test(process.output),
    handshake: async () => {
      const [, version] = await process.waitFor(done);
      await process.waitFor(/^> GET/m);
      const alpn = /^\* ALPN: server accepted (\S+)/m.exec(process.output)?.[1];
      return { version: version!, alpn, reused: /^\* SSL reusing session/m.test(process.output) };
    },
    body: async () => {
      const code = await process.exited();
      if (code !== 0) throw new Error(`curl ended with ${code}:\n${process.output}`);
      return process.stdout;
    },
    // curl prints level and description as one number.
    alert: async () => Number((await process.waitFor(/\(IN\), TLS alert, [^(]+\((\d+)\)/))[1]) & 0xff,
  };
}

function bundle(scene: Scene, roots: readonly Certified[]): string {
  return write(scene, "roots.pem", roots.map((root) => root.pem).join(""));
}
