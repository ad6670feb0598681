/**
 * `@peculiar/x509` loads only where `Reflect` has the metadata functions that its dependency injection is compiled
 * against. This puts as much of them there as it uses, unless somebody else did.
 */
export function provideReflectMetadata(): void {
  if (Object.hasOwn(Reflect, "getMetadata")) return;
  Object.assign(Reflect, {
    defineMetadata: put,
    getMetadata: find,
    getOwnMetadata: (key: unknown, target: object) => metadata.get(target)?.get(key),
    hasOwnMetadata: (key: unknown, target: object) => metadata.get(target)?.has(key) === true,
    metadata: (key: unknown, value: unknown) => (target: object) => put(key, value, target),
  });
}

const metadata = new WeakMap<object, Map<unknown, unknown>>();

function find(key: unknown, target: object): unknown {
  let at: object | null = target;
  while (at !== null && metadata.get(at)?.has(key) !== true) at = Reflect.getPrototypeOf(at);
  return at === null ? undefined : metadata.get(at)?.get(key);
}

function put(key: unknown, value: unknown, target: object): void {
  const known = metadata.get(target) ?? new Map<unknown, unknown>();
  metadata.set(target, known.set(key, value));
}
