import type { Message, Request } from "sallyport:gateway/http@0.1.0";
import { type Framing, HttpError, type RequestHead } from "../../src/http1/index.ts";
import type { HttpRequest, RequestDecision } from "../../src/policy/index.ts";
import { StreamClosed, StreamFailure } from "../../src/streams/index.ts";
import { answer, linger } from "./answers.ts";
import { converse } from "./conversation.ts";
import { forwardedHead, upgradeOf, webSocketFault } from "./forwarded-head.ts";
import { exchange, type Exchanged, MessageStreams } from "./message-streams.ts";
import { CHALLENGE, credentialsOf, MOST_REFUSALS } from "./credentials.ts";
import { PlainDecisions } from "./plain-decisions.ts";
import type { Refusal } from "./proxy-auth.ts";
import { decided, pathOf, tell, write } from "./records.ts";
import { tellRefusal } from "./refusals.ts";
import { relaySides } from "./relay.ts";
import { type Incoming, nextRequest } from "./request-head.ts";
import { SecretRefused, writeHead } from "./secrets.ts";
import { headBounds, type Target, targetText, type Visit } from "./service.ts";
import type { UpstreamFailure } from "./upstreams.ts";
import { seconds } from "./within.ts";
import type { TlsConnection } from "../../src/tls/index.ts";

/** A connection to a server that requests go to. */
export interface ServerLink extends Disposable {
  readonly streams: MessageStreams;
  /** The server that it leads to. */
  readonly target: Target;
  /** `undefined` where there is no TLS. */
  readonly tls: TlsConnection | undefined;
}

/** A request that is understood well enough to be decided on, or why it is not. */
export type Understood =
  | { readonly tag: "request"; readonly target: Target; readonly question: HttpRequest }
  | { readonly tag: "refused"; readonly status: number; readonly why: string };

/** What differs between requests within an interception and those in plain HTTP. */
export interface Requests {
  /** Whether clients have to show the proxy's token in each request. */
  readonly asksForToken: boolean;
  understand(head: RequestHead, upgrade: string | undefined): Understood;
  /** What to ask about a plain request that the host has read; `undefined`: each is read here. */
  readonly plain: ((request: Request) => HttpRequest) | undefined;
  connect(
    target: Target,
  ): Promise<{ readonly tag: "ok"; readonly val: ServerLink } | { readonly tag: "err"; readonly val: UpstreamFailure }>;
}

/**
 * Serve the requests of one client, one by one: the head is decided on here, the host moves everything else.
 *
 * @param client borrowed
 * @param first a request that was read already
 * @param link a connection to the server that is there already; owned from here on
 * @returns what ended it early, for the record
 * @throws when the connection has to be cut
 */
export async function serveRequests(
  client: MessageStreams,
  visit: Visit,
  requests: Requests,
  first?: Incoming,
  link?: ServerLink,
): Promise<string | undefined> {
  const loop = new RequestLoop(client, visit, requests, link);
  try {
    for (let incoming = first; ; incoming = undefined) {
      const last = incoming === undefined ? await loop.converse() : undefined;
      if (last !== undefined) return last.error;
      const end = await loop.serve(incoming ?? (await loop.next()));
      if (end !== undefined) return end.error;
    }
  } finally {
    loop[Symbol.dispose]();
  }
}

/** What has to be known of a request to speak of its answer. */
export type Answerable = Pick<RequestHead, "method" | "path" | "persistent">;

/** The client connection ends; with an error unless this is just the end. */
interface End {
  readonly error: string | undefined;
}

class RequestLoop implements Disposable {
  private readonly client: MessageStreams;
  private readonly visit: Visit;
  private readonly requests: Requests;
  private link: ServerLink | undefined;
  private readonly decisions: PlainDecisions | undefined;

  constructor(client: MessageStreams, visit: Visit, requests: Requests, link: ServerLink | undefined) {
    this.client = client;
    this.visit = visit;
    this.requests = requests;
    this.link = link;
    this.decisions = requests.plain === undefined ? undefined : new PlainDecisions(visit, requests.plain);
  }

