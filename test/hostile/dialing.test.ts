import { beforeAll, describe, expect, it } from "vitest";
import type { ComponentCode } from "../../host/component/instance.ts";
import { startGuest } from "../support/guest-run.ts";
import { attack, hostileGuest } from "./hostile.ts";

let code: ComponentCode;
beforeAll(async () => {
  code = await hostileGuest();
});

/** 169.254.169.254 and other addresses that nobody should reach by accident, in every spelling that an address has. */
const METADATA = {
  plain: "169,254,169,254,80",
  mapped: "0,0,0,0,0,65535,43518,43518,80",
  compatible: "0,0,0,0,0,0,43518,43518,80",
  translated: "0,0,0,0,65535,0,43518,43518,80",
  NAT64: "100,65435,0,0,0,0,43518,43518,80",
  "local NAT64": "100,65435,1,43518,169,65024,0,0,80",
  "6to4": "8194,43518,43518,0,0,0,0,1,80",
  Teredo: "8193,0,43518,43518,0,0,0,0,80",
  "Teredo, inverted": "8193,0,0,0,0,0,22017,22017,80",
  "of the ECS": "169,254,170,2,80",
  "of another cloud": "100,100,100,200,80",
  "of a third": "168,63,129,16,80",
  "over IPv6": "64768,3778,0,0,0,0,0,596,80",
  "link-local": "169,254,1,1,80",
  "link-local over IPv6": "65152,0,0,0,0,0,0,1,80",
};

const everywhere = { grants: { allowNet: ["*:80", "0.0.0.0/0:80", "[::]/0:80"] } };

describe("a guest that dials", () => {
  it("link-local and metadata addresses is refused in every spelling, whatever else is granted", async () => {
    const { result, lines, refusals } = await attack(code, ["dial", ...Object.values(METADATA)], everywhere);
    expect(result).toEqual({ tag: "exit", code: 0 });
    const connects = lines.filter((line) => !line.includes(" bind "));
    expect(connects.map((line) => line.split(" ")[1])).toEqual(
      Object.values(METADATA).map(() => expect.stringMatching(/^(access-denied|invalid-argument)$/)),
    );
    expect(lines.filter((line) => line.endsWith(" ok"))).toEqual([]);
    expect(refusals.filter((line) => line.includes("metadata") || line.includes("link-local")).length).toBeGreaterThan(10);
  });

  it("what is not granted is refused, with a line that names the flag", async () => {
    const targets = [
      "127,0,0,1,80",
      "127,1,2,3,80",
      "0,0,0,0,80",
      "10,0,0,1,80",
      "1,1,1,1,80",
      "0,0,0,0,0,0,0,1,80",
      "0,0,0,0,0,65535,32512,1,80",
    ];
    const { lines, refusals } = await attack(code, ["dial", ...targets], { grants: { allowNet: ["10.0.0.1:443", "granted.example:80"] } });
    expect(lines.filter((line) => line.endsWith(" ok"))).toEqual([]);
    expect(refusals.length).toBeGreaterThanOrEqual(8);
    for (const line of refusals) expect(line).toMatch(/--allow-net|--listen/);
  });

  it("names that are spellings of addresses gets nowhere by them", async () => {
    const names = [
      "169.254.169.254",
      "2852039166",
      "0xa9fea9fe",
      "0xa9.0xfe.0xa9.0xfe",
      "0251.0376.0251.0376",
      "169.254.43518",
      "[::ffff:169.254.169.254]",
      "::ffff:a9fe:a9fe",
      "169.254.169.254.",
      "\uff11\uff16\uff19.254.169.254",
      "metadata.google.internal",
      "localhost",
      "LOCALHOST.",
      "",
      ".",
      "a\0b",
    ];
    const { lines } = await attack(code, ["resolve", ...names], { grants: { allowNet: ["granted.example:80"] } });
    // An address is its own answer; connecting to it is what is refused.
    expect(lines.filter((line) => / connect (?!access-denied|invalid-argument)/.test(line))).toEqual([]);
    const resolved = lines.filter((line) => line.endsWith(" ok")).map((line) => JSON.parse(line.slice(0, -3)) as string);
    for (const name of resolved) expect(name).toMatch(/^\[?[0-9a-f.:]+\]?$/);
  });

  it.each(["169.254.169.254", "::ffff:169.254.169.254", "fe80::1", "fd00:ec2::254", "64:ff9b::a9fe:a9fe"])(
    "a granted name that points at %s is refused",
    async (address) => {
      const run = startGuest(code, {
        args: ["attack", "resolve", "granted.example"],
        grants: { allowNet: ["granted.example:80", "*:80"] },
        resolver: async () => ["203.0.113.1", address],
      });
      expect(await run.ended).toMatchObject({ tag: "exit", code: 0 });
      expect(run.stdout()).toBe('"granted.example" access-denied\n');
      expect(run.refusals.join()).toContain(address.startsWith("fe80") ? "link-local" : "metadata");
    },
  );

  it("where a name pointed that was not asked for by this instance is refused", async () => {
    const options = { grants: { allowNet: ["granted.example:80"] }, resolver: async () => ["127.0.0.1"] };
    const asks = startGuest(code, { ...options, args: ["attack", "resolve", "granted.example"] });
    const does = startGuest(code, { ...options, args: ["attack", "dial", "127,0,0,1,80"] });
    await Promise.all([asks.ended, does.ended]);
    expect(asks.stdout()).toBe('"granted.example" ok\n"granted.example" connect ok\n');
    expect(does.stdout()).toBe("127,0,0,1,80 access-denied\n127,0,0,1,80 bind access-denied\n");
  });
});
