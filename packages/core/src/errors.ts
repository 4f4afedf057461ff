/**
 * The errors of every `@dm` package. The class tells the caller how to react, the `code` says which case it is and is
 * public API, the message is for people. Abort is not an error of ours: `signal.reason` is rethrown as it is.
 * @module
 */

/** Facts about the object concerned: blob, offset, content, path. Never a secret. */
export type ErrorDetails = Readonly<Record<string, unknown>>;

export interface DmErrorOptions {
  readonly cause?: unknown;
}

/** Base of all errors of this project. Compare with {@link isDmError}, which also works across two copies of a package. */
export class DmError extends Error {
  override readonly name: string = "DmError";
  /** Stable identifier such as `DM_HEX_INVALID`. */
  readonly code: string;
  readonly details: ErrorDetails;

  constructor(
    code: string,
    message: string,
    details: ErrorDetails = {},
    options: DmErrorOptions = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.details = details;
  }
}

/** A blob, content, manifest or resource is not there. Often a normal answer. */
export class NotFoundError extends DmError {
  override readonly name = "NotFoundError";
}

/** Bytes are not what the format says: truncated, impossible value. Stop and report; never retry. */
export class FormatError extends DmError {
  override readonly name = "FormatError";
}

/** An authentication tag or digest does not match: damage, or the wrong key. */
export class IntegrityError extends DmError {
  override readonly name = "IntegrityError";
}

/** Valid, but newer or unknown to this program; the message lists what is known. */
export class UnsupportedError extends DmError {
  override readonly name = "UnsupportedError";
}

/** Credentials or permission. */
export class AccessError extends DmError {
  override readonly name = "AccessError";
}

/** Someone else was first: re-read and decide again. */
export class ConflictError extends DmError {
  override readonly name = "ConflictError";
}

export interface StorageErrorOptions extends DmErrorOptions {
  readonly retryable?: boolean;
}

/** The outside failed. Only a retry wrapper reacts to `retryable`. */
export class StorageError extends DmError {
  override readonly name = "StorageError";
  readonly retryable: boolean;

  constructor(
    code: string,
    message: string,
    details: ErrorDetails = {},
    options: StorageErrorOptions = {},
  ) {
    super(code, message, details, options);
    this.retryable = options.retryable ?? false;
  }
}

/**
 * Whether `error` is one of ours and, when `code` is given, carries that code. Compares shapes, not classes.
 * @example if (isDmError(error, "DM_HEX_INVALID")) return undefined;
 */
export function isDmError(error: unknown, code?: string): error is DmError {
  if (!(error instanceof Error)) return false;
  const own = (error as { code?: unknown }).code;
  if (typeof own !== "string" || !own.startsWith("DM_")) return false;
  return code === undefined || own === code;
}
