/**
 * What S3 says no with: a code that clients compare, the HTTP status that belongs to it, and a sentence.
 * Thrown inside of the test server, it becomes the XML of the answer; nobody outside ever catches one.
 * Proof: test/testing-s3-checks.test.ts, test/testing-s3-hostile.test.ts.
 * @module
 */

/** Status and usual sentence of every code that the server answers with; the codes are Amazon's. */
const refusals = {
  AccessDenied: [403, "Access Denied"],
  AccessForbidden: [403, "CORSResponse: This CORS request is not allowed."],
  AuthorizationHeaderMalformed: [400, "The authorization header that you provided is not valid."],
  AuthorizationQueryParametersError: [400, "The query parameters of the signature are not valid."],
  BadDigest: [400, "The digest that you specified did not match what we received."],
  BucketAlreadyExists: [409, "The requested bucket name is not available."],
  BucketAlreadyOwnedByYou: [409, "The bucket exists already, and you own it."],
  BucketNotEmpty: [409, "The bucket you tried to delete is not empty."],
  EntityTooLarge: [400, "Your proposed upload exceeds the maximum allowed size."],
  EntityTooSmall: [400, "Your proposed upload is smaller than the minimum allowed size."],
  ExpiredToken: [400, "The provided token has expired."],
  IncompleteBody: [400, "The request body ended before the announced number of bytes."],
  InternalError: [500, "We encountered an internal error. Please try again."],
  InvalidAccessKeyId: [403, "The access key id that you provided does not exist in our records."],
  InvalidArgument: [400, "Invalid Argument"],
  InvalidBucketName: [400, "The specified bucket is not valid."],
  InvalidBucketState: [409, "The request is not valid for the current state of the bucket."],
  InvalidDigest: [400, "The Content-MD5 that you specified is not valid."],
  InvalidLocationConstraint: [400, "The specified location constraint is not valid."],
  InvalidPart: [400, "One or more of the specified parts could not be found, or has another tag."],
  InvalidPartOrder: [400, "The list of parts was not in ascending order."],
  InvalidRange: [416, "The requested range is not satisfiable"],
  InvalidRequest: [400, "Invalid Request"],
  InvalidStorageClass: [400, "The storage class that you specified is not valid."],
  InvalidToken: [400, "The provided token is malformed or otherwise invalid."],
  InvalidURI: [400, "Couldn't parse the specified URI."],
  KeyTooLongError: [400, "Your key is too long"],
  MalformedXML: [400, "The XML that you provided was not well formed or did not validate."],
  MaxMessageLengthExceeded: [400, "Your request was too big."],
  MethodNotAllowed: [405, "The specified method is not allowed against this resource."],
  MissingContentLength: [411, "You must provide the Content-Length HTTP header."],
  NoSuchBucket: [404, "The specified bucket does not exist"],
  NoSuchKey: [404, "The specified key does not exist."],
  NoSuchObjectLockConfiguration: [404, "The object does not have a lock configuration"],
  NoSuchUpload: [404, "The specified multipart upload does not exist."],
  NoSuchVersion: [404, "The specified version does not exist."],
  NotImplemented: [
    501,
    "A header or query you provided asks for something that is not implemented.",
  ],
  ObjectLockConfigurationNotFoundError: [404, "No lock configuration exists for this bucket"],
  PermanentRedirect: [301, "The bucket must be addressed using the specified endpoint."],
  PreconditionFailed: [412, "At least one of the preconditions you specified did not hold"],
  RequestTimeTooSkewed: [403, "The difference between the request time and ours is too large."],
  SignatureDoesNotMatch: [403, "The signature that you provided is not the one we calculated."],
  TemporaryRedirect: [307, "Please re-send this request to the specified temporary endpoint."],
  XAmzContentSHA256Mismatch: [400, "The provided x-amz-content-sha256 is not that of the body."],
} as const satisfies Record<string, readonly [status: number, message: string]>;

export type S3ErrorCode = keyof typeof refusals;

export interface RefusalOptions {
  /** Replaces the usual sentence. */
  readonly message?: string | undefined;
  /** Further elements of the XML, such as `Region`. */
  readonly elements?: Readonly<Record<string, string>> | undefined;
  readonly headers?: Readonly<Record<string, string>> | undefined;
}

/** An answer that is an error; see {@link refuse}. */
export class S3Refusal extends Error {
  override readonly name = "S3Refusal";
  readonly code: S3ErrorCode;
  readonly status: number;
  readonly elements: Readonly<Record<string, string>>;
  readonly headers: Readonly<Record<string, string>>;

  constructor(code: S3ErrorCode, options: RefusalOptions = {}) {
    const [status, message] = refusals[code];
    super(options.message ?? message);
    this.code = code;
    this.status = status;
    this.elements = options.elements ?? {};
    this.headers = options.headers ?? {};
  }
}

/** @example throw refuse("NoSuchKey", { elements: { Key: key } }); */
export function refuse(code: S3ErrorCode, options: RefusalOptions | string = {}): S3Refusal {
  return new S3Refusal(code, typeof options === "string" ? { message: options } : options);
}
