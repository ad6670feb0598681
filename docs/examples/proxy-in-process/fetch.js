// A page through a proxy in this process, by fetch of undici: node fetch.js POLICY URL
import { connect, rootCertificates } from "node:tls";
import { Agent, fetch } from "undici";
import { createProxy } from "sallyport/proxy";

const [, , policy, url] = process.argv;
const seen = [];
const proxy = await createProxy({ policy, audit: (record) => void (record.event === "connection" && seen.push(record)) });
const ca = [...rootCertificates, proxy.ca ?? []].flat();
const dispatcher = new Agent({
  connect({ protocol, hostname, port, servername }, done) {
    if (protocol !== "https:") return done(new Error("only https goes this way"), null);
    proxy.connect({ host: hostname.replace(/^\[(.*)\]$/, "$1"), port: Number(port) || 443 }).then((socket) => {
      const secured = connect({ socket, servername: servername || hostname, ca, ALPNProtocols: ["http/1.1"] });
      secured.once("error", done).once("secureConnect", () => {
        secured.off("error", done);
        done(null, secured);
      });
    }, done);
  },
});
try {
  const response = await fetch(url, { dispatcher });
  console.log(response.status, await response.text());
} catch ({ cause }) {
  console.log(cause.code, cause.message);
}
await dispatcher.close();
await proxy.close();
for (const { client, decision, target } of seen) console.log(client, decision, target);
