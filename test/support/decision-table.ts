import type * as wit from "sallyport:policy/decisions@0.1.0";

/** One question with its answer. */
export type Row = Question & {
  /** Which of `policies`. */
  readonly policy: keyof typeof policies;
  /** Variant, reason and rule, with a blank between them. */
  readonly answer: string;
};

type Question =
  | { readonly ask: "connect"; readonly request: wit.ConnectRequest }
  | { readonly ask: "hello"; readonly request: wit.ClientHelloRequest }
  | { readonly ask: "request"; readonly request: wit.HttpRequest };

/** The policies of the table, as their JSON texts say. */
export const policies = {
  /** Everything that a policy can say, and deny as the default. */
  closed: {
    version: 1,
    ports: [443, 8443],
    deny: ["evil.example", "*.tracker.example", "=exact.example", "10.0.0.0/8", "portly.example:25"],
    allow: [
      "example",
      "example.com",
      "xn--bcher-kva.example",
      "192.0.2.0/24",
      "2001:db8::/32",
      "plain.test:80",
      "any.test:*",
      "ssh.example:22",
    ],
    hosts: [
      { id: "api", match: ["api.example.com"], mode: "intercept", requests: requests() },
      { id: "ops", match: ["=ops.example.com"], mode: "tunnel", groups: ["ops", "admins"] },
      { id: "pinned", match: ["pinned.example.com"], mode: "intercept", upstream: upstream(), alpn: ["http/1.1", "h2"] },
      { id: "front", match: ["*.front.example"], mode: "front", front: { server_name: "cdn.test", verify_names: ["cdn2.test"] } },
      { id: "opaque", match: ["ssh.example:22"], mode: "tunnel", opaque: true },
      { id: "blocked", match: ["blocked.example.com"], mode: "deny" },
      { id: "loose", match: ["loose.example.com", "loose2.example.com"], mode: "tunnel", sni_mismatch: "decide", ech: "outer" },
      { id: "plain", match: ["plain.test:80"], mode: "intercept", requests: { default: "allow", secrets: [{ name: "s", header: "x-s" }] } },
      { match: ["192.0.2.7", "2001:db8::/64"], mode: "tunnel" },
      { match: ["192.0.2.8"], mode: "intercept" },
      { match: ["example.com", "xn--bcher-kva.example", "any.test:*"], mode: "tunnel" },
    ],
    ca: {
      permit: ["api.example.com", "pinned.example.com", "front.example", "plain.test"],
      permit_ip: ["192.0.2.8"],
    },
    anchors: { corp: "corp.pem" },
  },
  /** Little is listed, and what is not is passed on. */
  open: {
    version: 1,
    default: "tunnel",
    deny: ["evil.example"],
    hosts: [{ match: ["api.example.com"], mode: "intercept", sni_mismatch: "decide" }],
    sni_mismatch: "decide",
  },
  /** What is not listed is intercepted, as far as certificates may be issued. */
  curious: { version: 1, default: "intercept", ca: { permit: ["corp.example"] } },
} as const;

function requests() {
  return {
    default: "deny",
    remove_headers: ["cookie"],
    rules: [
      { id: "no-admin", action: "deny", paths: ["/admin/**"] },
      { id: "no-delete", action: "deny", methods: ["DELETE"] },
      { id: "read", action: "allow", methods: ["GET", "HEAD"], paths: ["/repos/*/issues", "/files/**"] },
      { id: "push", action: "allow", methods: ["POST"], paths: ["/push"], secrets: [{ name: "gh", header: "Authorization" }] },
      { id: "socket", action: "allow", methods: ["GET"], paths: ["/ws"], upgrades: ["websocket"] },
    ],
  } as const;
}

function upstream() {
  return { anchors: ["corp"], only_anchors: true, pins: [`sha256/${"A".repeat(43)}=`], identity: "ci" } as const;
}

