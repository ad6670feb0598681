import { randomFillSync } from "node:crypto";
import { Trap } from "../io/ledger.ts";

/** wasi:random. The insecure interfaces answer from the same source: it is fast enough, and nothing can then depend on less. */
export const randomImports = {
  "wasi:random/random": { getRandomBytes: randomBytes, getRandomU64: randomU64 },
  "wasi:random/insecure": { getInsecureRandomBytes: randomBytes, getInsecureRandomU64: randomU64 },
  "wasi:random/insecure-seed": { insecureSeed: (): [bigint, bigint] => [randomU64(), randomU64()] },
};

/** @throws {Trap} past `MAX_BYTES`: the WIT has no error here, and no shorter answer. */
function randomBytes(len: bigint): Uint8Array {
  if (len > MAX_BYTES) throw new Trap(`get-random-bytes: at most ${MAX_BYTES} bytes at once`);
  return randomFillSync(new Uint8Array(Number(len)));
}

function randomU64(): bigint {
  return randomFillSync(new BigUint64Array(1))[0]!;
}

/** What one call may make the host allocate. */
const MAX_BYTES = 16n * 1024n * 1024n;
