/**
 * The caches of one connection: the directory `dm` in its cache directory, beside Kopia's own entries.
 * Format: docs/format/client-files.md. Proof: test/client-connection-caches.test.ts.
 * @module
 */
import { readdir, rm, rmdir, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Clock, Logger } from "@dm/core";
import type { ContentCache } from "../cache/content-cache.ts";
import { blobConfigId } from "../format/blob-config.ts";
import { formatBlobId } from "../format/format-blob.ts";
import type { OpenedFormat } from "../format/format-store.ts";
import { deriveRepositoryKey } from "../format/keys.ts";
import type { RepositoryCaches } from "../repository.ts";
import { type ClientConfig, cacheDirectoryOf, cacheLimitsOf } from "./client-config.ts";
import { diskCache } from "./disk-cache.ts";

/** A configuration, the file it was read from, and the environment that may override it. */
export interface Connection {
  readonly config: ClientConfig;
  readonly configPath: string;
  /** `process.env` by default; `KOPIA_CACHE_DIRECTORY` counts. */
  readonly env?: Readonly<Record<string, string | undefined>> | undefined;
}

export interface ConnectionCachesOptions extends Connection {
  readonly clock?: Clock | undefined;
  readonly logger?: Logger | undefined;
}

const ownDirectory = "dm";
/** Contents with a prefix and index blobs share the limit of the metadata cache. */
const indexShare = 0.2;

/**
 * Caches for `openRepository`, within the limits of the configuration: none where it names no directory or a limit of 0, and
 * none of a repository in a directory, which answers as soon as a copy of it in another one would.
 * Nothing is read or written before they are used.
 * @throws {FormatError} `DM_CONFIG_INVALID` when `KOPIA_CACHE_DIRECTORY` is not an absolute path
 */
export function connectionCaches(
  opened: OpenedFormat,
  options: ConnectionCachesOptions,
): RepositoryCaches {
  const { clock, config, logger } = options;
  if (config.storage?.type === "filesystem") return {};
  const directory = directoryOf(options);
  if (!directory) return {};
  const { contentBytes, metadataBytes } = cacheLimitsOf(config);
  const key = deriveRepositoryKey(opened, "local-cache-integrity", 16);
  const cache = (name: string, maxBytes: number): ContentCache | undefined => {
    if (maxBytes <= 0) return undefined;
    return diskCache({
      directory: join(directory, ownDirectory, name),
      maxBytes,
      key,
      clock,
      logger,
    });
  };
  return {
    data: cache("contents", contentBytes),
    metadata: cache("metadata", Math.floor(metadataBytes * (1 - indexShare))),
    indexes: cache("indexes", Math.floor(metadataBytes * indexShare)),
  };
}

/**
 * Removes the caches of a connection, and the whole directory when Kopia has marked it as a cache or nothing else is in
 * it: somebody's files may be there, too.
 */
export async function removeConnectionCaches(connection: Connection): Promise<void> {
  const directory = directoryOf(connection);
  if (!directory) return;
  const isKopias = await stat(join(directory, "CACHEDIR.TAG")).then(
    () => true,
    () => false,
  );
  await rm(isKopias ? directory : join(directory, ownDirectory), { recursive: true, force: true });
  const left = await readdir(directory).catch(() => undefined);
  if (left?.length === 0) await rmdir(directory);
}

/** Removes Kopia's copies of the format blobs, which it uses for 15 minutes: after a change made here they are old. */
export async function forgetCachedFormat(connection: Connection): Promise<void> {
  const directory = directoryOf(connection);
  if (!directory) return;
  for (const name of [formatBlobId, blobConfigId]) await rm(join(directory, name), { force: true });
}

function directoryOf({ config, configPath, env }: Connection): string | undefined {
  return cacheDirectoryOf(config, configPath, env);
}
