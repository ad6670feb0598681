import { describe, expect, it } from "vitest";
import { loadPolicy, PolicyError } from "../../../src/policy/index.ts";
import { policies } from "../../support/decision-table.ts";

const pin = `sha256/${"A".repeat(43)}=`;

describe("a policy that is accepted", () => {
  it("has a default for everything but its version", () => {
    const { defaultMode, ports, allow, sniMismatch, ech, permitted, settings } = load({});
    expect({ defaultMode, ports, allow, sniMismatch, ech }).toEqual({
      defaultMode: "deny",
      ports: [443],
      allow: undefined,
      sniMismatch: "deny",
      ech: "deny",
    });
    expect(permitted).toEqual({ names: [], networks: [], isExplicit: false });
    expect(settings).toMatchObject({ leafLifetime: 86_400, audit: { path: undefined, mode: "best-effort", fsync: "second" } });
  });

  it("takes the names that certificates are needed for from its intercepted hosts, and no others", () => {
    const { permitted } = load({
      hosts: [
        { match: ["=a.example", "*.b.example", "192.0.2.0/24"], mode: "intercept" },
        { match: ["c.example"], mode: "front", front: { server_name: "cdn.test" } },
        { match: ["d.example"], mode: "tunnel" },
      ],
    });
    expect(permitted.names).toEqual(["a.example", "b.example", "c.example"]);
    expect(permitted.networks.map(({ text }) => text)).toEqual(["192.0.2.0/24"]);
  });

  it("keeps what those who run the proxy have to know", () => {
    const { settings } = load(policies.closed);
    expect(settings.secrets).toEqual(["gh", "s"]);
    expect(settings.identities).toEqual(["ci"]);
    expect(settings.anchors).toEqual(new Map([["corp", "corp.pem"]]));
  });

  it("may hide an entry for some groups behind one for all, but not the other way round", () => {
    const some = { match: ["a.example"], mode: "tunnel", groups: ["ops"] };
    const all = { match: ["a.example"], mode: "deny" };
    expect(() => load({ hosts: [some, all] })).not.toThrow();
    expect(faults({ hosts: [all, some] })).toEqual(["$.hosts[1].match[0]"]);
  });
});