/** The table. Every host that runs it has to give these answers. */
export const table: readonly Row[] = [
  // Names that are listed, in any spelling that means the same.
  ...connects("closed", [
    ["api.example.com", 443, "intercept host-listed api"],
    ["API.Example.COM", 443, "intercept host-listed api"],
    ["api.example.com.", 443, "intercept host-listed api"],
    ["v1.api.example.com", 8443, "intercept host-listed api"],
    ["example.com", 443, "tunnel host-listed $.hosts[10]"],
    ["a.b.example.com", 443, "tunnel host-listed $.hosts[10]"],
    ["pinned.example.com", 443, "intercept host-listed pinned"],
    ["a.front.example", 443, "front host-listed front"],
    ["ssh.example", 22, "tunnel host-listed opaque"],
    ["any.test", 9999, "tunnel host-listed $.hosts[10]"],
    ["xn--bcher-kva.example", 443, "tunnel host-listed $.hosts[10]"],
    ["XN--BCHER-KVA.example", 443, "tunnel host-listed $.hosts[10]"],
    ["192.0.2.7", 443, "tunnel host-listed $.hosts[8]"],
    ["::ffff:192.0.2.7", 443, "tunnel host-listed $.hosts[8]"],
    ["[2001:DB8:0::7]", 443, "tunnel host-listed $.hosts[8]"],
    ["192.0.2.8", 443, "intercept host-listed $.hosts[9]"],
    // Names that are refused by a rule.
    ["evil.example", 443, "deny deny-list $.deny[0]"],
    ["sub.EVIL.example.", 1, "deny deny-list $.deny[0]"],
    ["a.tracker.example", 443, "deny deny-list $.deny[1]"],
    ["tracker.example", 443, "deny not-listed $.default"],
    ["exact.example", 443, "deny deny-list $.deny[2]"],
    ["below.exact.example", 443, "deny not-listed $.default"],
    ["10.1.2.3", 443, "deny deny-list $.deny[3]"],
    ["::ffff:10.1.2.3", 443, "deny deny-list $.deny[3]"],
    ["portly.example", 25, "deny deny-list $.deny[4]"],
    ["portly.example", 443, "deny not-listed $.default"],
    ["blocked.example.com", 443, "deny deny-mode blocked"],
    ["ops.example.com", 443, "tunnel host-listed $.hosts[10]"],
    ["notexample.com", 443, "deny not-in-allow-list $.allow"],
    ["example.com.evil.test", 443, "deny not-in-allow-list $.allow"],
    ["xample.com", 443, "deny not-in-allow-list $.allow"],
    ["example.com", 444, "deny not-in-allow-list $.allow"],
    ["front.example", 443, "deny not-listed $.default"],
    ["ssh.example", 443, "deny not-listed $.default"],
    ["api.example.com", 0, "deny invalid-port built-in:names"],
    // Names that are none.
    ["", 443, "deny empty-name built-in:names"],
    [".", 443, "deny empty-name built-in:names"],
    ["example.com..", 443, "deny malformed-name built-in:names"],
    [".example.com", 443, "deny malformed-name built-in:names"],
    ["api..example.com", 443, "deny malformed-name built-in:names"],
    ["api.example.com\0.evil.example", 443, "deny control-character-in-name built-in:names"],
    ["api.example.com\r\n", 443, "deny control-character-in-name built-in:names"],
    [" api.example.com", 443, "deny control-character-in-name built-in:names"],
    ["api\u3002example\u3002com", 443, "deny non-ascii-name built-in:names"],
    ["b\u00fccher.example", 443, "deny non-ascii-name built-in:names"],
    ["ap\u0131.example.com", 443, "deny non-ascii-name built-in:names"],
    ["\u212aitten.example.com", 443, "deny non-ascii-name built-in:names"],
    ["*.example.com", 443, "deny wildcard-name built-in:names"],
    ["-a.example.com", 443, "deny malformed-name built-in:names"],
    ["a_b.example.com", 443, "deny malformed-name built-in:names"],
    ["api.example.com:443", 443, "deny malformed-name built-in:names"],
    ["user@api.example.com", 443, "deny malformed-name built-in:names"],
    ["api.example.com/x", 443, "deny malformed-name built-in:names"],
    ["api%2eexample.com", 443, "deny malformed-name built-in:names"],
    ["xn--a!.example.com", 443, "deny malformed-name built-in:names"],
    ["xn--zzzzzzzzzzz.example.com", 443, "deny malformed-a-label built-in:names"],
    [`${"a".repeat(64)}.example.com`, 443, "deny name-too-long built-in:names"],
    [`${"a.".repeat(125)}example.com`, 443, "deny name-too-long built-in:names"],
    // Addresses in spellings that only some resolvers know.
    ["2130706433", 443, "deny numeric-name built-in:names"],
    ["0x7f000001", 443, "deny numeric-name built-in:names"],
    ["0177.0.0.1", 443, "deny numeric-name built-in:names"],
    ["127.1", 443, "deny numeric-name built-in:names"],
    ["192.0.2.7.", 443, "deny numeric-name built-in:names"],
    ["[192.0.2.7]", 443, "deny malformed-name built-in:names"],
    ["fe80::1%eth0", 443, "deny malformed-name built-in:names"],
    // Where clouds hand out credentials.
    ["169.254.169.254", 80, "deny metadata-service built-in:metadata"],
    ["::ffff:a9fe:a9fe", 80, "deny metadata-service built-in:metadata"],
    ["[fd00:ec2::254]", 80, "deny metadata-service built-in:metadata"],
    ["Metadata.Google.Internal.", 80, "deny metadata-service built-in:metadata"],
  ]),
  { policy: "closed", ask: "connect", request: { host: "ops.example.com", port: 443, groups: ["ops"] }, answer: "tunnel host-listed ops" },
  ...connects("open", [
    ["anything.test", 443, "tunnel default-mode $.default"],
    ["anything.test", 80, "deny port-not-listed $.ports"],
    ["198.51.100.1", 443, "deny address-not-listed built-in:addresses"],
    ["a.evil.example", 443, "deny deny-list $.deny[0]"],
    ["xn--.test", 443, "deny malformed-name built-in:names"],
  ]),
  ...connects("curious", [
    ["a.corp.example", 443, "intercept default-mode $.default"],
    ["corp.example.test", 443, "deny not-permitted-to-issue built-in:constraints"],
    ["notcorp.example", 443, "deny not-permitted-to-issue built-in:constraints"],
  ]),
  ...hellos("closed", [
    ["api.example.com", "api.example.com", "intercept host-listed api"],
    ["API.example.com.", "api.example.com", "intercept host-listed api"],
    ["ops.example.com", "ops.example.com", "tunnel host-listed $.hosts[10]"],
    [undefined, "pinned.example.com", "intercept host-listed pinned"],
    [undefined, "a.front.example", "front host-listed front"],
    ["192.0.2.8", undefined, "intercept host-listed $.hosts[9]"],
    ["loose.example.com", "loose2.example.com", "tunnel host-listed loose"],
    ["api.example.com", undefined, "deny no-server-name built-in:hello"],
    [undefined, undefined, "deny no-server-name built-in:hello"],
    ["api.example.com", "pinned.example.com", "deny server-name-mismatch api"],
    ["api.example.com", "evil.example", "deny deny-list $.deny[0]"],
    ["evil.example", "api.example.com", "deny deny-list $.deny[0]"],
    ["loose.example.com", "api.example.com", "deny server-name-mismatch loose"],
    ["192.0.2.8", "api.example.com", "deny server-name-mismatch $.hosts[9]"],
    [undefined, "localhost", "deny not-in-allow-list $.allow"],
  ]),
  hello(
    "closed",
    { serverName: { tag: "invalid" }, target: { host: "api.example.com", port: 443 } },
    "deny invalid-server-name built-in:hello",
  ),
  hello("closed", { serverName: named("api.example.com"), ech: true }, "deny encrypted-client-hello $.ech"),
  hello("closed", { serverName: named("loose.example.com"), ech: true }, "tunnel host-listed loose"),
  hello("closed", { serverName: named("192.0.2.8"), port: 443 }, "intercept host-listed $.hosts[9]"),
  hello(
    "closed",
    { serverName: { tag: "none" }, target: { host: "192.0.2.8", port: 443 }, ech: true },
    "deny encrypted-client-hello $.ech",
  ),
  hello("open", { serverName: named("b.test"), target: { host: "a.test", port: 443 } }, "tunnel default-mode $.default"),
  hello("open", { serverName: named("b.test"), target: { host: "api.example.com", port: 443 } }, "deny server-name-mismatch $.hosts[0]"),
  hello(
    "open",
    { serverName: named("api.example.com"), target: { host: "a.test", port: 443 } },
    "deny server-name-mismatch $.sni_mismatch",
  ),
  hello("open", { serverName: named("b.test"), target: { host: "198.51.100.1", port: 443 } }, "deny address-not-listed built-in:addresses"),
  hello("closed", { serverName: named("x.test"), target: { host: "ssh.example", port: 22 } }, "tunnel host-listed opaque"),
  ...requestRows("closed", [
    ["GET", "/repos/a/issues", "allow rule read"],
    ["GET", "/repos/a/issues/?q=/admin", "allow rule read"],
    ["GET", "/repos/a%2Db//issues", "allow rule read"],
    ["GET", "/files", "allow rule read"],
    ["HEAD", "/files/a/b/c", "allow rule read"],
    ["POST", "/push", "allow rule push"],
    ["GET", "/repos/a/b/issues", "deny default-rule $.hosts[0].requests.default"],
    ["get", "/files", "deny default-rule $.hosts[0].requests.default"],
    ["GET", "/FILES", "deny default-rule $.hosts[0].requests.default"],
    ["POST", "/files/a", "deny default-rule $.hosts[0].requests.default"],
    ["DELETE", "/files/a", "deny rule no-delete"],
    ["delete", "/files/a", "deny rule no-delete"],
    ["GET", "/admin", "deny rule no-admin"],
    ["GET", "/ADMIN/x", "deny rule no-admin"],
    ["GET", "/%61dmin/x", "deny rule no-admin"],
    ["GET", "//admin/x", "deny rule no-admin"],
    ["GET", "/files/../admin", "deny rule no-admin"],
    ["GET", "/files/%2e%2E/admin", "deny rule no-admin"],
    ["GET", "/./admin/.", "deny rule no-admin"],
    ["GET", "/admin;x=1/y", "deny rule no-admin"],
    ["GET", "/files/..;/admin", "deny dots-with-parameters built-in:requests"],
    ["GET", "/files/%252e%252e/admin", "deny doubly-encoded built-in:requests"],
    ["GET", "/files%2f..%2fadmin", "deny hidden-separator built-in:requests"],
    ["GET", "/files/..%5cadmin", "deny hidden-separator built-in:requests"],
    ["GET", "/files\\..\\admin", "deny hidden-separator built-in:requests"],
    ["GET", "/files/a%00.txt", "deny encoded-control-character built-in:requests"],
    ["GET", "/files/%0d%0aX:1", "deny encoded-control-character built-in:requests"],
    ["GET", "/files/%c0%ae%c0%ae/admin", "deny path-not-utf-8 built-in:requests"],
    ["GET", "/files/%", "deny bad-percent-encoding built-in:requests"],
    ["GET", "/files/%u002e", "deny bad-percent-encoding built-in:requests"],
    ["GET", "/../files", "deny above-root built-in:requests"],
    ["GET", "/files/a b", "deny path-character built-in:requests"],
    ["GET", "/files#/../admin", "deny path-character built-in:requests"],
    ["GET", "*", "deny no-path built-in:requests"],
    ["GET", "https://api.example.com/files", "deny no-path built-in:requests"],
    ["GET", "", "deny no-path built-in:requests"],
    ["GE T", "/files", "deny invalid-method built-in:requests"],
    ["CONNECT", "/files", "deny invalid-method built-in:requests"],
    ["GET", `/files/${"a".repeat(20_000)}`, "deny path-too-long built-in:requests"],
  ]),
  request("closed", { path: "/ws", upgrade: "WebSocket" }, "allow rule socket"),
  request("closed", { path: "/ws", upgrade: "h2c" }, "deny upgrade-not-allowed socket"),
  request("closed", { path: "/files/x", upgrade: "websocket" }, "deny upgrade-not-allowed read"),
  request("closed", { authority: "API.example.com:443" }, "allow rule read"),
  request("closed", { authority: "pinned.example.com" }, "deny host-mismatch built-in:requests"),
  request("closed", { authority: "api.example.com:8443" }, "deny host-mismatch built-in:requests"),
  request("closed", { authority: "api.example.com, evil.example" }, "deny host-mismatch built-in:requests"),
  request("closed", { authority: "user@api.example.com" }, "deny host-mismatch built-in:requests"),
  request("closed", { authority: undefined }, "deny host-mismatch built-in:requests"),
  request("closed", { host: "example.com", authority: "example.com" }, "deny not-intercepted $.hosts[10]"),
  request("closed", { host: "evil.example", authority: "evil.example" }, "deny deny-list $.deny[0]"),
  request("closed", { host: "pinned.example.com", authority: "pinned.example.com" }, "allow no-request-rules pinned"),
  request(
    "closed",
    { host: "plain.test", authority: "plain.test", port: 80, secure: false },
    "deny secret-without-tls $.hosts[7].requests.default",
  ),
  request("closed", { host: "any.test", authority: "any.test", port: 80, secure: false }, "allow no-request-rules $.hosts[10]"),
  request("closed", { host: "a.front.example", authority: "a.front.example", secure: false }, "deny front-without-tls front"),
  request(
    "closed",
    { host: "169.254.169.254", authority: "169.254.169.254", port: 80, secure: false },
    "deny metadata-service built-in:metadata",
  ),
];

