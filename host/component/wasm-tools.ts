/** What we use of jco's build of wasm-tools. */
export interface WasmTools {
  /** The WIT of a component, as text. */
  componentWit(component: Uint8Array): Promise<string>;
}

/** Load it on first use: it is 8 MB of wasm, and running a component needs none of it. */
export async function wasmTools(): Promise<WasmTools> {
  const tools = await import("@bytecodealliance/jco-transpile/wasm-tools");
  return { componentWit: async (component) => await tools.componentWit(component) };
}
