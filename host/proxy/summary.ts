/** What a proxy did, all its workers together. A connection may carry many requests; both are counted, each by itself. */
export interface ProxySummary {
  /** Of clients, in all. */
  connections: number;
  tunnelled: number;
  intercepted: number;
  /** With requests in plain HTTP. */
  plain: number;
  /** Connections that were refused as such. */
  denied: number;
  /** Connections that were to be served, and failed: at a server, in a handshake. */
  failed: number;
  /** Connections that showed no good token at first. */
  challenged: number;
  /** That were read, one by one: of interceptions with rules, and in plain HTTP. */
  requests: number;
  /** Of the requests. */
  deniedRequests: number;
  /** Of the requests: no server took it, or its answer broke off. */
  failedRequests: number;
}

/** Of a proxy that did nothing. */
export function emptySummary(): ProxySummary {
  return {
    connections: 0,
    tunnelled: 0,
    intercepted: 0,
    plain: 0,
    denied: 0,
    failed: 0,
    challenged: 0,
    requests: 0,
    deniedRequests: 0,
    failedRequests: 0,
  };
}

/** What all of these did. */
export function sumOf(summaries: Iterable<ProxySummary>): ProxySummary {
  const sum = emptySummary();
  for (const summary of summaries) for (const key of keys) sum[key] += summary[key];
  return sum;
}

/**
 * The last words of a component, which may have been taken over: what is no count is 0, and what is no summary is that of a proxy
 * that did nothing.
 */
export function readSummary(text: string): ProxySummary {
  const summary = emptySummary();
  let said: unknown;
  try {
    said = JSON.parse(text);
  } catch {
    return summary;
  }
  if (typeof said !== "object" || said === null) return summary;
  const counts = new Map<string, unknown>(Object.entries(said));
  for (const key of keys) {
    const count = counts.get(key);
    if (typeof count === "number" && Number.isSafeInteger(count) && count > 0) summary[key] = count;
  }
  return summary;
}

/** For people, in one line. */
export function summaryText(summary: ProxySummary): string {
  const { connections, intercepted, tunnelled, plain, denied, failed, challenged } = summary;
  const { requests, deniedRequests, failedRequests } = summary;
  const ofConnections = [
    `${intercepted} intercepted`,
    `${tunnelled} tunnelled`,
    ...(plain > 0 ? [`${plain} in plain HTTP`] : []),
    `${denied} refused`,
    `${failed} failed`,
    ...(challenged > 0 ? [`${challenged} without a good token at first`] : []),
  ];
  const passedOn = Math.max(0, requests - deniedRequests - failedRequests);
  const ofRequests = requests === 0 ? "" : `: ${passedOn} passed on, ${deniedRequests} refused, ${failedRequests} failed`;
  return `${counted(connections, "connection")}: ${ofConnections.join(", ")}; ${counted(requests, "request")} read${ofRequests}`;
}

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? "" : "s"}`;
}

const keys = Object.keys(emptySummary()) as (keyof ProxySummary)[];
