import { fail, giveNone, giveU32, giveU64, takeOption, takeText, takeU32, takeU64 } from "sallyport:library-test/edge@0.1.0";
import {
  bigintOfU64,
  numberOfU32,
  numberOfU64,
  optional,
  ownPromises,
  payloadOf,
  u32,
  u64,
  wellFormed,
} from "../../../src/bindings/index.ts";

/** What is asked for by name: first what the engine does by itself, then what the fence makes of it. */
const probes: Record<string, () => unknown> = {
  "raw u64 2^53+1": () => show(giveU64(0)),
  "raw u64 max": () => show(giveU64(1)),
  "raw u32 max": () => show(giveU32()),
  "raw none": () => show(giveNone()),
  "raw error": () => show(caught(fail)),
  "raw take BigInt": () => takeU64(BigInt(5)),
  "raw take Number": () => takeU64(5),
  "raw take u32 max": () => takeU32(0xffff_ffff),
  "raw take lone surrogate": () => takeText("a\ud800b"),
  "raw take undefined": () => takeOption(undefined),
  "raw take null": () => takeOption(null),
  "raw throw": () => {
    throw new Error("out of an export that has no error");
  },
  "missing globals": () =>
    ["TextEncoder", "TextDecoder", "URL", "Buffer", "crypto", "setTimeout", "AbortController", "structuredClone", "Intl"]
      .filter((name) => !(name in globalThis))
      .join(" "),
  "present globals": () =>
    ["queueMicrotask", "WeakRef", "BigInt", "Proxy", "SuppressedError"].filter((name) => name in globalThis).join(" "),
  "own promises": () => ownPromises,

  "u64 2^53+1": () => show(bigintOfU64(giveU64(0) as bigint)),
  "u64 max": () => show(numberOfU64(giveU64(1) as bigint)),
  "u32 max": () => show(numberOfU32(giveU32() as number)),
  none: () => show(optional(giveNone())),
  error: () => show(payloadOf(caught(fail))),
  "take u64 5": () => takeU64(u64(5)),
  "take u64 2^53-1": () => takeU64(u64(BigInt("99999999999999999999"))),
  "take u32 max": () => takeU32(u32(0xffff_ffff)),
  "take text": () => takeText(wellFormed("a\ud800b")),
};

export function probe(what: string): string {
  return String(probes[what]!());
}

function show(value: unknown): string {
  return `${typeof value} ${String(value)}`;
}

function caught(call: () => unknown): unknown {
  try {
    call();
  } catch (error) {
    return error;
  }
  return undefined;
}
