/** Unix time in seconds. */
export function clock(): bigint {
  return BigInt(Math.floor(Date.now() / 1000));
}

/** A time for people, UTC. @param seconds Unix time */
export function dateOf(seconds: bigint): string {
  const time = new Date(Number(seconds) * 1000);
  return Number.isNaN(time.getTime())
    ? "an impossible date"
    : time
        .toISOString()
        .replace(/:\d\d\.\d+Z$/, "Z")
        .replace("T", " ");
}
