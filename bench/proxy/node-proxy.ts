// An intercepting proxy in plain Node, to compare with: CONNECT by node:http, TLS on both sides by node:tls, a leaf for each
// host, bytes by stream.pipeline, requests by node:http in the middle. It decides the same and records nothing.
import { randomBytes } from "node:crypto";
import http from "node:http";
import https from "node:https";
import type { AddressInfo, Socket } from "node:net";
import { pipeline } from "node:stream";
import tls from "node:tls";
import { Authority } from "../../host/authority/authority.ts";
import { parseLimits } from "../../host/authority/parse-limits.ts";
import { encodePem } from "../../src/wire/pem.ts";
import { HOST_OF_SERVER, type ProxyReady, type SubjectOrder } from "./orders.ts";

/** Start it on a free port. */
export async function startNodeProxy({
  serverPort,
  rootPem,
  leaves,
}: SubjectOrder & { tag: "start-node" }): Promise<{ ready: ProxyReady; stop: () => Promise<void> }> {
  const authority = await Authority.ephemeral({
    limits: parseLimits({ dns: ["relay.test", "rules.test"], ip: [], allowPrivateSuffixes: true }),
    validity: 86_400n,
  });
  const contexts = new Map<string, tls.SecureContext>(leaves.map((host) => [host, contextFor(authority, host)]));
  const authorization = `Basic ${randomBytes(24).toString("base64")}`;
  const upstreamContext = tls.createSecureContext({ ca: rootPem });
  const connectUpstream = (alpn: string[]) =>
    tls.connect({
      host: "127.0.0.1",
      port: serverPort,
      servername: HOST_OF_SERVER,
      secureContext: upstreamContext,
      ALPNProtocols: alpn,
    });

  /** Requests go on over the connection that their client's has for itself. */
  const agents = new WeakMap<Socket, https.Agent>();
  const middle = http.createServer((request, response) => {
    const { pathname } = new URL(request.url ?? "/", "http://host");
    const isAllowed =
      !pathname.startsWith("/items/private/") && pathname.startsWith("/items/") && (request.method === "GET" || request.method === "POST");
    if (!isAllowed) return void response.writeHead(403).end();
    const { socket } = request;
    let agent = agents.get(socket);
    if (agent === undefined) {
      agent = new https.Agent({ keepAlive: true, maxSockets: 1 });
      agent.createConnection = () => connectUpstream(["http/1.1"]);
      agents.set(socket, agent);
      socket.once("close", () => agent!.destroy());
    }
    const headers = { ...request.headers, "x-added": "by the proxy" };
    const onward = https.request({ agent, method: request.method, path: request.url, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.rawHeaders);
      pipeline(answer, response, () => {});
    });
    onward.on("error", () => response.destroy());
    pipeline(request, onward, () => {});
  });

  const server = http.createServer();
  server.on("connect", (request: http.IncomingMessage, socket: Socket) => {
    const [host = "", port = ""] = (request.url ?? "").split(":");
    if (request.headers["proxy-authorization"] !== authorization) return void socket.end("HTTP/1.1 407 No\r\n\r\n");
    const domain = host.split(".").slice(-2).join(".");
    if (domain !== "relay.test" && domain !== "rules.test") return void socket.end("HTTP/1.1 403 No\r\n\r\n");
    if (port !== "443") return void socket.end("HTTP/1.1 403 No\r\n\r\n");
    socket.write("HTTP/1.1 200 Connection Established\r\n\r\n");
    socket.on("error", () => {});
    const inside = new tls.TLSSocket(socket, {
      isServer: true,
      ALPNProtocols: ["http/1.1"],
      SNICallback: (name, done) => {
        if (name !== host) return done(new Error("another name"));
        let context = contexts.get(name);
        if (context === undefined) contexts.set(name, (context = contextFor(authority, name)));
        done(null, context);
      },
    });
    inside.on("error", () => socket.destroy());
    if (domain === "rules.test") return void middle.emit("connection", inside);
    const outside = connectUpstream(["http/1.1"]);
    pipeline(inside, outside, inside, () => {});
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", 511, resolve));
  const ca = encodePem("CERTIFICATE", authority.chain.der.at(-1)!);
  return {
    ready: { port: (server.address() as AddressInfo).port, authorization, ca },
    stop: async () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

function contextFor(authority: Authority, host: string): tls.SecureContext {
  const { keyPair } = authority.issue({ names: [{ tag: "dns", val: host }], lifetime: 86_400n, key: "p256" });
  return tls.createSecureContext(keyPair.credentials());
}
