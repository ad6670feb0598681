import { afterAll, afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { AuditEvent } from "../../../host/gateway/audit.ts";
import type { Rates } from "../../../host/gateway/rate-limit.ts";
import type { GatewayGrants } from "../../../host/index.ts";
import { makeAuthority } from "../../support/authority.ts";
import { GatewayInstance, recordsOf, temporaryFolder } from "../../support/gateway-instance.ts";
import { witError } from "../../support/host-instance.ts";

const folder = temporaryFolder();
const instances: GatewayInstance[] = [];
beforeEach(() => void vi.useFakeTimers({ toFake: ["performance", "setTimeout", "clearTimeout"] }));
afterEach(() => {
  instances.splice(0).forEach((instance) => instance.dispose());
  vi.useRealTimers();
});
afterAll(() => folder.remove());

let files = 0;
function instance(rates: Partial<Rates>, gateway: GatewayGrants = {}, mode: "strict" | "best-effort" = "best-effort") {
  const file = folder.path(`audit-${++files}`);
  const made = new GatewayInstance({ gateway: { audit: { file, mode, fsync: "none" }, rates, dial: {}, ...gateway } });
  instances.push(made);
  const record = (event: Partial<AuditEvent> = {}) => made.gateway["sallyport:gateway/audit"].record({ kind: "other", ...event });
  return {
    made,
    record,
    records: () => recordsOf(file),
    /** They may be written at the end of the turn. */
    async ofComponent() {
      await new Promise((resolve) => setImmediate(resolve));
      return recordsOf(file).filter(({ by }) => by === "component");
    },
    over: () => recordsOf(file).filter(({ event }) => event === "over-limit"),
  };
}
const times = (count: number, act: () => void) => Array.from({ length: count }, act);

describe("records of a component", () => {
  it("are so many in a second, and what comes on top is told by the host in one record", async () => {
    const { record, ofComponent, over } = instance({ auditRecords: 10 });
    times(30, record);
    expect(await ofComponent()).toHaveLength(10);
    expect(over()).toEqual([]);
    vi.advanceTimersByTime(1000);
    expect(over()).toMatchObject([{ by: "host", limit: "audit-records", most: 10, count: 20 }]);
    times(11, record);
    expect(await ofComponent()).toHaveLength(20);
    vi.advanceTimersByTime(1000);
    expect(over().map(({ count }) => count)).toEqual([20, 1]);
  });

  it("are so many for one connection, and leave room for those of others", async () => {
    const { record, ofComponent, over } = instance({ auditRecordsPerConnection: 3 });
    times(10, () => record({ connection: 1n }));
    record({ connection: 2n });
    record();
    expect((await ofComponent()).map(({ connection }) => connection)).toEqual([1, 1, 1, 2, undefined]);
    vi.advanceTimersByTime(1000);
    expect(over()).toMatchObject([{ limit: "audit-records-of-connection", count: 7 }]);
  });

  it("count as often as they are long", async () => {
    const { record, ofComponent } = instance({ auditRecords: 10 });
    times(10, () => record({ reason: "x".repeat(1000), error: "x".repeat(1000), path: "x".repeat(2100) }));
    expect(await ofComponent()).toHaveLength(2);
  });

  it("that go beyond are refused where everything has to be recorded, and only then", async () => {
    const strict = instance({ auditRecords: 1 }, {}, "strict");
    strict.record();
    expect(await witError(() => strict.record())).toBe("not-recorded");
    const lax = instance({ auditRecords: 1 });
    lax.record();
    expect(await witError(() => lax.record())).toBe("no error");
    expect(await lax.ofComponent()).toHaveLength(1);
  });

  it("that went beyond are told of when the instance ends first", () => {
    const { made, record, records } = instance({ auditRecords: 1 });
    times(5, record);
    made.dispose();
    expect(records().at(-1)).toMatchObject({ event: "over-limit", count: 4 });
  });

  it("cost nothing where none are kept", async () => {
    const { record } = instance({ auditRecords: 1 }, { audit: undefined });
    expect(await witError(() => times(5, record))).toBe("no error");
  });
});

describe("dials", () => {
  it("are so many in a second, refused ones too, and no record more than that", async () => {
    const { made, records, over } = instance({ dials: 3 });
    const { dial } = made.gateway["sallyport:gateway/dial"];
    const outcomes: unknown[] = [];
    for (let i = 0; i < 8; i++) outcomes.push(await witError(() => dial("10.0.0.1", 443, {})));
    expect(outcomes.slice(0, 3)).toEqual(["no error", "no error", "no error"]);
    expect(outcomes.slice(3)).toEqual(Array.from({ length: 5 }, () => "too-many"));
    expect(records().filter(({ event }) => event === "dial-refused")).toHaveLength(3);
    vi.advanceTimersByTime(1000);
    expect(over()).toMatchObject([{ limit: "dials", count: 5 }]);
    expect(await witError(() => dial("10.0.0.1", 443, {}))).toBe("no error");
  });
});

describe("certificates", () => {
  const authorities = async () => ({ leaves: (await makeAuthority({ dns: ["example.com"] })).forWorker() });
  const request = (name: string) => ({
    names: [{ tag: "dns" as const, val: name }],
    notBefore: undefined,
    lifetime: 3600n,
    key: "p256" as const,
  });

  it("are so many in a second, refused ones too", async () => {
    const { made, records, over } = instance({ certificates: 2 }, { authorities: await authorities() });
    const authority = made.gateway["sallyport:gateway/authorities"].Authority.open("leaves");
    authority.issue(request("a.example.com"));
    expect(await witError(() => authority.issue(request("evil.test")))).toBe("name-not-permitted");
    for (let i = 0; i < 5; i++) expect(await witError(() => authority.issue(request("evil.test")))).toBe("over-limit");
    expect(records().map(({ event }) => event)).toEqual(["certificate", "certificate-refused"]);
    vi.advanceTimersByTime(1000);
    expect(over()).toMatchObject([{ limit: "certificates", count: 5 }]);
    authority.issue(request("a.example.com"));
  });

  it("are for so many names in all the life of an instance, and again for those that it had", async () => {
    const { made, over } = instance({ certificateNames: 2 }, { authorities: await authorities() });
    const authority = made.gateway["sallyport:gateway/authorities"].Authority.open("leaves");
    for (const name of ["a.example.com", "b.example.com", "a.example.com"]) authority.issue(request(name));
    expect(await witError(() => authority.issue(request("c.example.com")))).toBe("over-limit");
    // What was refused has not become one of the names.
    expect(await witError(() => authority.issue(request("evil.test")))).toBe("over-limit");
    vi.advanceTimersByTime(3_600_000);
    expect(await witError(() => authority.issue(request("c.example.com")))).toBe("over-limit");
    authority.issue(request("b.example.com"));
    expect(over()[0]).toMatchObject({ limit: "certificate-names", count: 2 });
  });
});

describe("identities", () => {
  it("are opened, or not found, so often in a second", async () => {
    const { made, records } = instance({});
    const { PrivateIdentity } = made.gateway["sallyport:tls/identities"];
    for (let i = 0; i < 6000; i++) expect(await witError(() => PrivateIdentity.open("none"))).toBe("not-found");
    expect(records().filter(({ event }) => event === "identity-refused")).toHaveLength(5000);
  });
});
