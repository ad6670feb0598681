import { forward, relay } from "sallyport:tls/forward@0.1.0";
import { PrivateIdentity } from "sallyport:tls/identities@0.1.0";
import { getArguments } from "wasi:cli/environment@0.2.12";
import { getStdout } from "wasi:cli/stdout@0.2.12";
import { getDirectories } from "wasi:filesystem/preopens@0.2.12";
import type { InputStream, OutputStream } from "wasi:io/streams@0.2.12";
import { dropInOrder, encodeUtf8, u64 } from "../../src/bindings/index.ts";
import { reportTo } from "../../src/cli/report.ts";
import { connectTcp } from "../../src/net/connect.ts";
import { listenTcp } from "../../src/net/listen.ts";
import { parseSocketAddress } from "../../src/net/socket-address.ts";
import type { TcpConnection } from "../../src/net/tcp-connection.ts";
import { Event, runMain, spawn } from "../../src/reactor/index.ts";
import { Writer } from "../../src/streams/index.ts";
import { acceptTls, connectTls, type TlsConnection } from "../../src/tls/index.ts";

/**
 * Arguments: a mode, then what it needs.
 *
 * `download HOST PORT forward|tolerate|read` until the server ends; `serve COUNT forward|read|hello` so many connections
 * (send the file `source`, read all, or say "ok"); `relay COUNT HOST PORT`; `idle COUNT`: accept so many and hold them.
 */
export const run = { run: () => runMain(main, { report: reportTo("bench") }) };

async function main(): Promise<void> {
  const [, mode, ...args] = getArguments();
  switch (mode) {
    case "download":
      return await download(args[0]!, Number(args[1]), args[2]!);
    case "serve":
      return await serve(Number(args[0]), (connection) => answer(connection, args[1]!));
    case "relay":
      return await serve(Number(args[0]), (connection) => pass(connection, args[1]!, Number(args[2])));
    case "idle":
      return await serve(Number(args[0]), hold);
    default:
      throw new Error(`no mode ${mode}`);
  }
}

async function download(host: string, port: number, how: string): Promise<void> {
  using connection = await connectTls(await connectTcp("127.0.0.1", port), host, { tolerateTruncation: how === "tolerate" });
  if (how === "read") {
    let bytes = 0;
    for (let chunk = await connection.reader.read(); chunk !== undefined; chunk = await connection.reader.read()) bytes += chunk.length;
    if (bytes === 0) throw new Error("nothing came");
    return;
  }
  const [folder] = getDirectories()[0]!;
  const file = folder.openAt({}, "target", { create: true, truncate: true }, { write: true });
  await move(connection.reader.release().stream, file.writeViaStream(u64(0)));
  dropInOrder(file, folder);
}

async function move(source: InputStream, sink: OutputStream): Promise<void> {
  using forwarder = forward(source, sink, { atEnd: "propagate" });
  using done = new Event(() => forwarder.subscribe());
  await done.wait();
  const outcome = forwarder.outcome();
  if (outcome?.tag !== "ok") throw new Error(`forward failed: ${JSON.stringify(outcome)}`);
}

async function serve(count: number, handle: (tcp: TcpConnection) => Promise<void>): Promise<void> {
  using stdout = new Writer(getStdout());
  using listener = await listenTcp(parseSocketAddress("127.0.0.1:0"), { backlog: 512 });
  await stdout.write(encodeUtf8(`${listener.localAddress.port}\n`));
  await stdout.flush();
  let served = 0;
  await new Promise<void>((resolve, reject) => {
    spawn(async () => {
      for (let accepted = 0; accepted < count; accepted++) {
        const tcp = await listener.accept();
        spawn(async () => {
          await handle(tcp);
          if (++served === count) resolve();
        }, reject);
      }
    }, reject);
  });
}

let identity: PrivateIdentity | undefined;

async function accept(tcp: TcpConnection): Promise<TlsConnection> {
  return await acceptTls(tcp, { onClientHello: () => ({ identities: [(identity ??= PrivateIdentity.open("bench"))] }) });
}

async function answer(tcp: TcpConnection, how: string): Promise<void> {
  using connection = await accept(tcp);
  if (how === "read") {
    for (let chunk = await connection.reader.read(); chunk !== undefined; chunk = await connection.reader.read());
    await connection.end();
  } else if (how === "hello") {
    await connection.writer.write(encodeUtf8("ok"));
    await connection.end();
  } else {
    const [folder] = getDirectories()[0]!;
    const file = folder.openAt({}, "source", {}, { read: true });
    await move(file.readViaStream(u64(0)), connection.writer.release());
    dropInOrder(file, folder);
  }
  await connection.drained();
}

async function pass(tcp: TcpConnection, host: string, port: number): Promise<void> {
  using inside = await accept(tcp);
  using outside = await connectTls(await connectTcp("127.0.0.1", port), host);
  using relayer = relay(
    inside.reader.release().stream,
    inside.writer.release(),
    outside.reader.release().stream,
    outside.writer.release(),
    {
      atEnd: "propagate",
    },
  );
  using done = new Event(() => relayer.subscribe());
  await done.wait();
}

async function hold(tcp: TcpConnection): Promise<void> {
  using connection = await accept(tcp);
  await connection.reader.read();
}
