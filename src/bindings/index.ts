export { dropInOrder, DroppedError } from "./drop.ts";
export { attempt, ErrorResult, isErrorValue, payloadOf, type Result } from "./errors.ts";
export { isQuickJs, ownPromises } from "./install.ts";
export { bigintOfU64, MAX_EXACT, numberOfU32, numberOfU64, u32, u64 } from "./integers.ts";
export { optional } from "./option.ts";
export { drain } from "./promise.ts";
export { decodeUtf8, encodeUtf8, wellFormed } from "./text.ts";
