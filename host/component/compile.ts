import type { CachedComponent } from "./cache.ts";
import { limitMemory } from "./memory-limit.ts";

/** A component that is ready to be instantiated, any number of times and in any thread: it survives `postMessage`. */
export interface ComponentCode {
  /** `file:` URL of the transpiled script. */
  script: string;
  /** Compiled core modules by the name that the script asks for. */
  modules: ReadonlyMap<string, WebAssembly.Module>;
  /** The interfaces that it imports, without versions. */
  imports: readonly string[];
  /** The most linear memory of one instance, in bytes. */
  memory: number;
}

/** Default of the memory limit, in bytes. */
export const DEFAULT_MEMORY = 512 * 1024 * 1024;

/**
 * Compile a component's core modules, in parallel and off the thread.
 *
 * @param memory the most linear memory that an instance may have, in bytes
 * @throws {MemoryLimitError} when the component starts with more memory than that
 */
export async function compileComponent(component: CachedComponent, memory: number = DEFAULT_MEMORY): Promise<ComponentCode> {
  return await new Compilation(memory).of(component);
}

/** A compilation that may begin with some of the modules before it is known whether they are wanted. */
export class Compilation {
  readonly #memory: number;
  readonly #begun = new Map<Uint8Array, Promise<WebAssembly.Module>>();

  /** @param memory as of `compileComponent` */
  constructor(memory: number = DEFAULT_MEMORY) {
    this.#memory = memory;
  }

  /** Begin with these bytes, which may be anything. */
  begin(module: Uint8Array): void {
    const compiled = this.#compile(module);
    compiled.catch(() => {});
    this.#begun.set(module, compiled);
  }

  /** All modules of a component, as `compileComponent` returns them. */
  async of(component: CachedComponent): Promise<ComponentCode> {
    const compiled = Array.from(component.modules, async ([name, bytes]) => {
      return [name, await (this.#begun.get(bytes) ?? this.#compile(bytes))] as const;
    });
    return { script: component.script, modules: new Map(await Promise.all(compiled)), imports: component.imports, memory: this.#memory };
  }

  async #compile(module: Uint8Array): Promise<WebAssembly.Module> {
    return await WebAssembly.compile(limitMemory(module, this.#memory));
  }
}
