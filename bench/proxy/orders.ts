// What the processes of the proxy's bench tell each other, one message at a time.

/** What a proxy process is told. */
export type SubjectOrder =
  /** `decides`: rules of a component's, `bench/guests/decider.ts`, in place of the policy's. */
  | { tag: "start-ours"; workers: number; serverPort: number; rootPem: string; decides: boolean }
  /** `leaves`: a certificate for each of these hosts is made ahead of time, since making it is not what is compared. */
  | { tag: "start-node"; serverPort: number; rootPem: string; leaves: string[] }
  /** Answers milliseconds of processor time of the whole process so far. */
  | { tag: "usage" }
  /** Answers bytes resident. */
  | { tag: "memory" }
  /** Answers a number for each worker. */
  | { tag: "connections-by-instance" }
  | { tag: "stop" };

/** What it answers to a start. */
export interface ProxyReady {
  port: number;
  authorization: string;
  /** PEM: what clients have to trust. */
  ca: string;
}

/** How clients reach a server through a proxy. */
export interface Way extends ProxyReady {
  /** What CONNECT asks for. */
  host: string;
  hostPort: number;
}

/** What the process of the clients is told. */
export type ClientOrder =
  /** Open so many connections for `requests`, each of which has had one when this is done: what a new connection costs is none of theirs. */
  | { tag: "open-lanes"; way: Way; lanes: number; path: string }
  /** Keep-alive requests over the open lanes. Answers the milliseconds of each. */
  | { tag: "requests"; way: Way; count: number; lanes: number; path: string }
  /** Close the lanes, and wait until they are. */
  | { tag: "close-lanes" }
  /** One connection that reads so many bytes. */
  | { tag: "download"; way: Way; bytes: number }
  /** New connections, each with one request, `atOnce` at a time; `#` in the host becomes a number. Answers the milliseconds from
   *  the first packet to the first byte of each answer. */
  | { tag: "connections"; way: Way; count: number; atOnce: number; firstNumber: number }
  /** Connections that stay open and say nothing. */
  | { tag: "hold"; way: Way; count: number }
  /** Clients that behave badly: half a head, half a hello, an answer that is never read. They stay until `let-go`. */
  | { tag: "hold-slow"; way: Way; count: number; bytes: number }
  /** One client that asks for this host again as soon as it has been refused. It stays until `let-go`. */
  | { tag: "hold-asking"; way: Way }
  /** Answers how often the one that stays asking was refused. */
  | { tag: "let-go" };

/** What the server's process is told at its start; it answers its port. */
export interface ServerOrder {
  key: string;
  cert: string;
}

export interface SubjectAnswer {
  answer?: unknown;
  error?: string;
}

/** The one name of the server's certificate. */
export const HOST_OF_SERVER = "server.bench.test";
