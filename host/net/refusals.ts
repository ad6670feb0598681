import type { OnRefusal } from "./access.ts";
import { monotonicNow } from "../io/monotonic.ts";

/** Lines about refusals that one instance can have told in a second. */
const PER_SECOND = 100;

/**
 * Tell of refusals, but not faster than anybody reads: a guest that asks in a loop for what it is not granted would fill memory
 * and log of its host. What is left out is counted, and the count told with the first refusal of a later second.
 *
 * @param tell takes one line
 * @param now milliseconds of a steady clock
 */
export function limitRefusals(tell: OnRefusal, now: () => number = monotonicNow): OnRefusal {
  let began = -Infinity;
  let count = 0;
  return (line) => {
    const at = now();
    if (at - began >= 1000) {
      const untold = count - PER_SECOND;
      if (untold > 0) tell(`sallyport: ${untold} refusals were not shown`);
      began = at;
      count = 0;
    }
    count++;
    if (count <= PER_SECOND) tell(line);
    else if (count === PER_SECOND + 1) tell(`sallyport: more than ${PER_SECOND} refusals in a second; the others are counted only`);
  };
}
