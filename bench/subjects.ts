// What is measured: a component in our host, and plain node:tls doing the same work, in the same process by turns.
import { createReadStream, createWriteStream, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { pipeline } from "node:stream/promises";
import tls from "node:tls";
import { componentize } from "../host/component/componentize.ts";
import { type ComponentCode, compileComponent, runCommand } from "../host/component/instance.ts";
import { transpile } from "../host/component/transpile.ts";
import { KeyPair } from "../host/identity/private-identity.ts";
import { createImports, type ImportsOptions } from "../host/index.ts";
import { makePki, type TestPki } from "../test/support/pki.ts";

/** Certificates and folders of one run. */
export interface Ground {
  pki: TestPki;
  folder: string;
  code: ComponentCode;
}

const root = join(import.meta.dirname, "..");

/** Build the guest, make the certificates, write a file of `bytes` to serve. */
export async function prepare(bytes: number): Promise<Ground> {
  const folder = mkdtempSync(join(tmpdir(), "sallyport-bench-"));
  writeFileSync(join(folder, "source"), Buffer.alloc(bytes, "sallyport"));
  const component = await componentize({
    entry: join(root, "bench/guests/move.ts"),
    wit: join(root, "bench/bench.wit"),
    witDeps: [join(root, "wit/deps"), join(root, "wit/tls.wit")],
    world: "bench",
    engine: "quickjs",
  });
  const transpiled = await transpile(component);
  const script = join(folder, "component.mjs");
  writeFileSync(script, transpiled.script);
  const code = await compileComponent({ ...transpiled, script: `file://${script}`, hit: false });
  return { pki: await makePki({ leaf: { dns: ["bench.test"], ip: ["127.0.0.1"] } }), folder, code };
}

/** Run the guest in this thread until it ends. `port` resolves when it says where it listens. */
export function runGuest(
  { pki, folder, code }: Ground,
  args: string[],
  options: Pick<ImportsOptions, "tls"> = {},
): { port: Promise<number>; ended: Promise<void> } {
  const stdout = new PassThrough();
  const { imports, dispose } = createImports({
    args: ["bench", ...args],
    grants: { allowNet: ["127.0.0.1"], listen: ["127.0.0.1:0"] },
    preopens: [{ host: folder, guest: "/", write: true }],
    tls: {
      anchors: [pki.root.der],
      identities: { bench: KeyPair.parse(pki.leaf.keyDer, pki.chainDer, "host").forWorker() },
      ...options.tls,
    },
    stdout,
    stderr: process.stderr,
    onRefusal: (line) => console.error(line),
  });
  const ended = runCommand(code, imports).then((result) => {
    dispose();
    if (result.tag !== "exit" || result.code !== 0) throw new Error(`the guest failed: ${JSON.stringify(result)}`);
  });
  const port = new Promise<number>((resolve, reject) => {
    stdout.once("data", (line: Buffer) => resolve(Number(line.toString())));
    ended.catch(reject);
  });
  port.catch(() => {});
  return { port, ended };
}

/** Plain Node: connect and write what comes to a file, or read it. */
export async function nodeDownload({ pki, folder }: Ground, port: number, how: "file" | "read"): Promise<void> {
  const socket = tls.connect({ port, host: "127.0.0.1", servername: "bench.test", ca: pki.root.pem });
  if (how === "file") return await pipeline(socket, createWriteStream(join(folder, "target")));
  let bytes = 0;
  for await (const chunk of socket as AsyncIterable<Buffer>) bytes += chunk.length;
  if (bytes === 0) throw new Error("nothing came");
}

/** Plain Node: a server that does to each connection what the guest does. Closes after `count` connections. */
export function nodeServer(
  { pki, folder }: Ground,
  count: number,
  how: "forward" | "read" | "hello" | "idle" | { relayTo: number },
): { port: Promise<number>; ended: Promise<void> } {
  let served = 0;
  const upstream = tls.createSecureContext({ ca: pki.root.pem });
  const server = tls.createServer(
    { key: pki.leaf.keyPem, cert: pki.chainPem, SNICallback: (_name, done) => done(null, undefined) },
    (socket) => {
      const over = () => void (++served === count && server.close());
      socket.once("close", over);
      socket.on("error", () => {});
      if (how === "forward") createReadStream(join(folder, "source")).pipe(socket);
      else if (how === "hello") socket.end("ok");
      else if (how === "read") {
        socket.resume();
        socket.on("end", () => socket.end());
      } else if (how === "idle") socket.resume();
      else {
        const outside = tls.connect({ port: how.relayTo, host: "127.0.0.1", servername: "bench.test", secureContext: upstream });
        outside.on("error", () => socket.destroy());
        socket.pipe(outside);
        outside.pipe(socket);
      }
    },
  );
  const port = new Promise<number>((resolve) =>
    server.listen(0, "127.0.0.1", 512, () => {
      const address = server.address();
      resolve(typeof address === "object" && address !== null ? address.port : 0);
    }),
  );
  return { port, ended: new Promise((resolve) => server.once("close", resolve)) };
}
