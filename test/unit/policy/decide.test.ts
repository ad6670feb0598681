import { describe, expect, it } from "vitest";
import { decideClientHello, decideConnect, decideRequest, explain, loadPolicy, parseHost, planLeaf } from "../../../src/policy/index.ts";
import { mutatedBytes, seededRandom } from "../../support/mutated-bytes.ts";
import { policies } from "../../support/decision-table.ts";

const closed = loadPolicy(JSON.stringify(policies.closed));
const grouped = loadPolicy(
  JSON.stringify({
    version: 1,
    default: "tunnel",
    hosts: [
      { id: "ops", match: ["a.example"], mode: "tunnel", groups: ["ops", "admins"] },
      { id: "dev", match: ["a.example"], mode: "intercept", groups: ["dev"] },
    ],
  }),
);

describe("groups", () => {
  const connect = (groups: string[]) => decideConnect(grouped, { host: "a.example", port: 443, groups });

  it("choose the first entry that is for one of them", () => {
    expect(connect(["admins"])).toMatchObject({ tag: "tunnel", because: { rule: "ops" } });
    expect(connect(["dev"])).toMatchObject({ tag: "intercept", because: { rule: "dev" } });
    expect(connect(["dev", "ops"])).toMatchObject({ tag: "tunnel" });
  });

  it("that an entry does not name are refused, and not left to the default", () => {
    for (const groups of [[], ["OPS"], ["op"], ["ops "], [""]])
      expect(connect(groups)).toEqual({ tag: "deny", because: { rule: "ops", reason: "group-required" } });
  });

  it("count for requests and hellos as well", () => {
    const hello = { serverName: { tag: "dns", name: "a.example" }, ech: false, target: undefined, port: 443 } as const;
    expect(decideClientHello(grouped, { ...hello, groups: [] }).tag).toBe("deny");
    expect(decideClientHello(grouped, { ...hello, groups: ["dev"] }).tag).toBe("intercept");
    const request = { host: "a.example", port: 443, secure: true, method: "GET", path: "/", authority: "a.example", upgrade: undefined };
    expect(decideRequest(grouped, { ...request, groups: [] })).toMatchObject({ tag: "deny", because: { reason: "group-required" } });
    expect(decideRequest(grouped, { ...request, groups: ["dev"] })).toMatchObject({ tag: "allow" });
  });
});

describe("a hello for another host than the one connected to", () => {
  const policy = loadPolicy(
    JSON.stringify({
      version: 1,
      sni_mismatch: "decide",
      hosts: [
        { match: ["ruled.example"], mode: "intercept", requests: { default: "deny" } },
        { match: ["a.example", "b.example"], mode: "intercept" },
      ],
    }),
  );
  const hello = (target: string, name: string) =>
    decideClientHello(policy, {
      serverName: { tag: "dns", name },
      ech: false,
      target: { host: target, port: 443 },
      port: 443,
      groups: [],
    });

  it("may be let through where both are treated alike", () => {
    expect(hello("a.example", "b.example")).toMatchObject({ tag: "intercept", host: { name: "b.example" } });
  });

  it("is never a way around rules for requests", () => {
    expect(hello("ruled.example", "a.example")).toMatchObject({ tag: "deny", because: { reason: "server-name-mismatch" } });
    expect(hello("a.example", "ruled.example")).toMatchObject({ tag: "deny", because: { reason: "server-name-mismatch" } });
  });
});

describe("an encrypted inner hello to an address, which has no outer name", () => {
  const hello = (ech: string | undefined, name: "none" | "other") =>
    decideClientHello(
      loadPolicy(JSON.stringify({ version: 1, ...(ech === undefined ? {} : { ech }), hosts: [{ match: ["192.0.2.1"], mode: "tunnel" }] })),
      {
        serverName: name === "none" ? { tag: "none" } : { tag: "dns", name: "other.example" },
        ech: true,
        target: { host: "192.0.2.1", port: 443 },
        port: 443,
        groups: [],
      },
    );

  it("is refused unless the policy goes by what is seen: browsers send false ones to addresses too", () => {
    for (const ech of [undefined, "deny"])
      expect(hello(ech, "none")).toEqual({ tag: "deny", because: { rule: "$.ech", reason: "encrypted-client-hello" } });
    expect(hello("outer", "none")).toMatchObject({ tag: "tunnel" });
  });

  it("opens no other host", () => expect(hello("outer", "other")).toMatchObject({ tag: "deny", because: { reason: "not-listed" } }));
});

