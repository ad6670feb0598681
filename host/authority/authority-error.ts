export type AuthorityErrorCode =
  /** Permitted names, ranges or a validity that no authority may have. */
  | "bad-limits"
  /** There is an authority in the folder already, or part of one. */
  | "exists"
  /** The folder holds none. */
  | "not-found"
  /** A part of the authority is missing. */
  | "incomplete"
  /** A file or folder is open to others than its owner, or is not what it should be. */
  | "unsafe-file"
  /** A file cannot be read. */
  | "unreadable"
  /** A file cannot be written. */
  | "cannot-write"
  /** A file does not hold the key or certificate that belongs there. */
  | "bad-content"
  /** The private key does not belong to the certificate. */
  | "key-mismatch"
  /** The certificate is not one that may sign leaves, or may sign more than leaves. */
  | "not-an-authority"
  /** The certificate does not limit what it may be used for. */
  | "unconstrained"
  /** The certificate's constraints do not cover the names that are needed. */
  | "not-covering"
  /** The certificate has expired, or is not valid yet. */
  | "not-valid-now"
  /** A rotation is under way, or none is. */
  | "rotation";

/** Why an authority could not be made, loaded or changed. The message says what to do; it never holds what is in a key. */
export class AuthorityError extends Error {
  override readonly name = "AuthorityError";
  readonly code: AuthorityErrorCode;

  constructor(code: AuthorityErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

/** The WIT enum `sallyport:gateway/authorities.issue-error`. */
export type IssueErrorCode =
  | "no-names"
  | "too-many-names"
  | "duplicate-name"
  | "malformed-name"
  | "wildcard-name"
  | "address-as-name"
  | "name-not-permitted"
  | "address-not-permitted"
  | "lifetime-too-short"
  | "lifetime-too-long"
  | "not-before-too-early"
  | "not-before-in-future"
  | "authority-not-valid"
  | "too-many-held"
  | "not-recorded"
  | "over-limit";

/** Why a certificate was not issued. */
export class IssueError extends Error {
  override readonly name = "IssueError";
  readonly code: IssueErrorCode;

  constructor(code: IssueErrorCode) {
    super(`no certificate was issued: ${code}`);
    this.code = code;
  }
}
