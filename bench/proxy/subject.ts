// The proxy that is measured, in a process of its own: ours as `sallyport proxy` runs it, or one of plain Node.
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ownComponent } from "../../host/cli/own-component.ts";
import { loadFile } from "../../host/cli/run-file.ts";
import { loadComponent } from "../../host/component/cache.ts";
import { componentize } from "../../host/component/componentize.ts";
import { type ComponentCode, compileComponent } from "../../host/component/instance.ts";
import { PolicySource } from "../../host/proxy/policy-source.ts";
import { RunningProxy } from "../../host/proxy/running-proxy.ts";
import { HOST_OF_SERVER, type ProxyReady, type SubjectAnswer, type SubjectOrder } from "./orders.ts";
import { startNodeProxy } from "./node-proxy.ts";

const inRepository = (path: string) => join(import.meta.dirname, "../..", path);
let stop: () => Promise<void> = async () => {};
let auditFile: string | undefined;

process.on("message", (order: SubjectOrder) => {
  void carryOut(order).then(
    (answer) => process.send!({ answer } satisfies SubjectAnswer),
    (error: Error) => process.send!({ error: error.stack ?? error.message } satisfies SubjectAnswer),
  );
});
process.on("disconnect", () => void stop().then(() => process.exit()));

async function carryOut(order: SubjectOrder): Promise<unknown> {
  switch (order.tag) {
    case "start-ours":
      return await startOurs(order);
    case "start-node": {
      const proxy = await startNodeProxy(order);
      stop = proxy.stop;
      return proxy.ready;
    }
    case "usage": {
      const { user, system } = process.cpuUsage();
      return (user + system) / 1000;
    }
    case "memory":
      (globalThis as { gc?: () => void }).gc?.();
      return process.memoryUsage.rss();
    case "connections-by-instance":
      return connectionsByInstance();
    case "stop":
      return await stop();
  }
}

async function startOurs({ workers, serverPort, rootPem, decides }: SubjectOrder & { tag: "start-ours" }): Promise<ProxyReady> {
  const folder = mkdtempSync(join(tmpdir(), "sallyport-bench-"));
  chmodSync(folder, 0o700);
  writeFileSync(join(folder, "root.pem"), rootPem);
  writeFileSync(join(folder, "policy.json"), JSON.stringify(policy(serverPort)), { mode: 0o600 });
  auditFile = join(folder, "audit.jsonl");
  const source = await PolicySource.open(join(folder, "policy.json"), ownComponent("interception"));
  const proxy = await RunningProxy.start({
    source,
    code: loadFile(ownComponent("proxy")),
    listen: "127.0.0.1:0",
    direct: [],
    auth: true,
    caFolder: undefined,
    auditFile,
    workers,
    tls: {},
    secrets: {},
    ...(decides ? { decider: { code: await decider(folder) } } : {}),
    toGive: { identity: String, secret: String },
    tell: (line) => console.error(line),
  });
  stop = async () => {
    await proxy.stop();
    source[Symbol.dispose]();
    rmSync(folder, { recursive: true, force: true });
  };
  const { username, password, port } = new URL(proxy.environment.https_proxy!);
  return {
    port: Number(port),
    authorization: `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`,
    ca: readFileSync(proxy.environment.NODE_EXTRA_CA_CERTS!, "utf8"),
  };
}

/** Rules that are asked for in place of the policy's. */
async function decider(folder: string): Promise<ComponentCode> {
  const component = await componentize({
    entry: inRepository("bench/guests/decider.ts"),
    wit: inRepository("wit/policy/decisions.wit"),
    witDeps: [inRepository("wit/deps"), inRepository("wit/tls.wit")],
    world: "decider",
    engine: "quickjs",
  });
  return await compileComponent(await loadComponent(component, join(folder, "cache")));
}

/** Every host leads to the one server of the bench, so that no name has to be looked up. */
function policy(serverPort: number): object {
  const front = { server_name: HOST_OF_SERVER, address: `127.0.0.1:${serverPort}` };
  const upstream = { anchors: ["bench"], only_anchors: true };
  return {
    version: 1,
    allow_networks: ["127.0.0.0/8"],
    anchors: { bench: "root.pem" },
    limits: { connections: 10_000 },
    timeouts: { drain_seconds: 1 },
    hosts: [
      // For the certificates of what a component decides on.
      { match: ["*.decided.test"], mode: "front", front, upstream },
      { match: ["*.relay.test"], mode: "front", front, upstream },
      {
        match: ["*.rules.test"],
        mode: "front",
        front,
        upstream,
        requests: {
          default: "deny",
          set_headers: [{ name: "x-added", value: "by the proxy" }],
          rules: [
            { action: "deny", paths: ["/items/private/**"] },
            { action: "allow", methods: ["GET", "POST"], paths: ["/items/**"] },
          ],
        },
      },
      { match: [`127.0.0.1:${serverPort}`], mode: "tunnel", opaque: true },
    ],
  };
}

/** How many clients each worker took: what the audit log says. */
function connectionsByInstance(): number[] {
  const counts = new Map<string, Set<number>>();
  if (auditFile === undefined) return [];
  for (const line of readFileSync(auditFile, "utf8").split("\n")) {
    if (line === "") continue;
    const { instance, by, event, connection } = JSON.parse(line) as Record<string, string> & { connection?: number };
    if (by !== "component" || event !== "ended" || connection === undefined) continue;
    const seen = counts.get(instance!) ?? new Set();
    counts.set(instance!, seen.add(connection));
  }
  return Array.from(counts.values(), (seen) => seen.size);
}
