/**
 * What the API server answers, as errors of ours: the class says how to react, the code which case it is.
 * Proof: test/runtime/node-client.test.ts.
 * @module
 */
import {
  AccessError,
  ConflictError,
  type DmError,
  FormatError,
  isDmError,
  NotFoundError,
  StorageError,
} from "@dm/core";

/** The `Status` object that the API answers with when it refuses, as far as it is read here. */
export interface KubeStatus {
  readonly kind?: string | undefined;
  readonly message?: string | undefined;
  readonly reason?: string | undefined;
  readonly code?: number | undefined;
  readonly details?:
    | {
        readonly name?: string | undefined;
        readonly kind?: string | undefined;
        readonly retryAfterSeconds?: number | undefined;
        readonly causes?: readonly {
          readonly reason?: string | undefined;
          readonly message?: string | undefined;
          readonly field?: string | undefined;
        }[];
      }
    | undefined;
}

export interface FailedCall {
  /** `replace datauploads.velero.io velero/du1`: for people. */
  readonly what: string;
  readonly status: KubeStatus;
  /** The HTTP status. */
  readonly httpStatus: number;
  readonly retryAfterMs?: number | undefined;
  /** Set for kinds whose field values must not be repeated. */
  readonly secret?: boolean | undefined;
}

/** The error for an answer of 300 or more, or for an ERROR event of a watch. */
export function kubeError(call: FailedCall): DmError {
  const { what, status, httpStatus, retryAfterMs, secret = false } = call;
  const causes = status.details?.causes?.map(({ reason, message, field }) =>
    secret ? { reason, field } : { reason, message, field },
  );
  const details = {
    httpStatus,
    reason: status.reason,
    ...(causes === undefined ? {} : { causes }),
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  };
  // A refused Secret is described by the server with the values that it refused.
  const quoted = secret && (httpStatus === 400 || httpStatus === 422);
  const why = quoted ? (status.reason ?? "refused") : (status.message ?? `HTTP ${httpStatus}`);
  const text = `${what}: ${why}`;
  switch (httpStatus) {
    case 401:
      return new AccessError("DM_KUBE_UNAUTHORIZED", text, details);
    case 403:
      return new AccessError("DM_KUBE_FORBIDDEN", text, details);
    case 404:
      return new NotFoundError("DM_KUBE_NOT_FOUND", text, details);
    case 409:
      return status.reason === "AlreadyExists"
        ? new ConflictError("DM_KUBE_ALREADY_EXISTS", text, details)
        : new ConflictError("DM_KUBE_CONFLICT", text, details);
    case 410:
      return new ConflictError("DM_KUBE_EXPIRED", text, details);
    case 408:
    case 429:
      return unavailable(text, details);
    default:
      return httpStatus >= 500 || httpStatus < 400
        ? unavailable(text, details)
        : new FormatError("DM_KUBE_INVALID", text, details);
  }
}

/** The server could not be asked, or could not answer; asking again later may help. */
export function unavailable(
  message: string,
  details: Record<string, unknown> = {},
  cause?: unknown,
): StorageError {
  return new StorageError("DM_KUBE_UNAVAILABLE", message, details, {
    retryable: true,
    ...(cause === undefined ? {} : { cause }),
  });
}

/** The resource version is outdated, or a precondition of a delete does not hold: read again, decide again. */
export const isConflict = (error: unknown): boolean => isDmError(error, "DM_KUBE_CONFLICT");

export const isAlreadyExists = (error: unknown): boolean =>
  isDmError(error, "DM_KUBE_ALREADY_EXISTS");

export const isNotFound = (error: unknown): boolean => isDmError(error, "DM_KUBE_NOT_FOUND");

/** Whether the same call may succeed later with nothing changed: connection, timeout, 429, 5xx. */
export const isUnavailable = (error: unknown): boolean => isDmError(error, "DM_KUBE_UNAVAILABLE");

/** How long the server asked to be left alone, when it did. */
export function retryAfterMsOf(error: unknown): number | undefined {
  const value = isDmError(error) ? error.details["retryAfterMs"] : undefined;
  return typeof value === "number" ? value : undefined;
}
