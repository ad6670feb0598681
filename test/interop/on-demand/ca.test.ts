import { execFileSync, spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type IssuedChain, issuedChains } from "../peers/issued-chains.ts";
import { inRepository, Scene } from "../peers/process.ts";

const scene = new Scene();
let chains: IssuedChain[];
let javaSays: string[];

beforeAll(async () => {
  chains = await issuedChains(scene.folder);
  const files = chains.flatMap(({ files: { root, intermediate, leaf } }) => [root, intermediate, leaf]);
  const output = execFileSync("java", [inRepository("test/interop/peers/java-verify/Verify.java"), ...files], { encoding: "utf8" });
  javaSays = output.trim().split("\n");
});
afterAll(() => scene.end());

function certtool({ files: { root, intermediate, leaf }, name }: IssuedChain): string {
  const chain = join(scene.folder, "chain.pem");
  writeFileSync(chain, readFileSync(leaf, "utf8") + readFileSync(intermediate, "utf8"));
  const args = [
    "--verify",
    "--verify-purpose",
    "1.3.6.1.5.5.7.3.1",
    "--verify-hostname",
    name,
    "--load-ca-certificate",
    root,
    "--infile",
    chain,
  ];
  const { status, stdout, stderr } = spawnSync("certtool", args, { encoding: "utf8" });
  return status === 0 ? "accepted" : stdout + stderr;
}

describe("GnuTLS", () => {
  test("accepts every leaf that the authority issues", () => {
    for (const chain of chains) if (chain.isWithin) expect(certtool(chain), chain.title).toBe("accepted");
  });

  test("refuses every leaf outside the constraints, signed with the authority's own key, for that reason", () => {
    for (const chain of chains) if (!chain.isWithin) expect(certtool(chain), chain.title).toMatch(/violates the signer.s constraints/);
  });
});

describe("Java's PKIX, which ignores the constraints of an anchor", () => {
  test("accepts every leaf that the authority issues", () => {
    for (const [index, { title, isWithin }] of chains.entries()) if (isWithin) expect(javaSays[index], title).toBe("accepted");
  });

  test("refuses every leaf outside the constraints, signed with the authority's own key, for that reason", () => {
    for (const [index, { title, isWithin }] of chains.entries()) if (!isWithin) expect(javaSays[index], title).toMatch(/name constraint/i);
  });
});
