// What an embedder needs to run components: load, compile, and either instantiate by themselves or have it supervised.
export { asyncImports } from "./async-imports.ts";
export { CacheError, type CachedComponent, cacheFolder, loadComponent } from "./cache.ts";
export { UnusableError } from "./guest-thread.ts";
export {
  type ComponentCode,
  ComponentError,
  compileComponent,
  DEFAULT_MEMORY,
  type ImportObject,
  type Instance,
  instantiate,
  type RunResult,
  runCommand,
} from "./instance.ts";
export { MemoryLimitError } from "./memory-limit.ts";
export type { InstanceOptions } from "./messages.ts";
export { DEFAULT_WATCHDOG, type Supervised, type SuperviseOptions, supervise } from "./supervisor.ts";
export { TranspileError } from "./transpile.ts";
