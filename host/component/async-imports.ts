// Every release of WASI 0.2: a component names the one that its toolchain was made for, and they are compatible.
const VERSIONS = Array.from({ length: 13 }, (_, patch) => `0.2.${patch}`);

const METHODS = [
  "poll#poll",
  "poll#[method]pollable.block",
  "streams#[method]input-stream.blocking-read",
  "streams#[method]input-stream.blocking-skip",
  "streams#[method]output-stream.blocking-flush",
  "streams#[method]output-stream.blocking-write-and-flush",
  "streams#[method]output-stream.blocking-write-zeroes-and-flush",
  "streams#[method]output-stream.blocking-splice",
];

/**
 * The imports that return promises: calling one suspends the wasm stack. Everything else that a host offers is
 * synchronous.
 */
export const asyncImports: readonly string[] = [
  ...VERSIONS.flatMap((version) =>
    METHODS.map((method) => {
      const [name, call] = method.split("#");
      return `wasi:io/${name}@${version}#${call}`;
    }),
  ),
  "sallyport:gateway/event-queue@0.1.0#[method]queue.wait",
];
