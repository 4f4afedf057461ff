export { checkBlobId, isBlobId, lockedPrefixes } from "./blob-id.ts";
export type {
  BlobMetadata,
  BlobStore,
  BlobStoreFeatures,
  CallOptions,
  Capacity,
  GetOptions,
  PutOptions,
  Retention,
} from "./blob-store.ts";
export { getIfPresent } from "./get-if-present.ts";
export { type MemoryStore, type MemoryStoreOptions, memoryStore } from "./memory-store.ts";
export { isNearby } from "./nearby.ts";
export { type RetryOptions, retrying } from "./retrying.ts";
export {
  blobExists,
  blobNotFound,
  checkPutOptions,
  optionUnsupported,
  rangeInvalid,
  storeReadOnly,
} from "./store-errors.ts";
export { type ThrottlingLimits, throttled } from "./throttled.ts";
export {
  defaultValidation,
  type ProviderFinding,
  type ProviderReport,
  type ValidateProviderOptions,
  validateProvider,
} from "./validation/validate-provider.ts";
export {
  counting,
  forward,
  logging,
  prefixed,
  readOnly,
  retaining,
  type StoreCounts,
} from "./wrappers.ts";