describe("a route", () => {
  it("offers HTTP/1.1 alone where requests are decided on", () => {
    const decision = decideConnect(closed, { host: "api.example.com", port: 443, groups: [] });
    expect(decision).toMatchObject({ inspect: true, upstream: { alpn: ["http/1.1"] } });
  });

  it("keeps the order of preference, the pins and the identity of its entry", () => {
    const decision = decideConnect(closed, { host: "pinned.example.com", port: 443, groups: [] });
    expect(decision).toMatchObject({
      inspect: false,
      upstream: { alpn: ["http/1.1", "h2"], anchors: ["corp"], onlyAnchors: true, identity: "ci", pins: [new Uint8Array(32)] },
    });
  });

  it("to a host behind a front is still for that host", () => {
    const decision = decideConnect(closed, { host: "a.front.example", port: 443, groups: [] });
    expect(decision).toMatchObject({
      tag: "front",
      host: { name: "a.front.example" },
      front: { serverName: "cdn.test", verifyNames: ["cdn2.test"] },
    });
  });
});

describe("a leaf", () => {
  it("is planned for the one name, in its one spelling", () => {
    expect(plan("API.Example.com.")).toEqual({
      tag: "leaf",
      names: [{ tag: "dns", name: "api.example.com" }],
      lifetime: 86_400,
      key: "api.example.com",
    });
    expect(plan("::ffff:192.0.2.8")).toMatchObject({ tag: "leaf", key: "192.0.2.8" });
  });

  it.each(["example.com", "apiXexample.com", "xapi.example.com", "api.example.com.evil.test", "192.0.2.9", "2001:db8::1"])(
    "is not planned for %s",
    (name) => {
      expect(plan(name)).toMatchObject({ tag: "refused" });
    },
  );

  function plan(name: string) {
    const host = parseHost(name);
    if (host.tag === "invalid") throw new Error(host.fault);
    return planLeaf(closed, host);
  }
});

describe("an explanation", () => {
  const ask = (host: string, request?: { method: string; path: string }) => explain(closed, { host, port: 443, groups: [], request });

  it("names what was looked at, in order", () => {
    expect(ask("ops.example.com").steps).toEqual([
      { rule: "$.allow[1]", what: "is in the allow list" },
      { rule: "$.hosts[1].match[0]", what: "is for clients of other groups" },
      { rule: "$.hosts[10].match[0]", what: "matches: mode tunnel" },
    ]);
  });

  it("never says anything of a value that is set", () => {
    const policy = loadPolicy(
      JSON.stringify({
        version: 1,
        hosts: [
          { match: ["a.example"], mode: "intercept", requests: { default: "allow", set_headers: [{ name: "x-key", value: "hunter2" }] } },
        ],
      }),
    );
    const { text } = explain(policy, { host: "a.example", port: 443, groups: [], request: { method: "GET", path: "/" } });
    expect(text).toContain("sets x-key");
    expect(text).not.toContain("hunter2");
  });

  it("of a hostile name holds nothing that a terminal would obey", () => {
    const { text, request } = ask("\u001b[2Ja.example\r\n\u202e", { method: "GET", path: "/" });
    expect(text).not.toMatch(/[^\n -~]/);
    expect(request).toBeUndefined();
  });
});

describe("decisions on anything at all", () => {
  it("never throw, and let nothing through that is not what a rule names", () => {
    const random = seededRandom(4);
    const base = Buffer.from("api.example.com");
    for (let round = 0; round < 3000; round++) {
      const host = Buffer.from(mutatedBytes(base, random)).toString("latin1");
      const decision = decideConnect(closed, { host, port: 443, groups: [] });
      const hostOf = decision.tag === "deny" ? undefined : decision.host;
      if (hostOf?.tag === "dns") expect(hostOf.name).toMatch(/(^|\.)(example|example\.com)$/);
      const path = `/${Buffer.from(mutatedBytes(Buffer.from("files/../%2e/a?b"), random)).toString("latin1")}`;
      const request = {
        host: "api.example.com",
        port: 443,
        secure: true,
        method: "GET",
        path,
        authority: host,
        upgrade: undefined,
        groups: [],
      };
      const answer = decideRequest(closed, request);
      if (answer.tag === "allow") expect(parseHost(host.replace(/:443$/, ""))).toMatchObject({ name: "api.example.com" });
    }
  });
});
