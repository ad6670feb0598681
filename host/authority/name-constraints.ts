import { DerReader, derTag } from "../../src/wire/der.ts";
import { formatIpAddress, type IpPrefix, parseIpPrefix } from "../../src/wire/ip-address.ts";
import { parseDnsName } from "../../src/wire/server-name.ts";
import { latin1 } from "../../src/wire/utf8.ts";
import { WireError } from "../../src/wire/wire-error.ts";
import { AuthorityError } from "./authority-error.ts";
import { certificateParts, extensionOid } from "./certificate-parts.ts";
import { der } from "./der-writer.ts";
import { Limits } from "./limits.ts";
import { isStopgap, parseSubtree, rangeFault, stopgapRanges } from "./parse-limits.ts";

/**
 * Limits as the value of a NameConstraints extension (RFC 5280, section 4.2.1.10). Constraints on DNS names say nothing
 * about addresses: where none is permitted, both families are excluded as a whole. Where one family has ranges, the other
 * has a single address that no host can have: verifiers differ on whether ranges of one family limit the other, and some
 * compare the two byte by byte, so that an exclusion of one would hit the other.
 */
export function encodeNameConstraints(limits: Limits): Uint8Array {
  const names = limits.dns.map((name) => subtree(DNS_NAME, Buffer.from(name, "latin1")));
  if (limits.ip.length === 0) {
    const excluded = [4, 16].map((length) => subtree(IP_ADDRESS, new Uint8Array(2 * length)));
    return der(derTag.sequence, der(PERMITTED, ...names), der(EXCLUDED, ...excluded));
  }
  const stopgaps = stopgapRanges.filter((stopgap) => !limits.ip.some((range) => range.address.tag === stopgap.address.tag));
  const ranges = [...limits.ip, ...stopgaps].map((range) => subtree(IP_ADDRESS, range.address.bytes, maskOf(range)));
  return der(derTag.sequence, der(PERMITTED, ...names, ...ranges));
}

/**
 * The limits that a certificate states. Only the form that `encodeNameConstraints` writes is accepted: whatever else a
 * certificate may say, this host could not promise that a verifier reads it alike.
 *
 * @throws {AuthorityError} `unconstrained` if the extension is missing, not critical or of another form; `bad-limits`,
 *   `bad-content`
 */
export function readNameConstraints(certificate: Uint8Array): Limits {
  try {
    const extension = certificateParts(certificate).extensions.find(({ oid }) => oid === extensionOid.nameConstraints);
    if (extension === undefined) throw unconstrained("the certificate has no name constraints: an authority for every name is refused");
    if (!extension.critical) throw unconstrained("the certificate's name constraints are not critical, so verifiers may ignore them");
    const limits = readPermitted(extension.value);
    if (!Buffer.from(encodeNameConstraints(limits)).equals(extension.value))
      throw unconstrained("the certificate's name constraints are not those of an authority that this program made");
    return limits;
  } catch (error) {
    if (error instanceof WireError)
      throw new AuthorityError("bad-content", `the certificate's name constraints cannot be read: ${error.message}`);
    throw error;
  }
}

function readPermitted(value: Uint8Array): Limits {
  const trees = new DerReader(value).enter(derTag.sequence);
  if (trees.peekTag() !== PERMITTED) throw unconstrained("the certificate's name constraints permit nothing in particular");
  const permitted = trees.enter(PERMITTED);
  const dns = [];
  const ip = [];
  while (!permitted.done) {
    const { tag, content } = permitted.enter(derTag.sequence).any();
    // Those of a company were allowed by whoever made the authority.
    if (tag === DNS_NAME) dns.push(parseSubtree(parseDnsName(latin1(content)).name, true));
    else if (tag === IP_ADDRESS) ip.push(readRange(content));
    else throw unconstrained("the certificate's name constraints are about other names than hosts and addresses");
  }
  if (dns.length === 0) throw unconstrained("the certificate's name constraints do not limit host names");
  return new Limits(
    dns,
    ip.filter((range) => !isStopgap(range)),
  );
}

function readRange(content: Uint8Array): IpPrefix {
  if (content.length !== 8 && content.length !== 32)
    throw new AuthorityError("bad-content", "a permitted range is neither of IPv4 nor of IPv6");
  const bytes = content.subarray(0, content.length / 2);
  const mask = content.subarray(content.length / 2);
  const bits = Array.from(mask, (byte) => byte.toString(2).padStart(8, "0")).join("");
  const length = bits.includes("0") ? bits.indexOf("0") : bits.length;
  // A mask with holes does not come out of the re-encoding as it went in.
  const range = parseIpPrefix(`${formatIpAddress(bytes)}/${length}`);
  const fault = isStopgap(range) ? undefined : rangeFault(range);
  if (fault !== undefined) throw new AuthorityError("bad-limits", `the permitted range ${range.text} ${fault}`);
  return range;
}

function subtree(tag: number, ...base: Uint8Array[]): Uint8Array {
  return der(derTag.sequence, der(tag, ...base));
}

function maskOf({ address, length }: IpPrefix): Uint8Array {
  return address.bytes.map((_, index) => 0xff & ~(0xff >> Math.max(0, Math.min(8, length - 8 * index))));
}

function unconstrained(message: string): AuthorityError {
  return new AuthorityError("unconstrained", message);
}

/** Context tags of NameConstraints, and of GeneralName. */
const PERMITTED = 0xa0;
const EXCLUDED = 0xa1;
const DNS_NAME = 0x82;
const IP_ADDRESS = 0x87;
