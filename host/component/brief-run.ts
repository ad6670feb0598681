import { setFlagsFromString } from "node:v8";

/**
 * Let V8 compile WebAssembly once only, with its quick compiler, from now on. A start of QuickJS is enough for V8 to compile
 * the interpreter's loop again for speed: some 60 ms of a processor, and the process cannot end before it is done.
 *
 * To be called when most of what a start loads is loaded: code that V8 kept under other flags is not taken, Node's own
 * included.
 *
 * @returns puts the flags back; what is compiled by then stays as it is
 */
export function compileOnce(): () => void {
  for (const flag of TIER_UP) setFlagsFromString(`--no-${flag}`);
  return () => {
    for (const flag of TIER_UP) setFlagsFromString(`--${flag}`);
  };
}

const TIER_UP = ["wasm-tier-up", "wasm-dynamic-tiering"];
