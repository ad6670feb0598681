/**
 * The part of the Reflect metadata proposal that `@peculiar/x509`'s dependency injection needs: it refuses to load
 * without. Import this module before that one.
 */
const store = new WeakMap<object, Map<unknown, unknown>>();

function own(key: unknown, target: object): unknown {
  return store.get(target)?.get(key);
}

function inherited(key: unknown, target: object): unknown {
  for (let at: object | null = target; at !== null; at = Object.getPrototypeOf(at) as object | null) {
    if (store.get(at)?.has(key)) return own(key, at);
  }
  return undefined;
}

function define(key: unknown, value: unknown, target: object): void {
  let entries = store.get(target);
  if (entries === undefined) store.set(target, (entries = new Map()));
  entries.set(key, value);
}

// A fuller implementation that is loaded already stays.
if (!("getMetadata" in Reflect)) {
  Object.assign(Reflect, {
    getMetadata: inherited,
    getOwnMetadata: own,
    hasOwnMetadata: (key: unknown, target: object) => store.get(target)?.has(key) ?? false,
    defineMetadata: define,
    metadata: (key: unknown, value: unknown) => (target: object) => define(key, value, target),
  });
}
