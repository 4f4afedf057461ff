/**
 * From a connection in a configuration file to a blob store.
 * @module
 */
import { FormatError, type Logger, UnsupportedError } from "@dm/core";
import type { StorageConnection } from "@dm/repo/client";
import type { BlobStore, ThrottlingLimits } from "@dm/storage";
import type { FilesystemConfig } from "@dm/storage/filesystem";

const supportedTypes = ["filesystem"];

export interface OpenStoreOptions {
  readonly create?: boolean | undefined;
  readonly readOnly?: boolean | undefined;
  /** Limits of the connection, over those that the storage configuration states. */
  readonly limits?: ThrottlingLimits | undefined;
  readonly logger: Logger;
  /** Log every call at `debug`. */
  readonly trace?: boolean | undefined;
}

/**
 * @throws {UnsupportedError} `DM_CLI_STORAGE_UNSUPPORTED`
 * @throws {FormatError} `DM_CLI_STORAGE_INVALID`
 */
export async function openStore(
  connection: StorageConnection,
  options: OpenStoreOptions,
): Promise<BlobStore> {
  const { config, type } = connection;
  if (!supportedTypes.includes(type)) {
    throw new UnsupportedError(
      "DM_CLI_STORAGE_UNSUPPORTED",
      `storage type ${JSON.stringify(type)} cannot be opened here; known: ${supportedTypes.join(", ")}`,
      { type, known: supportedTypes },
    );
  }
  const [{ filesystemStore }, { logging, readOnly, throttled }] = await Promise.all([
    import("@dm/storage/filesystem"),
    import("@dm/storage"),
  ]);
  const { create, logger } = options;
  // It tries again by itself: no `retrying` around it.
  let store = filesystemStore({ ...filesystemConfig(config), create, logger });
  if (options.trace) store = logging(store, logger);
  const limits = { ...(config as ThrottlingLimits), ...options.limits };
  if (Object.values(limitsOf(limits)).some((limit) => limit)) {
    store = throttled(store, limitsOf(limits));
  }
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

function filesystemConfig(config: Readonly<Record<string, unknown>>): FilesystemConfig {
  const invalid = (what: string): never => {
    throw new FormatError("DM_CLI_STORAGE_INVALID", `filesystem connection: ${what}`);
  };
  const { dirShards, path } = config;
  if (typeof path !== "string" || path === "") invalid("it has no path");
  const numberOf = (name: string): number | undefined => {
    const value = config[name];
    if (value === undefined || value === null) return undefined;
    return typeof value === "number" ? value : invalid(`${name} is not a number`);
  };
  const isList = Array.isArray(dirShards) && dirShards.every((item) => typeof item === "number");
  if (dirShards !== undefined && dirShards !== null && !isList) {
    invalid("dirShards is not a list of numbers");
  }
  return {
    path: path as string,
    fileMode: numberOf("fileMode"),
    dirMode: numberOf("dirMode"),
    uid: numberOf("uid"),
    gid: numberOf("gid"),
    dirShards: dirShards as readonly number[] | null | undefined,
  };
}
