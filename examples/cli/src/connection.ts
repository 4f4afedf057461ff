/**
 * From a connection in a configuration file to a blob store. The one list of storage types: each is loaded when a connection
 * names it, its client when a store is opened.
 * @module
 */
import { isDmError, UnsupportedError } from "@dm/core";
import type { StorageConnection } from "@dm/repo/client";
import type { BlobStore, ThrottlingLimits } from "@dm/storage";
import { UsageError } from "./io.ts";
import type { ConnectionContext, OpenContext, StorageProvider } from "./storage/provider.ts";

const providers: Readonly<Record<string, () => Promise<StorageProvider>>> = {
  filesystem: async () => (await import("./storage/filesystem.ts")).filesystemProvider,
  azureBlob: async () => (await import("./storage/azure.ts")).azureProvider,
  gcs: async () => (await import("./storage/gcs.ts")).gcsProvider,
  rclone: async () => (await import("./storage/rclone.ts")).rcloneProvider,
  s3: async () => (await import("./storage/s3.ts")).s3Provider,
  sftp: async () => (await import("./storage/sftp.ts")).sftpProvider,
  webdav: async () => (await import("./storage/webdav.ts")).webdavProvider,
};

/** All of them, for commands that have a sub-command for each. */
export const storageProviders = (): Promise<StorageProvider[]> =>
  Promise.all(Object.values(providers).map((load) => load()));

/** @throws {UnsupportedError} `DM_CLI_STORAGE_UNSUPPORTED` */
export async function storageProvider(type: string): Promise<StorageProvider> {
  const load = Object.hasOwn(providers, type) ? providers[type] : undefined;
  if (load) return load();
  const known = Object.keys(providers);
  throw new UnsupportedError(
    "DM_CLI_STORAGE_UNSUPPORTED",
    `storage type ${JSON.stringify(type)} cannot be opened here; known: ${known.join(", ")}`,
    { type, known },
  );
}

/**
 * The connection that flags make.
 * @throws {UsageError} when a value of theirs is none that the store takes
 */
export async function connectionOf(
  provider: StorageProvider,
  flags: object,
  context: ConnectionContext & OpenContext,
): Promise<StorageConnection> {
  try {
    const connection = await provider.connection(flags, context);
    // Asks nobody anything yet.
    const { env, logger } = context;
    await (await provider.open(connection.config, { env, logger })).close();
    return connection;
  } catch (error) {
    const isOfFlags = error instanceof TypeError || isDmError(error, "DM_STORE_CONFIG_INVALID");
    throw isOfFlags ? new UsageError(error.message) : error;
  }
}

export interface OpenStoreOptions extends OpenContext {
  readonly readOnly?: boolean | undefined;
  /** Limits of the connection, over those that the storage configuration states. */
  readonly limits?: ThrottlingLimits | undefined;
  /** Log every call at `debug`. */
  readonly trace?: boolean | undefined;
}

/**
 * Opens the store of a connection. Each tries again by itself: no `retrying` around it.
 * @throws {UnsupportedError} `DM_CLI_STORAGE_UNSUPPORTED`
 * @throws {FormatError} `DM_CLI_STORAGE_INVALID`, or of the type
 */
export async function openStore(
  { config, type }: StorageConnection,
  options: OpenStoreOptions,
): Promise<BlobStore> {
  const [provider, { logging, readOnly, throttled }] = await Promise.all([
    storageProvider(type),
    import("@dm/storage"),
  ]);
  let store = await provider.open(config, options);
  if (options.trace) store = logging(store, options.logger);
  const limits = limitsOf({ ...(config as ThrottlingLimits), ...options.limits });
  if (Object.values(limits).some((limit) => limit)) store = throttled(store, limits);
  return options.readOnly ? readOnly(store) : store;
}

const limitNames = [
  "readsPerSecond",
  "writesPerSecond",
  "listsPerSecond",
  "maxUploadSpeedBytesPerSecond",
  "maxDownloadSpeedBytesPerSecond",
  "concurrentReads",
  "concurrentWrites",
] as const satisfies readonly (keyof ThrottlingLimits)[];

function limitsOf(from: ThrottlingLimits): ThrottlingLimits {
  return Object.fromEntries(limitNames.map((name) => [name, from[name]]));
}

/** Kopia's description of a connection that was given none. */
export async function describeStorage({ config, type }: StorageConnection): Promise<string> {
  const provider = Object.hasOwn(providers, type) ? await storageProvider(type) : undefined;
  return `Repository in ${provider?.displayName(config) ?? type}`;
}
