import { PassThrough } from "node:stream";
import tls from "node:tls";
import { createImports } from "../../host/index.ts";
import { KeyPair } from "../../host/identity/private-identity.ts";
import { runCommand, type ComponentCode, type RunResult } from "../../host/component/instance.ts";
import type { TlsGrants } from "../../host/tls/grants.ts";
import type { TestPki } from "./pki.ts";

/** A running https-serve in the real host. */
export interface HttpsServer {
  port: number;
  stdout(): string;
  stderr(): string;
  /** Resolves with the first match in an output. */
  said(output: "stdout" | "stderr", pattern: RegExp): Promise<RegExpExecArray>;
  /** How it ended, and what it still held then. */
  ended: Promise<RunResult & { handles: number }>;
  /** What it holds now. */
  handles(): number;
  /** Take everything away from it, as the end of its instance would. */
  close(): void;
}

/** Start the component on a port of the loopback that the system chooses. */
export async function startHttpsServer(
  code: ComponentCode,
  site: string,
  identities: Record<string, TestPki>,
  args: string[] = [],
  options: { tls?: TlsGrants; folders?: Record<string, string> } = {},
): Promise<HttpsServer> {
  const run = runHttpsServer(code, site, identities, ["--listen", "127.0.0.1:0", ...args], options);
  const match = await Promise.race([run.said("stdout", /listening on https:\/\/127\.0\.0\.1:(\d+)\n/), run.ended]);
  if (!Array.isArray(match)) throw new Error(`it does not listen: ${run.stderr()}`);
  return { ...run, port: Number(match[1]) };
}

/** Start it with these arguments, whether it will listen or not. */
export function runHttpsServer(
  code: ComponentCode,
  site: string | undefined,
  identities: Record<string, TestPki>,
  args: string[],
  options: { tls?: TlsGrants; folders?: Record<string, string> } = {},
): Omit<HttpsServer, "port"> {
  const outputs = { stdout: new PassThrough(), stderr: new PassThrough() };
  const texts = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const) outputs[name].on("data", (chunk) => (texts[name] += String(chunk)));
  const packed = Object.entries(identities).map(([name, pki]) => [name, KeyPair.parse(pki.leaf.keyDer, pki.chainDer, "host").forWorker()]);
  const folders = Object.entries(options.folders ?? {}).map(([guest, host]) => ({ guest, host }));
  const host = createImports({
    ...outputs,
    args: ["https-serve", ...args],
    grants: { listen: ["127.0.0.1:0"] },
    preopens: [...(site === undefined ? [] : [{ host: site, guest: "/site" }]), ...folders],
    tls: { identities: Object.fromEntries(packed), ...options.tls },
  });
  const ended = runCommand(code, host.imports).then((result) => {
    const { handles } = host.ledger;
    host.dispose();
    return { ...result, handles };
  });
  const said = async (output: "stdout" | "stderr", pattern: RegExp): Promise<RegExpExecArray> => {
    for (;;) {
      const match = pattern.exec(texts[output]);
      if (match !== null) return match;
      await new Promise((resolve) => outputs[output].once("data", resolve));
    }
  };
  return {
    stdout: () => texts.stdout,
    stderr: () => texts.stderr,
    said,
    ended,
    handles: () => host.ledger.handles,
    close: () => host.dispose(),
  };
}

/** How a raw exchange went: what came, and how the connection ended. */
export interface Exchange {
  text: string;
  bytes: Buffer;
  /** `end`, or the code of the error. */
  ending: string;
  /** Whether a session was resumed. */
  reused: boolean;
  /** Whether the server's chain was verified. */
  authorized: boolean;
}

/** Connect by TLS, send these bytes once the handshake is done, and read to the end. Never rejects. */
export function exchange(port: number, options: tls.ConnectionOptions, send: string | Uint8Array): Promise<Exchange> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    const socket = tls.connect({ port, host: "127.0.0.1", ALPNProtocols: ["http/1.1"], ...options });
    let ending = "cut";
    let reused = false;
    let authorized = false;
    socket.on("secureConnect", () => {
      reused = socket.isSessionReused();
      authorized = socket.authorized;
      socket.write(send);
    });
    socket.on("data", (chunk: Buffer) => chunks.push(chunk));
    // An alert is followed by an end as well.
    socket.on("end", () => (ending = ending === "cut" ? "end" : ending));
    socket.on("error", (error: NodeJS.ErrnoException) => (ending = error.code ?? error.message));
    socket.on("close", () => {
      const bytes = Buffer.concat(chunks);
      resolve({ text: bytes.toString("latin1"), bytes, ending, reused, authorized });
    });
  });
}
