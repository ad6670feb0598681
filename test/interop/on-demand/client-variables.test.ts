import { execFile, execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import https from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { recordsOf } from "../../support/gateway-instance.ts";
import { makePki, type TestPki } from "../../support/pki.ts";
import { pythonPackage } from "../../support/python-packages.ts";
import { cached, inRepository } from "../peers/process.ts";
import { makeSite } from "../proxy/programs.ts";

/**
 * The rows of the table of variables in docs/proxy.md that the programs of every run leave out: each of these programs finds
 * the proxy and trusts it by what `sallyport exec` sets, and gets nothing once its one variable says something else.
 */
let folder: string;
let pki: TestPki;
let server: https.Server;
let port: number;
let count = 0;

interface Case {
  /** The variable that the program goes by. */
  variable: string;
  /** Others that it would go by as well: left out, so that this one is what counts. */
  without?: readonly string[];
  /** What it runs; the output then has `the page` in it. */
  command(scratch: string): Promise<string[]>;
}

const URL_OF_PAGE = "https://web.test/page.txt";

const programs: Record<string, Case> = {
  "Go's net/http": {
    variable: "SSL_CERT_FILE",
    command: async () => {
      const program = join(folder, "go-fetch");
      if (!existsSync(program)) {
        const env = { ...process.env, GO111MODULE: "on", GOFLAGS: "", GOWORK: "off", GOTOOLCHAIN: "local", CGO_ENABLED: "0" };
        execFileSync("go", ["build", "-o", program, "."], { cwd: inRepository("test/interop/peers/go-fetch"), env });
      }
      return [program, URL_OF_PAGE];
    },
  },
  uv: {
    variable: "SSL_CERT_FILE",
    command: async (scratch) => {
      const uv = join(await pythonPackage("uv==0.13.9"), "bin/uv");
      const install = `${uv} pip install -q --no-cache --no-config --python python3 --target ${scratch}/out --index-url https://web.test/simple/ thepage`;
      return ["sh", "-c", `${install} && cat ${scratch}/out/page.txt`];
    },
  },
  httplib2: {
    variable: "HTTPLIB2_CA_CERTS",
    command: async () => {
      const script = [
        `import sys`,
        // It speaks to proxies by the other package.
        `sys.path[:0] = ${JSON.stringify([await pythonPackage("httplib2==0.32.1"), await pythonPackage("PySocks==1.7.1")])}`,
        `import httplib2`,
        `response, body = httplib2.Http().request(${JSON.stringify(URL_OF_PAGE)})`,
        `print(body.decode())`,
      ];
      return ["python3", "-c", script.join("\n")];
    },
  },
  "botocore, by which the command line of AWS connects": {
    variable: "AWS_CA_BUNDLE",
    command: async () => {
      const script = [
        `import sys`,
        `sys.path[:0] = ${JSON.stringify([await pythonPackage("botocore==1.44.5")])}`,
        `import botocore.session`,
        `client = botocore.session.get_session().create_client("s3", region_name="us-east-1", endpoint_url="https://web.test", aws_access_key_id="x", aws_secret_access_key="x", config=botocore.config.Config(s3={"addressing_style": "path"}, retries={"max_attempts": 0}))`,
        `print(client.get_object(Bucket="bucket", Key="page.txt")["Body"].read().decode())`,
      ];
      return ["python3", "-c", script.join("\n")];
    },
  },
  cargo: {
    variable: "CARGO_HTTP_CAINFO",
    command: async (scratch) => {
      mkdirSync(join(scratch, "user/src"), { recursive: true });
      mkdirSync(join(scratch, "user/.cargo"));
      writeFileSync(
        join(scratch, "user/Cargo.toml"),
        `[package]\nname = "user"\nversion = "1.0.0"\nedition = "2021"\n[dependencies]\nthepage = "1.0.0"\n`,
      );
      writeFileSync(join(scratch, "user/src/lib.rs"), "");
      const config = `[source.crates-io]\nreplace-with = "mirror"\n[source.mirror]\nregistry = "sparse+https://web.test/crates/"\n[net]\nretry = 0\n`;
      writeFileSync(join(scratch, "user/.cargo/config.toml"), config);
      const fetch = `cd ${scratch}/user && CARGO_HOME=${scratch}/home cargo fetch -q`;
      return ["sh", "-c", `${fetch} && cat ${scratch}/home/registry/src/*/thepage-1.0.0/page.txt`];
    },
  },
  Deno: {
    variable: "DENO_CERT",
    without: ["NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE"],
    command: async (scratch) => {
      const place = cached("npm-deno-2.9.6");
      if (!existsSync(join(place, "node_modules"))) {
        mkdirSync(place, { recursive: true });
        execFileSync("npm", ["install", "--silent", "--no-audit", "--no-fund", "--prefix", place, "deno@2.9.6"]);
      }
      const script = join(scratch, "fetch.ts");
      writeFileSync(script, `console.log(await (await fetch(${JSON.stringify(URL_OF_PAGE)})).text());`);
      return ["env", `DENO_DIR=${scratch}/deno`, join(place, "node_modules/.bin/deno"), "run", "--no-config", "--allow-net", script];
    },
  },
};

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "sallyport-variables-"));
  pki = await makePki({ leaf: { dns: ["web.test"] } });
  writeFileSync(join(folder, "root.pem"), pki.root.pem);
  mkdirSync(join(folder, "site"));
  const site = makeSite(join(folder, "site"));
  site.set("bucket/page.txt", Buffer.from("the page\n"));
  const crate = makeCrate();
  site.set("crates/config.json", Buffer.from(JSON.stringify({ dl: "https://web.test/dl/{crate}" })));
  site.set("dl/thepage", crate);
  const cksum = createHash("sha256").update(crate).digest("hex");
  site.set(
    "crates/th/ep/thepage",
    Buffer.from(JSON.stringify({ name: "thepage", vers: "1.0.0", deps: [], cksum, features: {}, yanked: false })),
  );
  server = https.createServer({ key: pki.leaf.keyPem, cert: pki.chainPem }, (request, response) => {
    const page = site.get(decodeURIComponent(request.url!.slice(1).split("?", 1)[0]!));
    if (request.url!.endsWith("/simple/thepage/")) response.setHeader("content-type", "text/html");
    response.statusCode = page === undefined ? 404 : 200;
    response.end(page === undefined ? undefined : Buffer.from(page));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  ({ port } = server.address() as AddressInfo);
});
afterAll(() => {
  server.close();
  rmSync(folder, { recursive: true, force: true });
});

