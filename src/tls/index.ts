export { acceptTls, type AcceptOptions, type Answer } from "./accept.ts";
export { connectTls, type ConnectOptions } from "./connect.ts";
export { RefusePeer, type UnverifiedPeer } from "./suspension.ts";
export { type Carried, Carrier, type Endpoint, TlsConnection, type Transport } from "./tls-connection.ts";
export { alertName, asTlsError, type CertificateError, describeReason, TlsError, type WitTlsError } from "./tls-error.ts";
