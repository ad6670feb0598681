import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { readFileSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Duplex, PassThrough } from "node:stream";
import tls from "node:tls";
import { loadComponent } from "../../host/component/cache.ts";
import { compileComponent, type ComponentCode, runCommand, type RunResult } from "../../host/component/instance.ts";
import { createImports, type GatewayGrants, type TlsGrants } from "../../host/index.ts";
import { encodePem } from "../../src/wire/pem.ts";
import { makeAuthority } from "./authority.ts";
import { recordsOf } from "./gateway-instance.ts";

/** The token of every proxy of these tests. */
export const TOKEN = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/** A proxy component that runs in the real host, in this thread. */
export interface TestProxy extends AsyncDisposable {
  port: number;
  directPort: number;
  /** Of the listener with TLS to the proxy itself. */
  tlsPort: number;
  /** PEM: what clients have to trust. */
  ca: string;
  /** Every record so far. */
  records(): Record<string, unknown>[];
  /** The component's records of one kind. */
  said(kind: string): Record<string, unknown>[];
  /** Waits until a record is there. */
  recorded(matches: (record: Record<string, unknown>) => boolean): Promise<Record<string, unknown>>;
  reload(policy: object): Promise<string>;
  /** Write a file of the folder that tells whose tokens are accepted; seen with the next reload. */
  writeAccess(name: string, text: string): void;
  /** Have the host say that a subject must not be served any more. */
  revoke(subject: string): void;
  /** Ask it to stop, and wait until it has. */
  stop(deadline: number): Promise<RunResult & { handles: number }>;
  ended: Promise<RunResult & { handles: number }>;
  handles(): number;
  stdout(): string;
  stderr(): string;
}

/** How to run it. */
export interface ProxyOptions {
  policy: object;
  /** PEM by the names that the policy has for them. */
  anchors?: Record<string, string>;
  /** What the authority may issue for; without it there is no authority. */
  permit?: { names?: string[]; networks?: string[] };
  auth?: boolean;
  direct?: boolean;
  /** Further arguments of the component. */
  args?: string[];
  /** Contents of files in /access, by name. */
  access?: Record<string, string>;
  /** Addresses of names; every other name has none. */
  names?: Record<string, string[]>;
  tls?: TlsGrants;
  gateway?: GatewayGrants;
  strictAudit?: boolean;
}

let component: Promise<ComponentCode> | undefined;

/** The built component. */
export function proxyComponent(): Promise<ComponentCode> {
  component ??= (async () =>
    await compileComponent(await loadComponent(readFileSync(new URL("../../dist/components/proxy.wasm", import.meta.url)))))();
  return component;
}

