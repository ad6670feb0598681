import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { InstanceOptions } from "../../component/messages.ts";
import { CapturedRun } from "../captured-run.ts";
import { type Command, exitCodes, parseCommandLine, UsageError } from "../command.ts";
import { type EphemeralPki, makeEphemeralPki } from "../ephemeral-pki.ts";
import { ownComponent } from "../own-component.ts";
import { asCommandError, loadFile } from "../run-file.ts";

/** How long each part may take, in milliseconds. */
const DEADLINE = 30_000;

const NAME = "demo.test";
const PAGE = "<!doctype html>\n<h1>A page that one component fetched from another one, over TLS</h1>\n";

export const command: Command = {
  help: `sallyport demo: show a component fetch a page from another one over TLS

Usage: sallyport demo

Makes an authority and a certificate for this run, starts https-serve.wasm with them, lets https-get.wasm fetch a page from
it, and shows what each of the two decided at its suspension points. Then it shows a server that is refused, and what a
component without a grant can do. Uses 127.0.0.1 only, and leaves nothing behind.

Exit codes: 0 everything went as it should; 1 something did not, which is then said on standard error.`,

  async run(args) {
    const parsed = parseCommandLine(args, {});
    if (parsed.operands.length > 0 || parsed.rest !== undefined) throw new UsageError("demo takes no arguments");
    const folder = mkdtempSync(join(tmpdir(), "sallyport-demo-"));
    const remove = () => rmSync(folder, { recursive: true, force: true });
    // A signal ends the process, and with it every thread; only the folder would stay.
    const onSignal = () => process.exit(130);
    process.once("exit", remove).once("SIGINT", onSignal).once("SIGTERM", onSignal);
    try {
      await play(folder);
      return exitCodes.ok;
    } catch (error) {
      if (!(error instanceof Deviation)) throw asCommandError(error);
      process.stderr.write(`sallyport: the demo did not go as it should: ${error.message}\n`);
      return 1;
    } finally {
      remove();
      process.off("exit", remove).off("SIGINT", onSignal).off("SIGTERM", onSignal);
    }
  },
};

/** Something was not as the demo says. */
class Deviation extends Error {
  readonly code = "ERR_SALLYPORT_DEMO";
}

async function play(folder: string): Promise<void> {
  const [serve, get] = [ownComponent("https-serve"), ownComponent("https-get")];
  title("Two components that share nothing but a TLS connection");
  const pki = makeEphemeralPki([NAME]);
  say("authority", "made for this run; its key is gone since it signed the one certificate");
  say("server key", `in this process: https-serve.wasm gets a handle by the name "demo", for ${NAME}`);
  say("client", "https-get.wasm, which trusts this authority and no other");

  const [serveCode, getCode] = await Promise.all([loadFile(serve), loadFile(get)]);
  const server = new CapturedRun(serveCode, serverOptions(folder, pki));
  try {
    const listening = await server.said("stdout", /^listening on https:\/\/127\.0\.0\.1:(\d+)$/m, DEADLINE);
    if (listening === undefined) throw new Deviation(`https-serve.wasm does not listen. ${lastLine(server)}`);
    const port = Number(listening[1]);
    const fetch = (url: string, granted: boolean) => new CapturedRun(getCode, clientOptions(url, port, granted, pki));
    await showPage(fetch(`https://${NAME}:${port}/`, true), server, port);
    await showWrongName(fetch(`https://127.0.0.1:${port}/`, true), server, port);
    await showNoGrant(fetch(`https://${NAME}:${port}/`, false), port);
  } finally {
    await server.stop();
  }
  title("What goes on and what does not was decided inside the components, within what the host allows; every key stayed outside.");
}

function serverOptions(folder: string, pki: EphemeralPki): InstanceOptions {
  const site = join(folder, "site");
  mkdirSync(site);
  writeFileSync(join(site, "index.html"), PAGE);
  return {
    args: ["https-serve", "/site", "--listen", "127.0.0.1:0", "--identity", "demo", "--default", "--verbose"],
    grants: { listen: ["127.0.0.1:0"] },
    preopens: [{ host: site, guest: "/site" }],
    tls: { identities: { demo: pki.identity.forWorker() } },
  };
}

function clientOptions(url: string, port: number, granted: boolean, pki: EphemeralPki): InstanceOptions {
  return {
    // The name is not to be found in any DNS.
    args: ["https-get", "--verbose", "--connect-to", `${NAME}:${port}:127.0.0.1:${port}`, url],
    grants: { allowNet: granted ? [`127.0.0.1:${port}`] : [] },
    tls: { anchors: [pki.caDer] },
  };
}

