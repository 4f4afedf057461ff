/**
 * Kopia's configuration file of one connection: which store, as whom, with which caches. Members that are not known
 * here survive a rewrite. The file holds the store's credentials: mode 0600.
 * Format: docs/format/client-files.md. Proof: test/client-config.test.ts.
 * @module
 */
import { readFile, rm } from "node:fs/promises";
import { dirname, isAbsolute, relative, resolve } from "node:path";
import { FormatError, NotFoundError } from "@dm/core";
import * as z from "zod";
import { once } from "../json/checked-json.ts";
import { writeFileAtomically } from "./atomic-file.ts";
import { defaultCacheDirectory, type PathEnvironment, passwordFilePath } from "./config-paths.ts";

/** Which store to open: `filesystem`, `s3`, …, and the store's own settings. */
export const storageConnectionSchema = z.looseObject({
  type: z.string().min(1),
  config: z.record(z.string(), z.unknown()),
});
export type StorageConnection = z.infer<typeof storageConnectionSchema>;

/** Sizes are bytes. Durations are seconds, with fractions, unlike everywhere else in Kopia's files. */
const cachingSchema = z.looseObject({
  /** Relative to the directory of the configuration file. */
  cacheDirectory: z.string().optional(),
  maxCacheSize: z.number().optional(),
  contentCacheSizeLimitBytes: z.number().optional(),
  maxMetadataCacheSize: z.number().optional(),
  metadataCacheSizeLimitBytes: z.number().optional(),
  maxListCacheDuration: z.number().optional(),
  minMetadataSweepAge: z.number().optional(),
  minContentSweepAge: z.number().optional(),
  minIndexSweepAge: z.number().optional(),
});
export type CachingSettings = z.infer<typeof cachingSchema>;

/** 0 or absent is unlimited. */
const throttlingSchema = z.looseObject({
  readsPerSecond: z.number().optional(),
  writesPerSecond: z.number().optional(),
  listsPerSecond: z.number().optional(),
  maxUploadSpeedBytesPerSecond: z.number().optional(),
  maxDownloadSpeedBytesPerSecond: z.number().optional(),
  concurrentReads: z.number().optional(),
  concurrentWrites: z.number().optional(),
});

/** Kopia's `repository.config`; members that are unknown here are kept. */
export const clientConfigSchema = z.looseObject({
  storage: storageConnectionSchema.optional(),
  /** In place of `storage` when the repository is behind a Kopia server. */
  apiServer: z.looseObject({}).optional(),
  caching: cachingSchema.optional(),
  hostname: z.string().optional(),
  username: z.string().optional(),
  readonly: z.boolean().optional(),
  permissiveCacheLoading: z.boolean().optional(),
  description: z.string().optional(),
  enableActions: z.boolean().optional(),
  /** Nanoseconds; see {@link formatBlobCacheDurationMs}. */
  formatBlobCacheDuration: z.number().optional(),
  throttlingLimits: throttlingSchema.optional(),
});
export type ClientConfig = z.infer<typeof clientConfigSchema>;

const maxFormatCacheMs = 15 * 60_000;
const defaultCacheBytes = 5_242_880_000;
const defaultListCacheSeconds = 30;

/**
 * Reads a configuration file.
 * @throws {NotFoundError} `DM_CONFIG_NOT_FOUND`: not connected
 * @throws {FormatError} `DM_CONFIG_INVALID`
 */
export async function readClientConfig(configPath: string): Promise<ClientConfig> {
  let text: string;
  try {
    text = await readFile(configPath, "utf8");
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== "ENOENT") throw cause;
    throw new NotFoundError(
      "DM_CONFIG_NOT_FOUND",
      `there is no ${configPath}: not connected to a repository`,
      { path: configPath },
      { cause },
    );
  }
  return parseClientConfig(text, configPath);
}

/**
 * The configuration in `text`; `configPath` names it in errors.
 * @throws {FormatError} `DM_CONFIG_INVALID`
 */
