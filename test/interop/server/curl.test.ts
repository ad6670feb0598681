import { afterEach, beforeAll, expect, test } from "vitest";
import type { TlsConnection } from "../../../host/tls/connection.ts";
import { makePki, type TestPki } from "../../support/pki.ts";
import { keyPair, outcomeOf, suspended } from "../../support/tls-over-tcp.ts";
import { Scene } from "../peers/process.ts";
import { curlClientWith } from "./clients.ts";
import { answerOnce, serve } from "./serve.ts";

let pki: TestPki;
const scene = new Scene();

beforeAll(async () => {
  pki = await makePki({ leaf: { dns: ["server.test"] }, intermediates: 2 });
});
afterEach(() => scene.end());

const speakingHttp1 = (connection: TlsConnection) => {
  connection.settings.identities = [keyPair(pki)];
  connection.settings.alpnIds = [Buffer.from("http/1.1")];
};
const curl = (port: number, rest: string[]) => curlClientWith(scene, { port, roots: [pki.root] }, rest);

test.each([
  ["--http1.1", ["http/1.1"]],
  ["--http2", ["h2", "http/1.1"]],
])("curl %s agrees on http/1.1", async (flag, offered) => {
  const served = await serve(scene, [], speakingHttp1);
  const client = curl(served.port, [flag]);
  const connection = await served.next();
  await answerOnce(connection);
  expect(await client.body()).toBe("gnip\n");
  expect(connection.hello?.alpnIds.map((id) => Buffer.from(id).toString())).toEqual(offered);
  expect((await client.handshake()).alpn).toBe("http/1.1");
});

test.each(["--http1.1", "--http2"])("curl %s is refused where only something else is spoken", async (flag) => {
  const served = await serve(scene, [], (connection) => {
    speakingHttp1(connection);
    connection.settings.alpnIds = [Buffer.from("acme-tls/1")];
  });
  const client = curl(served.port, [flag]);
  expect(await outcomeOf(await served.next())).toEqual({ tag: "err", val: { tag: "alert-sent", val: 120 } });
  expect(await client.alert()).toBe(120);
  expect(await client.process.exited()).toBe(35);
});

test("curl --no-alpn is served, as a client that offers nothing", async () => {
  const served = await serve(scene, [], speakingHttp1);
  const client = curl(served.port, ["--no-alpn"]);
  const connection = await served.next();
  await answerOnce(connection);
  expect(await client.body()).toBe("gnip\n");
  expect(connection.info()?.alpnId).toBeUndefined();
});

test("curl --tls-max 1.2 is served with TLS 1.2, and one that is asked for 1.3 is refused", async () => {
  const served = await serve(scene, [], speakingHttp1);
  const client = curl(served.port, ["--tls-max", "1.2"]);
  const connection = await served.next();
  await answerOnce(connection);
  expect(await client.body()).toBe("gnip\n");
  expect(connection.info()?.protocolVersion).toBe(0x0303);

  const strict = await serve(scene, [], (late) => {
    speakingHttp1(late);
    late.settings.minimumVersion = 0x0304;
  });
  const refused = curl(strict.port, ["--tls-max", "1.2"]);
  expect(await outcomeOf(await strict.next())).toEqual({ tag: "err", val: { tag: "alert-sent", val: 70 } });
  expect(await refused.alert()).toBe(70);
});

test("curl that speaks plain HTTP to a TLS port gets an alert, and the server a protocol error", async () => {
  const served = await serve(scene, [], speakingHttp1);
  const client = scene.start("curl", ["-sS", "--max-time", "10", `http://127.0.0.1:${served.port}/`]);
  const connection = await served.next();
  expect(await outcomeOf(connection)).toEqual({ tag: "err", val: { tag: "protocol" } });
  expect(connection.detail).toContain("not TLS");
  expect(await client.exited()).not.toBe(0);
});

test("curl for another name than the certificate's gives up, whatever the server thinks of it", async () => {
  const served = await serve(scene, ["client-hello"], speakingHttp1);
  const client = curlClientWith(scene, { port: served.port, roots: [pki.root], name: "other.test" }, []);
  const connection = await served.next();
  await suspended(connection);
  expect(connection.hello?.serverName).toEqual({ tag: "dns", name: "other.test" });
  connection.resume([]);
  expect(await client.process.exited()).toBe(60);
});
