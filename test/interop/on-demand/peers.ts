import { connect, createServer } from "node:net";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { listening } from "../../support/tls-over-tcp.ts";
import { type ServerOptions, type ServerPeer, tellingServer, write, writeIdentity } from "../client/servers.ts";
import { cached, LIMIT, type Scene } from "../peers/process.ts";
import { type ClientOptions, type ClientPeer, tellingClient } from "../server/clients.ts";

/** Peers that are not on every machine: the same suites run against them on demand. */

/** nginx answers every request with what it knows of the session, and the path of the request backwards. */
export async function nginxServer(scene: Scene, options: ServerOptions): Promise<ServerPeer> {
  const files = writeIdentity(scene, "server", options.leaf, options.intermediates);
  const { version } = options;
  if (options.behave !== undefined) throw new Error("nginx always plays by the rules");
  if (options.alpn !== undefined && options.alpn.join() !== "http/1.1") throw new Error("nginx has an ALPN id of its own");
  const lines = [`ssl_certificate ${files.chain};`, `ssl_certificate_key ${files.key};`, `ssl_protocols ${nginxProtocols(version)};`];
  if (version === "1.1") lines.push("ssl_ciphers ALL:@SECLEVEL=0;");
  if (options.clientRoot !== undefined)
    lines.push(
      `ssl_client_certificate ${write(scene, "clients.pem", options.clientRoot.pem)};`,
      "ssl_verify_client on;",
      "ssl_verify_depth 3;",
    );
  const answer = 'return 200 "gnip $ssl_protocol $ssl_cipher $ssl_server_name $ssl_session_reused\\n";';
  const peer = await startNginx(scene, (port) => `server { listen 127.0.0.1:${port} ssl; ${lines.join(" ")} location / { ${answer} } }`);
  return peer;
}

function nginxProtocols(version: ServerOptions["version"]): string {
  return version === undefined ? "TLSv1.2 TLSv1.3" : `TLSv${version}`;
}