/** Everything that an answer says, in one line. */
export function summary(decision: wit.ConnectionDecision | wit.RequestDecision): string {
  switch (decision.tag) {
    case "tunnel":
      return words("tunnel", because(decision.val.because), decision.val.host, decision.val.opaque);
    case "intercept":
      return words("intercept", routeText(decision.val));
    case "front": {
      const { route, serverName, verifyNames, address } = decision.val;
      const to = address === undefined || address === null ? "" : `${address.host}:${address.port}`;
      return words("front", routeText(route), serverName, verifyNames.join(","), to);
    }
    case "allow": {
      const { remove, set, secrets } = decision.val.edits;
      return words(
        "allow",
        because(decision.val.because),
        remove.join(","),
        set.map((pair) => pair.join("=")).join(","),
        secrets.map(({ secret, header }) => `${secret}>${header}`).join(","),
      );
    }
    case "deny":
      return words("deny", because(decision.val));
  }
}

function routeText(route: wit.Route): string {
  const { alpn, anchors, onlyAnchors, pins, identity } = route.upstream;
  const keys = Array.from(pins, (pin) => Array.from(pin, (byte) => byte.toString(16).padStart(2, "0")).join(""));
  return words(
    because(route.because),
    route.host,
    route.inspect,
    alpn.join(","),
    anchors.join(","),
    onlyAnchors,
    keys.join(","),
    identity ?? "",
  );
}