  /** Let the host serve plain requests for as long as there are any. @returns `undefined` if something is to be read here */
  async converse(): Promise<End | undefined> {
    const { client, service } = this.visit;
    const { decisions } = this;
    const isPossible =
      decisions !== undefined && !this.client.isBroken && this.client.reader.buffered === 0 && service.byPlaceholder.size === 0;
    const link = isPossible && this.link !== undefined ? this.usableLink(this.link.target) : undefined;
    if (decisions === undefined || link === undefined) return undefined;
    const { stop, last } = await converse(this.client, link.streams, {
      idle: seconds(service.live.policy.settings.timeouts.idle),
      headLimit: service.live.policy.settings.limits.headBytes,
      allowUnauthenticatedEnd: link.tls === undefined,
      scope: client.scope,
      idleScope: client.idle,
      tally: client.tally,
      decide: (request) => decisions.decide(request),
      onChange: (forget) => service.live.onReplaced(forget),
      onUnasked: (count) => void (service.summary.requests += count),
    });
    if (stop.tag === "idle") return { error: undefined };
    if (last === undefined) return undefined;
    if (stop.tag === "not-answered") decisions.notAnswered(last);
    const answerable = { method: last.method, path: last.target, persistent: true };
    if (stop.tag === "last") return await this.answered(answerable, link.target, stop.val.message);
    if (stop.tag !== "failed") return undefined;
    const { ofClient, error, begun } = stop.val;
    return await this.exchangeFailed(answerable, link.target, { side: ofClient ? "client" : "server", error, begun });
  }

  next(): Promise<Incoming> {
    const { client, service } = this.visit;
    return nextRequest(this.client.reader, headBounds(service), client.scope, client.idle);
  }

  /** Serve what came. @returns `undefined` if another request may follow */
  async serve(incoming: Incoming): Promise<End | undefined> {
    const { client, service } = this.visit;
    if (incoming.tag === "end") return { error: undefined };
    if (incoming.tag === "cut") return { error: "the client left within a request head" };
    if (incoming.tag === "refused") return await this.refuse(undefined, incoming.status, incoming.why, incoming.why);
    const { head, framing, bytes } = incoming;
    client.tally.fromClient += bytes;
    const refusal = this.requests.asksForToken ? client.door.refusal(credentialsOf(head), client) : undefined;
    if (refusal !== undefined) return await this.askForToken(head, framing, refusal);
    if (head.minorVersion === 0) return await this.refuse(head, 505, "only HTTP/1.1 is spoken here", "http/1.0");
    const upgrade = upgradeOf(head);
    const understood = this.requests.understand(head, upgrade);
    if (understood.tag === "refused") return await this.refuse(head, understood.status, understood.why, understood.why);
    if (upgrade === "websocket") {
      const fault = webSocketFault(head, framing);
      if (fault !== undefined) return await this.refuse(head, 400, fault, "malformed-upgrade");
    }
    const { target, question } = understood;
    const before = this.decisions?.takeUnserved(question);
    const decision = before?.decision ?? (await service.decider.decideRequest(question, client.id));
    if (before?.isRecorded !== true) {
      service.summary.requests++;
      write("request", client.id, {
        ...decided(decision, decision.because),
        method: head.method,
        path: pathOf(head),
        target: targetText(target),
      });
    }
    if (decision.tag === "deny") {
      service.summary.deniedRequests++;
      const why = `the policy does not allow this request: ${decision.because.reason} (${decision.because.rule})`;
      return await this.say(head, framing, 403, why);
    }
    return await this.forward(head, framing, target, decision, upgrade);
  }

  [Symbol.dispose](): void {
    this.disconnect();
    this.decisions?.[Symbol.dispose]();
  }

  private disconnect(): void {
    this.link?.[Symbol.dispose]();
    this.link = undefined;
  }

