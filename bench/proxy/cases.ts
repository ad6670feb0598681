// The interception proxy against one of plain Node, by processor time of the proxy's own process, by turns in one run.
import { makePki } from "../../test/support/pki.ts";
import { median, quantile, report, spread } from "../report.ts";
import { type ClientOrder, HOST_OF_SERVER, type ProxyReady, type ServerOrder, type SubjectOrder, type Way } from "./orders.ts";
import { Process } from "./process.ts";

/** How to run the cases. */
export interface ProxyBenchOptions {
  /** The cases of which a word is part of the name; all of them if there is none. */
  words: readonly string[];
  rounds: number;
  /** That everything runs; the figures mean nothing. */
  smoke: boolean;
  json: boolean;
}

interface Subject {
  process: Process<SubjectOrder>;
  ready: ProxyReady;
}

/** Run the wanted cases. */
export async function benchProxy({ words, rounds, smoke, json }: ProxyBenchOptions): Promise<void> {
  const wanted = ["bulk relay", "new connections", "new host", "keep-alive bytes", "rule", "idle", "memory", "slow", "trapped", "workers"]
    .map((name) => `proxy: ${name}`)
    .filter((name) => words.length === 0 || words.some((word) => name.includes(word)));
  if (wanted.length === 0) return;
  const MIB = 1024 * 1024;
  const count = smoke
    ? { bytes: 8 * MIB, connections: 20, requests: 100, idle: 50, hosts: 5 }
    : { bytes: 256 * MIB, connections: 400, requests: 4000, idle: 2000, hosts: 60 };

  using server = new Process<ServerOrder>("server.ts");
  using clients = new Process<ClientOrder>("clients.ts");
  const pki = await makePki({ leaf: { dns: [HOST_OF_SERVER] } });
  const serverPort = await server.ask<number>({ key: pki.leaf.keyPem, cert: pki.chainPem });
  const rootPem = pki.root.pem;
  const open: Process<SubjectOrder>[] = [];
  const started = async (order: SubjectOrder): Promise<Subject> => {
    const process = new Process<SubjectOrder>("subject.ts");
    open.push(process);
    return { process, ready: await process.ask<ProxyReady>(order) };
  };
  const startOurs = (workers = 1) => started({ tag: "start-ours", workers, serverPort, rootPem, decides: false });
  const hosts = ["a.relay.test", "a.rules.test"];

  const way = ({ ready }: Subject, host: string, hostPort = 443): Way => ({ ...ready, host, hostPort });
  const usage = ({ process }: Subject) => process.ask<number>({ tag: "usage" });
  const memory = ({ process }: Subject) => process.ask<number>({ tag: "memory" });
  /** Milliseconds of processor time that the proxy takes for it. */
  const cost = async (subject: Subject, order: ClientOrder): Promise<number> => {
    if (order.tag === "requests") await clients.ask({ ...order, tag: "open-lanes" });
    const before = await usage(subject);
    await clients.ask(order);
    const taken = (await usage(subject)) - before;
    if (order.tag === "requests") await clients.ask({ tag: "close-lanes" });
    return taken;
  };
  /** Milliseconds that each of these requests takes. */
  const timesOf = async (order: ClientOrder & { tag: "requests" }): Promise<number[]> => {
    await clients.ask({ ...order, tag: "open-lanes" });
    const times = await clients.ask<number[]>(order);
    await clients.ask({ tag: "close-lanes" });
    return times;
  };
  /** The same work for two proxies by turns: pairs of what each took. */
  const pairs = async (a: Subject, b: Subject, order: (subject: Subject) => ClientOrder): Promise<[number, number][]> => {
    await cost(a, order(a));
    await cost(b, order(b));
    const taken: [number, number][] = [];
    for (let round = 0; round < rounds; round++) {
      const first = round % 2 === 0 ? await cost(a, order(a)) : undefined;
      const second = await cost(b, order(b));
      taken.push([first ?? (await cost(a, order(a))), second]);
    }
    return taken;
  };
  const compared = (name: string, units: number, taken: [number, number][], target: string) => {
    const each = (which: 0 | 1) => `${((median(taken.map((pair) => pair[which])) * 1000) / units).toFixed(0)} µs`;
    report(name, { cpu: spread(taken.map(([ours, node]) => ours / node)), ours: each(0), node: each(1), target }, json);
  };

  try {
    const ours = await startOurs();
    const node = await started({ tag: "start-node", serverPort, rootPem, leaves: hosts });
    const requests = (subject: Subject, host: string): ClientOrder & { tag: "requests" } => ({
      tag: "requests",
      way: way(subject, host),
      count: count.requests,
      lanes: 16,
      path: "/items/1?page=2",
    });
    for (const name of wanted) {
      switch (name) {
        case "proxy: bulk relay": {
          const taken = await pairs(ours, node, (subject) => ({ tag: "download", way: way(subject, "a.relay.test"), bytes: count.bytes }));
          compared(`${name}, a MiB`, count.bytes / MIB, taken, "≤ 1.1, aim 1.0");
          break;
        }
        case "proxy: new connections": {
          const taken = await pairs(ours, node, (subject) => ({
            tag: "connections",
            way: way(subject, "a.relay.test"),
            count: count.connections,
            atOnce: 8,
            firstNumber: 0,
          }));
          compared(`${name} to a known host`, count.connections, taken, "≤ 1.25, aim 1.1");
          break;
        }
        case "proxy: new host": {
          const ask = (subject: Subject, host: string, firstNumber: number) =>
            clients.ask<number[]>({ tag: "connections", way: way(subject, host), count: count.hosts, atOnce: 1, firstNumber });
          const added = async (subject: Subject): Promise<number> => {
            await ask(subject, "warm#.relay.test", 0);
            const differences: number[] = [];
            for (let round = 0; round < Math.max(2, Math.min(rounds, 3)); round++) {
              const known = await ask(subject, "a.relay.test", 0);
              differences.push(median(await ask(subject, `n${round}-#.relay.test`, 0)) - median(known));
            }
            return median(differences);
          };
          const [mine, theirs] = [await added(ours), await added(node)];
          report(
            `${name} adds to the time to the first byte`,
            { ours: `${mine.toFixed(2)} ms`, node: `${theirs.toFixed(2)} ms`, target: "≤ 1.5 ms, aim 0.5" },
            json,
          );
          break;
        }
        case "proxy: keep-alive bytes":
          compared(`${name}, a request`, count.requests, await pairs(ours, node, (subject) => requests(subject, "a.relay.test")), "≤ 1.1");
          break;
        case "proxy: rule":
          compared(
            `${name}, a keep-alive request`,
            count.requests,
            await pairs(ours, node, (subject) => requests(subject, "a.rules.test")),
            "≤ 100 µs, aim 60",
          );
          break;
        case "proxy: idle": {
          // Two of the same age, which have served as much.
          const [beside, alone] = [await startOurs(), await startOurs()];
          const order = (subject: Subject) => requests(subject, "a.rules.test");
          await pairs(beside, alone, order);
          await clients.ask({ tag: "hold", way: way(beside, "127.0.0.1", serverPort), count: count.idle });
          const taken = await pairs(beside, alone, order);
          await clients.ask({ tag: "let-go" });
          for (const { process } of [beside, alone]) await process.ask({ tag: "stop" });
          const ratios = taken.map(([with_, without]) => with_ / without);
          report(`${name}, a request with a rule beside ${count.idle} idle tunnels`, { cpu: spread(ratios), target: "≤ 1.2" }, json);
          break;
        }
        case "proxy: memory": {
          const per = async (host: string, hostPort?: number): Promise<number> => {
            const fresh = await startOurs();
            await clients.ask({ tag: "hold", way: way(fresh, host, hostPort), count: 50 });
            const before = await memory(fresh);
            await clients.ask({ tag: "hold", way: way(fresh, host, hostPort), count: count.idle });
            const after = await memory(fresh);
            await clients.ask({ tag: "let-go" });
            await fresh.process.ask({ tag: "stop" });
            return (after - before) / count.idle / 1024;
          };
          const [tunnel, intercepted] = [await per("127.0.0.1", serverPort), await per("a.relay.test")];
          report(
            `${name} of ${count.idle} idle connections, each`,
            { tunnel: `${tunnel.toFixed(0)} KiB`, intercepted: `${intercepted.toFixed(0)} KiB`, target: "≤ 200 KiB, aim 160" },
            json,
          );
          break;
        }
        case "proxy: slow": {
          const few = { ...requests(ours, "a.rules.test"), lanes: 4 };
          await timesOf(few);
          const alone = await timesOf(few);
          await clients.ask({ tag: "hold-slow", way: way(ours, "a.rules.test"), count: 10, bytes: 64 * MIB });
          const beside = await timesOf(few);
          await clients.ask({ tag: "let-go" });
          const p99 = (times: number[]) => `${quantile(times, 0.99).toFixed(2)} ms`;
          report(`${name} clients, p99 of the others' requests`, { alone: p99(alone), beside: p99(beside), target: "stated" }, json);
          break;
        }
        case "proxy: trapped": {
          const decided = await started({ tag: "start-ours", workers: 1, serverPort, rootPem, decides: true });
          const order = (requestCount: number) => ({
            ...requests(decided, `p${serverPort}.decided.test`),
            count: requestCount,
            lanes: 4,
          });
          // Each waits for a new instance of the rules, or for the second that an answer may take, too.
          const few = smoke ? { alone: 40, trap: 8, hang: 4 } : { alone: 2000, trap: 400, hang: 40 };
          const p99 = (times: number[]) => `${quantile(times, 0.99).toFixed(2)} ms`;
          await timesOf(order(few.alone));
          const figures: Record<string, string> = { alone: p99(await timesOf(order(few.alone))) };
          for (const how of ["trap", "hang"] as const) {
            await clients.ask({ tag: "hold-asking", way: way(decided, `${how}.decided.test`) });
            const times = await timesOf(order(few[how]));
            const failures = await clients.ask<number>({ tag: "let-go" });
            figures[how] = `${p99(times)} (${failures} failed decisions)`;
          }
          await decided.process.ask({ tag: "stop" });
          report(
            `${name} rules, p99 of the others' requests while one client keeps its decisions failing`,
            { ...figures, target: "stated" },
            json,
          );
          break;
        }
        case "proxy: workers": {
          const two = await startOurs(2);
          const order = (subject: Subject): ClientOrder => ({
            tag: "connections",
            way: way(subject, "a.relay.test"),
            count: count.connections,
            atOnce: 8,
            firstNumber: 0,
          });
          await cost(two, order(two));
          const taken = await pairs(two, ours, order);
          const shares = await two.process.ask<number[]>({ tag: "connections-by-instance" });
          await two.process.ask({ tag: "stop" });
          const all = shares.reduce((sum, share) => sum + share, 0);
          report(
            `${name}, two against one, a connection`,
            {
              cpu: spread(taken.map(([a, b]) => a / b)),
              shares: shares.map((share) => `${Math.round((100 * share) / all)} %`).join(" "),
              target: "≤ 1.15, 40–60 %",
            },
            json,
          );
          break;
        }
      }
    }
  } finally {
    for (const process of open) process[Symbol.dispose]();
  }
}
