/** An `option` that an import returned: none is `null` on QuickJS and `undefined` elsewhere. Not for `option<option<…>>`. */
export function optional<T>(value: T | null | undefined): T | undefined {
  return value ?? undefined;
}
