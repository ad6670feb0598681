import { ClientSuspension } from "sallyport:tls/connection@0.1.0";
import { bytesOf, equal, errorOf, oneOf, refuses, that } from "../expect.ts";
import { rest } from "../tcp.ts";
import { type AnyEnd, Pair, TLS12, TLS13 } from "../pair.ts";
import type { Case, Transport } from "../program.ts";

const versions: [number, string][] = [
  [TLS12, "TLS 1.2"],
  [TLS13, "TLS 1.3"],
];

/** Where the guest moves the bytes, and can stop doing so. */
const cuttable: { transports: Transport[] } = { transports: ["memory", "nested"] };

/** How a clean end looks: some hosts cannot tell it from a cut on transports that they move themselves, and say so. */
function clean(setting: { transport: Transport }): string[] {
  return setting.transport === "relay" ? ["authenticated", "unauthenticated"] : ["authenticated"];
}

const roles = ["client", "server"] as const;

export const endings: Case[] = [
  ...versions.flatMap(([version, title]): Case[] => [
    {
      name: `close, ${title}: close_notify from both ends`,
      run(setting, cleanup) {
        const pair = new Pair(setting, cleanup, { version }).establish();
        pair.talk();
        pair.client.tls.closeOutput();
        pair.client.tls.closeOutput();
        pair.until(() => pair.server.outcome() !== "none", "the outcome of the server");
        pair.server.tls.closeOutput();
        for (const outcome of pair.ended()) oneOf(outcome, clean(setting), "outcome");
        equal([pair.readToEnd(pair.client), pair.readToEnd(pair.server)], ["|closed", "|closed"], "what was left");
        equal([pair.client.tls.errorDetail(), pair.server.tls.errorDetail()], [undefined, undefined], "error-detail");
      },
    },
    ...roles.map((role): Case => ({
      name: `close, ${title}: the ${role} ends its direction and still hears the other`,
      run(setting, cleanup) {
        const pair = new Pair(setting, cleanup, { version }).establish();
        const [from, to] = role === "client" ? [pair.client, pair.server] : [pair.server, pair.client];
        from.write("the last words");
        from.tls.closeOutput();
        equal(
          errorOf(() => from.streams.privateOutput.checkWrite()),
          "closed",
          "private-output after close-output",
        );
        equal(pair.readToEnd(to), "the last words|closed", "what the other end heard");
        oneOf(to.outcome(), clean(setting), "outcome of the other end");
        equal(from.outcome(), "none", "outcome of who closed");
        pair.send(to, from, "and still an answer");
        to.tls.closeOutput();
        equal(pair.readToEnd(from), "|closed", "what is left");
      },
    })),
    {
      name: `close, ${title}: dropping private-output is close-output`,
      run(setting, cleanup) {
        const pair = new Pair(setting, cleanup, { version }).establish();
        pair.client.write("the last words");
        pair.client.streams.privateOutput[Symbol.dispose]();
        equal(pair.readToEnd(pair.server), "the last words|closed", "what the server heard");
        pair.send(pair.server, pair.client, "an answer");
      },
    },
    {
      name: `close, ${title}: asked for before the handshake is done, it comes after what was written`,
      run(setting, cleanup) {
        const pair = new Pair(setting, cleanup, { version, client: { connected: true } });
        pair.client.write("early");
        pair.client.tls.closeOutput();
        ClientSuspension.resume(pair.suspendClient());
        equal(pair.readToEnd(pair.server), "early|closed", "what the server heard");
      },
    },
    ...roles.flatMap((role): Case[] => [
      {
        ...cuttable,
        name: `cut, ${title}: a ${role} that detects it fails after what arrived`,
        run(setting, cleanup) {
          const pair = new Pair(setting, cleanup, { version }).establish();
          const [cut, other] = role === "client" ? [pair.client, pair.server] : [pair.server, pair.client];
          pair.talk();
          other.write("arrived");
          pair.linger(6);
          (role === "client" ? pair.link.toClient : pair.link.toServer)!.cut();
          equal(pair.readToEnd(cut), "arrived|truncated", "what was received");
          equal(cut.tls.outcome(), { tag: "ok", val: "truncated" }, "outcome");
          refuses(() => cut.streams.privateInput.read(0 as unknown as bigint), "closed", "a further read");
        },
      },
      {
        ...cuttable,
        name: `cut, ${title}: a ${role} that tolerates it sees an ordinary end, and the outcome tells`,
        run(setting, cleanup) {
          const pair = new Pair(setting, cleanup, {
            version,
            configureClient: (client) => client.configureTruncation("tolerate"),
            configureServer: (server) => server.configureTruncation("tolerate"),
          }).establish();
          const [cut, other] = role === "client" ? [pair.client, pair.server] : [pair.server, pair.client];
          other.write("arrived");
          pair.linger(6);
          (role === "client" ? pair.link.toClient : pair.link.toServer)!.cut();
          equal(pair.readToEnd(cut), "arrived|closed", "what was received");
          equal(cut.tls.outcome(), { tag: "ok", val: "truncated" }, "outcome");
        },
      },
      {
        ...cuttable,
        name: `cut, ${title}: a ${role} whose transport ends during the handshake`,
        run(setting, cleanup) {
          const pair = new Pair(setting, cleanup, { version, server: { clientHello: role === "client" } });
          const cut = role === "client" ? pair.client : pair.server;
          (role === "client" ? pair.link.toClient : pair.link.toServer)!.cut();
          pair.until(() => cut.outcome() !== "none", "the outcome");
          equal(cut.tls.outcome(), { tag: "err", val: { tag: "truncated" } }, "outcome");
          equal(cut.read() + cut.inputEnd, "truncated", "private-input");
          that((cut.tls.errorDetail() ?? "").length > 0, "there is a sentence about it");
        },
      },
      {
        name: `abort, ${title}: an established ${role}`,
        run(setting, cleanup) {
          const pair = new Pair(setting, cleanup, { version }).establish();
          const [from, to] = (role === "client" ? [pair.client, pair.server] : [pair.server, pair.client]) as [AnyEnd, AnyEnd];
          pair.talk();
          from.tls.abort(42);
          equal(from.outcome(), "alert-sent(42)", "outcome of who aborted");
          refuses(() => from.tls.abort(42), "closed", "abort again");
          equal(errorOf(() => from.streams.privateOutput.checkWrite()) !== "ok", true, "private-output is over");
          pair.until(() => to.outcome() !== "none", "the outcome of the other end");
          oneOf(to.outcome(), ["alert-received(42)", "truncated", "unauthenticated"], "outcome of the other end");
          that((from.tls.errorDetail() ?? "").length > 0, "there is a sentence about it");
        },
      },
    ]),
    {
      name: `alert, ${title}: what a stream failed of has the same code as the outcome`,
      run(setting, cleanup) {
        const pair = new Pair(setting, cleanup, { version, serverName: "other.test" });
        equal(pair.ended()[0], "certificate(name-mismatch)", "outcome");
        equal(pair.client.read() + pair.client.inputEnd, "certificate(name-mismatch)", "private-input of the client");
        equal(pair.server.read() + pair.server.inputEnd, "alert-received(42)", "private-input of the server");
        refuses(() => pair.client.streams.privateInput.read(1 as unknown as bigint), "closed", "a further read");
      },
    },
  ]),
  {
    transports: ["relay"],
    name: "close: what a server whose bytes the host moves can tell of it",
    run(setting, cleanup) {
      const pair = new Pair(setting, cleanup, { version: TLS13 }).establish();
      pair.talk();
      pair.client.tls.closeOutput();
      equal(pair.readToEnd(pair.server), "|closed", "what the server heard");
      oneOf(
        pair.server.outcome(),
        setting.relayedEnding === undefined ? ["authenticated", "unauthenticated"] : [setting.relayedEnding],
        "outcome of the server",
      );
    },
  },
  {
    ...cuttable,
    name: "not TLS: a server that is spoken to in HTTP",
    run(setting, cleanup) {
      const pair = new Pair(setting, cleanup);
      pair.link.toServer!.isShut = true;
      pair.link.toServer!.inject(bytesOf("GET / HTTP/1.1\r\nHost: server.test\r\n\r\n"));
      pair.until(() => pair.server.outcome() !== "none", "the outcome");
      equal(pair.server.outcome(), "protocol", "outcome");
    },
  },
  {
    ...cuttable,
    name: "not TLS: a client that is answered in HTTP",
    run(setting, cleanup) {
      const pair = new Pair(setting, cleanup);
      pair.link.toClient!.isShut = true;
      pair.link.toClient!.inject(bytesOf("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"));
      pair.until(() => pair.client.outcome() !== "none", "the outcome");
      equal(pair.client.outcome(), "protocol", "outcome");
    },
  },
  {
    ...cuttable,
    name: "changed bytes: a record that does not decrypt ends both ends, and nothing of it is delivered",
    run(setting, cleanup) {
      const pair = new Pair(setting, cleanup).establish();
      pair.talk();
      pair.linger(6);
      pair.link.toServer!.inject(Uint8Array.of(0x17, 3, 3, 0, 32, ...new Uint8Array(32)));
      pair.until(() => pair.server.outcome() !== "none", "the outcome of the server");
      oneOf(pair.server.outcome(), ["alert-sent(20)", "protocol"], "outcome of the server");
      equal(pair.server.read(), "", "application data");
      pair.until(() => pair.client.outcome() !== "none", "the outcome of the client");
      oneOf(pair.client.outcome(), ["alert-received(20)", "truncated"], "outcome of the client");
    },
  },
  {
    name: "back-pressure: a peer that does not read stops the writer, and loses nothing",
    run(setting, cleanup) {
      const pair = new Pair(setting, cleanup).establish();
      const { privateOutput } = pair.client.streams;
      let written = 0;
      // Until it stays full although the host had its turns.
      for (let idle = 0; idle < 20;) {
        const permit = Math.min(Number(privateOutput.checkWrite()), 65_536);
        if (permit > 0) privateOutput.write(new Uint8Array(permit).fill(120));
        written += permit;
        idle = permit > 0 ? 0 : idle + 1;
        that(written <= 64 * 1024 * 1024, "memory in flight is bounded");
        pair.link.pump();
        rest();
      }
      let read = 0;
      pair.until(() => (read += pair.server.skip()) === written, "everything that was written");
      pair.talk();
    },
  },
  {
    ...cuttable,
    name: "timeout: a handshake that the peer does not finish",
    isSlow: true,
    run(setting, cleanup) {
      const pair = new Pair(setting, cleanup, { server: { clientHello: true } });
      // Nor does either learn of the other's end.
      pair.link.toServer!.isShut = true;
      pair.link.toClient!.isShut = true;
      pair.until(() => pair.client.outcome() !== "none" && pair.server.outcome() !== "none", "the outcomes");
      equal([pair.client.outcome(), pair.server.outcome()], ["timeout", "timeout"], "outcomes");
    },
  },
  {
    name: "timeout: a suspension has all the time that the guest takes",
    isSlow: true,
    run(setting, cleanup) {
      const pair = new Pair(setting, cleanup, { client: { verifyServerIdentity: true } });
      const suspension = pair.suspendClient();
      rest(SLOW);
      equal(pair.client.outcome(), "none", "outcome of the suspended end");
      suspension[Symbol.dispose]();
    },
  },
];

/** Longer than the limit that the host is given for the slow cases, in milliseconds. */
const SLOW = 1500;
