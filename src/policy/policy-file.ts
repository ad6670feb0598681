import { isToken, isWritableValue } from "../http1/fields.ts";
import { parseAuthority } from "../http1/url.ts";
import { decodeBase64url } from "../wire/base64url.ts";
import { parseIpPrefix } from "../wire/ip-address.ts";
import { describeFault, type Host, parseHost } from "./host-name.ts";
import { parseHostPattern } from "./host-pattern.ts";
import { parsePathPattern } from "./path-pattern.ts";
import {
  choice,
  defaulting,
  flag,
  type JsonSchema,
  list,
  mapping,
  object,
  optional,
  parsed,
  required,
  section,
  type Shape,
  type ShapeOf,
  text,
  whole,
} from "./shape.ts";

/** A text of the policy is not accepted. The message says what is. */
class NotAccepted extends Error {
  readonly code = "ERR_SALLYPORT_POLICY_TEXT";
}

/** Of the format. */
const VERSION = 1;

const name = text({ about: "a name of letters, digits, . _ and -", pattern: "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", maxLength: 64 });
const path = text({ about: "a path, relative to the policy's folder", pattern: "^[^\\u0000-\\u001f]+$", maxLength: 4096 });

const hostPattern = parsed(
  {
    about: "example.com (with all below), *.example.com (only below), =example.com (only it), an address or CIDR range; :port",
    maxLength: 300,
  },
  parseHostPattern,
);

const dnsName = parsed({ about: "a DNS name", maxLength: 254 }, (value) => {
  const host = parseHost(value);
  if (host.tag === "invalid") throw new NotAccepted(`${describeFault(host.fault)}: a DNS name is expected`);
  if (host.tag !== "dns") throw new NotAccepted("a DNS name is expected, not an address");
  return host.name;
});

const cidr = parsed({ about: "an address range in CIDR notation", maxLength: 50 }, parseIpPrefix);

const endpoint = parsed({ about: "host:port", maxLength: 300 }, (value): { host: Host; port: number } => {
  const { host, port } = parseAuthority(value);
  const checked = parseHost(host);
  if (checked.tag === "invalid") throw new NotAccepted(describeFault(checked.fault));
  if (port === undefined) throw new NotAccepted("the port is missing: host:port is expected");
  return { host: checked, port };
});

const pin = parsed(
  {
    about: "sha256/ and base64 of the SHA-256 of the certificate's SubjectPublicKeyInfo",
    pattern: "^sha256/[A-Za-z0-9+/]{43}=$",
    maxLength: 51,
  },
  (value) => decodeBase64url(value.slice("sha256/".length, -1).replaceAll("+", "-").replaceAll("/", "_")),
);

const method = parsed({ about: "an HTTP method, or *", maxLength: 32 }, (value) => {
  if (value !== "*" && !isToken(value)) throw new NotAccepted("an HTTP method or * is expected");
  if (value === "CONNECT") throw new NotAccepted("CONNECT is not a request that rules see");
  return value;
});

const headerName = parsed({ about: "the name of a header field", maxLength: 64 }, (value) => {
  if (!isToken(value)) throw new NotAccepted("the name of a header field is expected");
  const key = value.toLowerCase();
  if (reservedHeaders.has(key) || key.startsWith("proxy-"))
    throw new NotAccepted(`${key} belongs to the proxy itself and cannot be edited`);
  return key;
});

const headerValue = parsed({ about: "the value of a header field: visible ASCII and blanks", maxLength: 8192 }, (value) => {
  if (!isWritableValue(value)) throw new NotAccepted("a header value is visible ASCII, with no blanks around it");
  return value;
});

/** What frames a message, names its server or belongs to one connection. */
const reservedHeaders = new Set([
  "host",
  "content-length",
  "transfer-encoding",
  "te",
  "trailer",
  "connection",
  "keep-alive",
  "upgrade",
  "expect",
]);

const hostPatterns = list(hostPattern, { minItems: 1, maxItems: 1000 });

const secretPlacement = object("Where a secret goes", {
  name: required(name, "the secret, by the name under which the host was given it"),
  header: required(
    headerName,
    "the field that it goes into; the client's own fields of that name are taken out, unless the secret has a placeholder",
  ),
});

const variable = text({ about: "the name of an environment variable", pattern: "^[A-Za-z_][A-Za-z0-9_]*$", maxLength: 128 });

const secret = object("How clients know a secret", {
  env: required(
    list(variable, { minItems: 1, maxItems: 20 }),
    "variables of clients that are set to a placeholder for each run; the host puts the secret in where that stands in its field",
  ),
});

