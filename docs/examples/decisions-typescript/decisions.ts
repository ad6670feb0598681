// Rules of one's own, in place of the JSON policy. Build: sallyport build decisions.ts --wit <sallyport>/wit/policy/decisions.wit --world decider
import type {
  Because,
  ClientHelloRequest,
  ConnectionDecision,
  ConnectRequest,
  HttpRequest,
  RequestDecision,
} from "sallyport:policy/decisions@0.1.0";

const upstream = { alpn: ["http/1.1"], anchors: [], onlyAnchors: false, pins: [] };
const nothing = { remove: [], set: [], secrets: [] };
const deny = (rule: string, reason: string): { tag: "deny"; val: Because } => ({ tag: "deny", val: { rule, reason } });

function decideHost(host: string, port: number): ConnectionDecision {
  const name = host.toLowerCase().replace(/\.$/, "");
  if (name !== "example.com" || port !== 443) return deny("only-example", "not-listed");
  return { tag: "intercept", val: { because: { rule: "example", reason: "host-listed" }, host: name, inspect: true, upstream } };
}

export const decisions = {
  decideConnect: ({ host, port }: ConnectRequest): ConnectionDecision => decideHost(host, port),
  decideClientHello({ serverName, ech, target, port }: ClientHelloRequest): ConnectionDecision {
    if (serverName.tag !== "dns" || ech) return deny("hello", "no-server-name");
    return decideHost(serverName.val, target?.port ?? port);
  },
  decideRequest({ host, authority, method }: HttpRequest): RequestDecision {
    if (authority !== host || method !== "GET") return deny("read-only", "rule");
    return { tag: "allow", val: { because: { rule: "read-only", reason: "rule" }, edits: nothing } };
  },
};
