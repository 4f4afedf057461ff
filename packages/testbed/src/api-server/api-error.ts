/**
 * Refusals of the API server: the `Status` object that clients get, as an error. Texts and reasons are those of a real server,
 * because programs match them.
 * Proof: test/api-server/registry.test.ts.
 * @module
 */
import { DmError } from "@dm/core";

export interface StatusCause {
  readonly reason?: string;
  readonly message: string;
  readonly field?: string;
}

export interface StatusDetails {
  readonly name?: string;
  readonly group?: string;
  readonly kind?: string;
  readonly uid?: string;
  readonly causes?: readonly StatusCause[];
  readonly retryAfterSeconds?: number;
}

/** A refused request: `status` is what HTTP has, `reason` the word that programs compare. */
export class ApiError extends DmError {
  override readonly name = "ApiError";
  readonly status: number;
  readonly reason: string;
  readonly statusDetails: StatusDetails | undefined;

  constructor(status: number, reason: string, message: string, details?: StatusDetails) {
    super("DM_API_REFUSED", message, { status, reason });
    this.status = status;
    this.reason = reason;
    this.statusDetails = details;
  }

  /** The `Status` object. */
  toJSON(): Record<string, unknown> {
    return {
      kind: "Status",
      apiVersion: "v1",
      metadata: {},
      status: "Failure",
      message: this.message,
      ...(this.reason === "" ? {} : { reason: this.reason }),
      ...(this.statusDetails === undefined ? {} : { details: this.statusDetails }),
      code: this.status,
    };
  }
}

interface Named {
  readonly group: string;
  readonly plural: string;
}

/** `pods`, `datauploads.velero.io`. */
export function qualifiedName({ group, plural }: Named): string {
  return group === "" ? plural : `${plural}.${group}`;
}

function details(kind: Named, name: string): StatusDetails {
  return {
    ...(name === "" ? {} : { name }),
    ...(kind.group === "" ? {} : { group: kind.group }),
    kind: kind.plural,
  };
}

export function notFound(kind: Named, name: string): ApiError {
  const message = `${qualifiedName(kind)} "${name}" not found`;
  return new ApiError(404, "NotFound", message, details(kind, name));
}

export function unknownPath(): ApiError {
  return new ApiError(404, "NotFound", "the server could not find the requested resource", {});
}

export function alreadyExists(kind: Named, name: string, beingDeleted: boolean): ApiError {
  const prefix = beingDeleted ? "object is being deleted: " : "";
  const message = `${prefix}${qualifiedName(kind)} "${name}" already exists`;
  return new ApiError(409, "AlreadyExists", message, details(kind, name));
}

const modified =
  "the object has been modified; please apply your changes to the latest version and try again";

export function conflict(kind: Named, name: string, cause: string = modified): ApiError {
  const message = `Operation cannot be fulfilled on ${qualifiedName(kind)} "${name}": ${cause}`;
  return new ApiError(409, "Conflict", message, details(kind, name));
}

export function badRequest(message: string): ApiError {
  return new ApiError(400, "BadRequest", message);
}

export interface FieldError {
  readonly reason:
    | "FieldValueRequired"
    | "FieldValueInvalid"
    | "FieldValueTypeInvalid"
    | "FieldValueNotSupported"
    | "FieldValueForbidden"
    | "FieldValueDuplicate"
    | "FieldValueTooLong"
    | "FieldValueTooMany";
  readonly field: string;
  /** What stands behind `field: `. */
  readonly message: string;
}

/** 422 with all that is wrong with the object. */
export function invalid(
  kind: { readonly group: string; readonly kind: string },
  name: string,
  errors: readonly FieldError[],
): ApiError {
  const texts = errors.map(({ field, message }) => `${field}: ${message}`);
  const all = texts.length === 1 ? (texts[0] as string) : `[${texts.join(", ")}]`;
  const qualified = kind.group === "" ? kind.kind : `${kind.kind}.${kind.group}`;
  return new ApiError(422, "Invalid", `${qualified} "${name}" is invalid: ${all}`, {
    ...(name === "" ? {} : { name }),
    ...(kind.group === "" ? {} : { group: kind.group }),
    kind: kind.kind,
    causes: errors.map(({ reason, field, message }) => ({ reason, message, field })),
  });
}

export function forbidden(kind: Named, name: string, cause: string): ApiError {
  const message = `${qualifiedName(kind)} "${name}" is forbidden: ${cause}`;
  return new ApiError(403, "Forbidden", message, details(kind, name));
}

export function expired(message: string): ApiError {
  return new ApiError(410, "Expired", message);
}

export function methodNotAllowed(): ApiError {
  return new ApiError(
    405,
    "MethodNotAllowed",
    "the server does not allow this method on the requested resource",
    {},
  );
}
