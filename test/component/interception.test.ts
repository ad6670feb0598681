import { readFileSync } from "node:fs";
import { beforeAll, describe, expect, it } from "vitest";
import { compileComponent, instantiate, loadComponent } from "../../host/component/index.ts";
import { defaultRates } from "../../host/gateway/rate-limit.ts";
import { createImports } from "../../host/index.ts";
import { policies, type Row, summary, table } from "../support/decision-table.ts";

const file = new URL("../../dist/components/interception.wasm", import.meta.url);

// jco: every export returns a promise, records in camel case.
type Answers = Record<
  "decideConnect" | "decideClientHello" | "decideRequest",
  (request: unknown) => Promise<Parameters<typeof summary>[0]>
>;
type Policy = Answers & {
  install(): Promise<void>;
  explain(question: object): Promise<{ text: string; steps: object[] }>;
  planLeaf(host: string): Promise<object>;
  settings(): Promise<Record<string, unknown>>;
};
interface Exports {
  interception: { loadPolicy(text: string): Promise<Policy>; schema(): Promise<string> };
  decisions: Answers;
}

let exports: Exports;
let imported: readonly string[];

beforeAll(async () => {
  ({ exports, imported } = await instance());
});

describe("interception.wasm", () => {
  it("imports nothing but WASI, and of that no sockets", () => {
    expect(imported.filter((name) => !name.startsWith("wasi:"))).toEqual([]);
    expect(imported.filter((name) => /sockets|http/.test(name))).toEqual([]);
  });

  it("gives every answer of the decision table", async () => {
    const loaded = new Map<string, Policy>();
    for (const [name, policy] of Object.entries(policies)) loaded.set(name, await exports.interception.loadPolicy(JSON.stringify(policy)));
    const wrong: string[] = [];
    for (const row of table) {
      const said = summary(await ask(loaded.get(row.policy)!, row));
      if (said !== row.answer && !said.startsWith(`${row.answer} `)) wrong.push(`${JSON.stringify(row.request).slice(0, 100)}: ${said}`);
    }
    expect(wrong).toEqual([]);
  });

  it("denies everything through decisions until a policy is installed there, and answers by the latest", async () => {
    const fresh = (await instance()).exports;
    const row = table.find(({ answer }) => answer.startsWith("tunnel host-listed"))!;
    for (const one of ["connect", "hello", "request"] as const)
      expect(
        summary(
          await ask(
            fresh.decisions,
            table.find((r) => r.ask === one)!,
          ),
        ),
      ).toBe("deny no-policy built-in:no-policy");
    await (await fresh.interception.loadPolicy(JSON.stringify(policies.closed))).install();
    expect(summary(await ask(fresh.decisions, row))).toContain(row.answer);
    await (await fresh.interception.loadPolicy('{"version":1}')).install();
    expect(summary(await ask(fresh.decisions, row))).toBe("deny not-listed $.default");
  });

  it("lists the faults of a policy and lives on", async () => {
    const faults = await payload(
      exports.interception.loadPolicy('{"version":1,"hosts":[{"match":["a.example"],"mode":"open"}],"\u202e":1}'),
    );
    expect(faults).toEqual([
      { path: '$["\\E2\\80\\AE"]', message: expect.stringContaining("unknown") },
      { path: "$.hosts[0].mode", message: 'accepted are "tunnel", "intercept", "front", "deny"' },
    ]);
    expect(await payload(exports.interception.loadPolicy("[".repeat(100_000)))).toHaveLength(1);
    await expect(exports.interception.loadPolicy('{"version":1}')).resolves.toBeDefined();
  });

  it("plans a leaf for a permitted name only", async () => {
    const policy = await exports.interception.loadPolicy(JSON.stringify(policies.closed));
    expect(await policy.planLeaf("API.example.com.")).toEqual({ names: ["api.example.com"], lifetime: 86_400, key: "api.example.com" });
    expect(await payload(policy.planLeaf("example.com"))).toEqual({ rule: "built-in:constraints", reason: "not-permitted-to-issue" });
    expect(await payload(policy.planLeaf("*.api.example.com"))).toEqual({ rule: "built-in:names", reason: "wildcard-name" });
    expect(await payload(policy.planLeaf("192.0.2.9"))).toEqual({ rule: "built-in:constraints", reason: "not-permitted-to-issue" });
  });

  it("explains, and tells those who run it what they need", async () => {
    const policy = await exports.interception.loadPolicy(JSON.stringify(policies.closed));
    const { text } = await policy.explain({ host: "api.example.com", port: 443, groups: [], request: ["POST", "/push"] });
    expect(text).toContain("POST /push: allow (rule, by push)");
    expect(text).toContain("the host puts the secret gh into authorization");
    const settings = await policy.settings();
    expect(settings).toMatchObject({
      secrets: ["gh", "s"],
      identities: ["ci"],
      anchors: [["corp", "corp.pem"]],
      auditFsync: "each-second",
    });
    expect(settings.permittedNetworks).toEqual(["192.0.2.8/32"]);
    expect(settings.auditPath).toBeUndefined();
  });

  it("tells the host the limits that it sets, each by its name, and the host's own for others", async () => {
    const { rates: own } = await (await exports.interception.loadPolicy('{"version":1}')).settings();
    expect(own).toEqual(defaultRates);
    const limits = {
      audit_records_per_second: 1,
      audit_records_per_connection: 2,
      connections_per_second: 3,
      dials_per_second: 4,
      certificates_per_second: 5,
      certificate_names: 6,
    };
    const { rates } = await (await exports.interception.loadPolicy(JSON.stringify({ version: 1, limits }))).settings();
    expect(rates).toEqual({
      auditRecords: 1,
      auditRecordsPerConnection: 2,
      connections: 3,
      dials: 4,
      certificates: 5,
      certificateNames: 6,
    });
  });
});

async function instance(): Promise<{ exports: Exports; imported: readonly string[] }> {
  const code = await compileComponent(await loadComponent(readFileSync(file)));
  const { imports } = createImports();
  return { exports: (await instantiate(code, imports)).exports as unknown as Exports, imported: code.imports };
}

function ask(answers: Answers, row: Row): Promise<Parameters<typeof summary>[0]> {
  const call = { connect: "decideConnect", hello: "decideClientHello", request: "decideRequest" } as const;
  return answers[call[row.ask]](row.request);
}

/** What the error case of a result holds: jco rejects with that itself. */
async function payload(result: Promise<unknown>): Promise<unknown> {
  return await result.then(
    () => undefined,
    (cause: unknown) => cause,
  );
}