/** Run a command under `sallyport exec`. */
async function run(command: string[]): Promise<{ code: number; output: string; records: Record<string, unknown>[] }> {
  const scratch = join(folder, `run-${++count}`);
  mkdirSync(scratch);
  const policy = {
    version: 1,
    allow_networks: ["127.0.0.0/8"],
    anchors: { test: join(folder, "root.pem") },
    hosts: [
      {
        match: ["=web.test"],
        mode: "front",
        front: { server_name: "web.test", address: `127.0.0.1:${port}` },
        upstream: { anchors: ["test"] },
      },
    ],
  };
  const [config, audit] = [join(scratch, "policy.json"), join(scratch, "audit.jsonl")];
  writeFileSync(config, JSON.stringify(policy), { mode: 0o600 });
  const args = [inRepository("host/cli/bin.mjs"), "exec", "--config", config, "--audit", audit, "--", ...command];
  // What finds its toolchain in the home folder still has to.
  const env = { ...process.env, TMPDIR: folder };
  return await new Promise((resolve) => {
    execFile(process.execPath, args, { env, timeout: 60_000 }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code ?? 1), output: stdout + stderr, records: recordsOf(audit) });
    });
  });
}

function scratchFolder(): string {
  const scratch = join(folder, `scratch-${++count}`);
  mkdirSync(scratch);
  return scratch;
}

describe.each(Object.keys(programs))("%s", (name) => {
  const { variable, without = [], command } = programs[name]!;
  const unset = ["env", ...without.flatMap((other) => ["-u", other])];

  test("finds the proxy and trusts it", async () => {
    const ran = await run([...unset, ...(await command(scratchFolder()))]);
    expect(ran.output).toContain("the page");
    expect(ran.code).toBe(0);
    expect(ran.records).toContainEqual(expect.objectContaining({ by: "component", event: "client-hello", decision: "front" }));
  }, 120_000);

  test(`does so by ${variable}: with another root in it, it gets nothing, and that is recorded`, async () => {
    const ran = await run([...unset, `${variable}=${join(folder, "root.pem")}`, ...(await command(scratchFolder()))]);
    expect(ran.code).not.toBe(0);
    expect(ran.output).not.toContain("the page");
    expect(ran.records).toContainEqual(expect.objectContaining({ event: "handshake", error: expect.stringMatching(/^client: /) }));
  }, 120_000);
});

/** A package of Rust's, as its registry serves it. */
function makeCrate(): Uint8Array {
  const root = join(folder, "crate/thepage-1.0.0");
  mkdirSync(join(root, "src"), { recursive: true });
  writeFileSync(join(root, "Cargo.toml"), `[package]\nname = "thepage"\nversion = "1.0.0"\nedition = "2021"\n`);
  writeFileSync(join(root, "src/lib.rs"), "");
  writeFileSync(join(root, "page.txt"), "the page\n");
  expect(readdirSync(root)).toContain("page.txt");
  return execFileSync("tar", ["-czf", "-", "-C", join(folder, "crate"), "thepage-1.0.0"]);
}
