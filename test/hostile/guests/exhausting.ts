import { subscribeDuration } from "wasi:clocks/monotonic-clock@0.2.12";
import { createTcpSocket } from "wasi:sockets/tcp-create-socket@0.2.12";
import { Client, Server } from "sallyport:tls/connection@0.1.0";
import { PrivateIdentity, TrustAnchors } from "sallyport:tls/identities@0.1.0";
import { u64 } from "../../../src/bindings/integers.ts";
import { errorOf } from "../../conformance/guests/expect.ts";
import { rest } from "../../conformance/guests/tcp.ts";
import type { Attack } from "./attack.ts";

/** Takes all of something. */
export const exhausting: Record<string, Attack> = {
  spin(_, say) {
    say("spinning");
    for (;;);
  },
  /** Never blocks, but calls the host all the time. */
  "spin on a call"(_, say) {
    say("spinning");
    const timer = subscribeDuration(u64(1e15));
    while (!timer.ready());
  },
  recurse: () => void recurse(0),
  "allocate bytes"() {
    const held: Uint8Array[] = [];
    for (;;) held.push(new Uint8Array(1 << 20).fill(1));
  },
  "allocate text"() {
    let text = "sallyport";
    for (;;) text += text;
  },
  "hoard pollables": () => hoard(() => subscribeDuration(u64(1e15))),
  "hoard streams": () => hoard(() => new Client("server.test", {}).streams()),
  "hoard sockets": () => hoard(() => createTcpSocket("ipv4")),
  "hoard identities": () => hoard(() => PrivateIdentity.open("server").publicIdentity()),
  "hoard anchors": () => hoard(() => TrustAnchors.host()),
  /** Connections have a limit of their own, which is an error that can be caught; dropping some makes room. */
  "hoard connections"(_, say) {
    const held: (Client | Server)[] = [];
    let refused = "ok";
    while (refused === "ok") {
      refused = errorOf(() => held.push(held.length % 2 === 0 ? new Client("server.test", {}) : new Server({})));
    }
    say(`${held.length} ${refused}`);
    held.pop()![Symbol.dispose]();
    say(errorOf(() => held.push(new Client("server.test", {}))));
    say(errorOf(() => held.push(new Server({}))));
  },
  /** As many handshakes as it may have, none of which will ever be finished. */
  "hoard handshakes"([wait], say) {
    const held: unknown[] = [];
    let refused = "ok";
    while (refused === "ok") {
      refused = errorOf(() => {
        const client = new Client("server.test", {});
        const streams = client.streams();
        client.start();
        held.push({ client, streams });
      });
    }
    say(`${held.length} ${refused}`);
    rest(Number(wait));
    const clients = held as { client: Client }[];
    say(clients.every(({ client }) => client.outcome()?.tag === "err") ? "all timed out" : "some still wait");
    say(errorOf(() => new Client("server.test", {})));
  },
};

function recurse(depth: number): number {
  return recurse(depth + 1) + 1;
}

function hoard(take: () => unknown): never {
  const held: unknown[] = [];
  for (;;) held.push(take());
}
