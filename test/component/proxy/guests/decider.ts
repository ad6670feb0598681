import type {
  ClientHelloRequest,
  ConnectionDecision,
  ConnectRequest,
  HttpRequest,
  RequestDecision,
  Route,
} from "sallyport:policy/decisions@0.1.0";

// Rules that do what they are asked for by the host's name, most of it wrong.

const because = { rule: "own-rule", reason: "own words" };
const upstream = { alpn: ["http/1.1"], anchors: ["test"], onlyAnchors: true, pins: [] };

function route(host: string, change: Partial<Route> = {}): ConnectionDecision {
  return { tag: "intercept", val: { because, host, inspect: true, upstream, ...change } };
}

function decide(host: string, groups: readonly string[]): ConnectionDecision {
  switch (host) {
    case "spin.test":
      for (;;);
    case "trap.test":
      throw new Error("on purpose");
    case "huge.test":
      return { tag: "deny", val: { rule: "huge", reason: "x".repeat(100_000) } };
    case "name.test":
      return { tag: "tunnel", val: { because, host: "two words", opaque: true } };
    case "rule.test":
      return { tag: "deny", val: { rule: "built-in:names", reason: "pretended" } };
    case "anchors.test":
      return route("a.test", { upstream: { ...upstream, anchors: ["nowhere"] } });
    case "pin.test":
      return route("a.test", { upstream: { ...upstream, pins: [new Uint8Array(3)] } });
    case "outside.test":
    case "a.test":
    case "b.test":
      return route(host);
    case "metadata.test":
      return { tag: "tunnel", val: { because, host: "169.254.169.254", opaque: true } };
    case "tunnel.test":
      return { tag: "tunnel", val: { because, host, opaque: false } };
    case "groups.test":
      return { tag: "deny", val: { rule: "groups", reason: groups.join("+") } };
    default:
      return { tag: "deny", val: { rule: "default", reason: "not-listed" } };
  }
}

export const decisions = {
  decideConnect: ({ host, groups }: ConnectRequest): ConnectionDecision => decide(host, groups),
  decideClientHello({ serverName, target, groups }: ClientHelloRequest): ConnectionDecision {
    const name = serverName.tag === "dns" ? serverName.val : "";
    if (name !== target?.host) return { tag: "deny", val: { rule: "hello", reason: "another-name" } };
    // Allowed at first, and denied when it is looked at closely.
    return name === "b.test" ? { tag: "deny", val: { rule: "second-thoughts", reason: "changed-its-mind" } } : decide(name, groups);
  },
  decideRequest({ path, method }: HttpRequest): RequestDecision {
    if (path === "/spin") for (;;);
    if (path === "/field")
      return { tag: "allow", val: { because, edits: { remove: [], set: [["x-bad", "a\r\nx-smuggled: 1"]], secrets: [] } } };
    if (path === "/secret")
      return { tag: "allow", val: { because, edits: { remove: [], set: [], secrets: [{ secret: "none", header: "authorization" }] } } };
    if (method !== "GET") return { tag: "deny", val: { rule: "read-only", reason: "rule" } };
    return { tag: "allow", val: { because, edits: { remove: ["X-Gone"], set: [["x-put-in", "yes"]], secrets: [] } } };
  },
};
