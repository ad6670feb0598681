import { X509Certificate } from "node:crypto";
import { getCACertificates } from "node:tls";
import { expect, test } from "vitest";
import { type Certificate, readCertificate } from "../../src/wire/certificate.ts";
import { encodePem, parsePem } from "../../src/wire/pem.ts";
import { latin1 } from "../../src/wire/utf8.ts";
import { WireError } from "../../src/wire/wire-error.ts";
import { mutatedBytes, seededRandom } from "../support/mutated-bytes.ts";
import { EKU, makeCertificate } from "../support/pki.ts";

/** FUZZ_COUNT inputs a test, from FUZZ_SEED on. Keys are made anew each run, so a seed repeats only on the roots. */
const count = Number(process.env["FUZZ_COUNT"] ?? 20_000);
const firstSeed = Number(process.env["FUZZ_SEED"] ?? 1);
const timeout = Math.max(30_000, count);

const YEAR_1000 = BigInt(Date.UTC(1000, 0)) / 1000n;

async function samples(): Promise<Uint8Array[]> {
  const roots = getCACertificates("bundled")
    .slice(0, 20)
    .map((pem) => parsePem(pem)[0]!.bytes);
  const ca = await makeCertificate({ isCa: true, pathLength: 0, nameConstraints: { permittedDns: ["test"] } });
  const leaf = await makeCertificate({ dns: ["a.test", "*.test"], ip: ["127.0.0.1", "::1"], eku: [EKU.serverAuth, EKU.any] }, ca);
  const ed25519 = await makeCertificate({ keyType: "ed25519", dns: ["b.test"] }, ca);
  return [...roots, ca.der, leaf.der, leaf.der, leaf.der, ed25519.der];
}

test(
  `readCertificate answers or throws its own error, with printable text only, on ${count} mutated certificates`,
  async () => {
    const seeds = await samples();
    const outcomes = new Map<string, number>();
    let disagreements = 0;
    for (let seed = firstSeed; seed < firstSeed + count; seed++) {
      const random = seededRandom(seed);
      const input = mutatedBytes(seeds[random(seeds.length)]!, random);
      const outcome = outcomeOf(seed, () => {
        const certificate = readCertificate(input);
        checkPrintable(seed, certificate);
        if (seed % 16 === 0 && !nodeAgrees(input, certificate)) disagreements++;
      });
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    }
    if (process.env["FUZZ_COUNT"] !== undefined) console.log("readCertificate", Object.fromEntries(outcomes));
    expect(disagreements).toBe(0);
    if (count < 1000) return;
    for (const expected of ["read", "invalid-der", "invalid-certificate"]) expect(outcomes.get(expected), expected).toBeGreaterThan(0);
  },
  timeout,
);

test(
  `parsePem answers or throws its own error, on ${count} mutated texts`,
  async () => {
    const texts = (await samples()).map(
      (der) => new Uint8Array(Buffer.from(`# text\n${encodePem("CERTIFICATE", der)}${encodePem("X", der.subarray(0, 50))}`)),
    );
    const outcomes = new Map<string, number>();
    for (let seed = firstSeed; seed < firstSeed + count; seed++) {
      const random = seededRandom(seed);
      const text = latin1(mutatedBytes(texts[random(texts.length)]!, random));
      const outcome = outcomeOf(seed, () => {
        for (const block of parsePem(text)) {
          // What parsed is canonical: written again, it parses to the same bytes.
          if (Buffer.compare(parsePem(encodePem(block.label, block.bytes))[0]!.bytes, block.bytes) !== 0)
            throw new Error("a block changed");
        }
      });
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    }
    if (process.env["FUZZ_COUNT"] !== undefined) console.log("parsePem", Object.fromEntries(outcomes));
    if (count < 1000) return;
    for (const expected of ["read", "invalid-pem"]) expect(outcomes.get(expected), expected).toBeGreaterThan(0);
  },
  timeout,
);

function outcomeOf(seed: number, run: () => void): string {
  try {
    run();
    return "read";
  } catch (error) {
    if (!(error instanceof WireError)) throw new Error(`seed ${seed}`, { cause: error });
    return error.code;
  }
}

/** Times and serial number as OpenSSL sees them, if it reads the certificate at all. */
function nodeAgrees(der: Uint8Array, certificate: Certificate): boolean {
  let reference: X509Certificate;
  try {
    reference = new X509Certificate(der);
  } catch {
    return true;
  }
  // Date.parse takes the years below 100 that OpenSSL writes for others.
  if (certificate.notBefore < YEAR_1000 || certificate.notAfter < YEAR_1000) return true;
  const serial = (text: string) => BigInt(`0x${text.replace("-", "")}`);
  return (
    Date.parse(reference.validFrom) === Number(certificate.notBefore) * 1000 &&
    Date.parse(reference.validTo) === Number(certificate.notAfter) * 1000 &&
    serial(reference.serialNumber) === serial(certificate.serial)
  );
}

function checkPrintable(seed: number, { subject, issuer, alternativeNames }: Certificate): void {
  const texts = [
    subject.text,
    subject.commonName ?? "",
    issuer.text,
    issuer.commonName ?? "",
    ...alternativeNames.dns,
    ...alternativeNames.ip,
  ];
  for (const text of texts) {
    if (/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u.test(text)) throw new Error(`seed ${seed}: ${JSON.stringify(text)} is not printable`);
  }
}