/** Start the component. */
export async function startProxy(options: ProxyOptions): Promise<TestProxy> {
  const folder = mkdtempSync(join(tmpdir(), "sallyport-proxy-"));
  const anchors = join(folder, "anchors");
  const access = join(folder, "access");
  const auditFile = join(folder, "audit.jsonl");
  mkdirSync(anchors);
  mkdirSync(access);
  const writeAccess = (name: string, text: string) => writeFileSync(join(access, name), text);
  for (const [name, text] of Object.entries(options.access ?? {})) writeAccess(name, text);
  for (const [name, pem] of Object.entries(options.anchors ?? {})) writeFileSync(join(anchors, `${name}.pem`), pem);
  const { permit } = options;
  const authority =
    permit === undefined
      ? undefined
      : await makeAuthority({ dns: permit.names ?? [], ...(permit.networks === undefined ? {} : { ip: permit.networks }) });
  const outputs = { stdout: new PassThrough(), stderr: new PassThrough() };
  const texts = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const) outputs[name].on("data", (chunk) => (texts[name] += String(chunk)));
  const { allow_networks: allowNetworks } = options.policy as { allow_networks?: string[] };
  const host = createImports({
    ...outputs,
    args: [
      "proxy",
      "--listen",
      "127.0.0.1:0",
      ...(options.direct === true ? ["--direct", "127.0.0.1:0"] : []),
      ...(options.auth === false ? ["--no-auth"] : []),
      ...(options.args ?? []),
    ],
    env: { SALLYPORT_PROXY_TOKEN: TOKEN },
    grants: { listen: ["127.0.0.1:0"] },
    preopens: [
      { host: anchors, guest: "/anchors", write: false },
      { host: access, guest: "/access", write: false },
    ],
    ...(options.tls === undefined ? {} : { tls: options.tls }),
    resolver: async (name) => {
      const found = options.names?.[name];
      if (found === undefined) throw Object.assign(new Error("no such name"), { code: "ENOTFOUND" });
      return found;
    },
    gateway: {
      dial: { allow: ["*"], allowNetworks: allowNetworks ?? [] },
      audit: { file: auditFile, fsync: "none", mode: options.strictAudit === true ? "strict" : "best-effort" },
      ...(authority === undefined ? {} : { authorities: { proxy: authority.forWorker() } }),
      ...options.gateway,
    },
  });
  host.control.reload(JSON.stringify(options.policy));
  const ended = runCommand(await proxyComponent(), host.imports).then((result) => {
    const { handles } = host.ledger;
    host.dispose();
    return { ...result, handles };
  });
  let over = false;
  void ended.then(() => (over = true));
  const heard = async (pattern: RegExp, from = 0): Promise<RegExpExecArray> => {
    for (;;) {
      const match = pattern.exec(texts.stdout.slice(from));
      if (match !== null) return match;
      if (over) throw new Error(`the proxy ended without saying ${pattern}: ${JSON.stringify(texts)}`);
      await Promise.race([ended, new Promise((resolve) => outputs.stdout.once("data", resolve))]);
    }
  };
  await heard(/^ready$/m);
  const portOf = (kind: string) => Number(new RegExp(`^listening ${kind} 127\\.0\\.0\\.1:(\\d+)$`, "m").exec(texts.stdout)?.[1] ?? 0);
  const records = () => recordsOf(auditFile);
  return {
    port: portOf("proxy"),
    directPort: portOf("direct"),
    tlsPort: portOf("tls"),
    ca: authority === undefined ? "" : encodePem("CERTIFICATE", authority.chain.der.at(-1)!),
    records,
    said: (kind) => records().filter(({ by, event }) => by === "component" && event === kind),
    recorded: async (matches) => {
      for (;;) {
        const found = records().find(matches);
        if (found !== undefined) return found;
        if (over) throw new Error(`no such record: ${JSON.stringify(records())}`);
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    },
    reload: async (policy) => {
      const from = texts.stdout.length;
      host.control.reload(JSON.stringify(policy));
      return (await heard(/^policy (.*)$/m, from))[1]!;
    },
    writeAccess,
    revoke: (subject) => void host.control.revoke(subject),
    stop: async (deadline) => {
      host.control.stop(deadline);
      return await ended;
    },
    ended,
    handles: () => host.ledger.handles,
    stdout: () => texts.stdout,
    stderr: () => texts.stderr,
    [Symbol.asyncDispose]: async () => {
      host.control.stop(0);
      await ended;
      host.dispose();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** What a proxy said to a CONNECT, with the socket if it is open. */
export interface Connected {
  status: number;
  head: string;
  socket: net.Socket;
}

/** CONNECT, with the token unless told otherwise. */
export async function connectThrough(
  proxy: { port: number },
  target: string,
  options: { token?: string | undefined; fields?: string } = {},
): Promise<Connected> {
  const socket = net.connect(proxy.port, "127.0.0.1");
  socket.on("error", () => {});
  const token = "token" in options ? options.token : TOKEN;
  const auth = token === undefined ? "" : `Proxy-Authorization: Bearer ${token}\r\n`;
  socket.write(`CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n${auth}${options.fields ?? ""}\r\n`);
  const head = await readHead(socket);
  return { status: Number(/^HTTP\/1\.1 (\d+)/.exec(head)?.[1] ?? 0), head, socket };
}

/** Bytes up to the first empty line, or to the end. What follows stays in the socket. */
export function readHead(socket: net.Socket): Promise<string> {
  return new Promise((resolve) => {
    let text = Buffer.alloc(0);
    const onData = (chunk: Buffer) => {
      text = Buffer.concat([text, chunk]);
      const end = text.indexOf("\r\n\r\n");
      if (end < 0) return;
      finish(text.subarray(end + 4), text.subarray(0, end + 4));
    };
    const onEnd = () => finish(Buffer.alloc(0), text);
    const finish = (rest: Buffer, head: Buffer) => {
      socket.off("data", onData).off("end", onEnd).off("close", onEnd);
      socket.pause();
      if (rest.length > 0) socket.unshift(rest);
      resolve(head.toString("latin1"));
    };
    socket.on("data", onData).on("end", onEnd).on("close", onEnd);
  });
}

/** How an exchange through a proxy went. */
export interface Through {
  connect: number;
  /** Everything that came through TLS. */
  text: string;
  /** `end`, or the code of the error. */
  ending: string;
  alpn: string | false | null;
  /** The certificate that was shown. */
  certificate: tls.PeerCertificate | undefined;
  authorized: boolean;
}

/** CONNECT, TLS, send, and read to the end. Never rejects. */
export async function through(
  proxy: { port: number },
  target: string,
  options: tls.ConnectionOptions & { token?: string; send?: string },
): Promise<Through> {
  const { token, send = "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n", ...tlsOptions } = options;
  const { status, socket, head } = await connectThrough(proxy, target, token === undefined ? {} : { token });
  if (status !== 200) {
    const rest: Buffer[] = [];
    // After a challenge the proxy waits for another try.
    if (status === 407) socket.end();
    for await (const chunk of socket) rest.push(chunk as Buffer);
    return {
      connect: status,
      text: head + Buffer.concat(rest).toString("latin1"),
      ending: "end",
      alpn: null,
      certificate: undefined,
      authorized: false,
    };
  }
  return { connect: status, ...(await talk(socket, tlsOptions, send)) };
}

/** TLS over a socket, send, and read to the end. Never rejects. */
export function talk(socket: net.Socket, options: tls.ConnectionOptions, send: string): Promise<Omit<Through, "connect">> {
  return new Promise((resolve) => {
    const connection = tls.connect({ socket, servername: "a.test", ALPNProtocols: ["http/1.1"], ...options });
    const chunks: Buffer[] = [];
    let ending = "cut";
    let certificate: tls.PeerCertificate | undefined;
    let alpn: string | false | null = null;
    let authorized = false;
    connection.on("secureConnect", () => {
      certificate = connection.getPeerCertificate();
      alpn = connection.alpnProtocol;
      ({ authorized } = connection);
      connection.write(send);
    });
    connection.on("data", (chunk: Buffer) => chunks.push(chunk));
    connection.on("end", () => (ending = ending === "cut" ? "end" : ending));
    connection.on("error", (error: NodeJS.ErrnoException) => (ending = error.code ?? error.message));
    connection.on("close", () => {
      socket.destroy();
      resolve({ text: Buffer.concat(chunks).toString("latin1"), ending, alpn, certificate, authorized });
    });
  });
}

/**
 * As `talk`, for what node:tls cannot tell over a socket: whether close_notify came before the end of the connection.
 */
export function endingOf(
  socket: net.Socket,
  options: tls.ConnectionOptions,
  send: string,
): Promise<{ text: string; ending: "close_notify" | "cut" }> {
  return new Promise((resolve) => {
    const duplex = new Duplex({
      read: () => void socket.resume(),
      write: (chunk, _, done) => void socket.write(chunk as Buffer, () => done()),
      destroy: (error, done) => done(error),
    });
    const chunks: Buffer[] = [];
    const connection = tls.connect({ socket: duplex, servername: "a.test", ...options }, () => connection.write(send));
    const settle = (ending: "close_notify" | "cut") => {
      socket.destroy();
      resolve({ text: Buffer.concat(chunks).toString("latin1"), ending });
    };
    connection.on("data", (chunk: Buffer) => chunks.push(chunk));
    connection.on("end", () => settle("close_notify"));
    connection.on("error", () => settle("cut"));
    socket.on("data", (chunk: Buffer) => void duplex.push(chunk));
    // Whatever was in flight before the raw end has been read by then.
    socket.on("close", () => setImmediate(() => setImmediate(() => settle("cut"))));
  });
}
