import { getArguments, getEnvironment } from "wasi:cli/environment@0.2.12";
import { exitWithCode } from "wasi:cli/exit@0.2.12";
import { getStderr } from "wasi:cli/stderr@0.2.12";
import { getStdout } from "wasi:cli/stdout@0.2.12";
import { encodeUtf8 } from "../../src/bindings/text.ts";
import { reportTo } from "../../src/cli/report.ts";
import { listenTcp } from "../../src/net/listen.ts";
import { formatSocketAddress } from "../../src/net/socket-address.ts";
import type { TcpConnection } from "../../src/net/tcp-connection.ts";
import { runMain, Scope, spawn } from "../../src/reactor/index.ts";
import { Writer } from "../../src/streams/index.ts";
import { printable } from "../../src/wire/printable.ts";
import { answer } from "../proxy/answers.ts";
import { SessionToken } from "../proxy/credentials.ts";
import { serveLocalClient } from "./local-client.ts";
import { OptionError, parseOptions, type ConnectOptions, USAGE } from "./options.ts";
import { UpstreamProxy } from "./upstream-proxy.ts";

const report = reportTo("connect");

/** The forwarder. Exit codes: 1 it cannot serve, 2 wrong arguments. */
export const run = {
  run: () => runMain(main, { exit: exitWithCode, report }),
};

async function main(): Promise<number> {
  using stdout = new Writer(getStdout());
  const say = async (text: string) => {
    await stdout.write(encodeUtf8(text));
    await stdout.flush();
  };
  let options: ConnectOptions | undefined;
  try {
    options = parseOptions(getArguments().slice(1));
  } catch (error) {
    if (!(error instanceof OptionError)) throw error;
    report(new Error(`${error.message} (see --help)`));
    return 2;
  }
  if (options === undefined) {
    await say(USAGE);
    return 0;
  }
  const session = new SessionToken(sessionToken());
  const proxy = new UpstreamProxy(options);
  using stderr = new Writer(getStderr());
  const complain = async (line: string) => void (await stderr.write(encodeUtf8(`connect: ${printable(line)}\n`)));
  using listener = await listenTcp(options.listen, { backlog: BACKLOG });
  await say(`listening ${formatSocketAddress(listener.localAddress)}\n`);
  for (let open = 0; ;) {
    const tcp = await listener.accept();
    if (open >= MOST_CLIENTS) {
      spawn(
        () => turnAway(tcp),
        () => {},
      );
      continue;
    }
    open++;
    spawn(async () => {
      using scope = new Scope();
      try {
        await serveLocalClient(tcp, session, proxy, scope, complain);
      } catch (error) {
        await complain(error instanceof Error ? error.message : String(error));
      } finally {
        open--;
      }
    });
  }
}

function sessionToken(): string {
  const token = getEnvironment().find(([name]) => name === "SALLYPORT_CONNECT_TOKEN")?.[1] ?? "";
  if (token.length < MIN_TOKEN) throw new Error("SALLYPORT_CONNECT_TOKEN is missing or too short");
  return token;
}

async function turnAway(tcp: TcpConnection): Promise<void> {
  using refused = tcp;
  await answer(refused.writer, 503, "there are as many connections as there may be", { close: true });
}

/** How many clients may wait to be accepted, and be there. */
const BACKLOG = 128;
const MOST_CLIENTS = 512;
/** Characters. */
const MIN_TOKEN = 32;
