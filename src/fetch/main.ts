import { getArguments } from "wasi:cli/environment@0.2.12";
import { getStdin } from "wasi:cli/stdin@0.2.12";
import { encodeUtf8 } from "../bindings/text.ts";
import { reportTo } from "../cli/report.ts";
import { Scope } from "../reactor/cancel.ts";
import { runMain } from "../reactor/run.ts";
import { Reader } from "../streams/reader.ts";
import type { TlsBinding } from "./binding.ts";
import { Connections } from "./connections.ts";
import { Console } from "./console.ts";
import { exitCodes, FetchError } from "./exit-code.ts";
import { messageOf } from "./failure.ts";
import { Files, readAll } from "./files.ts";
import type { Handshake } from "./handshake.ts";
import { type Options, parseOptions } from "./options.ts";
import { handshakeJson, handshakeLines } from "./report.ts";
import { standardOutput } from "./sink.ts";
import { type Outcome, type Session, transfer } from "./transfer.ts";
import { usage } from "./usage.ts";

/** One build of the program. */
export interface Program {
  /** As it calls itself. */
  name: string;
  binding: TlsBinding;
  /** Ends the process with a code. */
  exit: (code: number) => void;
}

/** The body of `wasi:cli/run`: everything but TLS itself is the same in each build. */
export function runProgram({ name, binding, exit }: Program): void | Promise<void> {
  return runMain(() => main(name, binding), { exit, report: reportTo(name) });
}

async function main(name: string, binding: TlsBinding): Promise<number> {
  using console = new Console(name);
  try {
    const options = parseOptions(getArguments().slice(1));
    if (options !== "help") return await fetchAll(options, binding, console);
    await print(usage(name));
    return exitCodes.ok;
  } catch (error) {
    if (!(error instanceof FetchError)) throw error;
    await console.error(error.message);
    return error.exitCode;
  }
}

async function fetchAll(options: Options, binding: TlsBinding, console: Console): Promise<number> {
  using files = new Files();
  const body = await readBody(options.data, files);
  using connector = await binding.open(options.trust, (path) => files.read(path, MAX_ANCHOR_FILE));
  let current: Outcome | undefined;
  const onHandshake = async (handshake: Handshake): Promise<void> => {
    if (current !== undefined) current.handshake = handshake;
    if (options.verbose) await console.lines(handshakeLines(handshake));
  };
  const observe = options.verbose || options.json;
  using connections = new Connections(connector, { connectTo: options.connectTo, observe, onHandshake });
  const session: Session = { options, files, console, connections, body };
  let code: number = exitCodes.ok;
  for (const { url, output } of options.targets) {
    const outcome: Outcome = {
      url,
      effectiveUrl: url,
      redirects: 0,
      head: undefined,
      bytes: 0,
      handshake: undefined,
      failure: undefined,
    };
    current = outcome;
    await transfer(outcome, output, session);
    if (outcome.failure !== undefined) {
      await console.error(outcome.failure.message);
      if (code === exitCodes.ok) code = outcome.failure.exitCode;
    }
    if (options.json) await print(`${asciiJson(outcomeJson(outcome))}\n`);
  }
  return code;
}

async function readBody(data: string[], files: Files): Promise<Uint8Array | undefined> {
  if (data.length === 0) return undefined;
  const parts: Uint8Array[] = [];
  for (const text of data) {
    if (parts.length > 0) parts.push(encodeUtf8("&"));
    parts.push(await readData(text, files));
  }
  const body = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    body.set(part, at);
    at += part.length;
  }
  return body;
}

async function readData(text: string, files: Files): Promise<Uint8Array> {
  if (!text.startsWith("@")) return encodeUtf8(text);
  try {
    if (text !== "@-") return await files.read(text.slice(1), MAX_DATA);
    using stdin = new Reader(getStdin());
    return await readAll(stdin, "standard input", MAX_DATA);
  } catch (error) {
    throw new FetchError(exitCodes.read, `cannot read what is to be sent: ${messageOf(error)}`, error);
  }
}

/** One line of `--json`. */
function outcomeJson({ url, effectiveUrl, redirects, head, bytes, handshake, failure }: Outcome): object {
  return {
    url,
    effectiveUrl,
    redirects,
    status: head?.status,
    reason: head?.reason,
    headers: head === undefined ? undefined : [...head.fields].map(({ name, value }) => [name, value]),
    bytes,
    tls: handshake === undefined ? undefined : handshakeJson(handshake),
    error: failure === undefined ? undefined : { exitCode: failure.exitCode, message: failure.message },
  };
}

/** Only ASCII: what a peer sent must not reach a terminal as a control character or change the direction of its text. */
function asciiJson(value: object): string {
  return JSON.stringify(value).replaceAll(/[\u007f-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

async function print(text: string): Promise<void> {
  using stdout = standardOutput();
  using scope = new Scope();
  await stdout.write(encodeUtf8(text), scope);
  await stdout.finish(scope);
}

/** Bytes of what is sent: it is held in memory. */
const MAX_DATA = 64 * 1024 * 1024;
const MAX_ANCHOR_FILE = 16 * 1024 * 1024;
