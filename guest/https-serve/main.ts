import { getArguments } from "wasi:cli/environment@0.2.12";
import { exitWithCode } from "wasi:cli/exit@0.2.12";
import { getStderr } from "wasi:cli/stderr@0.2.12";
import { getStdout } from "wasi:cli/stdout@0.2.12";
import { TrustAnchors } from "sallyport:tls/identities@0.1.0";
import type { IdentityError } from "sallyport:tls/identities@0.1.0";
import { dropInOrder } from "../../src/bindings/drop.ts";
import { attempt } from "../../src/bindings/errors.ts";
import { reportTo } from "../../src/cli/report.ts";
import { listenTcp } from "../../src/net/listen.ts";
import { formatSocketAddress } from "../../src/net/socket-address.ts";
import { runMain } from "../../src/reactor/index.ts";
import { parsePem } from "../../src/wire/pem.ts";
import { printable } from "../../src/wire/printable.ts";
import { latin1 } from "../../src/wire/utf8.ts";
import type { HandshakePolicy } from "./handshake.ts";
import { LineLog } from "./line-log.ts";
import { OptionError, parseOptions, type ServeOptions, USAGE } from "./options.ts";
import { FolderError, Preopened } from "../../src/files/preopened.ts";
import { serve } from "./server.ts";
import { ServerIdentities } from "./server-identities.ts";
import { Site } from "./site.ts";

const report = reportTo("https-serve");

/** An HTTPS server for a folder, with an identity for each server name. Exit codes: 1 it cannot serve, 2 wrong arguments. */
export const run = {
  run: () => runMain(main, { exit: exitWithCode, report }),
};

async function main(): Promise<number> {
  using stdout = new LineLog(getStdout());
  let options: ServeOptions | undefined;
  try {
    options = parseOptions(getArguments().slice(1));
  } catch (error) {
    if (!(error instanceof OptionError)) throw error;
    report(new Error(`${error.message} (see --help)`));
    return 2;
  }
  if (options === undefined) {
    await stdout.write(USAGE);
    await stdout.flush();
    return 0;
  }
  using stderr = new LineLog(getStderr());
  await start(options, stdout, stderr);
  await stdout.flush();
  await stderr.flush();
  return 0;
}

async function start(options: ServeOptions, stdout: LineLog, stderr: LineLog): Promise<void> {
  using preopened = new Preopened();
  using folder = preopened.folder(options.folder);
  using identities = new ServerIdentities(options.identities, options.hasDefault);
  const clientAuth = clientAuthOf(options, preopened);
  const say = (text: string) => void stderr.write(text);
  const listener = await listenTcp(options.listen, { backlog: BACKLOG });
  await stdout.write(`listening on https://${formatSocketAddress(listener.localAddress)}\n`);
  await serve(
    listener,
    {
      policy: { identities, clientAuth, report: options.verbose ? say : undefined },
      site: new Site(folder),
      accessLog: options.quiet ? undefined : stdout,
      timeouts: { idle: options.idleTimeout, header: options.headerTimeout },
    },
    {
      maxConnections: options.maxConnections,
      once: options.once,
      onConnectionError: (message, isExpected) => {
        if (options.verbose || !isExpected) say(`https-serve: ${printable(message)}\n`);
      },
    },
  );
  if (clientAuth.mode !== "none") dropInOrder(clientAuth.anchors);
}

/** How many clients may wait to be accepted. */
const BACKLOG = 511;

function clientAuthOf({ clientAuth: mode, clientCa }: ServeOptions, preopened: Preopened): HandshakePolicy["clientAuth"] {
  if (mode === "none") return { mode };
  const blocks = parsePem(latin1(preopened.readFile(clientCa!)));
  const certificates = blocks.filter(({ label }) => label === "CERTIFICATE").map(({ bytes }) => bytes);
  const crls = blocks.filter(({ label }) => label === "X509 CRL").map(({ bytes }) => bytes);
  if (certificates.length === 0) throw new FolderError(`${clientCa} holds no certificate`);
  const anchors = attempt<TrustAnchors, IdentityError>(() => TrustAnchors.fromX509(certificates, false, crls));
  if (anchors.tag === "err") throw new FolderError(`${clientCa} holds no usable certification authorities: ${anchors.val}`);
  return { mode, anchors: anchors.val };
}
