import { type ClientHello, ClientHelloReader } from "../../src/wire/client-hello.ts";
import type { ServerName } from "../../src/wire/server-name.ts";
import { TlsWireError } from "../../src/wire/wire-error.ts";
import type { KeyPair } from "../identity/private-identity.ts";
import { PublicChain } from "../identity/public-identity.ts";
import { AnchorSet } from "../identity/trust-anchors.ts";
import { alertFor, verdict } from "../identity/verdict.ts";
import { Signal } from "../io/signal.ts";
import type { CertificateError, Ending, HostMover, IoFailure, Sink, Source, SourceState, TlsErrorValue } from "../io/source.ts";
import { Alert, plaintextAlert, receivedAlert, sealedAlert, trafficSecret } from "./alert.ts";
import { answerHello } from "./answer.ts";
import { ApplicationSide } from "./application-side.ts";
import { attach, type Attachment } from "./attachment.ts";
import { type ContextLease, leaseContext } from "./context-cache.ts";
import { FlightGate } from "./flight-gate.ts";
import { HandshakeWatch } from "./handshake-watch.ts";
import { JsTransport } from "./js-transport.ts";
import { Movers, NetworkSide } from "./network-side.ts";
import { type NodeTls, startNodeTls } from "./node-tls.ts";
import { canSuspend, type Effect, type Event, feeds, initial, type Phase, type Plan, pointsPassed, step } from "./phase.ts";
import { SecondHello } from "./second-hello.ts";
import { alpnWire, defaultSettings, type Settings, TLS12, TLS13 } from "./settings.ts";
import type { TlsHost } from "./tls-host.ts";
import { suiteByName } from "./wire-names.ts";

/** How a connection ends whose socket node:tls has: close_notify and a bare FIN look the same there. */
const CANNOT_TELL = { tag: "ended", ending: "unauthenticated", mayBeCut: true } as const;

const NO_ANCHORS = AnchorSet.fromX509([]);

/** Record headers and tags of some hundred megabytes of data, or what a peer may send that is none. */
const MAX_FRUITLESS = 1024 * 1024;

/** What a server may send before it was judged is kept only up to here. */
const MAX_UNPROVEN_SESSIONS = 4;

/** What was negotiated, as `sallyport:tls/connection.connection-info`. */
export interface ConnectionInfo {
  protocolVersion: number;
  cipherSuite: number;
  alpnId: Uint8Array | undefined;
  group: number | undefined;
  sessionReused: boolean;
  overridden: CertificateError[];
}

/** The peer as it was judged. */
export interface Peer {
  chain: PublicChain | undefined;
  verdict: CertificateError[];
}

/** Whom a client talks to. */
export interface Target {
  server: ServerName;
  /** The same as text. */
  name: string;
  /** For SNI: DNS names only. */
  sni: string | undefined;
}

