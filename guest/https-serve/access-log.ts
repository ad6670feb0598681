import { printable } from "../../src/wire/printable.ts";
import { cipherSuiteName, groupName, versionName } from "../../src/tls/names.ts";
import { isoTime } from "./http-date.ts";

/** What was negotiated on a connection, for its log lines. */
export interface ConnectionRecord {
  /** Address and port. */
  readonly client: string;
  readonly serverName: string | undefined;
  readonly version: number;
  readonly suite: number;
  readonly alpn: string | undefined;
  readonly group: number | undefined;
  readonly resumed: boolean;
  /** Subject of the client's certificate. */
  readonly clientSubject: string | undefined;
}

/** One answered request. */
export interface RequestRecord {
  /** Unix time in seconds. */
  readonly time: number;
  /** `undefined` for what was no request. */
  readonly request: { readonly method: string; readonly target: string } | undefined;
  readonly status: number;
  /** Of the body that was sent. */
  readonly bytes: number;
  /** Whether the connection ended before all of the response was sent. */
  readonly isCut?: boolean;
}

/**
 * One line of the access log, line feed included. Texts of a client are quoted, with controls, quotes and backslashes
 * escaped, so that no client can end a line or imitate a field; `-` stands for what there is not.
 */
export function accessLine(connection: ConnectionRecord, record: RequestRecord): string {
  const { request } = record;
  const fields = [
    isoTime(record.time),
    connection.client,
    connection.serverName ?? "-",
    versionName(connection.version).replace(" ", "v"),
    cipherSuiteName(connection.suite),
    connection.alpn === undefined ? "-" : quoted(connection.alpn),
    connection.group === undefined ? "-" : groupName(connection.group),
    connection.resumed ? "resumed" : "full",
    connection.clientSubject === undefined ? "-" : quoted(connection.clientSubject),
    request === undefined ? "-" : quoted(`${request.method} ${request.target}`),
    String(record.status),
    String(record.bytes),
    ...(record.isCut === true ? ["cut"] : []),
  ];
  return `${fields.join(" ")}\n`;
}

function quoted(text: string): string {
  const shown = printable(text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}…` : text);
  return `"${shown.replaceAll('"', "\\22")}"`;
}

/** The most of one text that is logged, in characters. */
const MAX_TEXT = 2048;
