import { drain, DrainedPromise, enqueue } from "./promise.ts";

// Import this before anything that runs: a promise made earlier would sit in the engine's queue, which nobody drains.

/** True if async functions of this bundle run on `DrainedPromise`: then `drain` is exact and `run` may be synchronous. */
export const ownPromises: boolean = asyncIsLowered();

if (ownPromises) {
  globalThis.Promise = DrainedPromise as unknown as PromiseConstructor;
  globalThis.queueMicrotask = enqueue;
  // Where the build's helper for async functions looks first: see host/component/componentize.ts.
  Object.defineProperty(DrainedPromise, Symbol.for("sallyport.drive"), { value: DrainedPromise.drive });
} else if (isQuickJs()) {
  // Fails the build of the component, since its modules are evaluated there.
  throw new Error("QuickJS never runs native async functions in a synchronous export: build with target es2016");
}

/** Whether the engine is QuickJS, which differs from others in how numbers and options cross the component's edge. */
export function isQuickJs(): boolean {
  return "__cqjs" in globalThis;
}

export { drain };

/**
 * The build lowers async functions to generators where the engine's own job queue is useless, and what was lowered is a
 * plain function. Asking that, and not for an engine's name, cannot disagree with how the bundle was really built.
 */
function asyncIsLowered(): boolean {
  return Object.getPrototypeOf(async () => {}) === Function.prototype;
}

declare global {
  // The guest's library has no DOM types; every engine has this function.
  function queueMicrotask(job: () => void): void;
}
