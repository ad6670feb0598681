import { instanceNetwork } from "wasi:sockets/instance-network@0.2.12";
import { createTcpSocket } from "wasi:sockets/tcp-create-socket@0.2.12";
import { u64 } from "../../../src/bindings/integers.ts";
import { bytesOf } from "../../conformance/guests/expect.ts";
import { dial, rest } from "../../conformance/guests/tcp.ts";
import { memory, Pair } from "../../conformance/guests/pair.ts";
import type { Attack } from "./attack.ts";

/** Means well: what the others must not disturb. */
export const served: Record<string, Attack> = {
  /** Listens, and for every connection does a whole TLS handshake of its own before it answers. */
  serve(_, say) {
    const network = instanceNetwork();
    const listener = createTcpSocket("ipv4");
    listener.startBind(network, { tag: "ipv4", val: { port: 0, address: [127, 0, 0, 1] } });
    listener.finishBind();
    listener.startListen();
    const ready = listener.subscribe();
    ready.block();
    listener.finishListen();
    const address = listener.localAddress();
    say(`at ${address.val.port}`);
    for (;;) {
      ready.block();
      const [socket, input, output] = listener.accept();
      const releases: (() => void)[] = [];
      new Pair(memory, (release) => releases.push(release)).establish().talk();
      for (let release = releases.pop(); release !== undefined; release = releases.pop()) release();
      output.blockingWriteAndFlush(bytesOf("healthy"));
      output[Symbol.dispose]();
      input[Symbol.dispose]();
      socket[Symbol.dispose]();
    }
  },

  /** Sends a secret to itself by way of the peer, with TLS or without. */
  "send a secret"([how, peer, secret], say) {
    const request = `GET / HTTP/1.1\r\nAuthorization: Bearer ${secret}\r\n\r\n`;
    const releases: (() => void)[] = [];
    const cleanup = (release: () => void) => void releases.push(release);
    if (how === "tls") {
      const pair = new Pair({ ...memory, transport: "tcp", peer: peer! }, cleanup).establish();
      pair.send(pair.client, pair.server, request);
      pair.send(pair.server, pair.client, request);
    } else {
      const [from, to] = [dial(peer!, cleanup), dial(peer!, cleanup)];
      from.output.blockingWriteAndFlush(bytesOf(request));
      for (let read = 0; read < request.length; read += to.input.blockingRead(u64(4096)).length) rest();
      for (const it of [from.input, from.output, to.input, to.output]) it[Symbol.dispose]();
    }
    for (let release = releases.pop(); release !== undefined; release = releases.pop()) release();
    say("sent");
  },
};