export type Outcome = { tag: "ok"; val: Ending } | { tag: "err"; val: TlsErrorValue };

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
  readonly #network = new NetworkSide(this, {
    arrived: () => this.#pump(),
    isTaking: () => this.#phase.tag !== "established" || this.#transport?.isFlowing !== false,
    use: (bytes) => this.#use(bytes),
    broke: () => this.#fail({ tag: "transport" }, "the transport failed", undefined),
    taken: () => this.#outboundTaken(),
  });
  readonly #application = new ApplicationSide(this, {
    cut: () => this.#fail({ tag: "transport" }, "cut by the forwarder", undefined),
    endedWithoutNotice: () => (this.#attachment === undefined ? this.#outboundEnded() : this.#node?.destroy()),
  });
  #pumping = false;

  #node: NodeTls | undefined;
  #transport: JsTransport | undefined;
  #gate = new FlightGate("none");
  #watch = new HandshakeWatch();
  #secondHello: SecondHello | undefined;
  #lease: ContextLease | undefined;
  readonly #configured = new Map<"anchors" | "identities", readonly unknown[]>();
  #secret: Uint8Array | undefined;
  #timer: NodeJS.Timeout | undefined;

  #helloReader: ClientHelloReader | undefined;
  #hello: ClientHello | undefined;
  #identity: KeyPair | undefined;
  #alpn: Uint8Array | undefined;
  #peer: Peer | undefined;
  #overridden: CertificateError[] = [];
  #negotiated: Omit<ConnectionInfo, "overridden"> | undefined;
  /** Bytes that were given to the TLS library while it could not write, without data coming of them. */
  #fruitless = 0;
  #sessionKey = "";
  /** Sessions from a peer that was not let through yet; none once it was. */
  #unprovenSessions: Buffer[] | undefined = [];
  #attachment: Attachment | undefined;
  #attachedGroup: number | undefined;
  #wasFinished = false;
  #isCounted = true;
  #handleDropped = false;

  constructor(host: TlsHost, plan: Plan, target?: Target) {
    this.#host = host;
    this.plan = plan;
    this.target = target;
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
  configured(as: "anchors" | "identities", things: readonly { thing: unknown; size: number }[]): boolean {
    if (this.#phase.tag === "ended") return false;
    const budget = this.#host.configured;
    const entered = things.filter(({ thing, size }) => budget.enter(thing, size)).map(({ thing }) => thing);
    if (entered.length < things.length) {
      for (const thing of entered) budget.leave(thing);
      return false;
    }
    this.#forget(as);
    this.#configured.set(as, entered);
    return true;
  }

  #forget(as: "anchors" | "identities"): void {
    for (const thing of this.#configured.get(as) ?? []) this.#host.configured.leave(thing);
    this.#configured.delete(as);
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
    this.#pump();
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
    if (this.plan.role === "client" || records.length > 0) this.#secret = undefined;
    this.#network.sendFlight(records);
  }

  #connect(): void {
    const { settings } = this;
    this.#identity = settings.identities[0];
    this.#gate = new FlightGate("client");
    const anchors = settings.anchors ?? this.#host.anchors;
    const verifies = this.plan.points.has("verify");
    const sessions = settings.useSessions && !verifies;
    const alpn = settings.alpnIds.length === 0 ? undefined : alpnWire(settings.alpnIds);
    this.#sessionKey = [
      this.target!.name,
      settings.names.map((name) => (name.tag === "dns" ? name.name : name.text)).join(","),
      anchors.id,
      settings.identities.map((identity) => identity.id).join(","),
      Buffer.from(alpn ?? []).toString("hex"),
      settings.minimumVersion,
      settings.maximumVersion,
    ].join("|");
    this.#startNode(
      leaseContext(this.#host.contexts, "client", settings, settings.identities, anchors),
      { alpn, session: sessions ? this.#host.sessions.take(this.#sessionKey) : undefined, requestCertificate: true },
      sessions,
    );
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
    this.#startNode(context, { alpn, session: undefined, requestCertificate: verifies }, false);
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
    keepSessions: boolean,
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
            { wrote: (bytes) => this.#wrote(bytes), flowing: () => this.#flowing(), ended: () => this.#outboundEnded() },
            () => this.#network.hasRoom,
          )
        : undefined;
    this.#transport = transport;
    const secretLabel = role === "client" ? "CLIENT_HANDSHAKE_TRAFFIC_SECRET" : "SERVER_TRAFFIC_SECRET_0";
    this.#node = startNodeTls(
      transport ?? this.#attachment!.socket,
      { role, context, serverName: this.target?.sni, ...options },
      {
        finished: () => this.#guard(() => this.#finished()),
        data: (bytes) => {
          this.#fruitless = Math.max(0, this.#fruitless - bytes.length);
          this.#application.receive(bytes);
        },
        closeNotify: () => this.#settle(transport === undefined ? CANNOT_TELL : { tag: "ended", ending: "authenticated" }),
        closed: () => this.#socketClosed(),
        failed: (code) => this.#tlsFailed(code),
        ...(keepSessions ? { session: (session: Buffer) => this.#keepSession(session) } : {}),
        ...(options.requestCertificate
          ? {
              keyLog: (line: string) => {
                const entry = trafficSecret(line);
                if (entry?.label === secretLabel) this.#secret = entry.secret;
              },
            }
          : {}),
      },
    );
  }

  /**
   * A session stands in for the certificate of the handshake that it came from, and a server can send one with its first
   * flight, before that certificate was judged.
   */
  #keepSession(session: Buffer): void {
    if (this.#unprovenSessions === undefined) this.#host.sessions.put(this.#sessionKey, session);
    else if (this.#unprovenSessions.length < MAX_UNPROVEN_SESSIONS) this.#unprovenSessions.push(session);
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
    if (go.length > 0 && this.#wasFinished) this.#secret = undefined;
    for (const chunk of go) this.#network.send(chunk);
    // The TLS library is on the stack; it is asked about the peer when it is not.
    if (!wasHolding && this.#gate.isHolding) queueMicrotask(() => this.#guard(() => this.#judge()));
  }

  /** The network took ciphertext: the TLS library may write on, and what it was not given for that reason may go in. */
  #outboundTaken(): void {
    const transport = this.#transport;
    if (transport === undefined) return;
    transport.drained();
    if (transport.isBlocked || this.#fruitless === 0) return;
    this.#fruitless = 0;
    this.#pump();
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
    this.#secret = undefined;
    this.#helloReader = undefined;
    this.#unprovenSessions = [];
    clearTimeout(this.#timer);
    this.#network.close();
    this.#application.close(failure);
    this.#transport?.detach();
    this.#node?.destroy();
    if (this.#node === undefined) this.#attachment?.socket.destroy();
    this.#lease?.end();
    this.#lease = undefined;
    this.#forget("anchors");
    this.#forget("identities");
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
    this.#negotiated = this.#negotiatedWith(this.#node!);
    if (this.plan.role === "client") this.#identity = this.#chosenIdentity(this.#node!) ?? this.#identity;
    // In TLS 1.3 our flight has left before the client's certificate came: from here on nothing of ours may follow before it
    // was judged. In TLS 1.2 our last flight is about to be written, and withheld.
    const isTls13 = (this.#watch.serverHello?.version ?? 0) >= TLS13;
    const verifiesLate = isTls13 && this.plan.role === "server" && this.#phase.tag === "handshaking" && !this.#phase.verified;
    if (verifiesLate) this.#gate.holdAll();
    this.#dispatch({ tag: "finished" });
    if (verifiesLate) this.#judge();
    else if (this.plan.role === "client" && this.#node?.isSessionReused === true) this.#dispatch({ tag: "not-shown" });
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
    const certificates = node.peerChain();
    const chain = certificates.length === 0 ? undefined : new PublicChain(certificates);
    const isClient = this.plan.role === "client";
    const mayBeAbsent = !isClient && this.settings.clientCertificate === "optional";
    const faults =
      chain === undefined && mayBeAbsent
        ? []
        : verdict({
            verifyError: node.verifyError(),
            chain,
            peer: isClient ? "server" : "client",
            names: isClient ? this.#names : [],
            anchors: this.settings.anchors ?? this.#host.anchors,
            now: BigInt(Math.floor(Date.now() / 1000)),
          });
    this.#peer = { chain, verdict: faults };
    this.#dispatch({ tag: "judged", acceptable: faults.length === 0 });
  }

  /** The names one of which a server's leaf must cover. */
  get #names(): readonly ServerName[] {
    if (this.settings.names.length > 0) return this.settings.names;
    return this.target === undefined ? [] : [this.target.server];
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
    this.#secret = undefined;
    for (const session of this.#unprovenSessions ?? []) this.#host.sessions.put(this.#sessionKey, session);
    this.#unprovenSessions = undefined;
    this.#application.open(this.#node!);
  }

  // Bytes from the network.

  #pump(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    const { inbound } = this.#network;
    const before = inbound.length;
    try {
      while (inbound.length > 0 && this.#feedOne());
    } finally {
      this.#pumping = false;
    }
    if (inbound.length < before) this.#network.madeRoom();
    // An alert right before the end is told by node:tls in a later turn: it says more than the end does.
    if (this.#network.hasEnded && inbound.length === 0 && !this.#noticesEnd) {
      this.#noticesEnd = true;
      setImmediate(() => this.#noticeEnd());
    }
  }
  #noticesEnd = false;

  #noticeEnd(): void {
    this.#noticesEnd = false;
    if (this.#network.inbound.length === 0) this.#networkIsOver();
  }

  /** The TLS library reads again. */
  #flowing(): void {
    this.#pump();
    if (this.#phase.tag === "established" && this.#transport?.isFlowing === true) this.#network.madeRoom();
  }

  /** As the pump does with a connection that is established and waits for nothing, without the queue. */
  #use(bytes: Uint8Array): boolean {
    const transport = this.#transport;
    if (this.#pumping || this.#phase.tag !== "established" || transport?.isFlowing !== true || transport.isBlocked) return false;
    this.#pumping = true;
    try {
      transport.deliver(bytes);
    } finally {
      this.#pumping = false;
    }
    this.#pump();
    return true;
  }

  /** Hand the next chunk on. @returns false if nothing takes it now */
  #feedOne(): boolean {
    if (this.#phase.tag === "awaiting-hello") {
      this.#readHello(this.#network.inbound.shift());
      return true;
    }
    if (!feeds(this.#phase) || this.#transport?.isFlowing !== true) return false;
    // Not from the peer's bytes that are data, but from those that are answered (KeyUpdate) the TLS library makes ciphertext
    // that it keeps itself while nobody takes it.
    if (this.#transport.isBlocked && this.#fruitless > MAX_FRUITLESS) return false;
    const bytes = this.#network.inbound.shift();
    if (this.#transport.isBlocked) this.#fruitless += bytes.length;
    if (this.#phase.tag === "handshaking" && !this.#inspect(bytes)) return false;
    this.#transport.deliver(bytes);
    return true;
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
    const hello = this.#watch.serverHello;
    const started = this.#node !== undefined;
    if (!started) return this.plan.role === "server" ? plaintextAlert(description) : undefined;
    if (!this.#gate.isHolding && !this.#wasFinished) return undefined;
    if (hello === undefined) return undefined;
    if (hello.version < TLS13) return this.#gate.isHolding ? plaintextAlert(description) : undefined;
    return this.#secret === undefined ? undefined : sealedAlert(hello.cipherSuite, this.#secret, description);
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

  #negotiatedWith(node: NodeTls): Omit<ConnectionInfo, "overridden"> {
    const hello = this.#watch.serverHello;
    return {
      protocolVersion: hello?.version ?? (node.protocol === "TLSv1.3" ? TLS13 : TLS12),
      cipherSuite: hello?.cipherSuite ?? suiteByName(node.cipher ?? "") ?? 0,
      alpnId: this.#negotiatedAlpn(node.alpn),
      group: this.#attachedGroup ?? this.#watch.group,
      sessionReused: node.isSessionReused,
    };
  }

  /** Clients: which of several identities the TLS library sent, or would have. */
  #chosenIdentity(node: NodeTls): KeyPair | undefined {
    const { identities } = this.settings;
    if (identities.length < 2) return undefined;
    const chosen = node.localCertificate;
    return chosen && identities.find(({ chain }) => chain.leaf.raw.equals(chosen.raw));
  }

  /** node:tls tells an ALPN id as text: the id of ours that reads so. */
  #negotiatedAlpn(text: string | undefined): Uint8Array | undefined {
    if (this.plan.role === "server") return this.#alpn;
    if (text === undefined) return undefined;
    return this.settings.alpnIds.find((id) => Buffer.from(id).toString("latin1") === text || Buffer.from(id).toString("utf8") === text);
  }
}
