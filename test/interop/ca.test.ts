import { execFileSync, spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Authority } from "../../host/authority/authority.ts";
import { makeCa, renewCa } from "../../host/authority/issuing-ca.ts";
import { parseLimits } from "../../host/authority/parse-limits.ts";
import { dns } from "../support/authority.ts";
import { toPem } from "../support/pki.ts";
import { isAddress, type IssuedChain, issuedChains } from "./peers/issued-chains.ts";
import { inRepository, Scene } from "./peers/process.ts";

const scene = new Scene();
let chains: IssuedChain[];
let goSays: string[];

beforeAll(async () => {
  chains = await issuedChains(scene.folder);
  const env = { ...process.env, GO111MODULE: "on", GOFLAGS: "", GOWORK: "off", GOTOOLCHAIN: "local", CGO_ENABLED: "0" };
  const output = execFileSync("go", ["run", "."], {
    cwd: inRepository("test/interop/peers/go-verify"),
    env,
    input: JSON.stringify(chains),
  });
  goSays = JSON.parse(output.toString());
});
afterAll(() => scene.end());

function openssl({ root, intermediate, leaf }: IssuedChain["files"], name: string): string {
  const which = isAddress(name) ? "-verify_ip" : "-verify_hostname";
  const args = [
    "verify",
    "-x509_strict",
    "-purpose",
    "sslserver",
    which,
    name,
    "-no-CApath",
    "-no-CAstore",
    "-CAfile",
    root,
    "-untrusted",
    intermediate,
    leaf,
  ];
  const { status, stdout, stderr } = spawnSync("openssl", args, { encoding: "utf8" });
  return status === 0 ? "accepted" : stdout + stderr;
}

test("every chain is looked at", () => {
  expect(chains.filter((chain) => chain.isWithin).length).toBe(13);
  expect(chains.filter((chain) => !chain.isWithin).length).toBe(17);
  expect(goSays).toHaveLength(chains.length);
});

describe("openssl verify -x509_strict", () => {
  test("accepts every leaf that the authority issues", () => {
    for (const { title, files, name, isWithin } of chains) if (isWithin) expect(openssl(files, name), title).toBe("accepted");
  });

  test("refuses every leaf outside the constraints, signed with the authority's own key, for that reason", () => {
    for (const { title, files, name, isWithin } of chains)
      if (!isWithin) expect(openssl(files, name), title).toMatch(/permitted subtree violation|excluded subtree violation/);
  });

  test("refuses a leaf as a client's", () => {
    const { root, intermediate, leaf } = chains[0]!.files;
    const args = ["verify", "-x509_strict", "-purpose", "sslclient", "-CAfile", root, "-untrusted", intermediate, leaf];
    expect(spawnSync("openssl", args, { encoding: "utf8" }).stderr).toMatch(
      /unsuitable certificate purpose|unsupported certificate purpose/,
    );
  });

  test("accepts what was issued before a renewal, and after it, with either certificate", async () => {
    const { ca, rootKey } = await makeCa({ limits: parseLimits({ dns: ["example.com"] }), validity: 86_400n, rootValidity: 864_000n });
    const renewed = await renewCa(ca, rootKey, { validity: 172_800n });
    const file = (name: string, der: Uint8Array) => {
      const path = join(scene.folder, name);
      writeFileSync(path, toPem("CERTIFICATE", der));
      return path;
    };
    const leafOf = async (issuer: typeof ca) =>
      (await Authority.from(issuer)).issue({ names: [dns("example.com")], lifetime: 60n, key: "p256" }).keyPair.chain.der[0]!;
    const root = file("root.pem", ca.root);
    const leaves = [file("before.pem", await leafOf(ca)), file("after.pem", await leafOf(renewed))];
    const intermediates = [file("old.pem", ca.intermediate), file("new.pem", renewed.intermediate)];
    for (const leaf of leaves)
      for (const intermediate of intermediates) expect(openssl({ root, intermediate, leaf }, "example.com")).toBe("accepted");
  });

  test("says that the authorities themselves are in order", () => {
    const { root, intermediate } = chains[0]!.files;
    expect(execFileSync("openssl", ["verify", "-x509_strict", "-CAfile", root, intermediate], { encoding: "utf8" })).toContain("OK");
  });
});

describe("Go's crypto/x509", () => {
  test("accepts every leaf that the authority issues", () => {
    for (const [index, { title, isWithin }] of chains.entries()) if (isWithin) expect(goSays[index], title).toBe("");
  });

  test("refuses every leaf outside the constraints, signed with the authority's own key, for that reason", () => {
    for (const [index, { title, isWithin }] of chains.entries())
      if (!isWithin) expect(goSays[index], title).toMatch(/not permitted by any constraint|excluded by constraint/);
  });
});
