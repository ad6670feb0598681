/** What is wrong with a message, stably named. */
export type HttpErrorCode =
  | "ERR_SALLYPORT_HTTP_START_LINE"
  | "ERR_SALLYPORT_HTTP_LINE"
  | "ERR_SALLYPORT_HTTP_FIELD"
  | "ERR_SALLYPORT_HTTP_HOST"
  | "ERR_SALLYPORT_HTTP_FRAMING"
  | "ERR_SALLYPORT_HTTP_CHUNK"
  | "ERR_SALLYPORT_HTTP_LIMIT"
  | "ERR_SALLYPORT_HTTP_TRUNCATED"
  | "ERR_SALLYPORT_HTTP_ARGUMENT";

/** What is thrown on messages. Messages hold no bytes of the peer. */
export class HttpError extends Error {
  readonly code: HttpErrorCode;

  constructor(code: HttpErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}