const edits = {
  set_headers: optional(
    list(
      object("A header field", { name: required(headerName, "its name"), value: required(headerValue, "its value, which is no secret") }),
      { maxItems: 50 },
    ),
    "fields that are put in; the client's own of that name are taken out",
  ),
  remove_headers: optional(list(headerName, { maxItems: 50 }), "fields that are taken out"),
  secrets: optional(list(secretPlacement, { maxItems: 10 }), "secrets that the host puts in; the component never sees them"),
};

const endpointRule = object("A rule for requests", {
  id: optional(name, "a name for records; the place in the file otherwise"),
  action: required(choice("allow", "deny"), "a rule that denies wins over every rule that allows"),
  methods: optional(list(method, { minItems: 1, maxItems: 20 }), "methods that it is for; every one if missing"),
  paths: optional(
    list(
      parsed(
        { about: "a path: * is one segment or stands within one, ** any number of segments", pattern: "^/", maxLength: 1024 },
        parsePathPattern,
      ),
      { minItems: 1, maxItems: 100 },
    ),
    "paths that it is for, compared with the decoded path without query; every one if missing",
  ),
  upgrades: optional(list(choice("websocket"), { maxItems: 1 }), "protocols that an allowed request may switch to; none if missing"),
  ...edits,
});

const requests = object("What is decided request by request", {
  default: required(choice("allow", "deny"), "what happens to a request that no rule is for"),
  rules: optional(list(endpointRule, { maxItems: 500 }), "rules for methods and paths"),
  ...edits,
});

const front = object("Another server that stands in front of the one that is asked for", {
  server_name: required(dnsName, "the name that the upstream is asked for, in the clear"),
  verify_names: optional(
    list(dnsName, { minItems: 1, maxItems: 20 }),
    "further names, one of which the upstream's certificate may have instead",
  ),
  address: optional(endpoint, "where to connect to, if not to the host that was asked for"),
});

const upstream = object("What is expected of the server", {
  anchors: optional(list(name, { minItems: 1, maxItems: 20 }), "names from the top-level anchors whose certificates are trusted as well"),
  only_anchors: defaulting(flag, false, "trust these alone, and none of the system's"),
  pins: optional(list(pin, { minItems: 1, maxItems: 20 }), "public keys, one of which has to be that of the server's own certificate"),
  identity: optional(name, "the client identity that is shown to it, by the name under which the host was given it"),
});

const sniMismatch = choice("deny", "decide");
const ech = choice("deny", "outer");

const hostEntry = object("What happens to some hosts", {
  id: optional(name, "a name for records; the place in the file otherwise"),
  match: required(hostPatterns, "the hosts; without a port, the ports in $.ports"),
  mode: required(
    choice("tunnel", "intercept", "front", "deny"),
    "tunnel: passed on unread; intercept: TLS ends here; front: as intercept, with another server in front; deny: refused",
  ),
  groups: optional(list(name, { minItems: 1, maxItems: 50 }), "only for clients whose token names one of these groups"),
  opaque: defaulting(flag, false, "tunnel: what goes through need not be TLS for that host"),
  alpn: optional(list(choice("h2", "http/1.1"), { minItems: 1, maxItems: 2 }), "protocols to offer, in order of preference"),
  sni_mismatch: optional(sniMismatch, "a hello that names another host than the CONNECT: as the top-level member"),
  ech: optional(ech, "a hello with an encrypted inner hello: as the top-level member"),
  front: optional(front, "mode front: the server in front"),
  upstream: optional(upstream, "what is expected of the server"),
  requests: optional(requests, "rules for requests; such hosts are not offered h2"),
});

const limits = object("Bounds", {
  connections: defaulting(whole(1, 100_000), 4096, "client connections at a time"),
  head_bytes: defaulting(whole(1024, 1_048_576), 65_536, "bytes of one request or response head"),
  leaf_cache: defaulting(whole(1, 100_000), 1024, "certificates kept for names"),
  audit_records_per_second: defaulting(
    whole(1, 1_000_000),
    10_000,
    "records of the component in a second and worker; one counts once for every KiB that it begins",
  ),
  audit_records_per_connection: defaulting(whole(1, 1_000_000), 2000, "of these, those of one connection"),
  connections_per_second: defaulting(whole(1, 1_000_000), 5000, "connections of clients that are taken in a second and worker"),
  dials_per_second: defaulting(whole(1, 1_000_000), 1000, "connections to servers that are begun in a second and worker"),
  certificates_per_second: defaulting(whole(1, 100_000), 500, "certificates that are issued in a second and worker"),
  certificate_names: defaulting(whole(1, 100_000_000), 100_000, "different names that certificates are issued for in the life of a worker"),
});

