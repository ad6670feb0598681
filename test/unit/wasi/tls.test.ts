import { expect, test } from "vitest";
import { InputStream } from "../../../host/io/input-stream.ts";
import { Ledger } from "../../../host/io/ledger.ts";
import { OutputStream } from "../../../host/io/output-stream.ts";
import { pipe } from "../../../host/io/pipe.ts";
import { wasiTlsImports } from "../../../host/wasi/tls.ts";
import { tlsHost } from "../../support/tls-over-tcp.ts";

interface Handshake extends Disposable {
  readonly dropped: boolean;
}
interface Imports {
  ClientHandshake: { new (name: string, input: InputStream, output: OutputStream): Handshake; finish(handshake: Handshake): Disposable };
}

function given() {
  const ledger = new Ledger();
  const host = tlsHost();
  const [inbound, outbound] = [pipe(1000), pipe(1000)];
  const { ClientHandshake } = wasiTlsImports(ledger, host) as unknown as Imports;
  const begin = (name: string) =>
    new ClientHandshake(name, new InputStream(ledger, inbound.source), new OutputStream(ledger, outbound.sink));
  return { ledger, host, inbound, outbound, ClientHandshake, begin };
}

test("a handshake that is dropped before it was finished gives up its streams", () => {
  const { ledger, host, inbound, outbound, begin } = given();
  begin("server.test")[Symbol.dispose]();
  expect(inbound.sink.state().tag).toBe("closed");
  expect(outbound.source.state().tag).toBe("failed");
  expect([ledger.handles, host.connections]).toEqual([0, 0]);
});

test("a handshake that is finished keeps them, until what came of it is dropped", () => {
  const { ledger, host, inbound, outbound, begin, ClientHandshake } = given();
  const future = ClientHandshake.finish(begin("server.test"));
  expect(inbound.sink.state().tag).toBe("open");
  expect(outbound.source.available()).toBeGreaterThan(0);
  future[Symbol.dispose]();
  expect(inbound.sink.state().tag).toBe("closed");
  expect(outbound.source.state().tag).toBe("failed");
  expect([ledger.handles, host.connections]).toEqual([0, 0]);
});

test("a name that is none is refused, and the streams are given up", () => {
  const { ledger, host, inbound, begin, ClientHandshake } = given();
  ClientHandshake.finish(begin("not a name"))[Symbol.dispose]();
  expect(inbound.sink.state().tag).toBe("closed");
  expect([ledger.handles, host.connections]).toEqual([0, 0]);
});
