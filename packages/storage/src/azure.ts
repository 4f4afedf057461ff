/**
 * `@dm/storage/azure`: Azure Blob Storage as a blob store. Nothing more needs to be installed, but `jose` for client
 * certificates.
 * @module
 */
export {
  azureAccountKey,
  azureSharedAccessSignature,
  azureToken,
} from "./azure/azure-authorizers.ts";
export {
  type AzureConfig,
  type AzureConfigContext,
  azureStoreOptions,
  decodeAzureConfig,
  encodeAzureConfig,
  sensitiveAzureMembers,
} from "./azure/azure-config.ts";
export { type AzureStoreOptions, azureStore } from "./azure/azure-store.ts";
export {
  azureClientCertificate,
  azureClientSecret,
  azureManagedIdentity,
  azureWorkloadIdentity,
  type EntraClientOptions,
  type EntraOptions,
  type ManagedIdentityOptions,
  type WorkloadIdentityOptions,
} from "./azure/azure-tokens.ts";
export type { AuthorizedRequest, Authorizer, PlainRequest } from "./http/api-client.ts";
export { type AccessToken, refreshingToken, type TokenProvider } from "./http/bearer-token.ts";
export { type FetchTransportOptions, fetchTransport } from "./http/fetch-transport.ts";
export type { HttpRequest, HttpResponse, HttpTransport } from "./http/http-transport.ts";
export { type NodeTransportOptions, nodeTransport } from "./http/node-transport.ts";
export type { ObjectBlobStore, ObjectStoreOptions } from "./http/object-store.ts";