export function parseClientConfig(text: string, configPath: string): ClientConfig {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // The cause would quote the text, which holds credentials.
    throw invalidConfig(configPath, "it is not JSON");
  }
  const parsed = clientConfigSchema.safeParse(value, once);
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    throw invalidConfig(configPath, `${issue.path.join(".") || "root"}: ${issue.message}`);
  }
  if (!parsed.data.storage && !parsed.data.apiServer) {
    throw invalidConfig(configPath, "it names neither a storage nor a server");
  }
  return parsed.data;
}

function invalidConfig(path: string, reason: string): FormatError {
  return new FormatError("DM_CONFIG_INVALID", `configuration file ${path}: ${reason}`, { path });
}

/** Replaces the file atomically, mode 0600, with Kopia's indentation. */
export async function writeClientConfig(configPath: string, config: ClientConfig): Promise<void> {
  await writeFileAtomically(configPath, `${JSON.stringify(config, undefined, 2)}\n`);
}

/** Forgets a connection: its configuration file and its password file. What is missing is ignored. */
export async function removeClientConfig(configPath: string): Promise<void> {
  await rm(passwordFilePath(configPath), { force: true });
  await rm(configPath, { force: true });
}

/** Cache settings of a new connection: Kopia's defaults, or the directory and sizes given. */
export function newCachingSettings(
  options: {
    readonly uniqueId: Uint8Array;
    readonly configPath: string;
    /** Absolute; by default derived from the unique id and the configuration file. */
    readonly cacheDirectory?: string | undefined;
    readonly contentCacheBytes?: number | undefined;
    readonly metadataCacheBytes?: number | undefined;
  } & PathEnvironment,
): CachingSettings {
  const { configPath, uniqueId } = options;
  const directory = options.cacheDirectory ?? defaultCacheDirectory(uniqueId, configPath, options);
  return {
    cacheDirectory: relative(dirname(resolve(configPath)), directory),
    maxCacheSize: options.contentCacheBytes ?? defaultCacheBytes,
    maxMetadataCacheSize: options.metadataCacheBytes ?? defaultCacheBytes,
    maxListCacheDuration: defaultListCacheSeconds,
  };
}

/**
 * The cache directory to use: `KOPIA_CACHE_DIRECTORY`, else the configured one; undefined when there is none.
 * @throws {FormatError} `DM_CONFIG_INVALID` when the variable is not an absolute path
 */
export function cacheDirectoryOf(
  config: ClientConfig,
  configPath: string,
  env: Readonly<Record<string, string | undefined>> = process.env,
): string | undefined {
  const override = env.KOPIA_CACHE_DIRECTORY;
  if (override) {
    if (!isAbsolute(override)) {
      throw new FormatError("DM_CONFIG_INVALID", "KOPIA_CACHE_DIRECTORY must be an absolute path", {
        path: override,
      });
    }
    return override;
  }
  const configured = config.caching?.cacheDirectory;
  return configured ? resolve(dirname(configPath), configured) : undefined;
}

/** Hard caps of the caches; a limit in bytes wins over the size that Kopia sweeps down to. */
export function cacheLimitsOf(config: ClientConfig): {
  readonly contentBytes: number;
  readonly metadataBytes: number;
} {
  const { caching = {} } = config;
  return {
    contentBytes: caching.contentCacheSizeLimitBytes || caching.maxCacheSize || 0,
    metadataBytes:
      caching.metadataCacheSizeLimitBytes ||
      caching.maxMetadataCacheSize ||
      caching.maxCacheSize ||
      0,
  };
}

/** How long the format may be used without reading it again: 15 minutes by default and at most; 0 when switched off. */
export function formatBlobCacheDurationMs(config: ClientConfig): number {
  const ns = config.formatBlobCacheDuration ?? 0;
  if (ns === 0) return maxFormatCacheMs;
  return Math.min(Math.max(ns / 1e6, 0), maxFormatCacheMs);
}
