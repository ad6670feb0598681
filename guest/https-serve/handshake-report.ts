import type { ClientHello, ConnectionInfo } from "sallyport:tls/connection@0.1.0";
import { cipherSuiteName, groupName, isGrease, versionName } from "../../src/tls/names.ts";
import { latin1 } from "../../src/wire/utf8.ts";
import { printable } from "../../src/wire/printable.ts";
import type { ServerIdentity } from "./server-identities.ts";

/** The report of one handshake for people: each suspension, what was known at it, and what was decided by whom. */
export class HandshakeReport {
  private readonly client: string;
  private readonly lines: string[] = [];

  /** @param client address and port */
  constructor(client: string) {
    this.client = client;
  }

  /** Suspended at client-hello, with the decision that was made there. */
  clientHello(hello: ClientHello, chosen: ServerIdentity | undefined, why: string): void {
    this.add("suspended at client-hello", "nothing was answered yet");
    this.add("  server name", serverName(hello));
    this.add(
      "  ALPN",
      list(hello.alpnIds, (id) => printable(latin1(id))),
    );
    this.add("  versions", list(withoutGrease(hello.protocolVersions), versionName));
    this.add("  groups", list(withoutGrease(hello.groups), groupName));
    this.add("  cipher suites", `${withoutGrease(hello.cipherSuites).length} offered`);
    if (hello.encryptedClientHello) this.add("  encrypted hello", "offered, not used: the name above is the outer one");
    this.add("  the guest decides", chosen === undefined ? `refuse, ${why}` : `identity "${chosen.name}" (${chosen.subject}), ${why}`);
    if (chosen !== undefined) this.add("  private key", "in the host; the guest holds a handle");
  }

  /** Suspended at verify-client-identity. */
  clientIdentity(subject: string | undefined, verdict: readonly string[]): void {
    this.add("suspended at verify-client-identity", subject === undefined ? "no certificate was shown" : subject);
    this.add("  the host's verdict", verdict.length === 0 ? "no fault found" : verdict.join(", "));
    this.add("  the guest decides", verdict.length === 0 ? "resume" : "nothing: a fault ends the connection");
  }

  /** Suspended at accepted. */
  accepted(info: ConnectionInfo, alpn: string | undefined): void {
    const group = info.group ?? undefined;
    this.add("suspended at accepted", "no application data has moved");
    this.add("  version", versionName(info.protocolVersion));
    this.add("  cipher suite", cipherSuiteName(info.cipherSuite));
    this.add("  group", group === undefined ? "not known" : groupName(group));
    this.add("  ALPN", alpn === undefined ? "none" : printable(alpn));
    this.add("  session", info.sessionReused ? "resumed" : "new");
    this.add("  the guest decides", "resume");
  }

  /** There is no connection. */
  failed(reason: string): void {
    this.add("ended", printable(reason));
  }

  /** All of it, line feeds included. */
  text(): string {
    return `handshake with ${this.client}\n${this.lines.map((line) => `  ${line}\n`).join("")}`;
  }

  private add(label: string, value: string): void {
    this.lines.push(`${label.padEnd(WIDTH)}  ${value}`);
  }
}

const WIDTH = 35;

function serverName({ serverName: name }: ClientHello): string {
  if (name.tag === "none") return "none";
  return name.tag === "dns" ? name.val : `malformed: ${printable(latin1(name.val))}`;
}

function withoutGrease(values: Iterable<number>): number[] {
  return [...values].filter((value) => !isGrease(value));
}

/** A client may offer many: the first few tell enough. */
function list<T>(values: Iterable<T>, name: (value: T) => string): string {
  const all = [...values];
  if (all.length === 0) return "none";
  const shown = all.slice(0, MAX_LISTED).map(name).join(", ");
  return all.length > MAX_LISTED ? `${shown} and ${all.length - MAX_LISTED} more` : shown;
}

const MAX_LISTED = 8;