  private async forward(
    head: RequestHead,
    framing: Framing,
    target: Target,
    { edits }: RequestDecision & { tag: "allow" },
    upgrade: string | undefined,
  ): Promise<End | undefined> {
    const { client, service } = this.visit;
    let bytes: Uint8Array;
    try {
      // What stands in a field by its placeholder stays in the client's own.
      const placed = edits.secrets.filter(({ secret }) => !service.byPlaceholder.has(secret));
      bytes = forwardedHead(head, framing, { ...edits, secrets: placed }, targetText(target).replace(/:(?:80|443)$/, ""), upgrade);
    } catch (error) {
      if (!(error instanceof HttpError)) throw error;
      return await this.refuse(head, 400, error.message, "head-cannot-be-forwarded", true);
    }
    for (let attempts = 1; ; attempts++) {
      const wasThere = this.usableLink(target) !== undefined;
      const failure = wasThere ? undefined : await this.connect(target);
      if (failure !== undefined) return await this.unreachable(head, framing, failure);
      const { streams, tls } = this.link!;
      try {
        await writeHead({ writer: streams.writer, tls }, bytes, edits.secrets, service.byPlaceholder, client.scope);
      } catch (error) {
        if (error instanceof SecretRefused) return await this.secretRefused(head, framing, target, error);
        if (!(error instanceof StreamClosed || error instanceof StreamFailure)) throw error;
        // What the server said before it closed tells more than that it did: the exchange reads it.
      }
      const outcome = await exchange(this.client, streams, {
        method: head.method,
        framing,
        idle: seconds(service.live.policy.settings.timeouts.idle),
        allowUpgrade: upgrade !== undefined,
        allowUnauthenticatedEnd: tls === undefined,
        scope: client.scope,
      });
      client.tally.fromClient += outcome.fromClient;
      client.tally.toClient += outcome.toClient;
      // The server ended an idle connection just when it was used again (RFC 9112, section 9.3.1).
      if (wasThere && attempts === 1 && mayRepeat(head, framing, outcome)) continue;
      return outcome.tag === "done"
        ? await this.answered(head, target, outcome.response)
        : await this.exchangeFailed(head, target, outcome);
    }
  }

  private async answered(head: Answerable, target: Target, response: Message): Promise<End | undefined> {
    const { client, service } = this.visit;
    const { streams } = this.link!;
    if (response.upgraded) {
      this.tellStatus(head, target, response.status);
      const sides = { idle: seconds(service.live.policy.settings.timeouts.idle), scope: client.scope, tally: client.tally };
      await passOn(this.client, streams, client.tally);
      return { error: (await relaySides(this.client, streams, sides)).error };
    }
    if (!response.reusable || streams.isBroken) this.disconnect();
    if (this.client.isBroken || response.endedByClose || !head.persistent) return { error: undefined };
    // The response says to the client that the connection ends where the server's does.
    return response.reusable ? undefined : { error: undefined };
  }

  private async exchangeFailed(
    head: Answerable,
    target: Target,
    failed: Pick<Exchanged & { tag: "failed" }, "side" | "error" | "begun">,
  ): Promise<End> {
    const { service } = this.visit;
    service.summary.failedRequests++;
    this.disconnect();
    const why = `the ${failed.side === "client" ? "request's body" : "server's response"} could not be passed on: ${failed.error}`;
    if (failed.begun) {
      this.tellStatus(head, target, undefined, why);
      throw new MessageCut(why);
    }
    const status = failed.side === "client" ? 400 : failed.error === "timeout" ? 504 : 502;
    this.tellStatus(head, target, status, why);
    await this.close(head, status, why);
    return { error: why };
  }

  private async connect(target: Target): Promise<UpstreamFailure | undefined> {
    this.disconnect();
    const result = await this.requests.connect(target);
    if (result.tag === "err") return result.val;
    this.link = result.val;
    return undefined;
  }

  /** The connection that is there, if it leads to this server and has not been ended. */
  private usableLink(target: Target): ServerLink | undefined {
    const { link } = this;
    if (link === undefined || link.streams.isBroken || targetText(link.target) !== targetText(target)) return undefined;
    try {
      // Nothing may come where nothing was asked, neither an end nor a response.
      return link.streams.reader.tryRead(1)?.length === 0 ? link : undefined;
    } catch (error) {
      if (error instanceof StreamFailure) return undefined;
      throw error;
    }
  }

