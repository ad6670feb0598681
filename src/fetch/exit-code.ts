/**
 * The exit codes of the program: part of its interface, so none changes its meaning. Where curl has one for the same thing
 * the number is curl's. `docs/exit-codes.md` and `--help` list them.
 */
export const exitCodes = {
  ok: 0,
  /** Something that should not happen. */
  internal: 1,
  /** The command line is wrong, or asks for what this build cannot do. */
  usage: 2,
  /** What was to be fetched is no https URL. */
  url: 3,
  /** The name cannot be resolved, or the component may not resolve it. */
  resolve: 6,
  /** No address can be connected to, or the component may not connect there. */
  connect: 7,
  /** The answer is no HTTP/1 response, or breaks its rules. */
  protocol: 8,
  /** The body was cut short. No file is left behind. */
  truncated: 18,
  /** With `--fail`: the server answered with a status of 400 or more. */
  http: 22,
  /** The body cannot be written. */
  write: 23,
  /** A file that is to be sent cannot be read. */
  read: 26,
  /** `--max-time` is over, or the peer let a handshake hang. */
  timeout: 28,
  /** The TLS handshake failed for another reason than the server's certificate. */
  handshake: 35,
  /** Too many redirects, or one to where is not followed. */
  redirect: 47,
  /** The server closed the connection without an answer. */
  empty: 52,
  /** The connection broke while the answer was awaited. */
  receive: 56,
  /** No such identity as `--cert` names was granted. */
  identity: 58,
  /** The server's certificate was refused. */
  certificate: 60,
  /** The file of `--cacert` or `--crlfile` cannot be read or holds nothing of use. */
  anchors: 77,
  /** The server's key is none of those that `--pinnedpubkey` names. */
  pin: 90,
} as const;

export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

/** Why something was not fetched. The message is one line that says what to do about it where anything can be done. */
export class FetchError extends Error {
  readonly code = "ERR_SALLYPORT_FETCH";
  readonly exitCode: ExitCode;

  constructor(exitCode: ExitCode, message: string, cause?: unknown) {
    super(message, { cause });
    this.exitCode = exitCode;
  }
}
