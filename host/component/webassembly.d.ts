// What the host itself uses of WebAssembly. TypeScript declares it only in its browser library, which Node is not.
declare namespace WebAssembly {
  class Module {
    private readonly brand: unique symbol;
  }
  class Memory {
    readonly buffer: ArrayBuffer;
  }
  class RuntimeError extends Error {}
  class LinkError extends Error {}
  class CompileError extends Error {}
  function compile(bytes: Uint8Array): Promise<Module>;
  function instantiate(module: Module, imports?: Record<string, unknown>): Promise<{ exports: Record<string, unknown> }>;
}
