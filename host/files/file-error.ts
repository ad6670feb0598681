/** The WIT enum wasi:filesystem/types `error-code`, as far as this host uses it. */
export type FileErrorCode =
  | "access"
  | "bad-descriptor"
  | "busy"
  | "quota"
  | "exist"
  | "file-too-large"
  | "illegal-byte-sequence"
  | "interrupted"
  | "invalid"
  | "io"
  | "is-directory"
  | "loop"
  | "too-many-links"
  | "name-too-long"
  | "no-entry"
  | "insufficient-memory"
  | "insufficient-space"
  | "not-directory"
  | "not-empty"
  | "unsupported"
  | "overflow"
  | "not-permitted"
  | "read-only"
  | "text-file-busy"
  | "cross-device";

/** What went wrong with a file. `code` is the WIT's word for it. */
export class FileError extends Error {
  override readonly name = "FileError";
  readonly code: FileErrorCode;

  constructor(code: FileErrorCode) {
    super(code);
    this.code = code;
  }
}

/** The WIT's word for an error that Node reports. Host paths, which Node's messages hold, stay here. */
export function fileErrorCode(error: unknown): FileErrorCode {
  if (error instanceof FileError) return error.code;
  const code = typeof error === "object" && error !== null && "code" in error ? String(error.code) : "";
  return CODES.get(code) ?? "io";
}

const CODES = new Map<string, FileErrorCode>([
  ["EACCES", "access"],
  ["EBADF", "bad-descriptor"],
  ["EBUSY", "busy"],
  ["EDQUOT", "quota"],
  ["EEXIST", "exist"],
  ["EFBIG", "file-too-large"],
  ["EILSEQ", "illegal-byte-sequence"],
  ["EINTR", "interrupted"],
  ["EINVAL", "invalid"],
  ["EISDIR", "is-directory"],
  ["ELOOP", "loop"],
  ["EMLINK", "too-many-links"],
  ["ENAMETOOLONG", "name-too-long"],
  ["ENOENT", "no-entry"],
  ["ENOMEM", "insufficient-memory"],
  ["EMFILE", "insufficient-memory"],
  ["ENFILE", "insufficient-memory"],
  ["ENOSPC", "insufficient-space"],
  ["ENOTDIR", "not-directory"],
  ["ENOTEMPTY", "not-empty"],
  ["ENOTSUP", "unsupported"],
  ["EOVERFLOW", "overflow"],
  ["EPERM", "not-permitted"],
  ["EROFS", "read-only"],
  ["ETXTBSY", "text-file-busy"],
  ["EXDEV", "cross-device"],
]);
