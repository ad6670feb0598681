import { present as deciderIsPresent } from "sallyport:gateway/decider@0.1.0";
import { getArguments, getEnvironment } from "wasi:cli/environment@0.2.12";
import { exitWithCode } from "wasi:cli/exit@0.2.12";
import { getStderr } from "wasi:cli/stderr@0.2.12";
import { getStdout } from "wasi:cli/stdout@0.2.12";
import { encodeUtf8 } from "../../src/bindings/text.ts";
import { reportTo } from "../../src/cli/report.ts";
import { formatSocketAddress } from "../../src/net/socket-address.ts";
import { listenTcp } from "../../src/net/listen.ts";
import type { TcpConnection } from "../../src/net/tcp-connection.ts";
import { runMain, Scope, spawn } from "../../src/reactor/index.ts";
import { Writer } from "../../src/streams/index.ts";
import { printable } from "../../src/wire/printable.ts";
import { AccessKeys } from "./access-keys.ts";
import { Clients } from "./clients.ts";
import { type Access, Control } from "./control.ts";
import { policyDecider } from "./decider.ts";
import { foreignDecider } from "./foreign-decider.ts";
import { serveDirectClient } from "./direct-client.ts";
import { takeHosted } from "./hosted.ts";
import { LeafCertificates, NotIssued } from "./leaf-certificates.ts";
import { endExpired } from "./token-expiry.ts";
import { takeClients } from "./listeners.ts";
import { LivePolicy } from "./live-policy.ts";
import { OptionError, parseOptions, type ProxyOptions, USAGE } from "./options.ts";
import { CapabilityDoor, type Door, openDoor, TokenDoor } from "./proxy-auth.ts";
import { serveProxyClient } from "./proxy-client.ts";
import { secretsByPlaceholder } from "./secrets.ts";
import type { Service, Visit } from "./service.ts";
import { openTlsEntrance, serveTlsClient } from "./tls-entrance.ts";
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
  const access: Access | undefined =
    options.tokens === "off"
      ? undefined
      : {
          keys: new AccessKeys(options.audience, () => live.policy.settings.tokens.requireTlsExporter),
          endRevoked: options.endRevoked,
        };
  using control = new Control(live, access, clients, say, complain);
  await control.firstPolicy();
  const service: Service = {
    live,
    decider: deciderIsPresent() ? foreignDecider(live) : policyDecider(live),
    certificates: certificatesFor(live),
    upstreams: new Upstreams(live),
    clients,
    byPlaceholder: secretsByPlaceholder(),
    summary: {
      tunnelled: 0,
      intercepted: 0,
      plain: 0,
      denied: 0,
      failed: 0,
      challenged: 0,
      requests: 0,
      deniedRequests: 0,
      failedRequests: 0,
    },
    complain,
  };
  const doors = doorsOf(options, access?.keys);
  const listening: Promise<void>[] = [];
  for (const at of options.listen) {
    const listener = await listenTcp(at, { backlog: BACKLOG });
    await say(`listening proxy ${formatSocketAddress(listener.localAddress)}`);
    // Rules that change without a word are asked about each connection, by ways that can wait.
    const take =
      service.decider.basis() === undefined
        ? takeClients(listener, service, control.stopping, doors.plain(), serveProxyClient)
        : takeHosted(listener, service, control.stopping, doors.plain());
    listening.push(take);
  }
  if (options.tlsListen.length > 0) {
    const entrance = openTlsEntrance(options.tlsIdentity, options.clientCertificates);
    for (const at of options.tlsListen) {
      const listener = await listenTcp(at, { backlog: BACKLOG });
      await say(`listening tls ${formatSocketAddress(listener.localAddress)}`);
      const serve = (tcp: TcpConnection, visit: Visit) => serveTlsClient(tcp, visit, entrance);
      listening.push(takeClients(listener, service, control.stopping, doors.tls(), serve));
    }
  }
  for (const at of options.inProcess) {
    const listener = await listenTcp(at, { backlog: BACKLOG });
    await say("listening in-process");
    listening.push(takeClients(listener, service, control.stopping, openDoor, serveProxyClient, "in-process"));
  }
  for (const at of options.direct) {
    const listener = await listenTcp(at, { backlog: BACKLOG });
    await say(`listening direct ${formatSocketAddress(listener.localAddress)}`);
    listening.push(takeClients(listener, service, control.stopping, openDoor, (tcp, visit) => serveDirectClient(tcp, visit, DIRECT_PORT)));
  }
  await say("ready");
  spawn(() => control.follow());
  const over = new Scope();
  if (access !== undefined) spawn(() => endExpired(access.keys, clients, live, over));
  await Promise.all(listening);
  await control.drained();
  over.cancel();
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

/** Who is let in where. */
function doorsOf(options: ProxyOptions, keys: AccessKeys | undefined): { plain(): Door; tls(): Door } {
  const plain = () => (options.auth ? new TokenDoor(sessionToken()) : openDoor);
  return {
    plain,
    tls: () => {
      if (keys !== undefined) return new CapabilityDoor(keys, options.tokens === "required");
      return options.clientCertificates === "required" ? openDoor : plain();
    },
  };
}

function sessionToken(): string {
  const token = getEnvironment().find(([name]) => name === "SALLYPORT_PROXY_TOKEN")?.[1] ?? "";
  if (token.length < MIN_TOKEN) throw new Error("SALLYPORT_PROXY_TOKEN is missing or too short: give a token, or --no-auth");
  return token;
}

/** How many clients may wait to be accepted. */
const BACKLOG = 511;
/** What names of a hello are for on a direct listener. */
const DIRECT_PORT = 443;
/** Characters. */
const MIN_TOKEN = 32;
