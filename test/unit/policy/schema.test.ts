import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { loadPolicy, policySchema } from "../../../src/policy/index.ts";
import { policies } from "../../support/decision-table.ts";

const published = JSON.parse(readFileSync(new URL("../../../docs/policy.schema.json", import.meta.url), "utf8")) as Schema;

describe("docs/policy.schema.json", () => {
  it("is what the loader checks: write it anew with `sallyport policy schema`", () => {
    expect(published).toEqual(JSON.parse(JSON.stringify(policySchema())));
  });

  it("accepts the policy in docs/policy.md, as the loader does", () => {
    const page = readFileSync(new URL("../../../docs/policy.md", import.meta.url), "utf8");
    const text = /^```json\n(.*?)^```$/ms.exec(page)![1]!;
    expect(violations(published, JSON.parse(text))).toEqual([]);
    expect(() => loadPolicy(text)).not.toThrow();
  });

  it.each(Object.entries(policies))("accepts the policy %s, as the loader does", (_name, policy) => {
    expect(violations(published, policy)).toEqual([]);
    expect(() => loadPolicy(JSON.stringify(policy))).not.toThrow();
  });

  it.each([
    [{}],
    [{ version: 2 }],
    [{ version: 1, extra: true }],
    [{ version: 1, ports: [] }],
    [{ version: 1, ports: [70_000] }],
    [{ version: 1, default: "front" }],
    [{ version: 1, deny: [7] }],
    [{ version: 1, hosts: [{ match: ["a.b"] }] }],
    [{ version: 1, hosts: [{ match: ["a.b"], mode: "deny", id: "-" }] }],
    [{ version: 1, hosts: [{ match: ["a.b"], mode: "intercept", upstream: { pins: ["sha256/x"] } }] }],
    [{ version: 1, anchors: { "a b": "x" } }],
    [{ version: 1, limits: { connections: "many" } }],
  ])("refuses %j, as the loader does", (policy) => {
    expect(violations(published, policy)).not.toEqual([]);
    expect(() => loadPolicy(JSON.stringify(policy))).toThrow();
  });

  it("describes every member", () => {
    const bare: string[] = [];
    walk(published, "$", (schema, path) => {
      for (const [name, member] of Object.entries(schema.properties ?? {})) if (!member.description) bare.push(`${path}.${name}`);
    });
    expect(bare).toEqual([]);
  });
});

interface Schema {
  type?: string;
  enum?: unknown[];
  description?: string;
  properties?: Record<string, Schema>;
  required?: string[];
  additionalProperties?: Schema | false;
  propertyNames?: Schema;
  items?: Schema;
  minItems?: number;
  maxItems?: number;
  minimum?: number;
  maximum?: number;
  minLength?: number;
  maxLength?: number;
  pattern?: string;
}

function walk(schema: Schema, path: string, visit: (schema: Schema, path: string) => void): void {
  visit(schema, path);
  for (const [name, member] of Object.entries(schema.properties ?? {})) walk(member, `${path}.${name}`, visit);
  if (schema.items !== undefined) walk(schema.items, `${path}[]`, visit);
}

/** As much of JSON Schema as is used there. */
function violations(schema: Schema, value: unknown, path = "$"): string[] {
  if (schema.enum !== undefined) return schema.enum.includes(value) ? [] : [path];
  switch (schema.type) {
    case "string": {
      const { minLength = 0, maxLength = Infinity, pattern = "" } = schema;
      return typeof value === "string" && value.length >= minLength && value.length <= maxLength && new RegExp(pattern, "u").test(value)
        ? []
        : [path];
    }
    case "integer":
      return Number.isInteger(value) && Number(value) >= schema.minimum! && Number(value) <= schema.maximum! ? [] : [path];
    case "boolean":
      return typeof value === "boolean" ? [] : [path];
    case "array":
      if (!Array.isArray(value) || value.length < (schema.minItems ?? 0) || value.length > schema.maxItems!) return [path];
      return value.flatMap((item: unknown, index) => violations(schema.items!, item, `${path}[${index}]`));
    case "object": {
      if (typeof value !== "object" || value === null || Array.isArray(value)) return [path];
      const missing = (schema.required ?? []).filter((name) => !(name in value)).map((name) => `${path}.${name}`);
      return missing.concat(
        Object.entries(value).flatMap(([name, member]) => {
          const inner = schema.properties?.[name] ?? schema.additionalProperties;
          if (!inner) return [`${path}.${name}`];
          const named = schema.propertyNames === undefined ? [] : violations({ type: "string", ...schema.propertyNames }, name, path);
          return named.concat(violations(inner, member, `${path}.${name}`));
        }),
      );
    }
    default:
      throw new Error(`the schema has a place of no known type: ${path}`);
  }
}
