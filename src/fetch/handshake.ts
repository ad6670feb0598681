/** What is known of one handshake, filled in as it goes; a handshake that fails leaves what it had got to. */
export interface Handshake {
  readonly serverName: string;
  /** Address and port that were connected to. */
  readonly address: string;
  /** Wire value; 0x0304 is TLS 1.3. Undefined where the host does not tell. */
  version: number | undefined;
  cipherSuite: number | undefined;
  group: number | undefined;
  alpn: string | undefined;
  sessionReused: boolean | undefined;
  /** DER, leaf first. */
  chain: readonly Uint8Array[];
  /** Everything that the host found wrong with the server's certificate; undefined if it was not asked. */
  verdict: readonly string[] | undefined;
  /** What of it was overridden. */
  overridden: readonly string[];
  decisions: Decision[];
}

/** Who decided what at a point where the connection was held. */
export interface Decision {
  point: string;
  by: "guest" | "host";
  what: string;
}

export function newHandshake(serverName: string, address: string): Handshake {
  return {
    serverName,
    address,
    version: undefined,
    cipherSuite: undefined,
    group: undefined,
    alpn: undefined,
    sessionReused: undefined,
    chain: [],
    verdict: undefined,
    overridden: [],
    decisions: [],
  };
}
