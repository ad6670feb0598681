// npm run bench [-- --smoke] [-- NAME…]: ratios against plain node:tls doing the same work, by turns, in one run.
import { execFileSync, fork } from "node:child_process";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { Order } from "./peer.ts";
import { benchProxy } from "./proxy/cases.ts";
import { report as print, spread } from "./report.ts";
import { nodeDownload, nodeServer, prepare, runGuest } from "./subjects.ts";
import { benchTokens } from "./tokens.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { smoke: { type: "boolean" }, rounds: { type: "string" }, json: { type: "boolean" }, help: { type: "boolean" } },
});

const MIB = 1024 * 1024;
const bytes = (values.smoke === true ? 16 : 256) * MIB;
const connections = values.smoke === true ? 60 : 1000;
const rounds = Number(values.rounds ?? (values.smoke === true ? 1 : 5));
const idle = values.smoke === true ? 100 : 2000;

interface Figures {
  wall: number;
  cpu: number;
}

interface Case {
  name: string;
  /** What the ratio is of: higher is better for throughput. */
  target: string;
  ours: () => Promise<Figures>;
  node: () => Promise<Figures>;
}

const chosen = { words: positionals, rounds, smoke: values.smoke === true, json: values.json === true };
// Its components take a moment to load.
if (positionals.length === 0 || positionals.some((word) => word.startsWith("token"))) await benchTokens(chosen);
await benchProxy(chosen);
// The rest needs a guest that takes a while to build.
if (positionals.length > 0 && positionals.every((word) => /^(proxy|token)/.test(word))) process.exit();

const ground = await prepare(bytes);
const peer = fork(join(import.meta.dirname, "peer.ts"), { stdio: ["ignore", "inherit", "inherit", "ipc"] });
const ca = ground.pki.root.pem;
const order = (what: Order): Promise<number> =>
  new Promise((resolve, reject) => {
    peer.once("message", ({ answer, error }: { answer?: number; error?: string }) =>
      error === undefined ? resolve(answer ?? 0) : reject(new Error(error)),
    );
    peer.send(what);
  });
const source = await order({ tag: "source", key: ground.pki.leaf.keyPem, cert: ground.pki.chainPem, bytes });

const cases: Case[] = [
  {
    name: "download to a file, truncation detected",
    target: "≥ 0.75, aim 0.95",
    ours: () => measure(() => runGuest(ground, ["download", "bench.test", String(source), "forward"]).ended),
    node: () => measure(() => nodeDownload(ground, source, "file")),
  },
  {
    name: "download to a file, truncation tolerated",
    target: "≥ 0.9",
    ours: () => measure(() => runGuest(ground, ["download", "bench.test", String(source), "tolerate"]).ended),
    node: () => measure(() => nodeDownload(ground, source, "file")),
  },
  {
    name: "download read by the guest",
    target: "≥ 0.4, aim 0.6",
    ours: () => measure(() => runGuest(ground, ["download", "bench.test", String(source), "read"]).ended),
    node: () => measure(() => nodeDownload(ground, source, "read")),
  },
  served("serving a file", "≥ 0.75, aim 0.95", "forward", (port) => order({ tag: "download", port, ca })),
  served("upload read by the guest", "≥ 0.4, aim 0.6", "read", (port) => order({ tag: "upload", port, ca, bytes })),
  {
    name: "relay between a server and a client connection",
    target: "≥ 0.9",
    ours: () => both(runGuest(ground, ["relay", "1", "bench.test", String(source)]), (port) => order({ tag: "download", port, ca })),
    node: () => both(nodeServer(ground, 1, { relayTo: source }), (port) => order({ tag: "download", port, ca })),
  },
  {
    name: "new connections, decided at client-hello",
    target: "≥ 0.7, aim 0.9",
    ours: () =>
      both(runGuest(ground, ["serve", String(connections), "hello"]), (port) =>
        order({ tag: "connections", port, ca, count: connections, atOnce: 16 }),
      ),
    node: () =>
      both(nodeServer(ground, connections, "hello"), (port) => order({ tag: "connections", port, ca, count: connections, atOnce: 16 })),
  },
];

try {
  const wanted = (name: string) => positionals.length === 0 || positionals.some((word) => name.includes(word));
  for (const one of cases.filter(({ name }) => wanted(name))) await compare(one);
  if (wanted("idle")) await idleMemory();
  // Minutes long: only when asked for by name, or as a short one.
  if (positionals.length > 0 ? wanted("flat memory") : values.smoke === true) await flatMemory();
  if (wanted("cold start")) await coldStart();
} finally {
  peer.kill();
  rmSync(ground.folder, { recursive: true, force: true });
}

function served(name: string, target: string, how: "forward" | "read", drive: (port: number) => Promise<number>): Case {
  return {
    name,
    target,
    ours: () => both(runGuest(ground, ["serve", "1", how]), drive),
    node: () => both(nodeServer(ground, 1, how), drive),
  };
}

/** A server and what its clients do: measured from when it listens until they are done, so that no start is in it. */
async function both(subject: { port: Promise<number>; ended: Promise<void> }, drive: (port: number) => Promise<number>): Promise<Figures> {
  const port = await subject.port;
  const figures = await measure(() => drive(port));
  await subject.ended;
  return figures;
}

