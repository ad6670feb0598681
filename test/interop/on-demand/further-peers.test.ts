import { clientSuite } from "../client/suite.ts";
import { serverSuite } from "../server/suite.ts";
import { gnutlsClient, gnutlsServer, javaClient, javaServer, nginxServer } from "./peers.ts";

clientSuite("nginx", nginxServer, { refusesLate: true });
clientSuite("gnutls-serv", gnutlsServer, { reply: "HTTP/1.0 200 OK", isSerial: true, otherRefusals: [50], oldVersionAlert: 40 });
clientSuite("Java's SSLServerSocket", javaServer, { otherRefusals: [42], cancelsFirst: true });
serverSuite("gnutls-cli", gnutlsClient, { otherRefusals: [42] });
serverSuite("Java's HttpsURLConnection", javaClient, { isShy: true, otherRefusals: [46] });
