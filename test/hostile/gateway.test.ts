import { readFileSync } from "node:fs";
import { type AddressInfo } from "node:net";
import { createServer, type Server } from "node:tls";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { ComponentCode } from "../../host/component/instance.ts";
import { supervise } from "../../host/component/supervisor.ts";
import type { GatewayGrants, TlsGrants } from "../../host/index.ts";
import type { GrantTexts } from "../../host/net/grants.ts";
import type { Resolver } from "../../host/net/name-lookup.ts";
import { recordsOf, tcpServer, temporaryFolder } from "../support/gateway-instance.ts";
import { startGuest } from "../support/guest-run.ts";
import { makePki, type TestPki } from "../support/pki.ts";
import { gatewayGuest } from "./gateway-guest.ts";

const SECRET = "s3cr3t-that-nobody-reads-0123456789";
const folder = temporaryFolder();
let code: ComponentCode;
let removeGuest: () => Promise<void>;
let pki: TestPki;
let server: Server;
let port: number;
let received = "";

beforeAll(async () => {
  const built = await gatewayGuest();
  code = built.code;
  removeGuest = built.remove;
  process.env["SALLYPORT_TEST_SECRET"] = SECRET;
  pki = await makePki({ leaf: { dns: ["api.example.com", "shared.example.com"] } });
  server = createServer({ key: pki.leaf.keyPem, cert: pki.chainPem }, (socket) => {
    socket.on("error", () => {}).on("data", (data) => (received += data.toString("latin1")));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  port = (server.address() as AddressInfo).port;
});
afterAll(async () => {
  delete process.env["SALLYPORT_TEST_SECRET"];
  server.close();
  folder.remove();
  await removeGuest();
});
afterEach(() => (received = ""));

let files = 0;
interface Options {
  gateway?: GatewayGrants;
  tls?: TlsGrants;
  grants?: GrantTexts;
  names?: Record<string, string[]>;
  resolver?: Resolver;
}

async function attack(args: string[], options: Options = {}) {
  const file = folder.path(`audit-${++files}`);
  const run = startGuest(code, {
    args: ["attack", ...args],
    gateway: { dial: {}, audit: { file, fsync: "none" }, ...options.gateway },
    grants: { allowNet: [`127.0.0.1:${port}`], ...options.grants },
    tls: { anchors: [pki.root.der], ...options.tls },
    resolver: options.resolver ?? (async (name) => options.names?.[name] ?? ["127.0.0.1"]),
  });
  const result = await run.ended;
  const lines = run
    .stdout()
    .split("\n")
    .filter((line) => line !== "");
  return { result, lines, all: run.stdout() + run.stderr() + readFileSync(file, "utf8"), records: () => recordsOf(file) };
}

const bySelf = (records: Record<string, unknown>[]) => records.filter(({ by }) => by === "host");

describe("a hostile proxy component that dials", () => {
  const literals = {
    "127.0.0.1": "loopback",
    "::1": "loopback",
    "[::1]": "loopback",
    "::ffff:127.0.0.1": "loopback",
    "64:ff9b::7f00:1": "loopback",
    "2002:a00:1::": "private",
    "2001:0:808:808:0:0:f5ff:fffe": "private",
    "10.0.0.1": "private",
    "169.254.0.1": "link-local",
    "100.64.0.1": "shared",
    "224.0.0.1": "multicast",
    "0.0.0.0": "unspecified",
    "169.254.169.254": "metadata",
    "::ffff:a9fe:a9fe": "metadata",
    "fd00:ec2::254": "metadata",
  };

  it("forbidden addresses is refused in every spelling, and each try is recorded by the host", async () => {
    const { lines, records } = await attack(["dial", ...Object.keys(literals).map((it) => `${it}|443`)]);
    expect(lines).toEqual(Object.entries(literals).map(([it, why]) => `${it}|443 refused(${why})`));
    expect(bySelf(records()).map(({ event, reason }) => `${String(event)} ${String(reason)}`)).toEqual(
      Object.values(literals).map((why) => `dial-refused ${why}`),
    );
  });

  it("names that lead there is refused after the lookup, whatever else they answer", async () => {
    const names = {
      "a.test": ["8.8.8.8", "10.0.0.1"],
      "b.test": ["169.254.169.254"],
      "c.test": ["::ffff:127.0.0.1"],
      "d.test": ["fe80::1%eth0"],
    };
    const { lines, records } = await attack(["dial", ...Object.keys(names).map((it) => `${it}|443`)], { names });
    expect(lines.map((line) => line.split(" ")[1])).toEqual([
      "refused(private)",
      "refused(metadata)",
      "refused(loopback)",
      "refused(link-local)",
    ]);
    expect(bySelf(records()).map(({ event, host }) => [event, host])).toEqual(Object.keys(names).map((it) => ["dial-refused", it]));
  });

  it("names whose answer changes is held to the answer of that very dial: each is looked up once, and checked as a whole", async () => {
    let asked = 0;
    const answers = [["127.0.0.1"], ["127.0.0.1", "10.0.0.1"], ["169.254.169.254"], ["127.0.0.1"]];
    const resolver = async () => answers[asked++]!;
    const origin = await tcpServer((socket) => socket.end());
    const { lines, records } = await attack(["dial", ...answers.map(() => `turns.test|${origin.port}`)], {
      gateway: { dial: { allowNetworks: ["127.0.0.0/8"] } },
      resolver,
    });
    origin.close();
    expect(lines.map((line) => line.split(" ")[1])).toEqual(["ok", "refused(private)", "refused(metadata)", "ok"]);
    expect(asked).toBe(4);
    expect(bySelf(records()).filter(({ event }) => event === "dial")).toMatchObject([
      { addresses: ["127.0.0.1"] },
      { addresses: ["127.0.0.1"] },
    ]);
  });

  it("what it listens on itself is refused, however the address is spelled and whatever was opened", async () => {
    const { lines } = await attack(["dial self"], {
      gateway: { dial: { allowNetworks: ["0.0.0.0/0", "::/0"] } },
      grants: { listen: [":0", "[::]:0"] },
      names: { "self.test": ["127.0.0.1"] },
    });
    expect(lines.length).toBeGreaterThanOrEqual(8);
    expect(lines.filter((line) => !line.endsWith(" refused(own-listener)"))).toEqual([]);
  });

  it("spellings that only some resolvers know, or the metadata service by name, gets nowhere", async () => {
    const spellings = ["2130706433", "0x7f000001", "127.1", "0177.0.0.1", "localhost\0", "127.0.0.1:80", "fe80::1%lo"];
    const { lines } = await attack(["dial", ...[...spellings, "Metadata.Google.Internal."].map((it) => `${it}|80`)]);
    expect(lines.map((line) => line.split(" ").at(-1))).toEqual([...spellings.map(() => "invalid-name"), "refused(metadata)"]);
  });

  it("the metadata service where every network was opened is refused all the same", async () => {
    const gateway = { dial: { allowNetworks: ["0.0.0.0/0", "::/0"] } };
    const { lines } = await attack(["dial", "169.254.169.254|80", "::ffff:169.254.169.254|80", "x.test|80"], {
      gateway,
      names: { "x.test": ["100.100.100.200"] },
    });
    expect(lines.map((line) => line.split(" ")[1])).toEqual(["refused(metadata)", "refused(metadata)", "refused(metadata)"]);
  });

  it("anywhere without the grant is refused", async () => {
    const { lines, records } = await attack(["dial", "example.com|443", "8.8.8.8|443"], { gateway: { dial: undefined } });
    expect(lines.map((line) => line.split(" ")[1])).toEqual(["refused(not-granted)", "refused(not-granted)"]);
    expect(bySelf(records())).toHaveLength(2);
  });
});

describe("a hostile proxy component that wants a secret", () => {
  const steal = async (how: string, options: { server?: string; portGranted?: number; tls?: TlsGrants } = {}) => {
    const gateway: GatewayGrants = {
      dial: { allowNetworks: ["127.0.0.0/8"] },
      secrets: {
        token: {
          source: { env: "SALLYPORT_TEST_SECRET" },
          servers: [`api.example.com:${options.portGranted ?? port}`],
          forms: [{ field: "Authorization", prefix: "Bearer " }],
        },
      },
    };
    const args = ["secret", how, options.server ?? "api.example.com", String(port), Buffer.from(pki.root.der).toString("hex")];
    const outcome = await attack(args, { gateway, ...(options.tls === undefined ? {} : { tls: options.tls }) });
    return { ...outcome, said: outcome.lines.join() };
  };

  it("gets it written to the server that was granted, and never to see it", async () => {
    const { said, all, records } = await steal("as granted");
    expect(said).toBe("as granted ok");
    await expect.poll(() => received).toBe(`Authorization: Bearer ${SECRET}\r\nEND`);
    expect(all).not.toContain(SECRET);
    expect(bySelf(records()).map(({ event }) => event)).toContain("secret");
  });

  it.each([
    ["another server", { server: "shared.example.com" }, "wrong-server"],
    ["other name verified", {}, "wrong-server"],
    ["another port", { portGranted: 443 }, "wrong-server"],
    ["own anchors", {}, "not-verified"],
    ["no dial", {}, "not-dialled"],
    ["by hand", {}, "not-dialled"],
    ["first bytes by hand", {}, "not-dialled"],
    ["another form", {}, "form-not-granted"],
    ["broken out", {}, "invalid-argument"],
  ])("does not by way of %s, and the host records the try", async (how, options, error) => {
    const { said, all, records } = await steal(how, options);
    expect(said).toBe(`${how} ${error}`);
    expect(bySelf(records())).toContainEqual(expect.objectContaining({ event: "secret-refused", reason: error, secret: "token" }));
    expect(received + all).not.toContain(SECRET);
  });

  it("does not from a peer whose verdict it overrode, with the grant to do that", async () => {
    const tls = { anchors: [], allowInvalid: ["api.example.com:unknown-issuer", "api.example.com:self-signed"] };
    const { said, all } = await steal("overridden", { tls });
    expect(said).toBe("overridden not-verified");
    expect(received + all).not.toContain(SECRET);
  });

  it("learns which it was granted and nothing of others", async () => {
    const { lines } = await attack(["names"]);
    expect(lines).toEqual(['"" not-found', '"other" not-found', '"__proto__" not-found', '"token\\u0000" not-found']);
  });
});

describe("a hostile proxy component that keeps the record", () => {
  it("cannot write in the host's name, nor break out of its line", async () => {
    const { lines, records } = await attack(["forge"]);
    expect(lines).toEqual(["forged"]);
    const all = records();
    expect(all).toHaveLength(3);
    for (const one of all) {
      expect(one).toMatchObject({ by: "component" });
      expect(String(one["instance"])).toMatch(/^[0-9a-f]{12}$/);
    }
    expect(all[0]).toMatchObject({ event: "connection" });
    expect(all[0]).not.toHaveProperty("dial");
  });

  it("cannot fill it: what goes beyond its limit is counted by the host, which leaves out nothing of its own", async () => {
    const { lines, records } = await attack(["flood", "3000"], { gateway: { rates: { auditRecords: 100, dials: 20 } } });
    expect(lines).toEqual(["flooded"]);
    const all = records();
    const written = all.filter(({ by }) => by === "component").length;
    const counted = (limit: string) =>
      all.filter((record) => record["limit"] === limit).reduce((sum, record) => sum + Number(record["count"]), 0);
    expect(written).toBeGreaterThanOrEqual(100);
    expect(written + counted("audit-records")).toBe(3000);
    expect(counted("audit-records")).toBeGreaterThan(0);
    expect(bySelf(all).filter(({ event }) => event === "dial-refused").length + counted("dials")).toBe(60);
    expect(bySelf(all).length).toBeLessThan(100);
  });

  it("cannot leave out what the host saw, however much it writes", async () => {
    const { records } = await attack(["flood", "500"]);
    const all = records();
    expect(all.filter(({ by }) => by === "component")).toHaveLength(500);
    expect(bySelf(all).map(({ event }) => event)).toEqual(Array.from({ length: 10 }, () => "dial-refused"));
  });
});

describe("a proxy component in the sandbox", () => {
  it("waits on a queue for what is ready among much that is not", async () => {
    const { lines, result } = await attack(["queue"]);
    expect(lines).toEqual(["0,100,200,300,400,500,600,700,800,900", "token-in-use", "0"]);
    expect(result).toMatchObject({ tag: "exit", code: 0 });
  });

  it("passes nothing on of a response that two parsers would read differently", async () => {
    let passed = "";
    const origin = await tcpServer((socket) =>
      socket.on("data", (data) => {
        if (String(data) === "respond")
          socket.write("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n");
        else passed += String(data);
      }),
    );
    const { lines } = await attack(["smuggle", String(origin.port)], { gateway: { dial: { allowNetworks: ["127.0.0.0/8"] } } });
    expect([lines, passed]).toEqual([["err framing 0"], ""]);
    origin.close();
  });

  it("hears of policies and revocations, and ends by itself when it is told to", async () => {
    const running = supervise({ code, instance: { args: ["attack", "listen"] }, stdio: "pipe" });
    running.stdin!.end();
    let said = "";
    running.stdout!.on("data", (data) => (said += String(data)));
    await expect.poll(() => said, { timeout: 20_000 }).toBe("listening\n");
    running.revoke("alice");
    running.reload('{"default":"deny"}');
    await expect.poll(() => said).toContain("reload");
    expect(await running.stop(20_000)).toEqual({ tag: "exit", code: 0 });
    expect(said).toBe('listening\nrevoked alice\nreload {"default":"deny"}\nstop true\n');
  });
});
