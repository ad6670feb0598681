import type { IncomingHttpHeaders } from "node:http";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type BuiltGuest, buildGuest } from "../../support/guest-run.ts";
import { httpsServer, type TestServer } from "../../support/https-servers.ts";
import { makePki, type TestPki } from "../../support/pki.ts";
import { startProxy, type TestProxy, through } from "../../support/proxy.ts";

const names = ["a.test", "b.test", "outside.test", "tunnel.test", "example.com"];
let pki: TestPki;
let server: TestServer;
let seen: IncomingHttpHeaders | undefined;
let rules: BuiltGuest;
let example: BuiltGuest;
let proxy: TestProxy;
let exampleProxy: TestProxy;

beforeAll(async () => {
  pki = await makePki({ leaf: { dns: names } });
  server = await httpsServer(pki, (request, response) => {
    seen = request.headers;
    response.end("the page");
  });
  const world = { wit: "wit/policy/decisions.wit", world: "decider" };
  rules = await buildGuest({ entry: "test/component/proxy/guests/decider.ts", ...world });
  example = await buildGuest({ entry: "docs/examples/decisions-typescript/decisions.ts", ...world });
  [proxy, exampleProxy] = [await start(rules), await start(example)];
});
afterAll(async () => {
  for (const one of [proxy, exampleProxy]) await one[Symbol.asyncDispose]();
  for (const one of [rules, example]) await one.remove();
  await server[Symbol.asyncDispose]();
  expect(proxy.stderr()).toBe("");
});

function start({ code }: BuiltGuest): Promise<TestProxy> {
  return startProxy({
    // Would let everything through.
    policy: {
      version: 1,
      default: "tunnel",
      allow_networks: ["127.0.0.0/8"],
      anchors: { test: "test.pem" },
      ca: { permit: ["a.test", "b.test", "example.com"] },
    },
    anchors: { test: pki.root.pem },
    permit: { names: ["a.test", "b.test", "example.com"] },
    names: Object.fromEntries(names.map((name) => [name, ["127.0.0.1"]])),
    gateway: {
      dial: { allow: ["*"], allowNetworks: ["127.0.0.0/8"] },
      decider: { code, timeout: 400 },
    },
  });
}

const lastConnection = () => proxy.said("connection").at(-1);
const request = (line: string) => `${line} HTTP/1.1\r\nHost: a.test\r\nX-Gone: 1\r\nConnection: close\r\n\r\n`;
const ask = (host: string, send?: string) =>
  through(proxy, `${host}:${server.port}`, { servername: host, ca: [proxy.ca, pki.root.pem], ...(send === undefined ? {} : { send }) });

describe("rules in a component of their own", () => {
  it("decide on connections and requests, and what they change in a request is changed", async () => {
    const { text, authorized } = await ask("a.test", request("GET /"));
    expect([authorized, text]).toEqual([true, expect.stringContaining("the page")]);
    expect(seen).toMatchObject({ "x-put-in": "yes" });
    expect(seen).not.toHaveProperty("x-gone");
    expect(lastConnection()).toMatchObject({ decision: "intercept", rule: "own-rule", reason: "own words" });
    expect(proxy.said("request").find(({ decision }) => decision === "allow")).toMatchObject({ rule: "own-rule" });
  });

  it("tunnel", async () => {
    const { text, certificate } = await ask("tunnel.test");
    expect(text).toContain("the page");
    expect(certificate!.fingerprint256).toBe(pki.leaf.x509.fingerprint256);
  });

  it("refuse a connection with their own words, where the JSON policy would have let it through", async () => {
    const { connect, text } = await ask("elsewhere.test");
    expect([connect, text]).toEqual([403, expect.stringContaining("not-listed (default)")]);
  });

  it("refuse a hello that they let connect", async () => {
    expect(await ask("b.test")).toMatchObject({ connect: 200, text: "", ending: expect.stringMatching(/ALERT|EPROTO|ERR_SSL/) });
    expect(proxy.said("client-hello").at(-1)).toMatchObject({ decision: "deny", rule: "second-thoughts", reason: "changed-its-mind" });
  });

  it("refuse a request", async () => {
    expect((await ask("a.test", request("POST /"))).text).toMatch(/^HTTP\/1\.1 403 [^]*rule \(read-only\)/);
  });

  it("are those of the example", async () => {
    const denied = await through(exampleProxy, `a.test:${server.port}`, {});
    expect([denied.connect, denied.text]).toEqual([403, expect.stringContaining("not-listed (only-example)")]);
    const shown = await through(exampleProxy, "example.com:443", { servername: "example.com", ca: exampleProxy.ca });
    expect(shown).toMatchObject({ connect: 200, authorized: true });
    expect(shown.certificate!.subjectaltname).toBe("DNS:example.com");
    expect(exampleProxy.said("client-hello").at(-1)).toMatchObject({ decision: "intercept", rule: "example", route: "example.com" });
  });
});

