import { type JsonValue, memberPath } from "../json/read-json.ts";
import { Faults } from "./policy-error.ts";

/** A JSON Schema (draft 2020-12), as plain data. */
export type JsonSchema = { readonly [keyword: string]: unknown };

/**
 * What a place in a JSON file may hold: how it is read, and how JSON Schema says it. One description for both, so that they
 * cannot disagree.
 */
export interface Shape<T> {
  /** The typed value; `undefined` if a fault was added. */
  read(value: JsonValue, path: string, faults: Faults): T | undefined;
  readonly schema: JsonSchema;
}

/** The type that a shape reads. */
export type ShapeOf<S> = S extends Shape<infer T> ? T : never;

/** One member of an object. */
export interface Member<T> {
  readonly shape: Shape<unknown>;
  readonly about: string;
  readonly isRequired: boolean;
  readonly fallback: T;
}

/** A text that a parser takes. What the parser throws with a `code` is the fault; its message says what is accepted. */
export function parsed<T>(accepts: { about: string; pattern?: string; maxLength: number }, parse: (text: string) => T): Shape<T> {
  const { about, pattern, maxLength } = accepts;
  return {
    schema: { type: "string", description: about, minLength: 1, maxLength, ...(pattern === undefined ? {} : { pattern }) },
    read(value, path, faults) {
      if (typeof value !== "string") return faults.add(path, `a text is expected: ${about}`);
      if (value === "" || value.length > maxLength) return faults.add(path, `from 1 to ${maxLength} characters are accepted: ${about}`);
      if (pattern !== undefined && !new RegExp(pattern, "u").test(value)) return faults.add(path, `not accepted: ${about} is expected`);
      try {
        return parse(value);
      } catch (error) {
        if (!(error instanceof Error) || !("code" in error)) throw error;
        return faults.add(path, error.message);
      }
    },
  };
}

/** A text as it is. */
export function text(accepts: { about: string; pattern?: string; maxLength: number }): Shape<string> {
  return parsed(accepts, (value) => value);
}

/** One of these words. */
export function choice<const T extends string>(...words: readonly T[]): Shape<T> {
  return {
    schema: { enum: words },
    read(value, path, faults) {
      return (
        words.find((word) => word === value) ?? faults.add(path, `accepted are ${words.map((word) => JSON.stringify(word)).join(", ")}`)
      );
    },
  };
}

/** A whole number. */
export function whole(minimum: number, maximum: number): Shape<number> {
  return {
    schema: { type: "integer", minimum, maximum },
    read(value, path, faults) {
      if (typeof value === "number" && value >= minimum && value <= maximum) return value;
      return faults.add(path, `a whole number from ${minimum} to ${maximum} is accepted`);
    },
  };
}

/** `true` or `false`. */
export const flag: Shape<boolean> = {
  schema: { type: "boolean" },
  read(value, path, faults) {
    return typeof value === "boolean" ? value : faults.add(path, "true or false is accepted");
  },
};

/** A list, every item of the same shape. */
export function list<T>(of: Shape<T>, bounds: { minItems?: number; maxItems: number }): Shape<readonly T[]> {
  const { minItems = 0, maxItems } = bounds;
  return {
    schema: { type: "array", items: of.schema, ...(minItems === 0 ? {} : { minItems }), maxItems },
    read(value, path, faults) {
      if (!Array.isArray(value)) return faults.add(path, "a list is expected");
      if (value.length < minItems || value.length > maxItems)
        return faults.add(path, `from ${minItems} to ${maxItems} items are accepted, here are ${value.length}`);
      const before = faults.count;
      const items = value.map((item: JsonValue, index) => of.read(item, `${path}[${index}]`, faults));
      return faults.count === before ? (items as T[]) : undefined;
    },
  };
}

/** Named values, every one of the same shape. */
export function mapping<T>(names: { about: string; pattern: string }, of: Shape<T>, maxItems: number): Shape<ReadonlyMap<string, T>> {
  return {
    schema: {
      type: "object",
      propertyNames: { pattern: names.pattern, description: names.about },
      additionalProperties: of.schema,
      maxProperties: maxItems,
    },
    read(value, path, faults) {
      if (!isObject(value)) return faults.add(path, "an object is expected");
      if (value.size > maxItems) return faults.add(path, `at most ${maxItems} members are accepted`);
      const before = faults.count;
      const read = new Map<string, T>();
      for (const [name, inner] of value) {
        const place = memberPath(path, name);
        if (!new RegExp(names.pattern, "u").test(name)) faults.add(place, `not accepted as a name: ${names.about} is expected`);
        const item = of.read(inner, place, faults);
        if (item !== undefined) read.set(name, item);
      }
      return faults.count === before ? read : undefined;
    },
  };
}

/** An object with these members and no others. */
export function object<M extends Record<string, Member<unknown>>>(about: string, members: M): Shape<ObjectOf<M>> {
  const entries = Object.entries(members);
  const required = entries.filter(([, { isRequired }]) => isRequired).map(([name]) => name);
  return {
    schema: {
      type: "object",
      description: about,
      properties: Object.fromEntries(entries.map(([name, member]) => [name, memberSchema(member)])),
      ...(required.length === 0 ? {} : { required }),
      additionalProperties: false,
    },
    read(value, path, faults) {
      if (!isObject(value)) return faults.add(path, "an object is expected");
      const before = faults.count;
      for (const name of value.keys()) {
        if (!Object.hasOwn(members, name)) faults.add(memberPath(path, name), `unknown; known here are ${Object.keys(members).join(", ")}`);
      }
      const read = entries.map(([name, member]) => {
        const inner = value.get(name);
        if (inner !== undefined) return [name, member.shape.read(inner, memberPath(path, name), faults)];
        if (member.isRequired) faults.add(memberPath(path, name), "is missing");
        return [name, member.fallback];
      });
      return faults.count === before ? (Object.fromEntries(read) as ObjectOf<M>) : undefined;
    },
  };
}

/** A member that has to be there. */
export function required<T>(shape: Shape<T>, about: string): Member<T> {
  // Never read: the absence is a fault.
  return { shape, about, isRequired: true, fallback: undefined as never };
}

/** A member that may be missing, and is then `undefined`. */
export function optional<T>(shape: Shape<T>, about: string): Member<T | undefined> {
  return { shape, about, isRequired: false, fallback: undefined };
}

/** A member that may be missing, and is then this. */
export function defaulting<T>(shape: Shape<T>, fallback: T, about: string): Member<T> {
  return { shape, about, isRequired: false, fallback };
}

/** A member that may be missing, and is then what an empty object is: every member of it has a fallback. */
export function section<T>(shape: Shape<T>, about: string): Member<T> {
  const fallback = shape.read(new Map(), "$", new Faults());
  if (fallback === undefined) throw new TypeError("a section has no required members");
  return { shape, about, isRequired: false, fallback };
}

type ObjectOf<M> = { readonly [K in keyof M]: M[K] extends Member<infer T> ? T : never };

function memberSchema(member: Member<unknown>): JsonSchema {
  const { shape, about, fallback } = member;
  const plain = typeof fallback === "string" || typeof fallback === "number" || typeof fallback === "boolean";
  return { ...shape.schema, description: about, ...(plain && !member.isRequired ? { default: fallback } : {}) };
}

function isObject(value: JsonValue): value is ReadonlyMap<string, JsonValue> {
  return value instanceof Map;
}