const timeouts = object("Time limits, in seconds", {
  head_seconds: defaulting(whole(1, 3600), 30, "until a whole CONNECT or request head is there"),
  handshake_seconds: defaulting(whole(1, 3600), 30, "for one TLS handshake"),
  connect_seconds: defaulting(whole(1, 3600), 30, "until the upstream is connected"),
  idle_seconds: defaulting(whole(1, 86_400), 300, "without a byte in either direction"),
  drain_seconds: defaulting(whole(0, 86_400), 30, "for running connections when the proxy stops"),
});

const ca = object("The certification authority", {
  permit: optional(
    list(dnsName, { minItems: 1, maxItems: 1000 }),
    "the DNS subtrees that it may issue for; those of the intercepted hosts if missing",
  ),
  permit_ip: optional(
    list(cidr, { minItems: 1, maxItems: 100 }),
    "the addresses that it may issue for; those of the intercepted hosts if missing",
  ),
  leaf_seconds: defaulting(whole(300, 34_214_400), 86_400, "how long an issued certificate is valid"),
});

const tokens = object("Capability tokens of clients", {
  end_at_expiry: defaulting(flag, true, "connections end when the token expires that opened them; otherwise they go on"),
  require_tls_exporter: defaulting(flag, false, "only tokens that are bound to the client's very connection are taken"),
});

const audit = object("The audit log", {
  path: optional(path, "the file; no log if missing"),
  mode: defaulting(choice("best-effort", "strict"), "best-effort", "strict: what cannot be recorded is refused"),
  fsync: defaulting(choice("never", "second", "record"), "second", "how often the file is forced to the disk"),
});

/** The version of the format: of another one nothing else can be read. */
export const policyVersion: Shape<number> = {
  schema: whole(VERSION, VERSION).schema,
  read(value, path, faults) {
    if (value === VERSION) return value;
    if (typeof value !== "number") return faults.add(path, `the number ${VERSION} is expected: the one version that this program knows`);
    return faults.add(
      path,
      `this program knows version ${VERSION} alone, and this is version ${value}: ` +
        (value > VERSION ? `use a newer sallyport, or write the policy as version ${VERSION}` : `write the policy as version ${VERSION}`),
    );
  },
};

/** The whole file. Strict: unknown members are faults everywhere. */
export const policyFile = object("What a sallyport proxy does with each connection and request", {
  $schema: optional(text({ about: "the address of this schema", maxLength: 1024 }), "the address of this schema, for editors"),
  version: required(policyVersion, `the version of this format: ${VERSION}`),
  default: defaulting(choice("deny", "tunnel", "intercept"), "deny", "the mode of hosts that no rule is for; never for addresses"),
  ports: optional(
    list(whole(1, 65_535), { minItems: 1, maxItems: 100 }),
    "what patterns without a port and the default mode are for; 443 if missing",
  ),
  deny: optional(list(hostPattern, { maxItems: 10_000 }), "refused before everything else; without a port, on every port"),
  allow: optional(list(hostPattern, { maxItems: 10_000 }), "if present, only these hosts get past it; what happens to them is said below"),
  hosts: optional(list(hostEntry, { maxItems: 1000 }), "what happens to which hosts; the first entry that matches counts"),
  sni_mismatch: defaulting(
    sniMismatch,
    "deny",
    "a hello that names another host than the CONNECT. decide: both have to be allowed in the same mode, and the name in the hello counts",
  ),
  ech: defaulting(ech, "deny", "a hello with an encrypted inner hello (browsers also send false ones). outer: the name outside decides"),
  allow_networks: optional(list(cidr, { maxItems: 1000 }), "private, loopback and other special addresses that may be connected to"),
  anchors: optional(
    mapping({ about: "a name", pattern: "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$" }, path, 100),
    "PEM files with certificates, by name",
  ),
  secrets: optional(
    mapping({ about: "the name of a secret", pattern: "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$" }, secret, 100),
    "secrets that clients send by themselves, without having them",
  ),
  ca: section(ca, "the certification authority"),
  limits: section(limits, "bounds"),
  timeouts: section(timeouts, "time limits"),
  tokens: section(tokens, "capability tokens of clients"),
  audit: section(audit, "the audit log"),
});

/** A policy file whose every value was checked by itself. */
export type PolicyFile = ShapeOf<typeof policyFile>;
/** One entry of its `hosts`. */
export type HostEntry = NonNullable<PolicyFile["hosts"]>[number];
/** One entry of its `requests.rules`. */
export type EndpointEntry = ShapeOf<typeof endpointRule>;
/** What an entry or a rule changes in requests. */
export type EditsEntry = Pick<EndpointEntry, "set_headers" | "remove_headers" | "secrets">;
/** The JSON Schema (draft 2020-12) of policy files, made from what the loader checks. */
export function policySchema(): JsonSchema {
  return {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    title: "Policy of a sallyport proxy",
    ...policyFile.schema,
  };
}