function because({ reason, rule }: wit.Because): string {
  return words(reason, rule);
}

function words(...parts: (string | boolean)[]): string {
  return parts.map(String).join(" ");
}

function connects(policy: Row["policy"], rows: [host: string, port: number, answer: string][]): Row[] {
  return rows.map(([host, port, answer]) => ({ policy, ask: "connect", request: { host, port, groups: [] }, answer }));
}

function hellos(policy: Row["policy"], rows: [target: string | undefined, name: string | undefined, answer: string][]): Row[] {
  return rows.map(([target, name, answer]) => {
    const serverName: wit.RequestedName = name === undefined ? { tag: "none" } : named(name);
    return hello(policy, { serverName, ...(target === undefined ? {} : { target: { host: target, port: 443 } }) }, answer);
  });
}

function hello(policy: Row["policy"], some: Partial<wit.ClientHelloRequest>, answer: string): Row {
  return { policy, ask: "hello", request: { serverName: { tag: "none" }, ech: false, port: 443, groups: [], ...some }, answer };
}

function named(name: string): wit.RequestedName {
  return { tag: "dns", val: name };
}

function requestRows(policy: Row["policy"], rows: [method: string, path: string, answer: string][]): Row[] {
  return rows.map(([method, path, answer]) => request(policy, { method, path }, answer));
}

function request(policy: Row["policy"], some: Partial<wit.HttpRequest>, answer: string): Row {
  const whole = { host: "api.example.com", port: 443, secure: true, method: "GET", path: "/files/a", authority: "api.example.com" };
  return { policy, ask: "request", request: { ...whole, groups: [], ...some }, answer };
}
