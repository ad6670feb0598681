import { type ChildProcess, spawn } from "node:child_process";
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { httpsServer, type TestServer } from "../../support/https-servers.ts";
import { makePki, type TestPki } from "../../support/pki.ts";
import { connectThrough, talk, through } from "../../support/proxy.ts";
import { recordsOf } from "../../support/gateway-instance.ts";

const program = fileURLToPath(new URL("../../../host/cli/bin.mjs", import.meta.url));

let folder: string;
let pki: TestPki;
let server: TestServer;
const started: ChildProcess[] = [];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "sallyport-test-"));
  pki = await makePki({ leaf: { dns: ["a.test"] } });
  writeFileSync(join(folder, "root.pem"), pki.root.pem);
  server = await httpsServer(pki, (request, response) => {
    response.end(`${request.url} ${request.headers["x-token"] ?? ""}`);
  });
});
afterEach(() => {
  for (const child of started.splice(0)) child.kill("SIGKILL");
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

function policy(change: object = {}): object {
  return {
    version: 1,
    allow_networks: ["127.0.0.0/8"],
    anchors: { test: "root.pem" },
    hosts: [fronted("a.test")],
    timeouts: { drain_seconds: 1 },
    ...change,
  };
}

/** A host whose server is the one of these tests, so that no name is looked up. */
function fronted(host: string, more: object = {}): object {
  return {
    match: [`=${host}`],
    mode: "front",
    front: { server_name: "a.test", address: `127.0.0.1:${server.port}` },
    upstream: { anchors: ["test"] },
    ...more,
  };
}

function writePolicy(name: string, value: object): string {
  const file = join(folder, name);
  writeFileSync(file, JSON.stringify(value), { mode: 0o600 });
  return file;
}

/** @param within a command line that is to run it */
function sallyport(args: string[], env: Record<string, string> = {}, within: string[] = []) {
  const [first, ...rest] = [...within, process.execPath, program, ...args];
  const child = spawn(first!, rest, {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, TMPDIR: folder, ...env },
  });
  started.push(child);
  const texts = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const) child[name]!.on("data", (chunk) => (texts[name] += String(chunk)));
  let over = false;
  const ended = new Promise<{ code: number | null; stdout: string; stderr: string }>((resolve) => {
    child.once("close", (code) => {
      over = true;
      resolve({ code, ...texts });
    });
  });
  const said = async (output: "stdout" | "stderr", pattern: RegExp): Promise<RegExpExecArray> => {
    for (;;) {
      const match = pattern.exec(texts[output]);
      if (match !== null) return match;
      if (over) throw new Error(`it ended without saying ${pattern}: ${JSON.stringify(texts)}`);
      await Promise.race([ended, new Promise((resolve) => child[output]!.once("data", resolve))]);
    }
  };
  return { child, ended, said, texts };
}

/** A proxy, with what it tells a client. */
async function startedProxy(args: string[], env: Record<string, string> = {}, within: string[] = []) {
  const run = sallyport(["proxy", ...args], env, within);
  const [, token, port] = await run.said("stdout", /export https_proxy=http:\/\/(?:sallyport:([0-9a-f]{64})@)?127\.0\.0\.1:(\d+)\n/);
  const ca = /NODE_EXTRA_CA_CERTS=(\S+)\n/.exec(run.texts.stdout)?.[1];
  await run.said("stdout", /AWS_CA_BUNDLE|NODE_USE_ENV_PROXY/);
  const ask = async (host: string, path = "/") => {
    const connected = await connectThrough({ port: Number(port) }, `${host}:443`, { token });
    if (connected.status !== 200) {
      connected.socket.destroy();
      return String(connected.status);
    }
    const send = `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`;
    return (await talk(connected.socket, { servername: host, ca: readFileSync(ca!, "utf8") }, send)).text;
  };
  return { ...run, token, ca, ask, port: Number(port) };
}

