import type { Fields } from "../http1/fields.ts";
import type { FieldLine } from "../http1/write-head.ts";
import { type Certificate, readCertificate } from "../wire/certificate.ts";
import { WireError } from "../wire/wire-error.ts";
import type { Handshake } from "./handshake.ts";
import { cipherSuiteName, groupName, versionName } from "../tls/names.ts";

/** A handshake for people, in lines. */
export function handshakeLines(handshake: Handshake): string[] {
  const { serverName, address, version, cipherSuite, group, alpn, sessionReused, chain, verdict, overridden, decisions } = handshake;
  const lines = [`connected to ${address} for ${serverName}`];
  if (version !== undefined) {
    const parts = [versionName(version), cipherSuite === undefined ? "" : cipherSuiteName(cipherSuite)];
    parts.push(group === undefined ? "group not known" : groupName(group), alpn === undefined ? "no ALPN" : `ALPN ${alpn}`);
    if (sessionReused === true) parts.push("session resumed");
    lines.push(parts.filter((part) => part !== "").join(", "));
  } else if (decisions.length === 0 && chain.length === 0) lines.push("this host does not tell what was negotiated");
  for (const [index, der] of chain.entries()) lines.push(...certificateLines(der, index + 1));
  if (verdict !== undefined) lines.push(`the host's verdict: ${verdict.length === 0 ? "acceptable" : verdict.join(", ")}`);
  if (overridden.length > 0) lines.push(`overridden: ${overridden.join(", ")}`);
  for (const { point, by, what } of decisions) lines.push(`suspended at ${point}: the ${by} decided: ${what}`);
  return lines.map((line) => `* ${line}`);
}

/** Request line and fields, without what may be a secret. */
export function requestLines(startLine: string, fields: readonly FieldLine[]): string[] {
  const shown = fields.map(([name, value]) => `${name}: ${SHOWN.has(name.toLowerCase()) ? value : "(not shown)"}`);
  return [startLine, ...shown].map((line) => `> ${line}`);
}

/** Status line and fields, without cookies. */
export function responseLines(startLine: string, fields: Fields): string[] {
  const shown = [...fields].map(({ name, key, value }) => `${name}: ${key === "set-cookie" ? "(not shown)" : value}`);
  return [startLine, ...shown].map((line) => `< ${line}`);
}

/** What `--json` says of a handshake. */
export function handshakeJson(handshake: Handshake): object {
  const { version, cipherSuite, group, chain, ...rest } = handshake;
  return {
    ...rest,
    version: version === undefined ? undefined : versionName(version),
    cipherSuite: cipherSuite === undefined ? undefined : cipherSuiteName(cipherSuite),
    group: group === undefined ? undefined : groupName(group),
    chain: chain.map(certificateJson),
  };
}

function certificateJson(der: Uint8Array): object {
  const certificate = tryRead(der);
  if (certificate === undefined) return { unreadable: true };
  const { dns, ip } = certificate.alternativeNames;
  return {
    subject: certificate.subject.text,
    issuer: certificate.issuer.text,
    notBefore: dateText(certificate.notBefore),
    notAfter: dateText(certificate.notAfter),
    names: [...dns, ...ip],
    publicKey: certificate.publicKeyAlgorithm,
    serial: certificate.serial,
  };
}

function certificateLines(der: Uint8Array, number: number): string[] {
  const certificate = tryRead(der);
  if (certificate === undefined) return [`certificate ${number}: not readable`];
  const { dns, ip } = certificate.alternativeNames;
  const names = [...dns, ...ip];
  return [
    `certificate ${number}: ${certificate.subject.text}, ${certificate.publicKeyAlgorithm}`,
    `  issued by ${certificate.issuer.text}`,
    `  valid from ${dateText(certificate.notBefore)} to ${dateText(certificate.notAfter)}`,
    ...(names.length > 0 ? [`  for ${names.join(", ")}`] : []),
  ];
}

function tryRead(der: Uint8Array): Certificate | undefined {
  try {
    return readCertificate(der);
  } catch (error) {
    if (error instanceof WireError) return undefined;
    throw error;
  }
}

function dateText(seconds: bigint): string {
  return new Date(Number(seconds) * 1000).toISOString().replace(".000", "");
}

/** Request fields whose values are shown: any other may be a secret, whatever its name. */
const SHOWN = new Set([
  "host",
  "user-agent",
  "accept",
  "accept-encoding",
  "accept-language",
  "cache-control",
  "connection",
  "content-length",
  "content-type",
  "expect",
  "range",
]);
