import { beforeEach, describe, expect, test } from "vitest";
import type { Authority } from "../../../host/authority/authority.ts";
import { type AuthorityEvent, authorityImports } from "../../../host/authority/imports.ts";
import type { LeafRequest, RequestedName } from "../../../host/authority/leaf-plan.ts";
import { identityClasses } from "../../../host/identity/identity-classes.ts";
import { AnchorSet } from "../../../host/identity/trust-anchors.ts";
import { Ledger } from "../../../host/io/ledger.ts";
import { dns, ip, makeAuthority } from "../../support/authority.ts";
import { witError } from "../../support/host-instance.ts";

const authority: Authority = await makeAuthority({ dns: ["example.com"], ip: ["10.0.0.0/8"] });
let ledger: Ledger;
let events: AuthorityEvent[];
let identities: ReturnType<typeof identityClasses>;
let recordError: Error | undefined;
let imports: ReturnType<typeof authorityImports>;

beforeEach(() => {
  ledger = new Ledger();
  events = [];
  recordError = undefined;
  identities = identityClasses({ ledger, identities: new Map(), hostAnchors: AnchorSet.fromX509([]) });
  const record = (event: AuthorityEvent) => {
    if (recordError !== undefined) throw recordError;
    events.push(event);
  };
  imports = authorityImports({ ledger, identities, authorities: new Map([["leaves", authority]]), record });
});

const request = (names: RequestedName[], more: Partial<LeafRequest> = {}): LeafRequest => ({ names, lifetime: 60n, key: "p256", ...more });
const open = () => imports.Authority.open("leaves");

describe("an authority", () => {
  test("is opened by the name that it was granted under", async () => {
    expect(imports.Authority.names()).toEqual(["leaves"]);
    expect(await witError(() => imports.Authority.open("other"))).toBe("not-found");
    expect(await witError(() => imports.Authority.open("__proto__"))).toBe("not-found");
    expect(await witError(() => imports.Authority.open(""))).toBe("not-found");
  });

  test("says what it may issue", () => {
    const limits = open().limits();
    expect(limits).toMatchObject({ permittedDns: ["example.com"], longestLifetime: 86_400n, notAfter: authority.bounds.notAfter });
    expect(limits.permittedIp).toEqual([{ address: Uint8Array.of(10, 0, 0, 0), prefixLength: 8 }]);
  });

  test("is not changed by what a guest does to the answers", async () => {
    const mine = open();
    mine.limits().permittedDns.push("evil.test");
    mine.limits().permittedIp[0]!.address.fill(0);
    mine.chain().exportX509Chain()[0]!.fill(0);
    expect(await witError(() => mine.issue(request([dns("evil.test")])))).toBe("name-not-permitted");
    expect(await witError(() => mine.issue(request([ip(11, 0, 0, 1)])))).toBe("address-not-permitted");
    expect(mine.chain().exportX509Chain()[0]).toEqual(authority.chain.der[0]);
  });

  test("gives an identity that the instance's TLS takes, whose chain is leaf and intermediate", () => {
    const identity = open().issue(request([dns("example.com")]));
    expect(identity).toBeInstanceOf(identities.PrivateIdentity);
    const chain = identity.publicIdentity().exportX509Chain();
    expect(chain).toHaveLength(2);
    expect(chain[1]).toEqual(authority.chain.der[0]);
  });

  test("keeps what it was asked for, whatever becomes of the guest's bytes", () => {
    const address = Uint8Array.of(10, 0, 0, 1);
    open().issue(request([{ tag: "ip", val: address }]));
    address.fill(0);
    expect(events[0]).toMatchObject({ names: ["10.0.0.1"] });
  });
});

describe("the record", () => {
  test("has every certificate", () => {
    const identity = open().issue(request([dns("example.com"), ip(10, 0, 0, 1)]));
    const { leaf, fingerprint } = identity.keyPair.chain;
    expect(events).toEqual([
      {
        tag: "issued",
        authority: "leaves",
        names: ["example.com", "10.0.0.1"],
        serial: leaf.serialNumber.toLowerCase(),
        fingerprint: Buffer.from(fingerprint).toString("hex"),
        notBefore: BigInt(Date.parse(leaf.validFrom)) / 1000n,
        notAfter: BigInt(Date.parse(leaf.validTo)) / 1000n,
      },
    ]);
  });

  test("has every refusal, with nothing in it that could forge a line", async () => {
    const mine = open();
    await witError(() => mine.issue(request([dns('evil.test\n{"tag":"issued"}'), ip(1, 2, 3)])));
    await witError(() => mine.issue(request([dns("example.com")], { lifetime: 0n })));
    expect(events).toEqual([
      { tag: "refused", authority: "leaves", names: [String.raw`evil.test\0A{"tag":"issued"}`, "3 bytes"], reason: "malformed-name" },
      { tag: "refused", authority: "leaves", names: ["example.com"], reason: "lifetime-too-short" },
    ]);
  });

  test("is bounded, however much a guest sends", async () => {
    await witError(() => open().issue(request(Array.from({ length: 1000 }, () => dns("\0".repeat(100_000))))));
    expect(JSON.stringify(events).length).toBeLessThan(10_000);
  });

  test("shows letters that pass for others as what they are", async () => {
    await witError(() => open().issue(request([dns("\u0435xample.com"), dns("\u{1f600}")])));
    expect(events).toMatchObject([{ names: [String.raw`\u{435}xample.com`, String.raw`\u{1f600}`] }]);
  });

  test("that cannot be written: nothing is issued, and nothing held", async () => {
    const mine = open();
    const { handles } = ledger;
    recordError = new Error("disk full");
    expect(await witError(() => mine.issue(request([dns("example.com")])))).toBe("not-recorded");
    expect(await witError(() => mine.issue(request([dns("evil.test")])))).toBe("name-not-permitted");
    expect(ledger.handles).toBe(handles);
    recordError = undefined;
    expect(await witError(() => mine.issue(request([dns("example.com")])))).toBe("no error");
  });
});

describe("what an instance can make the host hold", () => {
  test("is 4096 identities, refused ones not counted", async () => {
    const mine = open();
    for (let i = 0; i < 20; i++) await witError(() => mine.issue(request([dns("evil.test")])));
    const held = Array.from({ length: 4096 }, () => mine.issue(request([dns("example.com")])));
    expect(await witError(() => mine.issue(request([dns("example.com")])))).toBe("too-many-held");
    expect(events.at(-1)).toMatchObject({ tag: "refused", reason: "too-many-held" });
    // Chains count too: they keep the same bytes.
    expect(() => held[0]!.publicIdentity()).toThrow(/limit reached/);
    held[0]![Symbol.dispose]();
    const chain = held[1]!.publicIdentity();
    held[1]![Symbol.dispose]();
    expect(await witError(() => mine.issue(request([dns("example.com")])))).toBe("no error");
    expect(await witError(() => mine.issue(request([dns("example.com")])))).toBe("too-many-held");
    chain[Symbol.dispose]();
    expect(await witError(() => mine.issue(request([dns("example.com")])))).toBe("no error");
  });

  test("counts against the instance's handles", () => {
    const mine = open();
    const { handles } = ledger;
    const identity = mine.issue(request([dns("example.com")]));
    expect(ledger.handles).toBe(handles + 1);
    identity[Symbol.dispose]();
    expect(ledger.handles).toBe(handles);
  });

  test("is nothing once the instance is closed", () => {
    const mine = open();
    ledger.close();
    expect(() => mine.issue(request([dns("example.com")]))).toThrow(/closed/);
  });
});
