import { type ClientHello, ClientHelloReader } from "../../src/wire/client-hello.ts";
import { TlsWireError } from "../../src/wire/wire-error.ts";
import type { KeyPair } from "../identity/private-identity.ts";
import { AnchorSet } from "../identity/trust-anchors.ts";
import { alertFor } from "../identity/verdict.ts";
import { Signal } from "../io/signal.ts";
import type { CertificateError, HostMover, IoFailure, Sink, Source, SourceState, TlsErrorValue } from "../io/source.ts";
import { Alert, plaintextAlert, receivedAlert } from "./alert.ts";
import { AlertSealer } from "./alert-sealer.ts";
import { answerHello } from "./answer.ts";
import { ApplicationSide } from "./application-side.ts";
import { attach, type Attachment } from "./attachment.ts";
import { ConfiguredThings, type Thing } from "./configured-things.ts";
import {
  chosenAlpn,
  chosenIdentity,
  type ConnectionInfo,
  type Negotiated,
  negotiatedWith,
  type Outcome,
  type Peer,
  type Target,
} from "./connection-info.ts";
import { type ContextLease, leaseContext } from "./context-cache.ts";
import { Feed, type Stage } from "./feed.ts";
import { FlightGate } from "./flight-gate.ts";
import { HandshakeWatch } from "./handshake-watch.ts";
import { judge } from "./judge.ts";
import { JsTransport } from "./js-transport.ts";
import { Movers, NetworkSide } from "./network-side.ts";
import { type NodeTls, startNodeTls } from "./node-tls.ts";
import { canSuspend, type Effect, type Event, feeds, initial, type Phase, type Plan, pointsPassed, step } from "./phase.ts";
import { SecondHello } from "./second-hello.ts";
import { SessionKeeper } from "./session-keeper.ts";
import { alpnWire, defaultSettings, type Settings, TLS13 } from "./settings.ts";
import type { TlsHost } from "./tls-host.ts";

/** How a connection ends whose socket node:tls has: close_notify and a bare FIN look the same there. */
const CANNOT_TELL = { tag: "ended", ending: "unauthenticated", mayBeCut: true } as const;

const NO_ANCHORS = AnchorSet.fromX509([]);

/**
 * One TLS connection, client or server: four streams around node:tls. What may happen when is decided by `phase`; here is
 * how it happens. It knows nothing of the WIT and of handles.
 */
export class TlsConnection {
  /** Notified at every change of phase and outcome. */
  readonly changed = new Signal();
  readonly settings: Settings = defaultSettings();
  readonly plan: Plan;
  readonly target: Target | undefined;
  readonly #host: TlsHost;

  #phase: Phase = initial;
  #outcome: Outcome | undefined;
  #detail: string | undefined;

