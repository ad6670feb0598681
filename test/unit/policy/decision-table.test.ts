import { describe, expect, it } from "vitest";
import {
  clientHelloRequest,
  connectionDecisionValue,
  connectRequest,
  httpRequest,
  requestDecisionValue,
} from "../../../src/interception/decision-values.ts";
import { decideClientHello, decideConnect, decideRequest, loadPolicy, type Policy } from "../../../src/policy/index.ts";
import { policies, type Row, summary, table } from "../../support/decision-table.ts";

const loaded = new Map(Object.entries(policies).map(([name, policy]) => [name, loadPolicy(JSON.stringify(policy))]));

describe("the decision table", () => {
  it.each(table.map((row) => [row.ask, JSON.stringify(row.request).slice(0, 120), row] as const))("%s %s", (_ask, _text, row) => {
    const said = summary(answer(loaded.get(row.policy)!, row));
    expect(said === row.answer || said.startsWith(`${row.answer} `), `${said}\nand not ${row.answer}`).toBe(true);
  });

  it("has no question twice, and more refusals than anything else", () => {
    expect(new Set(table.map((row) => JSON.stringify([row.policy, row.ask, row.request]))).size).toBe(table.length);
    expect(table.filter((row) => row.answer.startsWith("deny ")).length).toBeGreaterThan(table.length / 2);
  });
});

function answer(policy: Policy, row: Row) {
  if (row.ask === "connect") return connectionDecisionValue(decideConnect(policy, connectRequest(row.request)));
  if (row.ask === "hello") return connectionDecisionValue(decideClientHello(policy, clientHelloRequest(row.request)));
  return requestDecisionValue(decideRequest(policy, httpRequest(row.request)));
}
