import { beforeAll, describe, expect, test } from "vitest";
import { identityClasses } from "../../../host/identity/identity-classes.ts";
import { AnchorSet } from "../../../host/identity/trust-anchors.ts";
import { Ledger } from "../../../host/io/ledger.ts";
import { TlsConnection } from "../../../host/tls/connection.ts";
import { connectionImports } from "../../../host/tls/imports.ts";
import { SharedBudget } from "../../../host/tls/shared-budget.ts";
import type { TlsHost } from "../../../host/tls/tls-host.ts";
import { makePki, type TestPki } from "../../support/pki.ts";
import { target, tlsHost } from "../../support/tls-over-tcp.ts";

/** What a guest can make the host keep by what it configures connections with. */

let pki: TestPki;
beforeAll(async () => {
  pki = await makePki({ leaf: { dns: ["server.test"] } });
});

describe("a budget that is shared", () => {
  test("counts once what has several users, and until the last of them leaves", () => {
    const budget = new SharedBudget(10);
    expect(budget.enter("a", 6)).toBe(true);
    expect(budget.enter("a", 6)).toBe(true);
    expect(budget.enter("b", 6)).toBe(false);
    budget.leave("a");
    expect(budget.enter("b", 6)).toBe(false);
    budget.leave("a");
    expect(budget.enter("b", 6)).toBe(true);
    expect(budget.total).toBe(6);
  });

  test("takes one thing of any size, and what weighs nothing always", () => {
    const budget = new SharedBudget(10);
    expect(budget.enter("a", 60)).toBe(true);
    expect(budget.enter("b", 1)).toBe(false);
    expect(budget.enter("c", 0)).toBe(true);
  });

  test("is not lowered by leaving what was never entered", () => {
    const budget = new SharedBudget(10);
    budget.enter("a", 6);
    budget.leave("b");
    expect(budget.total).toBe(6);
  });
});

describe("large revocation lists", () => {
  test("are not multiplied by settings that differ: past the budget a connection is not permitted", () => {
    const host = tlsHost({ anchors: AnchorSet.fromX509([pki.root.der], [listOf(6_000_000)]) });
    const settled = [0x001d, 0x0017, 0x0018, 0x0019, 0x001e, 0x11ec].map((group) => startedClient(host, group));
    expect(settled.filter((connection) => connection.outcome === undefined).length).toBeGreaterThan(1);
    expect(settled.at(-1)!.outcome).toEqual({ tag: "err", val: { tag: "not-permitted" } });
    // The same settings again cost nothing, and what has ended makes room.
    expect(startedClient(host, 0x001d).outcome).toBeUndefined();
    settled[1]!.terminate();
    expect(startedClient(host, 0x001e).outcome).toBeUndefined();
    host.close();
    expect(host.contexts.total).toBe(0);
  });

  test("are counted while a connection has them, whether or not the handle was dropped", () => {
    const host = tlsHost();
    const ledger = new Ledger();
    const identities = identityClasses({ ledger, identities: new Map(), hostAnchors: host.anchors });
    const { Client } = connectionImports({ ledger, tls: host, identities }) as unknown as { Client: ClientClass };
    const clients: InstanceType<ClientClass>[] = [];
    const configure = (client: InstanceType<ClientClass>) => {
      const anchors = identities.TrustAnchors.fromX509([pki.root.der], false, [listOf(9_000_000)]);
      try {
        client.configureVerification({ anchors, names: [] });
      } finally {
        anchors[Symbol.dispose]();
      }
    };
    for (let i = 0; i < 7; i++) {
      const client = new Client("server.test", {});
      clients.push(client);
      configure(client);
    }
    const another = new Client("server.test", {});
    expect(() => configure(another)).toThrow(expect.objectContaining({ payload: { tag: "not-permitted" } }));
    // In place of what it had, not in addition to it, and free again when it ends.
    clients[0]!.configureVerification({ names: [] });
    configure(another);
    for (const client of [...clients, another]) client[Symbol.dispose]();
    expect(host.configured.total).toBe(0);
  });
});

type ClientClass = new (
  name: string,
  points: object,
) => Disposable & { configureVerification(verification: { anchors?: unknown; names: string[] }): void };

function startedClient(host: TlsHost, group: number): TlsConnection {
  const connection = new TlsConnection(host, { role: "client", points: new Set() }, target("server.test"));
  connection.settings.groups = [group];
  connection.start();
  return connection;
}

/** A revocation list that names nobody and is `length` bytes long, by an extension of no meaning. */
function listOf(length: number): Uint8Array {
  const algorithm = der(0x30, Buffer.from("06082a8648ce3d040302", "hex"));
  const time = (text: string) => der(0x17, Buffer.from(text));
  const extension = der(0x30, Buffer.from("06032a0304", "hex"), der(4, new Uint8Array(length)));
  const extensions = der(0xa0, der(0x30, extension));
  const tbs = der(0x30, der(2, Uint8Array.of(1)), algorithm, der(0x30), time("240101000000Z"), time("490101000000Z"), extensions);
  return new Uint8Array(der(0x30, tbs, algorithm, der(3, Uint8Array.of(0, 1, 2))));
}

function der(tag: number, ...parts: Uint8Array[]): Uint8Array {
  const body = Buffer.concat(parts);
  const { length } = body;
  const bytes = length < 0x80 ? 0 : length < 0x100 ? 1 : length < 0x1_0000 ? 2 : 3;
  const size = Buffer.alloc(bytes);
  if (bytes > 0) size.writeUIntBE(length, 0, bytes);
  return Buffer.concat([Uint8Array.of(tag, bytes === 0 ? length : 0x80 + bytes), size, body]);
}
