import { now, subscribeDuration } from "wasi:clocks/monotonic-clock@0.2.12";
import { poll } from "wasi:io/poll@0.2.12";
import type { InputStream, OutputStream } from "wasi:io/streams@0.2.12";
import { instanceNetwork } from "wasi:sockets/instance-network@0.2.12";
import { resolveAddresses } from "wasi:sockets/ip-name-lookup@0.2.12";
import { createTcpSocket } from "wasi:sockets/tcp-create-socket@0.2.12";
import type { TcpSocket } from "wasi:sockets/tcp@0.2.12";
import { isErrorValue } from "../../../../src/bindings/errors.ts";
import { numberOfU64, u64 } from "../../../../src/bindings/integers.ts";
import { bytesOf, equal, errorOf, oneOf, refuses, textOf, that } from "../expect.ts";
import type { Case, Cleanup, Setting } from "../program.ts";
import { dial, rest } from "../tcp.ts";

/** One end of two connections that the peer has joined. */
interface End {
  socket: TcpSocket;
  input: InputStream;
  output: OutputStream;
}

/** wasi:sockets as TLS stands on it. The peer joins every two connections. */
export const sockets: Case[] = [
  {
    name: "tcp: bytes arrive, in both directions",
    run(setting, cleanup) {
      const [a, b] = joined(setting, cleanup);
      say(a, "from a");
      equal(hear(b, 6), "from a", "what b heard");
      say(b, "from b");
      equal(hear(a, 6), "from b", "what a heard");
    },
  },
  {
    name: "tcp: a shut down direction ends, and the other goes on",
    run(setting, cleanup) {
      const [a, b] = joined(setting, cleanup);
      say(a, "last");
      a.socket.shutdown("send");
      equal(hearToEnd(b), "last", "what b heard");
      refuses(() => b.input.read(u64(10)), "closed", "a further read");
      say(b, "still");
      equal(hear(a, 5), "still", "what a heard");
      oneOf(
        errorOf(() => a.output.checkWrite()),
        ["closed", "last-operation-failed"],
        "check-write of a direction that was shut down",
      );
      b.socket.shutdown("send");
      equal(hearToEnd(a), "", "what was left for a");
    },
  },
  {
    name: "tcp: a pollable of a stream is ready when there is something to read, and not before",
    run(setting, cleanup) {
      const [a, b] = joined(setting, cleanup);
      using readable = b.input.subscribe();
      equal(readable.ready(), false, "ready before anything was said");
      say(a, "x");
      readable.block();
      equal(textOf(b.input.read(u64(10))), "x", "what b heard");
      a.socket.shutdown("send");
      // It may be ready once too often, and then there is nothing to read.
      let answer = "ok";
      for (let i = 0; i < 1000 && answer === "ok"; i++) {
        readable.block();
        answer = errorOf(() => b.input.read(u64(10)));
      }
      equal(answer, "closed", "read at the end");
    },
  },
  {
    name: "tcp: a read of nothing takes nothing, and one of less leaves the rest",
    run(setting, cleanup) {
      const [a, b] = joined(setting, cleanup);
      equal(b.input.read(u64(10)).length, 0, "read before anything was said");
      say(a, "abcdef");
      equal(textOf(b.input.blockingRead(u64(2))), "ab", "the first two");
      equal(b.input.read(u64(0)).length, 0, "read of nothing");
      equal(numberOfU64(b.input.blockingSkip(u64(2))), 2, "skipped");
      equal(hear(b, 2), "ef", "the rest");
    },
  },
  {
    name: "tcp: splice moves what is there",
    run(setting, cleanup) {
      const [a, b] = joined(setting, cleanup);
      say(a, "there and back");
      let moved = 0;
      while (moved < 14) moved += numberOfU64(b.output.blockingSplice(b.input, u64(14 - moved)));
      equal(hear(a, 14), "there and back", "what came back");
    },
  },
  {
    name: "tcp: zeroes are bytes",
    run(setting, cleanup) {
      const [a, b] = joined(setting, cleanup);
      a.output.blockingWriteZeroesAndFlush(u64(10));
      equal(hear(b, 10), "\0".repeat(10), "what b heard");
    },
  },
  {
    name: "tcp: a peer that does not read stops the writer, and loses nothing",
    run(setting, cleanup) {
      const [a, b] = joined(setting, cleanup);
      let written = 0;
      for (let idle = 0; idle < 20;) {
        const permit = Math.min(numberOfU64(a.output.checkWrite()), 65_536);
        if (permit > 0) a.output.write(new Uint8Array(permit));
        written += permit;
        idle = permit > 0 ? 0 : idle + 1;
        that(written <= 64 * 1024 * 1024, "memory in flight is bounded");
        rest();
      }
      for (let read = 0; read < written;) read += b.input.blockingRead(u64(65_536)).length;
      say(a, "more");
      equal(hear(b, 4), "more", "what came after it");
    },
  },
  {
    name: "poll: a guest that always finds something ready does not starve a connection",
    run(setting, cleanup) {
      const [a, b] = joined(setting, cleanup);
      using always = subscribeDuration(u64(0));
      always.block();
      using readable = b.input.subscribe();
      say(a, "x");
      const deadline = numberOfU64(now()) + 10_000_000_000;
      while (!Array.from(poll([always, readable])).includes(1)) that(numberOfU64(now()) < deadline, "the byte arrives");
    },
  },
  {
    name: "tcp: every call has its phase",
    run(setting, cleanup) {
      using network = instanceNetwork();
      const socket = createTcpSocket("ipv4");
      cleanup(() => socket[Symbol.dispose]());
      const remote = (port: number, address: [number, number, number, number]) => ({ tag: "ipv4" as const, val: { port, address } });
      equal([socket.addressFamily(), socket.isListening()], ["ipv4", false], "a new socket");
      refuses(() => socket.finishConnect(), "not-in-progress", "finish-connect of a new socket");
      refuses(() => socket.finishListen(), "not-in-progress", "finish-listen of a new socket");
      refuses(() => socket.finishBind(), "not-in-progress", "finish-bind of a new socket");
      refuses(() => socket.accept(), "invalid-state", "accept of a new socket");
      refuses(() => socket.localAddress(), "invalid-state", "local-address of a new socket");
      refuses(() => socket.remoteAddress(), "invalid-state", "remote-address of a new socket");
      refuses(() => socket.shutdown("both"), "invalid-state", "shutdown of a new socket");
      refuses(() => socket.startConnect(network, remote(0, [127, 0, 0, 1])), "invalid-argument", "port 0");
      refuses(() => socket.startConnect(network, remote(80, [0, 0, 0, 0])), "invalid-argument", "no address");
      refuses(() => socket.startConnect(network, remote(80, [224, 0, 0, 1])), "invalid-argument", "multicast");
      refuses(
        () => socket.startConnect(network, { tag: "ipv6", val: { port: 80, flowInfo: 0, address: [0, 0, 0, 0, 0, 0, 0, 1], scopeId: 0 } }),
        "invalid-argument",
        "an address of the other family",
      );
      refuses(() => socket.setHopLimit(0), "invalid-argument", "a hop limit of 0");
      refuses(() => socket.setKeepAliveCount(0), "invalid-argument", "a count of 0");
      refuses(() => socket.setListenBacklogSize(u64(0)), "invalid-argument", "a backlog of 0");

      const [{ socket: connected }] = joined(setting, cleanup);
      const { tag, val } = connected.remoteAddress();
      equal(`${val.address.join(".")}:${val.port}`, setting.peer, "remote-address");
      equal(tag, "ipv4", "its family");
      that(connected.localAddress().val.port > 0, "there is a local port");
      refuses(() => connected.startConnect(network, remote(80, [127, 0, 0, 1])), "invalid-state", "start-connect of a connected socket");
      refuses(() => connected.startListen(), "invalid-state", "start-listen of a connected socket");
      refuses(() => connected.accept(), "invalid-state", "accept of a connected socket");
    },
  },
  {
    name: "names: without the grant none is resolved",
    run() {
      using network = instanceNetwork();
      for (const name of ["localhost", "example.com"]) {
        const answer = errorOf(() => {
          using stream = resolveAddresses(network, name);
          {
            using ready = stream.subscribe();
            ready.block();
          }
          stream.resolveNextAddress();
        });
        oneOf(answer, ["access-denied", "permanent-resolver-failure", "name-unresolvable"], name);
      }
      oneOf(
        errorOf(() => resolveAddresses(network, "not a name")),
        ["invalid-argument", "permanent-resolver-failure"],
        "a text that is no name",
      );
    },
  },
  {
    name: "tcp: a socket dropped before its streams ends the instance",
    traps: true,
    run(setting) {
      const { socket, input } = dial(setting.peer, () => {});
      socket[Symbol.dispose]();
      input.read(u64(1));
    },
  },
];

function joined(setting: Setting, cleanup: Cleanup): [End, End] {
  const ends = [dial(setting.peer, cleanup), dial(setting.peer, cleanup)] as const;
  for (const { input, output } of ends) {
    cleanup(() => {
      input[Symbol.dispose]();
      output[Symbol.dispose]();
    });
  }
  return [ends[0], ends[1]];
}

function say({ output }: End, text: string): void {
  output.blockingWriteAndFlush(bytesOf(text));
}

function hear({ input }: End, length: number): string {
  let heard = "";
  while (heard.length < length) heard += textOf(input.blockingRead(u64(length - heard.length)));
  return heard;
}

function hearToEnd({ input }: End): string {
  let heard = "";
  for (;;) {
    try {
      heard += textOf(input.blockingRead(u64(4096)));
    } catch (error) {
      if (isErrorValue(error) && (error.payload as { tag: string }).tag === "closed") return heard;
      throw error;
    }
  }
}
