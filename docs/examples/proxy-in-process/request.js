// A page through a proxy in this process, by node:https alone: node request.js POLICY URL
import { Agent, request } from "node:https";
import { connect, rootCertificates } from "node:tls";
import { createProxy } from "sallyport/proxy";

/** Connections of node:https that go through a proxy. */
class ProxyAgent extends Agent {
  #proxy;

  constructor(proxy, options) {
    super(options);
    this.#proxy = proxy;
  }

  createConnection({ host, port, servername }, done) {
    const ca = [...rootCertificates, this.#proxy.ca ?? []].flat();
    this.#proxy.connect({ host, port }).then((socket) => done(null, connect({ socket, servername: servername || host, ca })), done);
  }
}

const [, , policy, url] = process.argv;
const seen = [];
const proxy = await createProxy({ policy, audit: (record) => void (record.event === "connection" && seen.push(record)) });
const agent = new ProxyAgent(proxy);
try {
  const response = await new Promise((resolve, reject) => request(url, { agent }, resolve).on("error", reject).end());
  console.log(response.statusCode, await new Response(response).text());
} catch (error) {
  console.log(error.code, error.message);
}
agent.destroy();
await proxy.close();
for (const { client, decision, target } of seen) console.log(client, decision, target);