  private async unreachable(head: RequestHead, framing: Framing, { status, message, reason, address }: UpstreamFailure) {
    const { client, service } = this.visit;
    service.summary.failedRequests++;
    tell("handshake", client.id, { ...(address === undefined ? {} : { upstreamAddress: address }), error: `upstream: ${reason}` });
    return await this.say(head, framing, status, message);
  }

  private async secretRefused(head: RequestHead, framing: Framing, target: Target, error: SecretRefused): Promise<End | undefined> {
    this.visit.service.summary.deniedRequests++;
    this.disconnect();
    this.tellStatus(head, target, error.status, error.message);
    return await this.say(head, framing, error.status, error.message);
  }

  private async askForToken(head: RequestHead, framing: Framing, refusal: Refusal): Promise<End | undefined> {
    tellRefusal(this.visit, refusal);
    const { message } = refusal;
    if (this.visit.client.refusals < MOST_REFUSALS) return await this.say(head, framing, 407, message, [CHALLENGE]);
    await this.close(head, 407, message, [CHALLENGE]);
    return { error: message };
  }

  /** Answer by ourselves; the connection goes on if nothing of the request is left in it. */
  private async say(head: RequestHead, framing: Framing, status: number, why: string, fields: readonly (readonly [string, string])[] = []) {
    if (framing.tag !== "none" || !head.persistent) {
      await this.close(head, status, why, fields);
      return { error: why };
    }
    const { client } = this.visit;
    const options = { close: false, head: head.method === "HEAD", fields, scope: client.scope };
    client.tally.toClient += await answer(this.client.writer, status, why, options);
    return undefined;
  }

  /** Answer something that is no request that can be decided on, or sent on, and end the connection. */
  private async refuse(head: RequestHead | undefined, status: number, why: string, reason: string, wasDecidedOn = false): Promise<End> {
    const { client, service } = this.visit;
    if (!wasDecidedOn) service.summary.requests++;
    service.summary.deniedRequests++;
    write("request", client.id, {
      decision: "deny",
      rule: "built-in:requests",
      reason,
      status,
      ...(head === undefined ? {} : { method: head.method, path: pathOf(head) }),
    });
    await this.close(head, status, why);
    return { error: why };
  }

  private async close(head: Answerable | undefined, status: number, why: string, fields: readonly (readonly [string, string])[] = []) {
    const { client } = this.visit;
    if (this.client.isBroken) throw new MessageCut(why);
    const options = { close: true, head: head?.method === "HEAD", fields, scope: client.scope };
    client.tally.toClient += await answer(this.client.writer, status, why, options);
  }

  private tellStatus(head: Answerable, target: Target, status: number | undefined, error?: string): void {
    tell("request", this.visit.client.id, {
      method: head.method,
      path: pathOf(head),
      target: targetText(target),
      ...(status === undefined ? {} : { status }),
      ...(error === undefined ? {} : { error }),
    });
  }
}

/** A message ended in its middle: its reader must not take it for whole. */
export class MessageCut extends Error {
  readonly code = "ERR_SALLYPORT_MESSAGE_CUT";
}

/** After a connection ended gracefully by us: let the client read the last answer. */
export async function lingerOn(client: MessageStreams): Promise<void> {
  if (!client.isBroken) await linger(client.reader, seconds(1));
}

/** Bytes of the other protocol that were read already go first. */
async function passOn(client: MessageStreams, server: MessageStreams, tally: { fromClient: number }): Promise<void> {
  const { buffered } = client.reader;
  if (buffered === 0) return;
  await server.writer.write(client.reader.tryRead(buffered)!);
  tally.fromClient += buffered;
}

function mayRepeat({ method }: RequestHead, framing: Framing, outcome: Exchanged): boolean {
  if (outcome.tag === "done" || outcome.begun || outcome.side === "client" || framing.tag !== "none") return false;
  return (outcome.error === "truncated" || outcome.error === "source-failed") && IDEMPOTENT.has(method);
}

const IDEMPOTENT: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS", "TRACE"]);
