/** Files of a client on Node: configuration, password, token, caches on disk, and the lock of maintenance. */
export { writeFileAtomically } from "./atomic-file.ts";
export {
  type CachingSettings,
  type ClientConfig,
  cacheDirectoryOf,
  cacheLimitsOf,
  clientConfigSchema,
  formatBlobCacheDurationMs,
  newCachingSettings,
  parseClientConfig,
  readClientConfig,
  removeClientConfig,
  type StorageConnection,
  writeClientConfig,
} from "./client-config.ts";
export {
  defaultCacheDirectory,
  defaultCacheRoot,
  defaultConfigPath,
  type PathEnvironment,
  passwordFilePath,
} from "./config-paths.ts";
export {
  type Connection,
  type ConnectionCachesOptions,
  connectionCaches,
  forgetCachedFormat,
  removeConnectionCaches,
} from "./connection-caches.ts";
export { type DiskCacheOptions, diskCache } from "./disk-cache.ts";
export { defaultHostname, defaultUsername } from "./identity.ts";
export {
  type MaintenanceLock,
  type MaintenanceLockOptions,
  maintenanceLock,
} from "./maintenance-lock.ts";
export { readPasswordFile, removePasswordFile, writePasswordFile } from "./password-file.ts";
export { type ConnectionToken, decodeToken, encodeToken } from "./token.ts";
