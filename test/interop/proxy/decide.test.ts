import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { main } from "../../../host/cli/main.ts";
import { recordsOf } from "../../support/gateway-instance.ts";
import { python, pythonPackage } from "../../support/python-packages.ts";
import { inRepository } from "../peers/process.ts";

/** The examples of one's own rules, each in its language, deciding for `sallyport exec`. */
const folder = mkdtempSync(join(tmpdir(), "sallyport-decide-"));
const wit = inRepository("wit/policy/decisions.wit");
const policy = join(folder, "policy.json");

beforeAll(() => writeFileSync(policy, JSON.stringify({ version: 1, default: "tunnel", ca: { permit: ["example.com"] } }), { mode: 0o600 }));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const languages: Record<string, (output: string) => Promise<unknown>> = {
  typescript: (output) =>
    main(["build", inRepository("docs/examples/decisions-typescript/decisions.ts"), "--wit", wit, "--world", "decider", "-o", output]),
  async python(output) {
    const componentize = await pythonPackage("componentize-py==0.25.1");
    const program = join(componentize, "bin/componentize-py");
    const cwd = inRepository("docs/examples/decisions-python");
    await python([program, "-d", wit, "-w", "decider", "componentize", "decisions", "-o", output], { packages: [componentize], cwd });
  },
};

interface Ran {
  output: string;
  records: Record<string, unknown>[];
}

function curl(component: string, url: string): Promise<Ran> {
  const audit = join(folder, `${Math.random()}.jsonl`);
  const flags = ["exec", "--config", policy, "--decide", component, "--audit", audit, "--"];
  const command = ["curl", "-sS", "--max-time", "20", url];
  return new Promise((resolve) => {
    execFile(process.execPath, [inRepository("host/cli/bin.mjs"), ...flags, ...command], { timeout: 60_000 }, (_, stdout, stderr) => {
      resolve({ output: stdout + stderr, records: recordsOf(audit).filter(({ by }) => by === "component") });
    });
  });
}

describe.each(Object.keys(languages))("rules in %s", (language) => {
  const component = join(folder, `${language}.wasm`);
  beforeAll(() => languages[language]!(component).then(() => {}), 300_000);

  test("intercept what they name, under a certificate for it", async () => {
    const { records } = await curl(component, "https://example.com/");
    expect(records).toContainEqual(expect.objectContaining({ event: "connection", decision: "intercept", rule: "example" }));
    // The client's handshake was done with it.
    expect(records).toContainEqual(expect.objectContaining({ event: "client-hello", decision: "intercept", server_name: "example.com" }));
    expect(records).toContainEqual(expect.objectContaining({ event: "handshake", client_tls: expect.anything() }));
  }, 120_000);

  test("refuse the rest, which the policy would have let through", async () => {
    const { output, records } = await curl(component, "https://example.org/");
    expect(output).toMatch(/response 403/);
    expect(records).toContainEqual(
      expect.objectContaining({ event: "connection", decision: "deny", rule: "only-example", reason: "not-listed" }),
    );
  }, 120_000);
});
