import { ClientSuspension, ServerSuspension } from "sallyport:tls/connection@0.1.0";
import { equal, errorOf, oneOf, that } from "../expect.ts";
import { type AnyEnd, Pair, type PairOptions, TLS12, TLS13 } from "../pair.ts";
import type { Case, Cleanup, Setting } from "../program.ts";

/** A suspension point, and what the other end may see while it is held and when it ends there. */
interface Point {
  name: string;
  options: PairOptions;
  /** What `at` calls it. */
  tag: string;
  role: "client" | "server";
  /** Whether the other end believes that it is connected while this one is held. */
  otherEstablished: boolean;
  /** Whether an alert reaches the other end for certain. Otherwise it sees the connection cut. */
  alertArrives: boolean;
}

type Held = { suspension: { at(): { tag: string } } & Disposable; resume(): void };

const versions: [number, string][] = [
  [TLS12, "TLS 1.2"],
  [TLS13, "TLS 1.3"],
];

function points(version: number): Point[] {
  const isTls13 = version === TLS13;
  return [
    {
      name: "verify-server-identity",
      options: { client: { verifyServerIdentity: true } },
      tag: "verify-server-identity",
      role: "client",
      otherEstablished: false,
      alertArrives: true,
    },
    {
      name: "connected",
      options: { client: { connected: true } },
      tag: "connected",
      role: "client",
      otherEstablished: true,
      alertArrives: false,
    },
    {
      name: "client-hello",
      options: { server: { clientHello: true } },
      tag: "client-hello",
      role: "server",
      otherEstablished: false,
      alertArrives: true,
    },
    {
      name: "verify-client-identity",
      options: { server: { verifyClientIdentity: true }, asks: "required", clientIdentity: "client" },
      tag: "verify-client-identity",
      role: "server",
      otherEstablished: isTls13,
      alertArrives: true,
    },
    {
      name: "accepted",
      options: { server: { accepted: true } },
      tag: "accepted",
      role: "server",
      otherEstablished: true,
      alertArrives: false,
    },
  ];
}

/** How it ends for the end that was not told in words. */
const CUT = ["truncated", "unauthenticated"];
const ACCESS_DENIED = 49;
const INTERNAL_ERROR = 80;

export const suspensions: Case[] = versions.flatMap(([version, title]) =>
  points(version).flatMap((point) => casesOf(point, version, title)),
);