describe("sallyport proxy", () => {
  it("prints where it listens and what a client needs, serves, and ends with a summary", async () => {
    const audit = join(folder, "audit-1.jsonl");
    const proxy = await startedProxy(["--config", writePolicy("p1.json", policy()), "--audit", audit]);
    expect(proxy.token).toMatch(/^[0-9a-f]{64}$/);
    for (const name of ["http_proxy", "HTTPS_PROXY", "NODE_USE_ENV_PROXY", "SSL_CERT_FILE", "GIT_SSL_CAINFO", "PIP_CERT"])
      expect(proxy.texts.stdout).toContain(`export ${name}=`);
    expect(statSync(proxy.ca!).mode & 0o777).toBe(0o400);
    expect(statSync(dirname(proxy.ca!)).mode & 0o777).toBe(0o700);
    expect(readFileSync(proxy.ca!, "utf8")).not.toContain("PRIVATE");
    expect(await proxy.ask("a.test")).toContain("200 OK");
    expect(await proxy.ask("b.test")).toBe("403");
    const challenged = await connectThrough(proxy, "a.test:443", { token: "of nobody" });
    expect(challenged.status).toBe(407);
    challenged.socket.destroy();
    proxy.child.kill("SIGTERM");
    const { code, stderr } = await proxy.ended;
    expect(code).toBe(0);
    expect(stderr).toContain(
      "3 connections: 1 intercepted, 0 tunnelled, 1 refused, 0 failed, 1 without a good token at first; 0 requests read\n",
    );
    expect(existsSync(proxy.ca!)).toBe(false);
    expect(statSync(audit).mode & 0o777).toBe(0o600);
    expect(JSON.stringify(recordsOf(audit))).not.toContain(proxy.token!);
  });

  it("takes up a policy that was changed, on SIGHUP and by itself, and keeps the old one if the new one is bad", async () => {
    const file = writePolicy("p2.json", policy());
    const proxy = await startedProxy(["--config", file]);
    expect(await proxy.ask("a.test")).toContain("200 OK");
    writePolicy("p2.json", policy({ deny: ["a.test"], hosts: [] }));
    await proxy.said("stderr", /the policy was changed/);
    expect(await proxy.ask("a.test")).toBe("403");
    writePolicy("p2.json", { ...policy(), version: 7 });
    proxy.child.kill("SIGHUP");
    await proxy.said("stderr", /the new policy is not used, the old one stays: \$\.version/);
    expect(await proxy.ask("a.test")).toBe("403");
  });

  it("says that a policy needs a restart which asks for more than was granted", async () => {
    const file = writePolicy("p3.json", policy());
    const proxy = await startedProxy(["--config", file]);
    writePolicy("p3.json", policy({ hosts: [fronted("wider.test")] }));
    await proxy.said("stderr", /certification authority of this run is not for: restart/);
    writePolicy("p3.json", policy({ allow_networks: ["0.0.0.0/0"] }));
    proxy.child.kill("SIGHUP");
    await proxy.said("stderr", /\(allow_networks\): restart/);
  });

  it("never dials itself", async () => {
    // Below those that the system gives out by itself.
    const port = 20_000 + (process.pid % 12_000);
    const file = writePolicy("p4.json", policy({ ports: [port], hosts: [{ match: ["127.0.0.1"], mode: "tunnel", opaque: true }] }));
    const proxy = await startedProxy(["--config", file, "--listen", `127.0.0.1:${port}`]);
    const { connect, text } = await through(proxy, `127.0.0.1:${port}`, { token: proxy.token! });
    expect([connect, text]).toEqual([403, expect.stringContaining("own-listener")]);
  });

  it("serves with several workers on one port, which share the clients, the authority and the audit log", async () => {
    const audit = join(folder, "audit-workers.jsonl");
    const proxy = await startedProxy(["--config", writePolicy("p5.json", policy()), "--workers", "2", "--audit", audit]);
    const answers: string[] = [];
    for (let round = 0; round < 4; round++) answers.push(...(await Promise.all(Array.from({ length: 6 }, () => proxy.ask("a.test")))));
    for (const answer of answers) expect(answer).toContain("200 OK");
    proxy.child.kill("SIGTERM");
    expect((await proxy.ended).stderr).toContain("24 connections: 24 intercepted");
    const served = recordsOf(audit).filter(({ by, event }) => by === "component" && event === "connection");
    expect(served).toHaveLength(24);
    expect(new Set(served.map(({ instance }) => instance)).size).toBe(2);
  });

  it("refuses what it cannot record, if everything has to be recorded", async () => {
    // Past this size of a file nothing is written any more.
    const kibibytes = 1024;
    for (const mode of ["strict", "best-effort"]) {
      const audit = join(folder, `audit-full-${mode}.jsonl`);
      writeFileSync(audit, `${"x".repeat(kibibytes * 1024 - 2)}\n`, { mode: 0o600 });
      const file = writePolicy(`full-${mode}.json`, policy({ audit: { path: audit, mode } }));
      const limited = `ulimit -f ${kibibytes}; exec "$0" "$@"`;
      const proxy = await startedProxy(["--config", file], {}, ["bash", "-c", limited]);
      // Not even the connection could be recorded: the host resets it.
      expect(await proxy.ask("a.test")).toMatch(mode === "strict" ? /^0$/ : /200 OK/);
      proxy.child.kill("SIGTERM");
      await proxy.ended;
      expect(statSync(audit).size).toBeLessThanOrEqual(kibibytes * 1024);
    }
  });

  it("that is ended at once, by a second signal, leaves a record of what was open", async () => {
    const audit = join(folder, "audit-at-once.jsonl");
    const file = writePolicy("at-once.json", policy({ timeouts: { drain_seconds: 3600 } }));
    const proxy = await startedProxy(["--config", file, "--audit", audit]);
    const { socket, status } = await connectThrough({ port: proxy.port }, "a.test:443", { token: proxy.token });
    expect(status).toBe(200);
    proxy.child.kill("SIGTERM");
    // Nothing new is taken: the first one was heard.
    await expect
      .poll(async () => (await connectThrough({ port: proxy.port }, "a.test:443", { token: proxy.token })).status, { timeout: 10_000 })
      .toBe(0);
    proxy.child.kill("SIGTERM");
    expect((await proxy.ended).code).toBe(143);
    socket.destroy();
    const last = recordsOf(audit).at(-1)!;
    expect(last).toMatchObject({ by: "host", event: "instance-ended", result: "unknown" });
    const began = recordsOf(audit).filter(({ event }) => event === "accepted").length;
    const ended = recordsOf(audit).filter(({ event, accepted }) => event === "end" && accepted !== undefined).length;
    expect(began - ended).toBe(last["open_clients"]);
    expect(last["open_clients"]).toBeGreaterThan(0);
  });

  it("warns where no token is asked for", async () => {
    const proxy = await startedProxy(["--config", writePolicy("p6.json", policy()), "--no-auth"]);
    expect(proxy.token).toBeUndefined();
    await proxy.said("stderr", /--no-auth: every program/);
    expect(await proxy.ask("a.test")).toContain("200 OK");
  });

  it("has the host put a secret in, where it may go", async () => {
    const requests = { default: "allow", secrets: [{ name: "tok", header: "x-token" }] };
    const file = writePolicy("p7.json", policy({ hosts: [fronted("a.test", { requests })] }));
    const secret = ["--secret", "tok=env:THE_SECRET", "--secret-for", "tok=a.test:443,x-token"];
    const refused = await startedProxy(["--config", file, ...secret], { THE_SECRET: "hunter2" });
    // The server is not verified against the host's own anchors, and is reached under another port.
    const answer = await refused.ask("a.test");
    expect(answer).toMatch(/^HTTP\/1\.1 502 [^]*secret tok/);
    expect(answer).not.toContain("hunter2");
    const granted = await startedProxy(
      [
        "--config",
        writePolicy("p8.json", policy({ anchors: undefined, hosts: [fronted("a.test", { requests, upstream: undefined })] })),
        "--ca",
        join(folder, "root.pem"),
        "--secret",
        "tok=env:THE_SECRET",
        "--secret-for",
        `tok=a.test:${server.port},x-token,Bearer`,
      ],
      { THE_SECRET: "hunter2" },
    );
    expect(await granted.ask("a.test")).toContain("/ Bearer hunter2");
  });

  it.each([
    ["no policy", [], 64, /--config/],
    ["a policy that is not there", ["--config", "/nonexistent/policy.json"], 66, /policy\.json/],
    ["workers that are no number", ["--config", "x", "--workers", "many"], 64, /--workers/],
    ["a secret without a server", ["--config", "x", "--secret", "a=env:A"], 64, /--secret-for a=/],
    ["an operand", ["--config", "x", "y"], 64, /flags only/],
  ])("with %s does not start", async (_, args, code, message) => {
    const run = await sallyport(["proxy", ...args]).ended;
    expect(run.code).toBe(code);
    expect(run.stderr).toMatch(message);
    expect(run.stdout).toBe("");
  });

  it("with rules that cannot be asked does not start, and says why before any client comes", async () => {
    const file = writePolicy("decided.json", policy());
    const other = await sallyport([
      "proxy",
      "--config",
      file,
      "--decide",
      fileURLToPath(new URL("../../../dist/components/proxy.wasm", import.meta.url)),
    ]).ended;
    expect([other.code, other.stdout]).toEqual([65, ""]);
    expect(other.stderr).toContain("does not export sallyport:policy/decisions");
    const none = join(folder, "none.wasm");
    writeFileSync(none, "no component");
    const noComponent = await sallyport(["exec", "--config", file, "--decide", none, "--", process.execPath, "-e", "console.log(1)"]).ended;
    expect([noComponent.code, noComponent.stdout]).toEqual([65, ""]);
  });

  it("has certificates for no more names than its policy sets, and the host records what was asked for beyond", async () => {
    const audit = join(folder, "audit-names.jsonl");
    const hosts = [fronted("a.test"), fronted("b.test")];
    const file = writePolicy("names.json", policy({ hosts, limits: { certificate_names: 1 } }));
    const proxy = await startedProxy(["--config", file, "--audit", audit]);
    expect(await proxy.ask("a.test")).toContain("200 OK");
    await proxy.ask("b.test").catch(() => {});
    expect(await proxy.ask("a.test")).toContain("200 OK");
    await expect
      .poll(() => recordsOf(audit).find(({ event }) => event === "over-limit"), { timeout: 10_000 })
      .toMatchObject({
        by: "host",
        limit: "certificate-names",
        most: 1,
        count: 1,
      });
  });

  it("does not start with a policy that is bad, unsafe, or names what was not given", async () => {
    const bad = await sallyport(["proxy", "--config", writePolicy("bad.json", policy({ default: "open" }))]).ended;
    expect([bad.code, bad.stderr]).toEqual([65, expect.stringContaining("$.default")]);
    const nameless = writePolicy("nameless.json", policy({ hosts: [{ match: ["127.0.0.1"], mode: "intercept" }] }));
    const noName = await sallyport(["proxy", "--config", nameless]).ended;
    expect([noName.code, noName.stderr]).toEqual([66, expect.stringContaining("name a domain in ca.permit")]);
    const unsafe = writePolicy("unsafe.json", policy());
    chmodSync(unsafe, 0o666);
    expect((await sallyport(["proxy", "--config", unsafe]).ended).code).toBe(66);
    const hosts = [fronted("a.test", { upstream: { identity: "nobody" } })];
    const ungranted = await sallyport(["proxy", "--config", writePolicy("ungranted.json", policy({ anchors: undefined, hosts }))]).ended;
    expect([ungranted.code, ungranted.stderr]).toEqual([64, expect.stringContaining("--identity nobody=")]);
    const noAnchors = await sallyport(["proxy", "--config", writePolicy("no-anchors.json", policy({ anchors: { test: "missing.pem" } }))])
      .ended;
    expect([noAnchors.code, noAnchors.stderr]).toEqual([66, expect.stringContaining("missing.pem")]);
    const endless = writePolicy("endless.json", policy({ anchors: { test: "/dev/zero" } }));
    const noFile = await sallyport(["proxy", "--config", endless]).ended;
    expect([noFile.code, noFile.stderr]).toEqual([66, expect.stringContaining("not a regular file")]);
  });
});

