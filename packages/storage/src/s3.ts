/**
 * `@dm/storage/s3`: AWS S3 and its relatives as a blob store, in Node and in browsers.
 * @module
 */

export { type FetchTransportOptions, fetchTransport } from "./http/fetch-transport.ts";
export type { HttpRequest, HttpResponse, HttpTransport } from "./http/http-transport.ts";
export { type NodeTransportOptions, nodeTransport } from "./http/node-transport.ts";
export type { ObjectBlobStore } from "./http/object-store.ts";
export type { RefreshingOptions } from "./http/refreshing.ts";
export type { ReadText } from "./http/surroundings.ts";
export {
  type CredentialsProvider,
  type CredentialsRequest,
  environmentCredentials,
  firstCredentials,
  refreshingCredentials,
  type S3Credentials,
  staticCredentials,
} from "./s3/credentials.ts";
export { type FileCredentialsOptions, fileCredentials } from "./s3/credentials-file.ts";
export {
  type AssumeRoleOptions,
  assumeRoleCredentials,
  type WebIdentityOptions,
  webIdentityCredentials,
} from "./s3/credentials-sts.ts";
export type { EndpointOptions } from "./s3/endpoint.ts";
export {
  decodeS3Config,
  defaultCredentials,
  encodeS3Config,
  type S3Config,
  type S3ConfigContext,
  s3StoreOptions,
  sensitiveS3Members,
} from "./s3/s3-config.ts";
export { type S3StoreOptions, type StorageClassRule, s3Store } from "./s3/s3-store.ts";
export type { SignedRequest, UnsignedRequest } from "./s3/signing.ts";
