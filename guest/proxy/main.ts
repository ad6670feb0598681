import { getArguments, getEnvironment } from "wasi:cli/environment@0.2.12";
import { exitWithCode } from "wasi:cli/exit@0.2.12";
import { getStderr } from "wasi:cli/stderr@0.2.12";
import { getStdout } from "wasi:cli/stdout@0.2.12";
import { encodeUtf8 } from "../../src/bindings/text.ts";
import { reportTo } from "../../src/cli/report.ts";
import { formatSocketAddress } from "../../src/net/socket-address.ts";
import { listenTcp } from "../../src/net/listen.ts";
import { runMain, spawn } from "../../src/reactor/index.ts";
import { Writer } from "../../src/streams/index.ts";
import { printable } from "../../src/wire/printable.ts";
import { Clients } from "./clients.ts";
import { Control } from "./control.ts";
import { policyDecider } from "./decider.ts";
import { serveDirectClient } from "./direct-client.ts";
import { LeafCertificates, NotIssued } from "./leaf-certificates.ts";
import { takeClients } from "./listeners.ts";
import { LivePolicy } from "./live-policy.ts";
import { OptionError, parseOptions, type ProxyOptions, USAGE } from "./options.ts";
import { type Door, openDoor, TokenDoor } from "./proxy-auth.ts";
import { serveProxyClient } from "./proxy-client.ts";
import type { Service } from "./service.ts";
import { Upstreams } from "./upstreams.ts";

const report = reportTo("proxy");

/** The intercepting proxy. Exit codes: 1 it cannot serve, 2 wrong arguments. */
export const run = {
  run: () => runMain(main, { exit: exitWithCode, report }),
};

async function main(): Promise<number> {
  using stdout = new Writer(getStdout());
  let options: ProxyOptions | undefined;
  try {
    options = parseOptions(getArguments().slice(1));
  } catch (error) {
    if (!(error instanceof OptionError)) throw error;
    report(new Error(`${error.message} (see --help)`));
    return 2;
  }
  const say = async (line: string) => {
    await stdout.write(encodeUtf8(`${line}\n`));
    await stdout.flush();
  };
  if (options === undefined) {
    await say(USAGE);
    return 0;
  }
  using stderr = new Writer(getStderr());
  await serve(options, say, (text) =>
    spawn(
      () => stderr.write(encodeUtf8(`proxy: ${printable(text)}\n`)),
      () => {},
    ),
  );
  return 0;
}

async function serve(options: ProxyOptions, say: (line: string) => Promise<void>, complain: (text: string) => void): Promise<void> {
  const live = new LivePolicy();
  const clients = new Clients();
  using control = new Control(live, clients, say, complain);
  await control.firstPolicy();
  const service: Service = {
    live,
    decider: policyDecider(live),
    certificates: certificatesFor(live),
    upstreams: new Upstreams(live),
    clients,
    door: doorOf(options),
    summary: { tunnelled: 0, intercepted: 0, denied: 0, failed: 0, requests: 0 },
    complain,
  };
  const listening: Promise<void>[] = [];
  for (const at of options.listen) {
    const listener = await listenTcp(at, { backlog: BACKLOG });
    await say(`listening proxy ${formatSocketAddress(listener.localAddress)}`);
    listening.push(takeClients(listener, service, control.stopping, serveProxyClient));
  }
  for (const at of options.direct) {
    const listener = await listenTcp(at, { backlog: BACKLOG });
    await say(`listening direct ${formatSocketAddress(listener.localAddress)}`);
    listening.push(takeClients(listener, service, control.stopping, (tcp, visit) => serveDirectClient(tcp, visit, DIRECT_PORT)));
  }
  await say("ready");
  spawn(() => control.follow());
  await Promise.all(listening);
  await control.drained();
  await say(`summary ${JSON.stringify({ connections: clients.total, ...service.summary })}`);
}

/** Without an authority nothing is intercepted, and everything else still works. */
function certificatesFor({ policy }: LivePolicy): LeafCertificates | undefined {
  if (policy.permitted.names.length === 0 && policy.permitted.networks.length === 0) return undefined;
  try {
    return new LeafCertificates("proxy", policy.settings.limits.leafCache);
  } catch (error) {
    if (error instanceof NotIssued) return undefined;
    throw error;
  }
}

function doorOf({ auth }: ProxyOptions): Door {
  if (!auth) return openDoor;
  const token = getEnvironment().find(([name]) => name === "SALLYPORT_PROXY_TOKEN")?.[1] ?? "";
  if (token.length < MIN_TOKEN) throw new Error("SALLYPORT_PROXY_TOKEN is missing or too short: give a token, or --no-auth");
  return new TokenDoor(token);
}

/** How many clients may wait to be accepted. */
const BACKLOG = 511;
/** What names of a hello are for on a direct listener. */
const DIRECT_PORT = 443;
/** Characters. */
const MIN_TOKEN = 32;
