/**
 * What the Blob service said, as errors of this project, each with what to do about it.
 * Proof: test/azure-faults.test.ts.
 * @module
 */
import { AccessError, type DmError, NotFoundError, StorageError } from "@dm/core";
import { type ApiCall, type ApiDialect, type Fault, printable } from "../http/api-client.ts";
import type { HttpResponse } from "../http/http-transport.ts";
import { invalidAnswer } from "../http/invalid-answer.ts";
import { childText, parseXml } from "../http/xml.ts";
import { optionUnsupported } from "../store-errors.ts";

/**
 * Takes a failed answer apart. The code is in a header, so that HEAD has it too.
 * @throws {StorageError} `DM_STORE_ANSWER_INVALID` when it does not come from the Blob service
 */
function readFault(response: HttpResponse): Fault {
  const { body, status } = response;
  let code = response.header("x-ms-error-code") ?? "";
  let message = "";
  if (body.length > 0) {
    try {
      const root = parseXml(body);
      if (root.name !== "Error") throw invalidAnswer("no error of the Blob service", body);
      code ||= childText(root, "Code") ?? "";
      const detail = childText(root, "AuthenticationErrorDetail") ?? "";
      const said = (childText(root, "Message") ?? "").split(/\r?\n/)[0] ?? "";
      message = printable(detail === "" ? said : `${detail} ${said}`);
    } catch (error) {
      // Balancers in front of the service answer in their own words when it is away.
      if (code === "" && status !== 429 && status < 500) throw error;
    }
  }
  if (code === "" && status < 500 && status !== 429 && body.length === 0 && status !== 416) {
    throw invalidAnswer(`a bare status ${status}`, new TextEncoder().encode("-"));
  }
  const serverTimeMs = Date.parse(response.header("date") ?? "");
  return {
    status,
    code,
    message,
    requestId: printable(response.header("x-ms-request-id") ?? ""),
    serverTimeMs: Number.isNaN(serverTimeMs) ? undefined : serverTimeMs,
  };
}

const passing = new Set([
  "ContainerBeingDeleted",
  "InternalError",
  "Md5Mismatch",
  "OperationTimedOut",
  "ServerBusy",
]);
const permission = new Set([
  "AuthorizationFailure",
  "AuthorizationPermissionMismatch",
  "AuthorizationResourceTypeMismatch",
  "AuthorizationServiceMismatch",
  "AuthorizationSourceIPMismatch",
  "AuthorizationProtocolMismatch",
  "InsufficientAccountPermissions",
  "AccountIsDisabled",
  "KeyBasedAuthenticationNotPermitted",
]);

/** `Request date header too old` and its like; the end of a signature's life is said in other words. */
const clockSkewed = ({ code, message, status }: Fault): boolean =>
  status === 403 && code === "AuthenticationFailed" && /date header/i.test(message);

const expired = ({ message }: Fault): boolean =>
  /expired|lifetime validation|not valid in the specified time/i.test(message);

const credentialsRefused = ({ code, message, status }: Fault): boolean =>
  status === 401 ||
  code === "AuthenticationFailed" ||
  code === "InvalidAuthenticationInfo" ||
  (status === 403 && /failed to authenticate the request/i.test(message));

/** @param container for messages */
export function azureDialect(container: string): ApiDialect {
  return {
    readFault,
    clockSkewed,
    credentialsRefused,
    error: (fault, call) => faultError(fault, call, container),
  };
}

function faultError(fault: Fault, { key, operation }: ApiCall, container: string): DmError {
  const { code, message, requestId, status } = fault;
  const details = { status, azureCode: code, requestId, container, operation, key };
  const said = `${code === "" ? `status ${status}` : code}${message === "" ? "" : `: ${message}`}`;
  const what = `${operation}${key === "" ? "" : ` of ${key}`} in container ${container}`;
  if (code === "ContainerNotFound" || (code === "ResourceNotFound" && key === "")) {
    const text = `there is no container ${container}: create it, or check its name and the storage account`;
    return new NotFoundError("DM_STORE_NOT_FOUND", text, details);
  }
  if (clockSkewed(fault)) {
    const text = `the clock of this machine is too far from the server's: set it (${said})`;
    return new AccessError("DM_STORE_CLOCK_SKEWED", text, details);
  }
  if (credentialsRefused(fault) && expired(fault)) {
    const text = `the token or the shared access signature has expired: get a new one (${said})`;
    return new AccessError("DM_STORE_CREDENTIALS_EXPIRED", text, details);
  }
  if (credentialsRefused(fault)) {
    const text = `the account key, token or shared access signature is not that of this account: check both (${said})`;
    return new AccessError("DM_STORE_CREDENTIALS_INVALID", text, details);
  }
  if (status === 403 || permission.has(code)) {
    const text = `no permission for ${what}: the credentials need ${permissionFor(operation)} (${said})`;
    return new AccessError("DM_STORE_ACCESS_DENIED", text, details);
  }
  if (code === "BlobImmutableDueToPolicy") {
    const text = `${what}: a policy keeps the blob from being changed until its time is over (${said})`;
    return new AccessError("DM_STORE_ACCESS_DENIED", text, details);
  }
  if (/immutab|worm/i.test(`${code} ${message}`) && status < 500) {
    return optionUnsupported(
      "azureBlob",
      "retention",
      new StorageError("DM_STORE_FAILED", said, details),
    );
  }
  if (status === 501 || code === "NotImplemented" || code === "FeatureVersionMismatch") {
    const cause = new StorageError("DM_STORE_FAILED", said, details);
    return optionUnsupported("azureBlob", `this kind of ${operation}`, cause);
  }
  if (status === 507 || code === "RequestBodyTooLarge") {
    return new StorageError("DM_STORE_NO_SPACE", `no space for ${what} (${said})`, details);
  }
  const retryable = passing.has(code) || status === 429 || status === 408 || status >= 500;
  return new StorageError("DM_STORE_FAILED", `${what} failed: ${said}`, details, { retryable });
}

const reading = "read (r; role Storage Blob Data Reader)";
const permissions: Readonly<Record<string, string>> = {
  get: reading,
  stat: reading,
  put: "create and write (c, w; role Storage Blob Data Contributor)",
  delete: "delete (d; role Storage Blob Data Contributor)",
  list: "list (l; role Storage Blob Data Reader)",
  "list of versions": "list (l; role Storage Blob Data Reader)",
  extendRetention: "immutability policies (i; role Storage Blob Data Owner)",
};

const permissionFor = (operation: string): string => permissions[operation] ?? "more rights";