function casesOf(point: Point, version: number, title: string): Case[] {
  const { role } = point;
  const name = `${point.name}, ${title}`;
  return [
    {
      name: `${name}: held for a while, then resumed`,
      run(setting, cleanup) {
        const pair = new Pair(setting, cleanup, { ...point.options, version });
        const [held, other] = ends(pair, role);
        other.write("kept");
        const { suspension, resume } = hold(pair, role);
        equal(suspension.at().tag, point.tag, "at");
        equal(suspension.at().tag, point.tag, "at, asked again");
        assertStill(pair, point);
        resume();
        pair.establish();
        pair.until(() => held.read() === "kept", "what was sent meanwhile");
        pair.talk();
      },
    },
    {
      name: `${name}: aborted`,
      run(setting, cleanup) {
        const pair = new Pair(setting, cleanup, { ...point.options, version });
        const [held] = ends(pair, role);
        const { suspension, resume } = hold(pair, role);
        assertStill(pair, point);
        held.tls.abort(ACCESS_DENIED);
        equal(held.outcome(), `alert-sent(${ACCESS_DENIED})`, "outcome of who aborted");
        assertRefused(pair, point, ACCESS_DENIED);
        equal(suspension.at().tag, point.tag, "at, after the end");
        equal(errorOf(resume), "closed", "resume after the end");
        equal(held.outcome(), `alert-sent(${ACCESS_DENIED})`, "outcome after resume");
      },
    },
    ...(point.alertArrives
      ? [
          {
            transports: ["memory" as const],
            name: `${name}: the alert of an abort is there before the call returns, and no later drop recalls it`,
            run(setting: Setting, cleanup: Cleanup) {
              const pair = new Pair(setting, cleanup, { ...point.options, version });
              const [held, other] = ends(pair, role);
              const { suspension } = hold(pair, role);
              pair.linger(4);
              const outbound = role === "client" ? pair.link.toServer! : pair.link.toClient!;
              const before = outbound.moved;
              held.tls.abort(ACCESS_DENIED);
              suspension[Symbol.dispose]();
              held.tls[Symbol.dispose]();
              pair.link.pump();
              that(outbound.moved > before, "the alert was there");
              pair.until(() => other.outcome() !== "none", "the outcome of the other end");
              oneOf(
                other.outcome(),
                [`alert-received(${ACCESS_DENIED})`, ...(point.otherEstablished ? CUT : [])],
                "outcome of the other end",
              );
            },
          },
        ]
      : []),
    {
      name: `${name}: dropped without resume`,
      run(setting, cleanup) {
        const pair = new Pair(setting, cleanup, { ...point.options, version });
        const [held] = ends(pair, role);
        const { suspension } = hold(pair, role);
        assertStill(pair, point);
        suspension[Symbol.dispose]();
        equal(held.outcome(), `alert-sent(${INTERNAL_ERROR})`, "outcome of who dropped it");
        assertRefused(pair, point, INTERNAL_ERROR);
      },
    },
    {
      name: `${name}: the other end leaves while it is held`,
      transports: ["memory", "nested"],
      run(setting, cleanup) {
        const pair = new Pair(setting, cleanup, { ...point.options, version });
        const [held] = ends(pair, role);
        const { suspension, resume } = hold(pair, role);
        (role === "client" ? pair.link.toClient : pair.link.toServer)!.cut();
        pair.linger(4);
        equal(suspension.at().tag, point.tag, "at, after the transport ended");
        oneOf(errorOf(resume), ["ok", "closed", "truncated"], "resume after the transport ended");
        pair.until(() => held.outcome() !== "none", "the outcome");
        equal(held.outcome(), "truncated", "outcome");
      },
    },
    {
      name: `${name}: a suspension is used up by resume`,
      run(setting, cleanup) {
        const pair = new Pair(setting, cleanup, { ...point.options, version });
        const { suspension, resume } = hold(pair, role);
        resume();
        that(
          throws(() => suspension.at()),
          "at of a consumed suspension is an error that can be caught",
        );
        that(throws(resume), "resume of a consumed suspension is an error that can be caught");
        pair.establish().talk();
      },
    },
  ];
}

function ends(pair: Pair, role: Point["role"]): [held: AnyEnd, other: AnyEnd] {
  return role === "client" ? [pair.client, pair.server] : [pair.server, pair.client];
}

function hold(pair: Pair, role: Point["role"]): Held {
  if (role === "client") {
    const suspension = pair.suspendClient();
    return { suspension, resume: () => ClientSuspension.resume(suspension) };
  }
  const suspension = pair.suspendServer();
  return { suspension, resume: () => ServerSuspension.resume(suspension) };
}

/** Nothing goes out, nothing comes in, and the other end is no further than TLS lets it be. */
function assertStill(pair: Pair, point: Point): void {
  const [held, other] = ends(pair, point.role) as [AnyEnd, AnyEnd];
  // What was on its way when the point was reached is not of the point's making.
  pair.linger(6);
  const outbound = point.role === "client" ? pair.link.toServer : pair.link.toClient;
  const before = outbound?.moved;
  pair.linger(10);
  equal(outbound?.moved, before, "bytes that left while suspended");
  equal(held.read() + other.read(), "", "application data that moved while suspended");
  equal(held.isEstablished, false, "established while suspended");
  if (!point.otherEstablished) equal(other.isEstablished, false, "the other end established");
  equal([held.outcome(), other.outcome()], ["none", "none"], "outcomes while suspended");
}

/** The other end learns that it was refused. */
function assertRefused(pair: Pair, point: Point, alert: number): void {
  const [held, other] = ends(pair, point.role) as [AnyEnd, AnyEnd];
  pair.until(() => other.outcome() !== "none", "the outcome of the other end");
  const told = `alert-received(${alert})`;
  oneOf(other.outcome(), point.alertArrives && !point.otherEstablished ? [told] : [told, ...CUT], "outcome of the other end");
  equal([held.isEstablished, other.isEstablished && !point.otherEstablished], [false, false], "established after all");
  equal(held.read() + other.read(), "", "application data that moved after all");
}

function throws(call: () => unknown): boolean {
  try {
    call();
    return false;
  } catch {
    return true;
  }
}
