// The values are `unknown` and the functions take anything: what an engine really makes of the WIT's types is what is tested.
declare module "sallyport:library-test/edge@0.1.0" {
  export function takeU64(value: unknown): void;
  export function takeU32(value: unknown): void;
  export function takeText(text: unknown): void;
  export function takeOption(value: unknown): void;
  export function giveU64(which: number): unknown;
  export function giveU32(): unknown;
  export function giveNone(): unknown;
  export function fail(): unknown;
}
