import type { ClientHelloRequest, ConnectionDecision, ConnectRequest, RequestDecision } from "sallyport:policy/decisions@0.1.0";

// Rules that fail where a client asks for it, and that let everybody else through: `p8443.decided.test` is the bench's server on
// that port.

const because = { rule: "bench", reason: "by-name" };
const upstream = { alpn: ["http/1.1"], anchors: ["bench"], onlyAnchors: true, pins: [] };

function decide(host: string): ConnectionDecision {
  if (host === "trap.decided.test") throw new Error("on purpose");
  if (host === "hang.decided.test") for (;;);
  const [, port] = /^p([0-9]{1,5})\.decided\.test$/.exec(host) ?? [];
  if (port === undefined) return { tag: "deny", val: because };
  const route = { because, host, inspect: true, upstream };
  const address = { host: "127.0.0.1", port: Number(port) };
  return { tag: "front", val: { route, serverName: "server.bench.test", verifyNames: [], address } };
}

export const decisions = {
  decideConnect: ({ host }: ConnectRequest): ConnectionDecision => decide(host),
  decideClientHello: ({ serverName }: ClientHelloRequest): ConnectionDecision => decide(serverName.tag === "dns" ? serverName.val : ""),
  decideRequest: (): RequestDecision => ({ tag: "allow", val: { because, edits: { remove: [], set: [], secrets: [] } } }),
};