describe("a policy that is refused names the place", () => {
  it.each<[string, object, string[]]>([
    ["an unknown member", { host: [] }, ["$.host"]],
    [
      "an unknown member far below",
      { hosts: [{ match: ["a.b"], mode: "intercept", requests: { default: "deny", rule: [] } }] },
      ["$.hosts[0].requests.rule"],
    ],
    ["another version", { version: 2 }, ["$.version"]],
    ["a number as text", { version: "1" }, ["$.version"]],
    ["a member that is null", { deny: null }, ["$.deny"]],
    ["an object for a list", { deny: {} }, ["$.deny"]],
    ["a mode that is none", { hosts: [{ match: ["a.b"], mode: "Tunnel" }] }, ["$.hosts[0].mode"]],
    ["a mode that only entries have", { default: "front" }, ["$.default"]],
    ["missing members", { hosts: [{}] }, ["$.hosts[0].match", "$.hosts[0].mode"]],
    ["an entry for no hosts", { hosts: [{ match: [], mode: "deny" }] }, ["$.hosts[0].match"]],
    ["a bare wildcard", { deny: ["*"] }, ["$.deny[0]"]],
    ["a wildcard within a name", { deny: ["*foo.example", "a.*.example"] }, ["$.deny[0]", "$.deny[1]"]],
    ["a name outside ASCII", { allow: ["bücher.example", "a。example"] }, ["$.allow[0]", "$.allow[1]"]],
    [
      "a port out of range",
      { allow: ["a.example:0", "a.example:65536", "a.example:x", "a.example:"] },
      ["$.allow[0]", "$.allow[1]", "$.allow[2]", "$.allow[3]"],
    ],
    [
      "an address in an odd spelling",
      { deny: ["127.1", "0x7f.1", "10.0.0.1/8", "1.2.3.4/33"] },
      ["$.deny[0]", "$.deny[1]", "$.deny[2]", "$.deny[3]"],
    ],
    ["intercept by default without subtrees", { default: "intercept" }, ["$.default"]],
    ["a subtree that is a single label", { ca: { permit: ["com"] } }, ["$.ca.permit[0]"]],
    ["a subtree with a wildcard", { ca: { permit: ["*.example.com"] } }, ["$.ca.permit[0]"]],
    ["an intercepted single label", { hosts: [{ match: ["localhost"], mode: "intercept" }] }, ["$.hosts[0].match[0]"]],
    [
      "an intercepted name outside the subtrees",
      { ca: { permit: ["a.example"] }, hosts: [{ match: ["ba.example"], mode: "intercept" }] },
      ["$.hosts[0].match[0]"],
    ],
    [
      "an intercepted name above the subtrees",
      { ca: { permit: ["a.b.example"] }, hosts: [{ match: ["b.example"], mode: "intercept" }] },
      ["$.hosts[0].match[0]"],
    ],
    [
      "intercepted addresses outside the ranges",
      { ca: { permit_ip: ["192.0.2.0/25"] }, hosts: [{ match: ["192.0.2.0/24"], mode: "intercept" }] },
      ["$.hosts[0].match[0]"],
    ],
    [
      "an entry that the deny list denies",
      { deny: ["example"], hosts: [{ match: ["*.a.example:8443"], mode: "tunnel" }] },
      ["$.hosts[0].match[0]"],
    ],
    [
      "a front that the deny list denies",
      {
        deny: ["cdn.test", "10.0.0.0/8"],
        hosts: [{ match: ["a.b"], mode: "front", front: { server_name: "x.cdn.test", address: "10.1.2.3:443" } }],
      },
      ["$.hosts[0].front.server_name", "$.hosts[0].front.address"],
    ],
    [
      "an entry behind one that hides it",
      {
        hosts: [
          { match: ["a.example:*"], mode: "tunnel" },
          { match: ["=x.a.example:22"], mode: "deny" },
        ],
      },
      ["$.hosts[1].match[0]"],
    ],
    [
      "the same id twice",
      {
        hosts: [
          { id: "a", match: ["a.b"], mode: "deny" },
          { id: "a", match: ["c.b"], mode: "deny" },
        ],
      },
      ["$.hosts[1].id"],
    ],
    ["an id with a line break", { hosts: [{ id: "a\nb", match: ["a.b"], mode: "deny" }] }, ["$.hosts[0].id"]],
    [
      "front without a front, and the other way round",
      {
        hosts: [
          { match: ["a.b"], mode: "front" },
          { match: ["c.b"], mode: "deny", front: { server_name: "x.y" } },
        ],
      },
      ["$.hosts[0].front", "$.hosts[1].front"],
    ],
    [
      "a front that is an address",
      { hosts: [{ match: ["a.b"], mode: "front", front: { server_name: "192.0.2.1" } }] },
      ["$.hosts[0].front.server_name"],
    ],
    [
      "a front with blanks for a name",
      { hosts: [{ match: ["a.b"], mode: "front", front: { server_name: "  " } }] },
      ["$.hosts[0].front.server_name"],
    ],
    [
      "a redirect without a port",
      { hosts: [{ match: ["a.b"], mode: "front", front: { server_name: "x.y", address: "10.0.0.1" } }] },
      ["$.hosts[0].front.address"],
    ],
    [
      "members without a meaning in a tunnel",
      { hosts: [{ match: ["a.b"], mode: "tunnel", alpn: ["h2"], upstream: {}, requests: { default: "deny" } }] },
      ["$.hosts[0].alpn", "$.hosts[0].upstream", "$.hosts[0].requests"],
    ],
    ["opaque elsewhere than in a tunnel", { hosts: [{ match: ["a.b"], mode: "deny", opaque: true }] }, ["$.hosts[0].opaque"]],
    [
      "a rule for hellos that nobody looks at",
      { hosts: [{ match: ["a.b"], mode: "tunnel", opaque: true, ech: "outer" }] },
      ["$.hosts[0].ech"],
    ],
    [
      "h2 where requests are decided on",
      { hosts: [{ match: ["a.b"], mode: "intercept", alpn: ["h2"], requests: { default: "allow" } }] },
      ["$.hosts[0].alpn"],
    ],
    [
      "anchors that there are none of",
      { hosts: [{ match: ["a.b"], mode: "intercept", upstream: { anchors: ["x"] } }] },
      ["$.hosts[0].upstream.anchors[0]"],
    ],
    [
      "no anchors at all",
      { hosts: [{ match: ["a.b"], mode: "intercept", upstream: { only_anchors: true } }] },
      ["$.hosts[0].upstream.only_anchors"],
    ],
    [
      "pins that are none",
      {
        hosts: [
          { match: ["a.b"], mode: "intercept", upstream: { pins: [pin, pin.toUpperCase(), pin.slice(0, -1), `${pin.slice(0, -2)}B=`] } },
        ],
      },
      ["$.hosts[0].upstream.pins[1]", "$.hosts[0].upstream.pins[2]", "$.hosts[0].upstream.pins[3]"],
    ],
    [
      "limits out of range",
      { limits: { connections: 0 }, timeouts: { idle_seconds: -1 }, ca: { leaf_seconds: 10 } },
      ["$.ca.leaf_seconds", "$.limits.connections", "$.timeouts.idle_seconds"],
    ],
    ["an audit log without a way to be", { audit: { mode: "lenient", path: "" } }, ["$.audit.path", "$.audit.mode"]],
  ])("%s", (_name, policy, paths) => {
    expect(faults(policy)).toEqual(paths);
  });

  it.each<[string, object, string[]]>([
    [
      "a path that is none",
      { paths: ["a", "", "/a?b", "/a//b", "/a/../b", "/a%2fb", "/a\\b", "/a**/b", "/*a*"] },
      ["paths[0]", "paths[1]", "paths[2]", "paths[3]", "paths[4]", "paths[5]", "paths[6]", "paths[7]", "paths[8]"],
    ],
    ["a method that is none", { methods: ["GE T", "CONNECT"] }, ["methods[0]", "methods[1]"]],
    ["an upgrade that is not known", { upgrades: ["h2c"] }, ["upgrades[0]"]],
    [
      "fields of the connection",
      { remove_headers: ["Host", "transfer-encoding", "Proxy-Authorization", "x y"] },
      ["remove_headers[0]", "remove_headers[1]", "remove_headers[2]", "remove_headers[3]"],
    ],
    ["a value that breaks the line", { set_headers: [{ name: "x", value: "a\r\nb: c" }] }, ["set_headers[0].value"]],
    ["two edits of one field", { set_headers: [{ name: "X-A", value: "1" }], secrets: [{ name: "s", header: "x-a" }] }, ["secrets[0]"]],
  ])("in a rule for requests: %s", (_name, rule, paths) => {
    const requests = { default: "deny", rules: [{ action: "allow", ...rule }] };
    expect(faults({ hosts: [{ match: ["a.b"], mode: "intercept", requests }] })).toEqual(
      paths.map((path) => `$.hosts[0].requests.rules[0].${path}`),
    );
  });

  it("edits in a rule that denies", () => {
    const requests = { default: "deny", rules: [{ action: "deny", secrets: [{ name: "s", header: "x" }] }] };
    expect(faults({ hosts: [{ match: ["a.b"], mode: "intercept", requests }] })).toEqual(["$.hosts[0].requests.rules[0].secrets"]);
  });

  it("what is no JSON object, or has a member twice", () => {
    expect(textFaults("[]")).toEqual(["$"]);
    expect(textFaults("")).toEqual(["$"]);
    expect(textFaults('{"version":1,"deny":[],"deny":["a.example"]}')).toEqual(["$.deny"]);
    expect(textFaults('{"version":1,"__proto__":{"default":"tunnel"}}')).toEqual(["$.__proto__"]);
  });

  it("of another version that it is of one, what to do, and nothing that only this version minds", () => {
    const later = refusal('{"version":2,"hosts":{"a.example":{"mode":"mirror"}},"approvals":[]}');
    expect(later.message).toBe(
      "$.version: this program knows version 1 alone, and this is version 2: use a newer sallyport, or write the policy as version 1",
    );
    expect(refusal('{"version":0,"host":[]}').message).toBe(
      "$.version: this program knows version 1 alone, and this is version 0: write the policy as version 1",
    );
    const texts = refusal('{"version":"2","host":[]}');
    expect(texts.faults.map(({ path }) => path)).toEqual(["$.host", "$.version"]);
    expect(texts.message).toContain("$.version: the number 1 is expected: the one version that this program knows");
    expect(refusal("{}").faults).toEqual([{ path: "$.version", message: expect.stringMatching(/missing|required/) }]);
  });

  it("but no more than fifty of them", () => {
    expect(faults({ deny: Array.from({ length: 200 }, () => "*") })).toHaveLength(50);
  });

  it("and says what is accepted", () => {
    const message = refusal(JSON.stringify({ version: 1, hosts: [{ match: ["a.b"], mode: "open" }] })).message;
    expect(message).toBe('$.hosts[0].mode: accepted are "tunnel", "intercept", "front", "deny"');
  });
});