async function showPage(client: CapturedRun, server: CapturedRun, port: number): Promise<void> {
  title(`1. https-get.wasm fetches https://${NAME}:${port}/`);
  say("client may", `connect to 127.0.0.1:${port}, and nothing else`);
  say("server may", `listen on 127.0.0.1, read one folder, use the identity "demo", and nothing else`);
  const code = await ended(client);
  if (code !== 0) throw new Deviation(`https-get.wasm ended with ${code} in place of 0. ${lastLine(client)}`);
  if (client.stdout !== PAGE) throw new Deviation("the page that arrived is not the page that was served");
  expectText(client.stderr, "TLS 1.3", "the client's report");
  expectText(client.stderr, "suspended at verify-server-identity", "the client's report");
  // The report is written when the handshake is done, on its own way through another thread.
  const report = await server.said("stderr", /handshake with [^]*suspended at accepted[^]*the guest decides[^]*\n/, DEADLINE);
  if (report === undefined) throw new Deviation("https-serve.wasm reports no handshake");
  expectText(report[0], "suspended at client-hello", "the server's report");
  expectText(report[0], "TLS 1.3", "the server's report");
  const logged = await server.said("stdout", /^.*"GET \/" 200 .*$/m, DEADLINE);
  if (logged === undefined) throw new Deviation("https-serve.wasm logs no request");
  quote("the client's report, of https-get.wasm", linesOf(client.stderr, "* "));
  quote("the server's report, of https-serve.wasm", report[0]);
  quote("the server's access log", logged[0]);
  quote("the page that arrived", client.stdout);
}

async function showWrongName(client: CapturedRun, server: CapturedRun, port: number): Promise<void> {
  title(`2. Refused: the same server, asked for as https://127.0.0.1:${port}/`);
  say("why", `its certificate is for ${NAME}. No request leaves the client, and the server never sees a handshake done`);
  const code = await ended(client);
  if (code !== CERTIFICATE_REFUSED) throw new Deviation(`https-get.wasm ended with ${code} in place of ${CERTIFICATE_REFUSED}`);
  expectText(client.stderr, "name-mismatch", "the client's report");
  if (client.stdout !== "") throw new Deviation("something was fetched from a server of the wrong name");
  const report = await server.said("stderr", /^ {2}ended .*$/m, DEADLINE);
  if (report === undefined) throw new Deviation("https-serve.wasm does not report that its client left");
  if (server.stderr.split("suspended at accepted").length !== 2) throw new Deviation("the refused server saw a handshake done");
  quote("the client's report", linesOf(client.stderr, "* ", "https-get: "));
  quote("the server's report", report[0].trim().replaceAll(/ {2,}/g, "  "));
  say("exit code", String(code));
}

async function showNoGrant(client: CapturedRun, port: number): Promise<void> {
  title("3. Refused: the same component without the grant to connect");
  const code = await ended(client);
  if (code !== NOT_CONNECTED) throw new Deviation(`https-get.wasm ended with ${code} in place of ${NOT_CONNECTED}`);
  const refusal = client.refusals.find((line) => line.includes(`--allow-net 127.0.0.1:${port}`));
  if (refusal === undefined) throw new Deviation("the host tells of no refusal");
  if (client.stdout !== "") throw new Deviation("something was fetched without a grant");
  quote("the host says", refusal);
  quote("the component says", linesOf(client.stderr, "https-get: "));
  say("exit code", String(code));
}

/** The exit codes of https-get that this relies on. */
const CERTIFICATE_REFUSED = 60;
const NOT_CONNECTED = 7;

async function ended(run: CapturedRun): Promise<number | undefined> {
  const timer = setTimeout(() => void run.stop(), DEADLINE);
  try {
    return await run.exitCode();
  } finally {
    clearTimeout(timer);
  }
}

function expectText(text: string, part: string, where: string): void {
  if (!text.includes(part)) throw new Deviation(`${where} does not say ${JSON.stringify(part)}`);
}

/** What a component said last, for an error message. */
function lastLine(run: CapturedRun): string {
  return [run.stderr, ...run.refusals].join("\n").trim().split("\n").at(-1) ?? "";
}

/** The lines that begin with one of these. */
function linesOf(text: string, ...starts: string[]): string {
  return text
    .split("\n")
    .filter((line) => starts.some((start) => line.startsWith(start)))
    .join("\n");
}

function title(text: string): void {
  process.stdout.write(`\n${text}\n`);
}

function say(label: string, text: string): void {
  process.stdout.write(`  ${label.padEnd(12)}${text}\n`);
}

function quote(label: string, text: string): void {
  const lines = text.trimEnd().split("\n");
  process.stdout.write(`  ${label}:\n${lines.map((line) => `    | ${line}\n`).join("")}`);
}
