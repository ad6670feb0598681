import { getArguments } from "wasi:cli/environment@0.2.12";
import { getStderr } from "wasi:cli/stderr@0.2.12";
import { getStdout } from "wasi:cli/stdout@0.2.12";
import { encodeUtf8 } from "../../src/bindings/index.ts";
import { reportTo } from "../../src/cli/report.ts";
import { listenTcp } from "../../src/net/listen.ts";
import { formatSocketAddress, parseSocketAddress } from "../../src/net/socket-address.ts";
import type { TcpConnection } from "../../src/net/tcp-connection.ts";
import { runMain, spawn } from "../../src/reactor/index.ts";
import { Writer } from "../../src/streams/index.ts";

const USAGE = "usage: echo --listen ADDRESS:PORT [--once N]\n";

/** A TCP echo server: sends back what comes, per connection, until the client has sent everything. */
export const run = {
  run: () => runMain(main, { report: reportTo("echo") }),
};

async function main(): Promise<number> {
  const options = parseOptions(getArguments().slice(1));
  if (options !== undefined) {
    await serve(options);
    return 0;
  }
  using stderr = new Writer(getStderr());
  await say(stderr, USAGE);
  return 1;
}

interface Options {
  listen: string;
  /** Stop after so many connections. */
  once: number;
}

function parseOptions(args: string[]): Options | undefined {
  const options: Partial<Options> = {};
  for (let i = 0; i < args.length; i += 2) {
    const value = args[i + 1];
    if (value === undefined) return undefined;
    if (args[i] === "--listen") options.listen = value;
    else if (args[i] === "--once" && /^[1-9][0-9]{0,8}$/.test(value)) options.once = Number(value);
    else return undefined;
  }
  return options.listen === undefined ? undefined : { listen: options.listen, once: options.once ?? Infinity };
}

async function serve({ listen, once }: Options): Promise<void> {
  using stdout = new Writer(getStdout());
  using listener = await listenTcp(parseSocketAddress(listen));
  await say(stdout, `listening on ${formatSocketAddress(listener.localAddress)}\n`);
  let accepted = 0;
  await new Promise<void>((resolve, reject) => {
    let open = 0;
    const closed = () => {
      if (--open === 0 && accepted === once) resolve();
    };
    spawn(async () => {
      while (accepted < once) {
        const connection = await listener.accept();
        accepted++;
        open++;
        // A connection that breaks is its client's affair; the server goes on.
        spawn(
          () => echo(connection).finally(closed),
          () => {},
        );
      }
    }, reject);
  });
}

async function echo(connection: TcpConnection): Promise<void> {
  using open = connection;
  for (let bytes = await open.reader.read(); bytes !== undefined; bytes = await open.reader.read()) await open.writer.write(bytes);
  await open.endWriting();
}

async function say(to: Writer, text: string): Promise<void> {
  await to.write(encodeUtf8(text));
  await to.flush();
}
