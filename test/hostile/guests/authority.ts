// Calls the imports directly, without any library of ours between: what a compromised component can do.
import { PrivateIdentity } from "sallyport:tls/identities@0.1.0";
import { Authority, type LeafRequest, type Name } from "sallyport:gateway/authorities@0.1.0";
import { encodeHex } from "../../../src/wire/hex.ts";

/** One order of the test. Names that are lists are addresses. */
interface Order {
  act: "issue" | "open" | "names" | "limits" | "hoard" | "look" | "forge";
  authority?: string;
  names?: (string | number[])[];
  lifetime?: number;
  notBefore?: number;
}

const acts: Record<Order["act"], (order: Order) => unknown> = {
  issue(order) {
    using authority = Authority.open(order.authority ?? "leaves");
    using identity = authority.issue(request(order));
    using chain = identity.publicIdentity();
    return chain.exportX509Chain().map(encodeHex);
  },
  open(order) {
    using authority = Authority.open(order.authority!);
    return authority.limits().permittedDns;
  },
  names: () => Authority.names(),
  limits() {
    using authority = Authority.open("leaves");
    const limits = authority.limits();
    // What a guest writes into an answer is its own copy.
    limits.permittedDns.push("evil.test");
    return { ...limits, longestLifetime: Number(limits.longestLifetime), notAfter: Number(limits.notAfter) };
  },
  /** Issue until it is refused, and keep everything. */
  hoard(order) {
    using authority = Authority.open("leaves");
    for (;;) held.push(authority.issue(request(order)));
  },
  /** Everything that can be called or read of an identity. */
  look(order) {
    using authority = Authority.open("leaves");
    using identity = authority.issue(request(order));
    const seen = new Set<string>();
    for (let at: object | null = identity; at !== null; at = Object.getPrototypeOf(at) as object | null)
      for (const key of Reflect.ownKeys(at)) seen.add(String(key));
    return { members: [...seen].sort(), statics: Object.getOwnPropertyNames(PrivateIdentity).sort(), text: JSON.stringify(identity) };
  },
  /** Put the certificate of an issued identity together with a key that is the guest's own. */
  forge(order) {
    using authority = Authority.open("leaves");
    using identity = authority.issue(request(order));
    using chain = identity.publicIdentity();
    PrivateIdentity.parse(
      Uint8Array.from(ownKey, (it) => parseInt(it, 16)),
      chain.exportX509Chain(),
    );
    return "accepted";
  },
};

/** @returns JSON: `ok` with what came back, or `refused` with the error's payload */
export function attempt(text: string): string {
  const order = JSON.parse(text) as Order;
  try {
    return JSON.stringify({ ok: acts[order.act](order) });
  } catch (error) {
    const { payload } = error as { payload?: unknown };
    return JSON.stringify(payload === undefined ? { failed: String(error) } : { refused: payload });
  }
}

function request({ names = [], lifetime = 60, notBefore }: Order): LeafRequest {
  return {
    names: names.map((name): Name => (typeof name === "string" ? { tag: "dns", val: name } : { tag: "ip", val: Uint8Array.from(name) })),
    // QuickJS takes 64-bit integers as numbers.
    notBefore: notBefore as unknown as bigint | undefined,
    lifetime: lifetime as unknown as bigint,
    key: "p256",
  };
}

const held: PrivateIdentity[] = [];

/** PKCS#8 of the P-256 key 1, which is no secret. */
const ownKey = "3041020100301306072a8648ce3d020106082a8648ce3d030107042730250201010420"
  .match(/../g)!
  .concat(Array<string>(31).fill("00"), "01");
