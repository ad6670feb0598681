import { now as wallClock } from "wasi:clocks/wall-clock@0.2.12";
import { numberOfU64 } from "../../src/bindings/integers.ts";
import type { FieldLine, Framing, RequestHead } from "../../src/http1/index.ts";
import { type ConnectionRecord, type RequestRecord } from "./access-log.ts";
import { coversName } from "./certificate-names.ts";
import { httpDate } from "./http-date.ts";
import { planResponse } from "./response-plan.ts";
import { ResponseCut, type ResponseWriter } from "./response-writer.ts";
import type { ServerIdentity } from "./server-identities.ts";
import type { Site, SiteFile } from "./site.ts";

/** An answer was begun and could not be sent to its end. */
export class AnswerCut extends Error {
  readonly code = "ERR_SALLYPORT_ANSWER_CUT";
  /** What to log. */
  readonly record: RequestRecord;

  constructor(record: RequestRecord, cause: Error) {
    super(cause.message, { cause });
    this.record = record;
  }
}

/** Answers the requests of one connection. */
export class Responder {
  private readonly site: Site;
  private readonly writer: ResponseWriter;
  private readonly record: ConnectionRecord;
  private readonly identity: ServerIdentity;

  constructor(site: Site, writer: ResponseWriter, record: ConnectionRecord, identity: ServerIdentity) {
    this.site = site;
    this.writer = writer;
    this.record = record;
    this.identity = identity;
  }

  /**
   * Answer one request.
   *
   * @param isLast whether the connection ends afterwards, which the response then says
   * @returns what to log
   * @throws {AnswerCut} @throws {TimedOut} @throws {StreamFailure} @throws {StreamClosed} when the client cannot be served
   */
  async answer(head: RequestHead, isLast: boolean): Promise<RequestRecord> {
    const time = currentTime();
    const request = { method: head.method, target: head.target };
    const refusal = this.refusal(head);
    if (refusal !== undefined) return { time, request, ...(await this.explain(refusal, isLast, time, head.method)) };
    const found = this.site.find(head.path);
    if (found.tag === "file") {
      using file = found.file;
      return { time, request, ...(await this.send(file, head, isLast, time, request)) };
    }
    const status = found.tag === "add-slash" ? 301 : found.status;
    const location: FieldLine[] = found.tag === "add-slash" ? [["Location", withSlash(head.path)]] : [];
    return { time, request, ...(await this.explain(status, isLast, time, head.method, location)) };
  }

  /** Answer what could not be read as a request; the connection ends afterwards. @throws as `answer` */
  async refuse(status: number): Promise<RequestRecord> {
    const time = currentTime();
    return { time, request: undefined, ...(await this.explain(status, true, time, "GET")) };
  }

  /** Why a request is not looked at further. */
  private refusal({ method, form, authority }: RequestHead): number | undefined {
    if (method !== "GET" && method !== "HEAD") return KNOWN_METHODS.has(method) ? 405 : 501;
    if (form !== "origin" && form !== "absolute") return 400;
    // A request for a name that this connection was not opened for may be under other rules (RFC 9110, section 7.4).
    const { serverName } = this.record;
    if (serverName === undefined || authority === undefined || authority.host === serverName) return undefined;
    return coversName(this.identity.names.dns, authority.host) ? undefined : 421;
  }

  private async send(
    file: SiteFile,
    head: RequestHead,
    isLast: boolean,
    time: number,
    request: RequestRecord["request"],
  ): Promise<{ status: number; bytes: number }> {
    const plan = planResponse(head.method === "HEAD" ? "HEAD" : "GET", head.fields, file);
    const source = head.method === "HEAD" || plan.length === 0 ? undefined : file.stream(plan.offset);
    if (source === undefined && head.method !== "HEAD" && plan.length > 0) return await this.explain(500, isLast, time, head.method);
    const length: FieldLine[] = plan.status === 416 ? [["Content-Length", "0"]] : [];
    try {
      await this.writer.head(plan.status, [...common(time, isLast), ...plan.fields, ...length]);
    } catch (error) {
      source?.[Symbol.dispose]();
      throw error;
    }
    if (source === undefined) return { status: plan.status, bytes: 0 };
    try {
      await this.writer.body(source, plan.length);
    } catch (error) {
      if (!(error instanceof ResponseCut)) throw error;
      throw new AnswerCut({ time, request, status: plan.status, bytes: error.sent, isCut: true }, error);
    }
    return { status: plan.status, bytes: plan.length };
  }

  private async explain(status: number, isLast: boolean, time: number, method: string, extra: FieldLine[] = []) {
    const text = `${status} ${TEXTS.get(status) ?? "This cannot be served."}\n`;
    const fields: FieldLine[] = [
      ...common(time, isLast),
      ["Content-Type", "text/plain; charset=utf-8"],
      ["Content-Length", String(text.length)],
      ["X-Content-Type-Options", "nosniff"],
      ...extra,
    ];
    if (status === 405) fields.push(["Allow", "GET, HEAD"]);
    await this.writer.text(status, fields, method === "HEAD" ? "" : text);
    return { status, bytes: method === "HEAD" ? 0 : text.length };
  }
}

/** Whether the connection can go on after this request: nothing follows but another one. */
export function canGoOn(head: RequestHead, framing: Framing): boolean {
  // A body that nobody wants is not read, however long it is: the connection ends in place of it.
  return head.persistent && framing.tag === "none";
}

function common(time: number, isLast: boolean): FieldLine[] {
  const date: FieldLine = ["Date", httpDate(time)];
  return isLast ? [date, ["Connection", "close"]] : [date];
}

function currentTime(): number {
  return numberOfU64(wallClock().seconds);
}

/** A path that `Site` found has no empty name in it, so this cannot be taken for another server's (`//name/`). */
function withSlash(target: string): string {
  const query = target.indexOf("?");
  return query < 0 ? `${target}/` : `${target.slice(0, query)}/${target.slice(query)}`;
}

/** Methods of RFC 9110 and RFC 5789: allowed somewhere, not here. */
const KNOWN_METHODS: ReadonlySet<string> = new Set(["POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"]);

const TEXTS = new Map<number, string>([
  [301, "It is there with a slash at the end."],
  [400, "The request is malformed."],
  [404, "There is nothing here."],
  [405, "Only GET and HEAD are served."],
  [408, "The request took too long."],
  [414, "The request target is too long."],
  [421, "This connection is for another server name."],
  [431, "The request has too many or too large header fields."],
  [500, "The file cannot be read."],
  [501, "The method is not known."],
]);