async function compare({ name, target, ours, node }: Case): Promise<void> {
  const ratios: Figures[] = [];
  if (values.smoke !== true) {
    await ours();
    await node();
  }
  for (let round = 0; round < rounds; round++) {
    // By turns, and the first of a pair by turns too: the machine's mood does not favour one.
    const order: ["a" | "b", () => Promise<Figures>][] =
      round % 2 === 0
        ? [
            ["a", ours],
            ["b", node],
          ]
        : [
            ["b", node],
            ["a", ours],
          ];
    const taken = { a: { wall: 0, cpu: 0 }, b: { wall: 0, cpu: 0 } };
    for (const [which, run] of order) taken[which] = await run();
    ratios.push({ wall: taken.b.wall / taken.a.wall, cpu: taken.a.cpu / taken.b.cpu });
  }
  report(name, { speed: spread(ratios.map(({ wall }) => wall)), cpu: spread(ratios.map(({ cpu }) => cpu)), target });
}

async function measure(run: () => Promise<unknown>): Promise<Figures> {
  const cpu = process.cpuUsage();
  const start = performance.now();
  await run();
  const used = process.cpuUsage(cpu);
  return { wall: performance.now() - start, cpu: (used.user + used.system) / 1000 };
}

/** Memory per idle connection. The clients are in the peer's process. */
async function idleMemory(): Promise<void> {
  const perConnection = async (subject: { port: Promise<number>; ended: Promise<void> }): Promise<number> => {
    const port = await subject.port;
    await order({ tag: "hold", port, ca, count: 50 });
    const before = resident();
    await order({ tag: "hold", port, ca, count: idle });
    const after = resident();
    await order({ tag: "let-go" });
    await subject.ended;
    return (after - before) / idle;
  };
  const node = await perConnection(nodeServer(ground, idle + 50, "idle"));
  const ours = await perConnection(runGuest(ground, ["idle", String(idle + 50)]));
  report(`memory per idle connection, ${idle} of them`, {
    ours: `${Math.round(ours / 1024)} KiB`,
    node: `${Math.round(node / 1024)} KiB`,
    target: "stated",
  });
}

/** Whether memory stays where it is over many connections, and over many bytes. */
async function flatMemory(): Promise<void> {
  const steps = 5;
  const each = values.smoke === true ? 40 : 2000;
  const guest = runGuest(ground, ["serve", String(steps * each), "hello"]);
  const port = await guest.port;
  const afterConnections: number[] = [];
  for (let i = 0; i < steps; i++) {
    await order({ tag: "connections", port, ca, count: each, atOnce: 16 });
    afterConnections.push(resident());
  }
  await guest.ended;
  report(`flat memory, ${steps * each} connections one after the other`, {
    "MiB after each fifth": inMib(afterConnections),
    target: "flat",
  });

  const total = values.smoke === true ? 4 : 16;
  const afterBytes: number[] = [];
  for (let i = 1; i <= total; i++) {
    await runGuest(ground, ["download", "bench.test", String(source), "forward"]).ended;
    if (i % (total / 4) === 0) afterBytes.push(resident());
  }
  report(`flat memory, ${(total * bytes) / MIB / 1024} GiB forwarded to a file`, {
    "MiB after each fourth": inMib(afterBytes),
    target: "flat",
  });
}

function inMib(bytes: number[]): string {
  return bytes.map((value) => Math.round(value / MIB)).join(" ");
}

function resident(): number {
  (globalThis as { gc?: () => void }).gc?.();
  return process.memoryUsage.rss();
}

/** Whole processes, both to the end of a page: `sallyport get` with a warm cache against a script of one `https.get`. */
async function coldStart(): Promise<void> {
  const port = await order({ tag: "pages", key: ground.pki.leaf.keyPem, cert: ground.pki.chainPem });
  const url = `https://127.0.0.1:${port}/`;
  const anchors = join(ground.folder, "root.pem");
  writeFileSync(anchors, ca);
  const count = values.smoke === true ? 2 : 15;
  const script = `const ca = require("node:fs").readFileSync(${JSON.stringify(anchors)});
    require("node:https").get(${JSON.stringify(url)}, { ca }, (answer) => answer.pipe(process.stdout));`;
  const bare = ["-e", script];
  const get = [join(import.meta.dirname, "../host/cli/bin.mjs"), "get", "--cacert", anchors, url];
  const time = (args: string[]): number => {
    const start = performance.now();
    const page = execFileSync(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
    const taken = performance.now() - start;
    if (page.toString() !== "a page\n") throw new Error("the page did not come");
    return taken;
  };
  // The first fills the caches, the second shows that they are full.
  time(get);
  time(get);
  const pairs = Array.from({ length: count }, () => ({ ours: time(get), node: time(bare) }));
  report("cold start of `sallyport get`, wall", {
    ratio: spread(pairs.map(({ ours, node }) => ours / node)),
    ours: `${spread(pairs.map(({ ours }) => ours))} ms`,
    node: `${spread(pairs.map(({ node }) => node))} ms`,
    target: "≤ 2.5",
  });
}

function report(name: string, figures: Record<string, string>): void {
  print(name, figures, values.json === true);
}