/** nginx with these servers. It cannot choose a port itself. */
export async function startNginx(scene: Scene, servers: (port: number) => string): Promise<ServerPeer> {
  const port = await freePort();
  const folder = join(scene.folder, "nginx");
  mkdirSync(join(folder, "tmp"), { recursive: true });
  // Not /dev/stdout: Node's pipes are sockets, which cannot be opened by that name.
  const log = join(folder, "access.log");
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((kind) => `${kind}_temp_path ${folder}/tmp/${kind};`)
    .join(" ");
  const configuration = write(
    scene,
    "nginx.conf",
    `daemon off; master_process off; pid ${folder}/pid; error_log stderr info; events {}
     http { log_format told 'handshake $ssl_protocol "$request" $status $ssl_client_s_dn'; access_log ${log} told; ${temporary} ${servers(port)} }`,
  );
  const process = scene.start("nginx", ["-p", folder, "-c", configuration, "-e", "stderr"]);
  await Promise.race([answering(port), process.exited().then(() => Promise.reject(new Error(`nginx ended:\n${process.output}`)))]);
  const told = () =>
    readFileSync(log, "latin1")
      .split("\n")
      .filter((line) => line.startsWith("handshake "));
  return {
    port,
    process,
    request: (text) => `GET /${text} HTTP/1.1\r\nhost: server.test\r\nconnection: close\r\n\r\n`,
    // It tells of requests, which come after a handshake.
    handshakes: () => told().length,
    handshake: async () => {
      for (const deadline = performance.now() + LIMIT; told().length === 0;) {
        if (performance.now() > deadline) throw new Error(`nginx tells of no request:\n${process.output}`);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      return told()[0]!;
    },
    alert: async () => Number((await process.waitFor(/SSL alert number (\d+)/))[1]),
  };
}

/** gnutls-serv, which answers every request with a page. */
export async function gnutlsServer(scene: Scene, options: ServerOptions): Promise<ServerPeer> {
  const files = writeIdentity(scene, "server", options.leaf, options.intermediates);
  const port = await freePort();
  const args = ["--debug", "5", "--http", "--port", String(port), "--x509certfile", files.chain, "--x509keyfile", files.key];
  if (options.version !== undefined) args.push("--priority", `${gnutlsPriority(options.version)}`);
  if (options.alpn !== undefined) args.push("--alpn-fatal", ...options.alpn.flatMap((id) => ["--alpn", id]));
  if (options.clientRoot === undefined) args.push("--disable-client-cert");
  else args.push("--require-client-cert", "--verify-client-cert", "--x509cafile", write(scene, "clients.pem", options.clientRoot.pem));
  if (options.behave !== undefined) throw new Error("gnutls-serv always plays by the rules");
  const process = scene.start("gnutls-serv", args);
  await process.waitFor(/listening on IPv4 .*done/);
  return {
    port,
    process,
    request: (text) => `GET /${text} HTTP/1.0\r\n\r\n`,
    handshakes: () => process.output.match(/^- Description: /gm)?.length ?? 0,
    handshake: async () => (await process.waitFor(/^- Description: .*$/m))[0],
    // What --debug prints; without it, it does not say which.
    alert: async () => Number((await process.waitFor(/Alert\[2\|(\d+)\].*received/))[1]),
  };
}

export function gnutlsClient(scene: Scene, options: ClientOptions): ClientPeer {
  const { port, name = "server.test", version, identity } = options;
  const args = ["--port", String(port), "--sni-hostname", name, "--verify-hostname", name];
  args.push("--x509cafile", write(scene, "roots.pem", options.roots.map((root) => root.pem).join("")));
  if (version !== undefined) args.push("--priority", gnutlsPriority(version));
  if (options.alpn !== undefined) args.push(...options.alpn.flatMap((id) => ["--alpn", id]));
  if (identity !== undefined) {
    const files = writeIdentity(scene, "client", identity.leaf, identity.intermediates);
    args.push("--x509certfile", files.chain, "--x509keyfile", files.key);
  }
  const process = scene.start("gnutls-cli", [...args, "127.0.0.1"]);
  process.write(options.request ?? "ping\nCLOSE\n");
  const done = /^- Handshake was completed/m;
  return {
    process,
    sawHandshake: () => done.test(process.output),
    handshake: async () => {
      await process.waitFor(done);
      const [, told] = /^- Description: \((TLS\d\.\d)/m.exec(process.output)!;
      const alpn = /^- Application protocol: (\S+)/m.exec(process.output)?.[1];
      return { version: told!.replace("TLS", "TLSv"), alpn, reused: /^\*\*\* This is a resumed session/m.test(process.output) };
    },
    body: async () => {
      if ((await process.exited()) !== 0) throw new Error(`gnutls-cli is not content:\n${process.output}`);
      return process.output;
    },
    alert: async () => Number((await process.waitFor(/Received alert \[(\d+)\]/))[1]),
  };
}

function gnutlsPriority(version: NonNullable<ServerOptions["version"]>): string {
  return version === "1.1" ? "LEGACY:-VERS-ALL:+VERS-TLS1.1" : `NORMAL:-VERS-ALL:+VERS-TLS${version}`;
}

export async function javaServer(scene: Scene, options: ServerOptions): Promise<ServerPeer> {
  const files = writeIdentity(scene, "server", options.leaf, options.intermediates);
  const args = [`cert=${files.chain}`, `key=${files.key}`];
  if (options.version !== undefined) args.push(`version=TLSv${options.version}`);
  if (options.alpn !== undefined) args.push(`alpn=${options.alpn.join(",")}`);
  if (options.clientRoot !== undefined) args.push("require=yes", `ca=${write(scene, "clients.pem", options.clientRoot.pem)}`);
  if (options.behave !== undefined) throw new Error("Java always plays by the rules");
  return await tellingServer(scene.start("java", [...javaFlags, "Peer", "serve", ...args]), (text) => `${text}\nCLOSE\n`);
}

export function javaClient(scene: Scene, options: ClientOptions): ClientPeer {
  const { port, name = "server.test", version, identity, path = "ping" } = options;
  if (options.alpn !== undefined) throw new Error("HttpsURLConnection offers no ALPN ids");
  const args = [`port=${port}`, `name=${name}`, `path=${path}`];
  args.push(`ca=${write(scene, "roots.pem", options.roots.map((root) => root.pem).join(""))}`);
  if (identity !== undefined) {
    const files = writeIdentity(scene, "client", identity.leaf, identity.intermediates);
    args.push(`cert=${files.chain}`, `key=${files.key}`);
  }
  const hosts = write(scene, "hosts", `127.0.0.1 ${name}\n`);
  const flags = [`-Djdk.net.hosts.file=${hosts}`, ...(version === undefined ? [] : [`-Djdk.tls.client.protocols=TLSv${version}`])];
  return tellingClient(scene.start("java", [...javaFlags, ...flags, "Peer", "connect", ...args]));
}

/** A JVM that starts quickly, and leaves memory for the rest. */
const javaFlags = ["-cp", cached("java-peer"), "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx128m", "-Xshare:auto"];

/** A port that nothing listens on now. */
async function freePort(): Promise<number> {
  const server = createServer();
  const port = await listening(server);
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Until something listens there. */
async function answering(port: number): Promise<void> {
  const deadline = performance.now() + LIMIT;
  for (;;) {
    const isListening = await new Promise<boolean>((resolve) => {
      const socket = connect(port, "127.0.0.1");
      socket.on("connect", () => resolve(true)).on("error", () => resolve(false));
      socket.on("connect", () => socket.destroy());
    });
    if (isListening) return;
    if (performance.now() > deadline) throw new Error(`nothing listens on port ${port}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
