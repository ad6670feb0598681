import { afterAll, afterEach, describe, expect, it } from "vitest";
import { Authority } from "../../../host/authority/authority.ts";
import { parseLimits } from "../../../host/authority/parse-limits.ts";
import type { AuditEvent } from "../../../host/gateway/audit.ts";
import type { GatewayGrants } from "../../../host/index.ts";
import { GatewayInstance, recordsOf, temporaryFolder } from "../../support/gateway-instance.ts";
import { witError } from "../../support/host-instance.ts";
import { makePki } from "../../support/pki.ts";
import { keyPair } from "../../support/tls-over-tcp.ts";

const folder = temporaryFolder();
const instances: GatewayInstance[] = [];
afterEach(() => instances.splice(0).forEach((instance) => instance.dispose()));
afterAll(() => folder.remove());

let files = 0;
function instance(options: GatewayGrants & { identities?: Record<string, ReturnType<typeof keyPair>> } = {}) {
  const { identities = {}, ...gateway } = options;
  const file = folder.path(`audit-${++files}`);
  const packed = Object.fromEntries(Object.entries(identities).map(([name, pair]) => [name, pair.forWorker()]));
  const it = new GatewayInstance({ gateway: { audit: { file }, ...gateway }, tls: { identities: packed } });
  instances.push(it);
  const record = (event: AuditEvent) => it.gateway["sallyport:gateway/audit"].record(event);
  return { it, record, records: () => recordsOf(file) };
}

describe("the record of a component", () => {
  it("holds what it says, under its name and the instance's", () => {
    const { record, records } = instance();
    record({
      kind: "client-hello",
      connection: 7n,
      decision: "intercept",
      serverName: "a.test",
      clientSide: { version: 0x0304, alpn: "h2" },
      duration: 1_500_000n,
    });
    const [first] = records();
    expect(first).toMatchObject({
      by: "component",
      event: "client-hello",
      connection: 7,
      decision: "intercept",
      server_name: "a.test",
      client_tls: { version: "0x0304", alpn: "h2" },
      duration_ms: 1,
    });
    expect(String(first?.["time"])).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    expect(String(first?.["instance"])).toMatch(/^[0-9a-f]{12}$/);
  });

  it("loses the query of a path, where tokens stand", () => {
    const { record, records } = instance();
    record({ kind: "request", method: "GET", path: "/a/b?token=s3cret#x" });
    expect(records()[0]).toMatchObject({ path: "/a/b" });
    expect(JSON.stringify(records())).not.toContain("s3cret");
  });

  it("is not needed where no file was named", () => {
    const it = new GatewayInstance();
    instances.push(it);
    it.gateway["sallyport:gateway/audit"].record({ kind: "other" });
  });
});

describe("a component cannot", () => {
  it("write in the host's name, whatever fields it makes up", () => {
    const { record, records } = instance();
    const forged = { kind: "dial", by: "host", time: "1970", instance: "0", dial: 1, event: "dial" } as unknown as AuditEvent;
    record(forged);
    record({ kind: "other", reason: '"}\n{"by":"host","event":"dial"}' });
    const all = records();
    expect(all).toHaveLength(2);
    for (const one of all) expect(one["by"]).toBe("component");
    expect(all[0]).not.toHaveProperty("dial");
    expect(all[0]?.["time"]).not.toBe("1970");
  });

  it("make a line too long to be read", () => {
    const { record, records } = instance();
    const text = "\u0001".repeat(100_000);
    record({ kind: "request", reason: text, path: text, error: text, rule: text, route: text, target: text, serverName: text });
    expect(records()).toMatchObject([{ by: "component", event: "request", cut: true }]);
  });

  it("go on where its record is refused in strict mode", async () => {
    const it = new GatewayInstance({ gateway: { audit: { file: folder.path("strict") } } });
    instances.push(it);
    it.dispose();
    expect(await witError(() => it.gateway["sallyport:gateway/audit"].record({ kind: "other" }))).toBe("not-recorded");
    const loose = new GatewayInstance({ gateway: { audit: { file: folder.path("loose"), mode: "best-effort" } } });
    instances.push(loose);
    loose.dispose();
    expect(await witError(() => loose.gateway["sallyport:gateway/audit"].record({ kind: "other" }))).toBe("no error");
  });

  it("open an identity that nobody records, or hide that it tried one that it was not granted", async () => {
    const pki = await makePki();
    const { it, records } = instance({ identities: { mine: keyPair(pki) } });
    const { PrivateIdentity } = it.gateway["sallyport:tls/identities"];
    PrivateIdentity.open("mine");
    expect(await witError(() => PrivateIdentity.open("other"))).toBe("not-found");
    expect(records()).toMatchObject([
      { by: "host", event: "identity", identity: "mine" },
      { by: "host", event: "identity-refused", identity: "other" },
    ]);
    it.dispose();
    expect(await witError(() => PrivateIdentity.open("mine"))).toBe("not-found");
  });

  it("have a certificate issued that nobody records", async () => {
    const authority = await Authority.ephemeral({ limits: parseLimits({ dns: ["example.com"] }), validity: 3600n });
    const { it, records } = instance({ authorities: { ca: authority.forWorker() } });
    const ca = it.gateway["sallyport:gateway/authorities"].Authority.open("ca");
    const request = (dns: string) => ({ names: [{ tag: "dns" as const, val: dns }], lifetime: 600n, key: "p256" as const });
    ca.issue(request("x.example.com"));
    expect(await witError(() => ca.issue(request("b.test")))).toBe("name-not-permitted");
    expect(records()).toMatchObject([
      { by: "host", event: "certificate", authority: "ca", names: ["x.example.com"] },
      { by: "host", event: "certificate-refused", authority: "ca", names: ["b.test"], reason: "name-not-permitted" },
    ]);
    it.dispose();
    expect(await witError(() => ca.issue(request("y.example.com")))).toBe("not-recorded");
  });
});