describe("no is what it means when rules", () => {
  it.each([
    ["never answer", "spin.test", "decider-timeout", "timeout"],
    ["trap", "trap.test", "decider-trap", "trap"],
    ["answer with more than anybody reads", "huge.test", "decider-invalid-answer", "invalid-answer"],
  ])("%s, and the host records it, too", async (_, host, reason, failure) => {
    const { connect, text } = await ask(host);
    expect([connect, text]).toEqual([403, expect.stringContaining(reason)]);
    expect(lastConnection()).toMatchObject({ decision: "deny", rule: "built-in:decider", reason });
    const record = await proxy.recorded(({ by, event, failure: what }) => by === "host" && event === "decision-failed" && what === failure);
    expect(record.connection).toBe(lastConnection()!.connection);
    // The next instance answers.
    expect((await ask("tunnel.test")).text).toContain("the page");
  });

  it.each([
    ["name a host that is none", "name.test"],
    ["speak in the name of the proxy", "rule.test"],
    ["trust certificates that are nowhere", "anchors.test"],
    ["pin what is no hash", "pin.test"],
  ])("%s", async (_, host) => {
    expect((await ask(host)).connect).toBe(403);
    expect(lastConnection()).toMatchObject({ decision: "deny", rule: "built-in:decider", reason: "decider-invalid-answer" });
  });

  it("want a certificate that the authority is not for", async () => {
    expect((await ask("outside.test")).connect).toBe(403);
    expect(lastConnection()).toMatchObject({ decision: "deny", rule: "built-in:constraints", reason: "not-permitted-to-issue" });
    expect(proxy.records().some(({ event, names: issued }) => event === "certificate" && String(issued).includes("outside"))).toBe(false);
  });

  it("lead to a metadata service: the host does not connect there", async () => {
    expect((await ask("metadata.test")).connect).toBe(403);
    await proxy.recorded(({ by, event, host }) => by === "host" && event === "dial-refused" && host === "169.254.169.254");
  });

  it("never answer for a request, put two fields into one, or name a secret that there is not", async () => {
    seen = undefined;
    expect((await ask("a.test", request("GET /spin"))).text).toMatch(/^HTTP\/1\.1 403 [^]*decider-timeout/);
    expect((await ask("a.test", request("GET /field"))).text).toMatch(/^HTTP\/1\.1 400 /);
    expect((await ask("a.test", request("GET /secret"))).text).toMatch(/^HTTP\/1\.1 502 /);
    expect(seen).toBeUndefined();
  });

  it("are held up by one question: others are answered, one by one, when it has failed", async () => {
    const answers = await Promise.all([ask("spin.test"), ask("a.test", request("GET /")), ask("tunnel.test")]);
    expect(answers.map(({ connect }) => connect)).toEqual([403, 200, 200]);
  });

  it("are no rules: a component that exports something else answers nothing", async () => {
    const { proxyComponent } = await import("../../support/proxy.ts");
    const other = await start({ code: await proxyComponent(), remove: () => Promise.resolve() });
    try {
      expect((await through(other, `a.test:${server.port}`, {})).text).toContain("decider-trap");
    } finally {
      await other[Symbol.asyncDispose]();
    }
  });
});