  readonly #movers = new Movers(() => this.#network);
  readonly #network: NetworkSide = new NetworkSide(this, {
    arrived: () => this.#feed.run(),
    isTaking: () => this.#feed.isTaking,
    use: (bytes) => this.#feed.use(bytes),
    broke: () => this.#fail({ tag: "transport" }, "the transport failed", undefined),
    taken: () => this.#feed.drained(),
  });
  readonly #feed = new Feed(this.#network, {
    stage: () => this.#stage(),
    readHello: (bytes) => this.#readHello(bytes),
    inspect: (bytes) => this.#inspect(bytes),
    transport: () => this.#transport,
    ended: () => this.#networkIsOver(),
  });
  readonly #application = new ApplicationSide(this, {
    cut: () => this.#fail({ tag: "transport" }, "cut by the forwarder", undefined),
    endedWithoutNotice: () => (this.#attachment === undefined ? this.#outboundEnded() : this.#node?.destroy()),
  });

  #node: NodeTls | undefined;
  #transport: JsTransport | undefined;
  #gate = new FlightGate("none");
  #watch = new HandshakeWatch();
  #secondHello: SecondHello | undefined;
  #lease: ContextLease | undefined;
  readonly #configured: ConfiguredThings;
  readonly #alerts: AlertSealer;
  #timer: NodeJS.Timeout | undefined;

  #helloReader: ClientHelloReader | undefined;
  #hello: ClientHello | undefined;
  #identity: KeyPair | undefined;
  #alpn: Uint8Array | undefined;
  #peer: Peer | undefined;
  #overridden: CertificateError[] = [];
  #negotiated: Negotiated | undefined;
  #sessions: SessionKeeper | undefined;
  #attachment: Attachment | undefined;
  #attachedGroup: number | undefined;
  #wasFinished = false;
  #isCounted = true;
  #handleDropped = false;

  constructor(host: TlsHost, plan: Plan, target?: Target) {
    this.#host = host;
    this.plan = plan;
    this.target = target;
    this.#configured = new ConfiguredThings(host.configured);
    this.#alerts = new AlertSealer(plan.role);
    host.connectionOpened(this);
  }

  get phase(): Phase {
    return this.#phase;
  }

  get outcome(): Outcome | undefined {
    return this.#outcome;
  }

  /** For people: why it failed. */
  get detail(): string | undefined {
    return this.#detail;
  }

  get hello(): ClientHello | undefined {
    return this.#hello;
  }

  get peer(): Peer | undefined {
    return this.#peer;
  }

  /** The identity that was presented, or that a client was configured with. */
  get localIdentity(): KeyPair | undefined {
    return this.#identity;
  }

  get canSuspend(): boolean {
    return canSuspend(this.#phase);
  }

  get pointsPassed(): boolean {
    return pointsPassed(this.#phase);
  }

  /**
   * Charge the instance for what this connection was configured with, in place of what it was before: the handles may be
   * dropped, and their own charge ends.
   *
   * @returns false past the limit; nothing has changed then
   */
  configured(as: "anchors" | "identities", things: readonly Thing[]): boolean {
    return this.#phase.tag !== "ended" && this.#configured.replace(as, things);
  }

  /** Begin. @returns false if it was begun before */
  start(): boolean {
    return this.#dispatch({ tag: "start" });
  }

  /** The guest takes the suspension of the point that is reached. @returns false if there is none to take */
  suspend(): boolean {
    return this.#dispatch({ tag: "suspend" });
  }

  /** Go on from the point. Afterwards `outcome` tells if that ended the connection. @returns false if it is not suspended */
  resume(overridden: CertificateError[]): boolean {
    const verdict = this.#peer?.verdict ?? [];
    const isOverridden = verdict.length > 0 && verdict.every((error) => overridden.includes(error));
    if (this.#phase.tag === "held" && this.#phase.at === "verify" && isOverridden) this.#overridden = verdict;
    return this.#dispatch({ tag: "resume", overridden: isOverridden });
  }

  /** End with this fatal alert. @returns false if the connection has ended, or has not begun */
  abort(description: number): boolean {
    if (this.#phase.tag === "ended" || this.#phase.tag === "constructed") return false;
    const sent = this.#sealAlert(description);
    this.#fail(
      { tag: "alert-sent", val: description },
      sent ? "aborted by the guest" : "aborted by the guest; no alert could be sent in this phase",
      sent,
    );
    return true;
  }

  /**
   * Give up a server whose client hello nobody has answered: somebody else is going to.
   *
   * @returns everything that came from the network; `undefined` once the hello is answered
   */
  withdraw(): Uint8Array | undefined {
    if (this.#phase.tag !== "held" || this.#phase.at !== "client-hello") return undefined;
    const { inbound } = this.#network;
    const bytes = Buffer.concat([this.#helloReader!.received(), inbound.take(inbound.length)]);
    this.#fail({ tag: "closed" }, "the client hello is answered by somebody else", undefined);
    return bytes;
  }

  /** No more application data from us: what was written, then close_notify. */
  closeOutput(): void {
    this.#application.closeOutput();
  }

  /** The guest dropped its handle: the connection ends with it, unless the host is moving its bytes. */
  dropHandle(): void {
    this.#handleDropped = true;
    this.#endIfUnowned();
  }

  /** The instance is gone, whatever moves the streams. */
  terminate(): void {
    this.#fail({ tag: "closed" }, "the instance has ended", undefined);
  }

  /** As `StreamOwner`. */
  streamForwarded(mover: HostMover): void {
    this.#movers.add(mover);
  }

  /** As `StreamOwner`. */
  streamReturned(mover: HostMover): void {
    const carried = mover === this.#movers.inbound || mover === this.#movers.outbound;
    this.#movers.remove(mover);
    // The socket that it was dropped with is the TLS library's by now.
    if (carried && this.#attachment !== undefined) this.#fail({ tag: "transport" }, "the network was dropped", undefined);
    this.#endIfUnowned();
  }

  /**
   * The streams between which the host carries this connection, if it has done so since the first byte to the network: the
   * peer is then at their other end, whatever the guest did.
   */
  get carrier(): { source: Source; sink: Sink } | undefined {
    const { inbound, carrier } = this.#movers;
    return inbound === undefined || carrier === undefined ? undefined : { source: inbound.source, sink: carrier.sink };
  }

  #endIfUnowned(): void {
    const phase = this.#phase;
    if (!this.#handleDropped || phase.tag === "ended") return;
    // What is moved goes on by itself, but for a point that nobody can take any more, or a start that nobody can make.
    const isStuck = phase.tag === "constructed" || (phase.tag === "held" && !phase.suspended);
    if (this.#movers.count > 0 && !isStuck) return;
    this.#fail({ tag: "closed" }, "the connection was dropped", undefined);
  }

  /** What was negotiated; none before the handshake is done on our side. */
  info(): ConnectionInfo | undefined {
    return this.#negotiated === undefined ? undefined : { ...this.#negotiated, overridden: this.#overridden };
  }

  /** Whether a TLS 1.2 handshake used the extended master secret (RFC 7627). */
  get hasExtendedMasterSecret(): boolean {
    return this.#watch.serverHello?.hasExtendedMasterSecret === true;
  }

  /** Keying material. Only while established. */
  exportKeyingMaterial(length: number, label: string, context: Uint8Array | undefined): Uint8Array | undefined {
    return this.#phase.tag === "established" ? this.#node?.exportKeyingMaterial(length, label, context) : undefined;
  }

  /** What goes to the network. */
  get publicInput(): Source {
    return this.#network.input;
  }

  /** What came from the network. */
  get publicOutput(): Sink {
    return this.#network.output;
  }

  /** Application data to the peer. */
  get privateOutput(): Sink {
    return this.#application.output;
  }

  /** Application data from the peer. */
  get privateInput(): Source {
    return this.#application.input;
  }

  // Events and effects.

  #dispatch(event: Event): boolean {
    const next = step(this.#phase, event, this.plan);
    if (next === undefined) return false;
    this.#phase = next.phase;
    if (event.tag === "start") this.#application.start();
    for (const effect of next.effects) {
      // What a released flight set off on the other side of a mover may have come back as a failure.
      if (this.#outcome?.tag === "err") break;
      this.#guard(() => this.#carryOut(effect));
    }
    this.#watchTime();
    this.changed.notify();
    this.#feed.run();
    this.#endIfUnowned();
    return true;
  }

  /** This runs in callbacks of sockets and timers, where whatever is thrown would end the process: end the connection instead. */
  #guard(work: () => void): void {
    try {
      work();
    } catch (error) {
      const name = error instanceof Error ? error.name : "unknown";
      this.#fail({ tag: "internal" }, `the host failed (${name})`, undefined);
    }
  }

  #carryOut(effect: Effect): void {
    switch (effect) {
      case "connect":
        return this.#connect();
      case "answer":
        return this.#answer();
      case "release":
        return this.#releaseFlight();
      case "refuse":
        return this.#refuse();
      case "open":
        return this.#open();
    }
  }

  /** Let go what is withheld. From here on an alert of ours would no longer be the first record of its key. */
  #releaseFlight(): void {
    const records = this.#gate.release();
    // A client's next record is under another key, a server's under another number.
    if (this.plan.role === "client" || records.length > 0) this.#alerts.forget();
    this.#network.sendFlight(records);
  }

  #connect(): void {
    const { settings } = this;
    this.#identity = settings.identities[0];
    this.#gate = new FlightGate("client");
    const anchors = settings.anchors ?? this.#host.anchors;
    const verifies = this.plan.points.has("verify");
    const sessions =
      settings.useSessions && !verifies ? new SessionKeeper(this.#host.sessions, settings, this.target!, anchors) : undefined;
    this.#sessions = sessions;
    const alpn = settings.alpnIds.length === 0 ? undefined : alpnWire(settings.alpnIds);
    this.#startNode(leaseContext(this.#host.contexts, "client", settings, settings.identities, anchors), {
      alpn,
      session: sessions?.take(),
      requestCertificate: true,
    });
  }

  #answer(): void {
    const answer = answerHello(this.#hello!, this.settings);
    if (answer.tag === "refuse") {
      this.#fail({ tag: "alert-sent", val: answer.alert }, answer.detail, plaintextAlert(answer.alert));
      return;
    }
    this.#identity = answer.identity;
    this.#alpn = answer.alpnId;
    const verifies = this.settings.clientCertificate !== "none";
    this.#gate = new FlightGate(verifies ? "server" : "none");
    const { inbound } = this.#network;
    const reader = this.#helloReader!;
    const received = reader.received();
    const end = received.length - reader.following;
    this.#helloReader = undefined;
    const pending = () => Buffer.concat([received, inbound.take(inbound.length)]);
    this.#attachment = this.#host.options.attach
      ? attach(this.#hello!, this.settings, this.#movers.inbound, this.#movers.outbound, pending)
      : undefined;
    this.#attachedGroup = this.#attachment?.group;
    const groups = this.#attachment === undefined ? this.settings.groups : [this.#attachment.group];
    const verified = verifies ? this.settings.anchors : undefined;
    const context = leaseContext(this.#host.contexts, "server", this.settings, [answer.identity], verified, groups);
    const alpn = answer.alpnId === undefined ? undefined : alpnWire([answer.alpnId]);
    this.#startNode(context, { alpn, session: undefined, requestCertificate: verifies });
    if (this.#node === undefined) return;
    // Only now: node:tls reads, and loses, what is there while it is being made.
    if (this.#attachment === undefined) {
      // Apart: if the answer is a HelloRetryRequest, a second hello that did not wait for it has to be looked at as well.
      inbound.unshift(received.subarray(end));
      inbound.unshift(received.subarray(0, end));
    }
    this.#dispatch({ tag: "answered", verifies });
  }

  #startNode(
    lease: ContextLease | undefined,
    options: { alpn: Uint8Array | undefined; session: Buffer | undefined; requestCertificate: boolean },
  ): void {
    if (lease === undefined) {
      this.#fail({ tag: "not-permitted" }, "this instance's connections have too many different settings for so many anchors", undefined);
      return;
    }
    this.#lease = lease;
    const { context } = lease;
    const { role } = this.plan;
    const transport =
      this.#attachment === undefined
        ? new JsTransport(
            { wrote: (bytes) => this.#wrote(bytes), flowing: () => this.#feed.flowing(), ended: () => this.#outboundEnded() },
            () => this.#network.hasRoom,
          )
        : undefined;
    this.#transport = transport;
    const sessions = this.#sessions;
    this.#node = startNodeTls(
      transport ?? this.#attachment!.socket,
      { role, context, serverName: this.target?.sni, ...options },
      {
        finished: () => this.#guard(() => this.#finished()),
        data: (bytes) => {
          this.#feed.bore(bytes.length);
          this.#application.receive(bytes);
        },
        closeNotify: () => this.#settle(transport === undefined ? CANNOT_TELL : { tag: "ended", ending: "authenticated" }),
        closed: () => this.#socketClosed(),
        failed: (code) => this.#tlsFailed(code),
        ...(sessions === undefined ? {} : { session: (session: Buffer) => sessions.keep(session) }),
        ...(options.requestCertificate ? { keyLog: (line: string) => this.#alerts.learn(line) } : {}),
      },
    );
  }

  /** Ciphertext from node:tls. */
  #wrote(bytes: Uint8Array): void {
    if (this.#phase.tag === "ended") return;
    if (this.#phase.tag === "established") return this.#network.send(bytes);
    if (this.plan.role === "server" && !this.#watch.settled) {
      this.#watch.push(bytes);
      if ((this.#watch.serverHello?.version ?? 0) >= TLS13) this.#gate.expectTls13();
      if (this.#watch.isRetrying) this.#secondHello ??= new SecondHello(this.#hello!);
    }
    const wasHolding = this.#gate.isHolding;
    const go = this.#gate.push(bytes);
    // A server's tickets have the numbers that an alert of ours would use again.
    if (go.length > 0 && this.#wasFinished) this.#alerts.forget();
    for (const chunk of go) this.#network.send(chunk);
    // The TLS library is on the stack; it is asked about the peer when it is not.
    if (!wasHolding && this.#gate.isHolding) queueMicrotask(() => this.#guard(() => this.#judge()));
  }

  #outboundEnded(): void {
    this.#network.endOutbound();
    this.#finishIfOver();
  }

  /** Attached: the socket has gone. */
  #socketClosed(): void {
    if (this.#phase.tag === "established") this.#settle(CANNOT_TELL);
    else this.#fail({ tag: "truncated" }, "the peer closed the connection during the handshake", undefined);
    this.#outboundEnded();
  }

  /** Both directions have ended as they should: nothing is left to do but to read what is buffered. */
  #finishIfOver(): void {
    if (this.#phase.tag !== "established" || this.#application.ending.tag === "open" || !this.#network.isOutboundEnded) return;
    this.#phase = { tag: "ended" };
    this.#release(undefined);
  }

  /** Give back everything that only a live connection needs. */
  #release(failure: IoFailure | undefined): void {
    this.#alerts.forget();
    this.#helloReader = undefined;
    this.#sessions = undefined;
    clearTimeout(this.#timer);
    this.#network.close();
    this.#application.close(failure);
    this.#transport?.detach();
    this.#node?.destroy();
    if (this.#node === undefined) this.#attachment?.socket.destroy();
    this.#lease?.end();
    this.#lease = undefined;
    this.#configured.release();
    // What is no longer charged is no longer kept. Never the host's own again, though.
    if (this.settings.anchors !== undefined) this.settings.anchors = NO_ANCHORS;
    this.settings.identities = [];
    this.#identity = undefined;
    this.#attachment?.finish(this.#outcome?.tag === "err");
    this.#attachment = undefined;
    if (this.#isCounted) this.#host.connectionClosed(this);
    this.#isCounted = false;
    this.changed.notify();
  }

  /** The handshake is done on our side. */
  #finished(): void {
    this.#wasFinished = true;
    const node = this.#node!;
    const isClient = this.plan.role === "client";
    const alpnId = isClient ? chosenAlpn(node, this.settings.alpnIds) : this.#alpn;
    this.#negotiated = negotiatedWith(node, this.#watch, { alpnId, group: this.#attachedGroup });
    if (isClient) this.#identity = chosenIdentity(node, this.settings.identities) ?? this.#identity;
    // In TLS 1.3 our flight has left before the client's certificate came: from here on nothing of ours may follow before it
    // was judged. In TLS 1.2 our last flight is about to be written, and withheld.
    const isTls13 = (this.#watch.serverHello?.version ?? 0) >= TLS13;
    const verifiesLate = isTls13 && !isClient && this.#phase.tag === "handshaking" && !this.#phase.verified;
    if (verifiesLate) this.#gate.holdAll();
    this.#dispatch({ tag: "finished" });
    if (verifiesLate) this.#judge();
    else if (isClient && this.#node?.isSessionReused === true) this.#dispatch({ tag: "not-shown" });
  }

  /** The peer is known: form the verdict. */
  #judge(): void {
    const node = this.#node;
    // One that has failed says so in its next tick, and shows no certificate any more.
    if (node === undefined || node.isDestroyed || this.#phase.tag !== "handshaking" || this.#phase.verified) return;
    if (node.isSessionReused) {
      this.#dispatch({ tag: "not-shown" });
      return;
    }
    this.#peer = judge(node, this.plan.role, this.settings, this.target, () => this.#host.anchors);
    this.#dispatch({ tag: "judged", acceptable: this.#peer.verdict.length === 0 });
  }

  #refuse(): void {
    const reason = this.#peer!.verdict[0]!;
    // certificate_required is of TLS 1.3 (RFC 8446, section 6.2); before it, handshake_failure said as much.
    const isTls12 = (this.#watch.serverHello?.version ?? TLS13) < TLS13;
    const alert = isTls12 && reason === "none-presented" ? Alert.handshakeFailure : alertFor(reason);
    // The phase has already ended: seal before anything is torn down.
    this.#fail(
      { tag: "certificate", val: reason },
      `the peer's certificate was refused: ${this.#peer!.verdict.join(", ")}`,
      this.#sealAlert(alert),
    );
  }

  #open(): void {
    this.#releaseFlight();
    this.#alerts.forget();
    this.#sessions?.proven();
    this.#application.open(this.#node!);
  }

  // Bytes from the network.

  #stage(): Stage {
    if (this.#phase.tag === "awaiting-hello") return "hello";
    if (!feeds(this.#phase)) return "nothing";
    return this.#phase.tag === "established" ? "data" : "handshake";
  }

  #readHello(bytes: Uint8Array): void {
    try {
      const hello = (this.#helloReader ??= new ClientHelloReader()).push(bytes);
      if (hello === "more") return;
      this.#hello = hello;
      this.#dispatch({ tag: "hello" });
    } catch (error) {
      this.#badWire(error);
    }
  }

  /** Read along during the handshake. @returns false if the connection failed over it */
  #inspect(bytes: Uint8Array): boolean {
    try {
      if (this.plan.role === "client") this.#watch.push(bytes);
      else this.#secondHello?.push(bytes);
      return true;
    } catch (error) {
      this.#badWire(error);
      return false;
    }
  }

  #badWire(error: unknown): void {
    if (!(error instanceof TlsWireError)) throw error;
    const value: TlsErrorValue = error.code === "not-tls" ? { tag: "protocol" } : { tag: "alert-sent", val: error.alert };
    // In TLS 1.3 a server's alert after its hello would have to be sealed; a HelloRetryRequest is before that.
    this.#fail(value, error.message, this.#gate.isHolding ? undefined : plaintextAlert(error.alert));
  }

  #networkIsOver(): void {
    switch (this.#phase.tag) {
      case "awaiting-hello":
      case "handshaking":
        this.#fail({ tag: "truncated" }, "the peer closed the connection during the handshake", undefined);
        return;
      case "established":
        if (this.#node === undefined || this.#node.isInboundClosed) return;
        this.#settle(
          this.settings.truncation === "tolerate"
            ? { tag: "ended", ending: "truncated", tolerated: true }
            : { tag: "failed", failure: { message: "the transport ended without close_notify", tls: { tag: "truncated" } } },
        );
        return;
      case "constructed":
      case "held":
      case "ended":
        return;
    }
  }

  /** The inbound side of an established connection is over. */
  #settle(state: SourceState & { tag: "ended" | "failed" }): void {
    if (!this.#application.settle(state)) return;
    this.#outcome ??= { tag: "ok", val: state.tag === "ended" ? state.ending : "truncated" };
    this.changed.notify();
    this.#finishIfOver();
  }

  // Failing.

  #tlsFailed(code: string): void {
    if (this.#phase.tag === "ended") return;
    if (code === "ECONNRESET" && this.#wasFinished) return this.#fail({ tag: "transport" }, "the peer reset the connection", undefined);
    if (code === "ECONNRESET") return this.#fail({ tag: "truncated" }, "the peer closed the connection during the handshake", undefined);
    // In TLS 1.3, before our Finished exists, all that can be withheld is the alert that says why it never will. In TLS 1.2 our
    // whole flight may be, certificate and all, for a server that nobody has judged.
    const isOnlyAlert = this.plan.role === "client" && !this.#wasFinished && (this.#watch.serverHello?.version ?? 0) >= TLS13;
    if (isOnlyAlert && this.#gate.isHolding) this.#network.sendFlight(this.#gate.release());
    const received = receivedAlert(code);
    const sent = this.#gate.sentAlert;
    const value: TlsErrorValue =
      received !== undefined
        ? { tag: "alert-received", val: received }
        : sent !== undefined
          ? { tag: "alert-sent", val: sent }
          : { tag: "protocol" };
    this.#fail(value, `the TLS library reports ${code}`, undefined);
  }

  #fail(error: TlsErrorValue, detail: string, lastBytes: Uint8Array | undefined): void {
    if (this.#outcome?.tag === "err" || (this.#outcome !== undefined && this.#phase.tag === "ended")) return;
    this.#gate.discard();
    this.#phase = { tag: "ended" };
    if (this.#outcome === undefined || error.tag !== "closed") this.#outcome = { tag: "err", val: error };
    this.#detail = detail;
    if (lastBytes !== undefined) this.#network.send(lastBytes);
    this.#release({ message: detail, tls: error });
  }

  /** The alert as bytes that the peer can read in this phase, or `undefined` where this host cannot make any. */
  #sealAlert(description: number): Uint8Array | undefined {
    return this.#alerts.seal(description, {
      isStarted: this.#node !== undefined,
      isHolding: this.#gate.isHolding,
      isFinished: this.#wasFinished,
      serverHello: this.#watch.serverHello,
    });
  }

  /** The handshake has to get on while it is the peer's turn. */
  #watchTime(): void {
    const waits = this.#phase.tag === "awaiting-hello" || this.#phase.tag === "handshaking";
    if (!waits) {
      clearTimeout(this.#timer);
      this.#timer = undefined;
      return;
    }
    this.#timer ??= setTimeout(
      () => this.#fail({ tag: "timeout" }, `the handshake was not done within ${this.#host.handshakeTimeout} ms`, undefined),
      this.#host.handshakeTimeout,
    );
  }
}
