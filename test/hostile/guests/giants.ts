import { subscribeDuration } from "wasi:clocks/monotonic-clock@0.2.12";
import { poll } from "wasi:io/poll@0.2.12";
import { instanceNetwork } from "wasi:sockets/instance-network@0.2.12";
import { resolveAddresses } from "wasi:sockets/ip-name-lookup@0.2.12";
import { Client, Server } from "sallyport:tls/connection@0.1.0";
import { forward } from "sallyport:tls/forward@0.1.0";
import { PrivateIdentity, PublicIdentity, TrustAnchors } from "sallyport:tls/identities@0.1.0";
import { u64 } from "../../../src/bindings/integers.ts";
import { errorOf, u16s } from "../../conformance/guests/expect.ts";
import { memory, Pair } from "../../conformance/guests/pair.ts";
import type { Attack } from "./attack.ts";

const MIB = 1024 * 1024;

/** Gives the host more than it can want. */
export const giants: Record<string, Attack> = {
  giants(_, say) {
    const big = new Uint8Array(16 * MIB).fill(0x30);
    const text = "a".repeat(16 * MIB);
    const releases: (() => void)[] = [];
    const pair = new Pair(memory, (release) => releases.push(release)).establish();
    const client = new Client("server.test", {});
    const leaf = PrivateIdentity.open("server").publicIdentity().exportX509Chain()[0]!;
    const many = Array.from({ length: 20_000 }, () => leaf);
    const calls: Record<string, () => unknown> = {
      "a chain of 16 MiB": () => PublicIdentity.parse([big]),
      "a chain of many": () => PublicIdentity.parse(many),
      "a key of 16 MiB": () => PrivateIdentity.parse(big, [leaf]),
      "a PEM of 16 MiB": () => PrivateIdentity.parsePem(big, undefined),
      "a PEM of 16 MiB of dashes": () => PrivateIdentity.parsePem(new Uint8Array(16 * MIB).fill(0x2d), undefined),
      "a passphrase of 16 MiB": () => PrivateIdentity.parsePem(new Uint8Array(10), text),
      "anchors of 16 MiB": () => TrustAnchors.fromX509([big], false, []),
      "anchors of many": () => TrustAnchors.fromX509(many, false, []),
      "a revocation list of 16 MiB": () => TrustAnchors.fromX509([leaf], false, [big]),
      "an identity's name of 16 MiB": () => PrivateIdentity.open(text),
      "a server name of 16 MiB": () => new Client(text, {}),
      "a host name of 16 MiB": () => resolveAddresses(instanceNetwork(), text),
      "many names": () => client.configureVerification({ names: Array.from({ length: 100_000 }, () => "server.test") }),
      "many ALPN ids": () => client.configureAlpnIds(Array.from({ length: 200_000 }, () => Uint8Array.of(1))),
      "an ALPN id of 16 MiB": () => client.configureAlpnIds([big]),
      "many suites": () => client.configureCipherSuites(u16s(...Array.from({ length: 60_000 }, (_, i) => i))),
      "many groups": () => client.configureGroups(u16s(...Array.from({ length: 60_000 }, (_, i) => i))),
      "many schemes": () => client.configureSignatureSchemes(u16s(...Array.from({ length: 60_000 }, (_, i) => i))),
      "many identities": () => client.configureIdentities(Array.from({ length: 20_000 }, () => PrivateIdentity.open("server"))),
      "a label of 16 MiB": () => pair.client.tls.exportKeyingMaterial(text, undefined, 32),
      "a context of 16 MiB": () => pair.client.tls.exportKeyingMaterial("EXPORTER-x", big, 32),
      "a length of 2 GiB": () => pair.client.tls.exportKeyingMaterial("EXPORTER-x", undefined, 0x7fff_ffff),
      "a feature of 16 MiB": () => {
        if (Server.supports(text)) throw new Error("supported");
      },
    };
    for (const [name, call] of Object.entries(calls)) say(`${name}: ${errorOf(call)}`);
    // More than any one list may hold: the instance is still good for work.
    pair.talk();
    for (let release = releases.pop(); release !== undefined; release = releases.pop()) release();
    say("still works");
  },

  /** Numbers as large as this engine can pass. */
  numbers(_, say) {
    const huge = u64(Number.MAX_SAFE_INTEGER);
    const never = subscribeDuration(huge);
    const soon = subscribeDuration(u64(1_000_000));
    say(`polled ${Array.from(poll([never, soon])).join()}`);
    const releases: (() => void)[] = [];
    const [a, b] = [0, 1].map(() => new Pair(memory, (release) => releases.push(release)).establish());
    const forwarder = forward(a!.server.streams.privateInput, b!.client.streams.privateOutput, {
      limit: huge,
      idleTimeout: huge,
      atEnd: "propagate",
    });
    a!.client.write("through");
    let heard = "";
    b!.until(() => {
      a!.link.pump();
      return (heard += b!.server.read()) === "through";
    }, "what was forwarded");
    say(`read ${a!.client.streams.privateInput.read(huge).length}`);
    say(`skipped ${Number(a!.client.streams.privateInput.skip(huge))}`);
    forwarder[Symbol.dispose]();
    never[Symbol.dispose]();
    soon[Symbol.dispose]();
    for (let release = releases.pop(); release !== undefined; release = releases.pop()) release();
    say("still works");
  },

  /** Polls the same pollable very often in one list. */
  "poll much"(_, say) {
    const pollable = subscribeDuration(u64(1));
    say(`${poll(Array.from({ length: 50_000 }, () => pollable)).length}`);
  },
};
