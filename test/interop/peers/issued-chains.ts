import type { KeyObject } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { isIP } from "node:net";
import { join } from "node:path";
import type { Authority } from "../../../host/authority/authority.ts";
import type { LimitTexts } from "../../../host/authority/parse-limits.ts";
import { parseServerName } from "../../../src/wire/server-name.ts";
import { dns, ip, makeAuthority, misissued } from "../../support/authority.ts";
import { toPem } from "../../support/pki.ts";

/** A leaf with its authorities, for verifiers that nobody here wrote. */
export interface IssuedChain {
  /** What the test is called. */
  title: string;
  /** What a client would ask for: the first name of the leaf. */
  name: string;
  /** Whether it lies within what the authority may issue. */
  isWithin: boolean;
  root: string;
  intermediate: string;
  leaf: string;
  /** PEM, of the leaf. */
  key: string;
  /** The same as files. */
  files: { root: string; intermediate: string; leaf: string };
}

const namesOnly: LimitTexts = { dns: ["example.com", "corp.internal"] };
const withIpv4: LimitTexts = { dns: ["example.com"], ip: ["10.0.0.0/8", "192.0.2.16/28"] };
const withIpv6: LimitTexts = { dns: ["example.com"], ip: ["fd00::/8"] };
const withBoth: LimitTexts = { dns: ["example.com"], ip: ["10.0.0.0/8", "fd00::/8"] };
const longName = `${"a".repeat(63)}.${"b".repeat(63)}.${"c".repeat(63)}.example.com`;

/** Issued as a guest asks for them. */
const within: [LimitTexts, ...string[]][] = [
  [namesOnly, "example.com"],
  [namesOnly, "a.b.example.com"],
  [namesOnly, "git.corp.internal"],
  [namesOnly, longName],
  [namesOnly, "www.example.com", "example.com"],
  [withIpv4, "www.example.com"],
  [withIpv4, "10.1.2.3"],
  [withIpv4, "192.0.2.31"],
  [withIpv4, "www.example.com", "10.1.2.3"],
  [withIpv6, "fd12:3456::1"],
  [withIpv6, "example.com", "fd00::1"],
  [withBoth, "10.1.2.3"],
  [withBoth, "fd00::1"],
];

/** Signed with the authority's own key past its limits, as somebody would who stole it. */
const outside: [LimitTexts, ...string[]][] = [
  [namesOnly, "evil.test"],
  [namesOnly, "notexample.com"],
  [namesOnly, "example.com.evil.test"],
  [namesOnly, "example.com", "evil.test"],
  [namesOnly, "10.1.2.3"],
  [namesOnly, "::1"],
  [namesOnly, "example.com", "127.0.0.1"],
  [withIpv4, "evil.test"],
  [withIpv4, "11.0.0.1"],
  [withIpv4, "192.0.2.32"],
  [withIpv4, "fd00::1"],
  [withIpv4, "www.example.com", "127.0.0.1"],
  [withIpv6, "127.0.0.1"],
  [withIpv6, "fe80::1"],
  [withIpv6, "evil.test"],
  [withBoth, "127.0.0.1"],
  [withBoth, "fe80::1"],
];

/** Every chain, written below `folder`. */
export async function issuedChains(folder: string): Promise<IssuedChain[]> {
  const authorities = new Map<LimitTexts, Authority>();
  for (const limits of [namesOnly, withIpv4, withIpv6, withBoth]) authorities.set(limits, await makeAuthority(limits));
  return [...within.map((it) => [true, it] as const), ...outside.map((it) => [false, it] as const)].map(
    ([isWithin, [limits, ...names]], index) => {
      const authority = authorities.get(limits)!;
      const { certificate, key } = isWithin ? issued(authority, names) : misissued(authority, names);
      const [intermediate, root] = authority.chain.der;
      const texts = {
        root: toPem("CERTIFICATE", root!),
        intermediate: toPem("CERTIFICATE", intermediate!),
        leaf: toPem("CERTIFICATE", certificate),
      };
      const title = `${names.join(" and ")} under ${[...limits.dns, ...(limits.ip ?? [])].join(", ")}`;
      const keyPem = key.export({ type: "pkcs8", format: "pem" }) as string;
      return { title, name: names[0]!, isWithin, ...texts, key: keyPem, files: write(join(folder, String(index)), texts) };
    },
  );
}

function issued(authority: Authority, names: string[]): { certificate: Uint8Array; key: KeyObject } {
  const requested = names.map((name) => {
    const parsed = parseServerName(name);
    return parsed.tag === "dns" ? dns(parsed.name) : ip(...parsed.bytes);
  });
  const { keyPair } = authority.issue({ names: requested, lifetime: 3600n, key: "p256" });
  return { certificate: keyPair.chain.der[0]!, key: keyPair.forWorker().key };
}

function write(folder: string, texts: Record<"root" | "intermediate" | "leaf", string>): IssuedChain["files"] {
  mkdirSync(folder, { recursive: true });
  const file = (name: "root" | "intermediate" | "leaf") => {
    const path = join(folder, `${name}.pem`);
    writeFileSync(path, texts[name]);
    return path;
  };
  return { root: file("root"), intermediate: file("intermediate"), leaf: file("leaf") };
}

/** How a name is asked for on command lines that want to know which of the two it is. */
export const isAddress = (name: string): boolean => isIP(name) !== 0;