describe("sallyport exec", () => {
  const node = (script: string) => ["--", process.execPath, "-e", script];

  it("runs a command through a proxy of its own, and ends with its exit code and a summary", async () => {
    const run = await sallyport(
      [
        "exec",
        "--config",
        writePolicy("e1.json", policy()),
        ...node("fetch('https://a.test/x').then(r => r.text()).then(t => { console.log(t.trim()); process.exit(7); })"),
      ],
      { NO_PROXY: "a.test", no_proxy: "*" },
    ).ended;
    expect(run).toMatchObject({ code: 7, stdout: "/x\n" });
    expect(run.stderr).toMatch(/1 connection: 1 intercepted/);
  });

  it("keeps what is not allowed from the command", async () => {
    const run = await sallyport([
      "exec",
      "--config",
      writePolicy("e2.json", policy()),
      ...node("fetch('https://b.test/').catch(() => process.exit(3))"),
    ]).ended;
    expect(run.code).toBe(3);
    expect(run.stderr).toMatch(/0 intercepted, 0 tunnelled, 1 refused/);
  });

  it("tells what became of connections apart from what became of the requests in them", async () => {
    const requests = { default: "deny", rules: [{ action: "allow", methods: ["GET"], paths: ["/open"] }] };
    const script = `(async () => {
      for (const path of ["open", "open", "closed"]) await (await fetch("https://a.test/" + path)).text();
      await fetch("https://b.test/").catch(() => {});
      require("node:http").get("http://b.test/", (answer) => answer.resume().on("end", () => process.exit(0)));
    })()`;
    const run = await sallyport([
      "exec",
      "--config",
      writePolicy("e2-requests.json", policy({ hosts: [fronted("a.test", { requests })] })),
      ...node(script),
    ]).ended;
    const [, connections, intercepted, rest] = /^sallyport: (\d+) connections: (\d+) intercepted, (.*)$/m.exec(run.stderr) ?? [];
    // How many connections it keeps for its requests is the program's own affair.
    expect(Number(connections)).toBe(Number(intercepted) + 2);
    expect(rest).toBe("0 tunnelled, 1 in plain HTTP, 1 refused, 0 failed; 4 requests read: 2 passed on, 2 refused, 0 failed");
  });

  it("passes signals on, and ends as the command did", async () => {
    const run = sallyport([
      "exec",
      "-q",
      "--config",
      writePolicy("e3.json", policy()),
      ...node("console.log('up'); setInterval(() => {}, 1000)"),
    ]);
    await run.said("stdout", /up/);
    run.child.kill("SIGTERM");
    expect(await run.ended).toMatchObject({ code: 143, stderr: "" });
  });

  it("says that a command is not there with 127", async () => {
    const run = await sallyport(["exec", "--config", writePolicy("e4.json", policy()), "--", "/nonexistent/command"]).ended;
    expect(run.code).toBe(127);
  });

  it("wants a command", async () => {
    expect((await sallyport(["exec", "--config", "x"]).ended).code).toBe(64);
  });

  it("says first in its help that an environment is not a sandbox", async () => {
    const { stdout } = await sallyport(["exec", "--help"]).ended;
    expect(stdout.split("\n").slice(0, 3).join(" ")).toContain("An environment is not a sandbox");
  });
});

describe("what cannot begin", () => {
  it("says in one line that its port is in use, with exit code 1", async () => {
    const { code, stdout, stderr } = await sallyport([
      "proxy",
      "--config",
      writePolicy("busy.json", policy()),
      "--listen",
      `127.0.0.1:${server.port}`,
    ]).ended;
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toContain(`sallyport: the proxy cannot start: listen on 127.0.0.1:${server.port}: address-in-use`);
    expect(stderr).not.toContain("    at ");
  });

  it("refuses a secret whose variable is not set, before the command runs", async () => {
    const ran = join(folder, "it-ran");
    const { code, stderr } = await sallyport([
      "exec",
      "--config",
      writePolicy("unset.json", policy()),
      "--secret=gh=env:SALLYPORT_TEST_NOT_SET",
      "--secret-for=gh=a.test:443",
      "--",
      process.execPath,
      "-e",
      `require("fs").writeFileSync(${JSON.stringify(ran)}, "")`,
    ]).ended;
    expect({ code, stderr }).toEqual({
      code: 66,
      stderr: "sallyport: the secret gh: the environment variable SALLYPORT_TEST_NOT_SET is not set\n",
    });
    expect(existsSync(ran)).toBe(false);
  });
});
