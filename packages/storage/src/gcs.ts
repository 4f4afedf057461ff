/**
 * `@dm/storage/gcs`: Google Cloud Storage as a blob store. Credentials need the package `google-auth-library`; whoever brings
 * tokens of another kind does not.
 * @module
 */
export {
  decodeGcsConfig,
  encodeGcsConfig,
  type GcsConfig,
  type GcsConfigContext,
  gcsStoreOptions,
  sensitiveGcsMembers,
} from "./gcs/gcs-config.ts";
export {
  type GcsCredentialsOptions,
  gcsDefaultCredentials,
  gcsFileCredentials,
  gcsJsonCredentials,
} from "./gcs/gcs-credentials.ts";
export { type GcsStoreOptions, gcsStore } from "./gcs/gcs-store.ts";
export { type AccessToken, refreshingToken, type TokenProvider } from "./http/bearer-token.ts";
export { type FetchTransportOptions, fetchTransport } from "./http/fetch-transport.ts";
export type { HttpRequest, HttpResponse, HttpTransport } from "./http/http-transport.ts";
export { type NodeTransportOptions, nodeTransport } from "./http/node-transport.ts";
export type { ObjectBlobStore, ObjectStoreOptions } from "./http/object-store.ts";