function load(policy: object) {
  return loadPolicy(JSON.stringify({ version: 1, ...policy }));
}

function faults(policy: object): string[] {
  return textFaults(JSON.stringify({ version: 1, ...policy }));
}

function textFaults(text: string): string[] {
  return refusal(text).faults.map(({ path }) => path);
}

function refusal(text: string): PolicyError {
  try {
    loadPolicy(text);
  } catch (error) {
    if (error instanceof PolicyError) return error;
    throw error;
  }
  throw new Error("it was accepted");
}

describe("secrets with placeholders", () => {
  const hosts = [{ match: ["a.b"], mode: "intercept", requests: { default: "allow", secrets: [{ name: "s", header: "x" }] } }];

  it("name the variables in which clients expect them", () => {
    const { settings } = loadPolicy(JSON.stringify({ version: 1, hosts, secrets: { s: { env: ["A_TOKEN", "B"] } } }));
    expect(settings.secretVariables).toEqual([
      { secret: "s", variable: "A_TOKEN" },
      { secret: "s", variable: "B" },
    ]);
  });

  it.each([
    [{ t: { env: ["A"] } }, ["$.secrets.t"]],
    [{ s: { env: ["A", "A"] } }, ["$.secrets.s.env"]],
    [{ s: { env: [] } }, ["$.secrets.s.env"]],
    [{ s: { env: ["A=B"] } }, ["$.secrets.s.env[0]"]],
    [{ s: {} }, ["$.secrets.s.env"]],
    [{ s: { env: ["A"], file: "x" } }, ["$.secrets.s.file"]],
  ])("are refused as %j", (secrets, paths) => {
    expect(faults({ hosts, secrets })).toEqual(paths);
  });
});
