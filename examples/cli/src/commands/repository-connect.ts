/** `dm repository connect`: a configuration file that leads to a repository. */
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { isDmError } from "@dm/core";
import type { OpenedFormat } from "@dm/repo";
import {
  type CachingSettings,
  type ClientConfig,
  decodeToken,
  defaultHostname,
  defaultUsername,
  newCachingSettings,
  readClientConfig,
  removePasswordFile,
  type StorageConnection,
  writeClientConfig,
  writePasswordFile,
} from "@dm/repo/client";
import type { Command } from "commander";
import { connectionOf, describeStorage } from "../connection.ts";
import { UsageError } from "../io.ts";
import { hidden, secret } from "../options.ts";
import type { Session } from "../session.ts";
import type { StorageProvider } from "../storage/provider.ts";
import { parseCount, parseDuration } from "../text.ts";

export function connectCommand(
  repository: Command,
  session: Session,
  providers: readonly StorageProvider[],
): void {
  const connect = withConnection(
    repository.command("connect").description("Connect to a repository"),
  );
  for (const provider of providers) {
    const to = connect
      .command(provider.command ?? provider.type)
      .description(`A repository in ${provider.place}`)
      .action(async (_options: unknown, command: Command) => {
        const options = command.optsWithGlobals<ConnectOptions>();
        const context = { ...session.openContext, isCreation: false };
        const storage = await connectionOf(provider, options, context);
        await connectTo(session, storage, options);
      });
    provider.withFlags(to, session);
  }
  connect
    .command("from-config")
    .description(
      "The connection of another configuration file, or of a token of repository status -t",
    )
    .option("--file <file>", "configuration file")
    .addOption(secret(session, "--token <token>"))
    .option("--token-file <file>", "file with the token")
    .option("--token-stdin", "token on standard input")
    .action(async (_options: unknown, command: Command) => {
      const options = command.optsWithGlobals<ConnectOptions & FromConfigOptions>();
      const { password, storage } = await storedConnection(session, options);
      await connectTo(session, storage, options, password);
    });
}

export interface ConnectOptions {
  readonly cacheDirectory?: string;
  readonly contentCacheSizeMb?: number;
  readonly contentCacheSizeLimitMb?: number;
  readonly contentMinSweepAge?: number;
  readonly metadataCacheSizeMb?: number;
  readonly metadataCacheSizeLimitMb?: number;
  readonly metadataMinSweepAge?: number;
  readonly indexMinSweepAge?: number;
  readonly maxListCacheDuration?: number;
  readonly overrideHostname?: string;
  readonly overrideUsername?: string;
  readonly readonly?: boolean;
  readonly permissiveCacheLoading?: boolean;
  readonly description?: string;
  readonly enableActions?: boolean;
  readonly repositoryFormatCacheDuration?: number;
  readonly disableRepositoryFormatCache?: boolean;
}

export function withConnection(command: Command): Command {
  return command
    .option("--cache-directory <path>", "cache directory (KOPIA_CACHE_DIRECTORY)")
    .option("--content-cache-size-mb <MB>", "size of the cache of data", parseCount)
    .option("--content-cache-size-limit-mb <MB>", "hard limit of the cache of data", parseCount)
    .option("--metadata-cache-size-mb <MB>", "size of the cache of metadata", parseCount)
    .option(
      "--metadata-cache-size-limit-mb <MB>",
      "hard limit of the cache of metadata",
      parseCount,
    )
    .option("--readonly", "refuse changes through this connection")
    .option("--description <text>", "description for people")
    .option("--enable-actions", "allow snapshot actions (kopia)")
    .addOption(hidden("--override-hostname <name>"))
    .addOption(hidden("--override-username <name>"))
    .addOption(hidden("--permissive-cache-loading"))
    .addOption(hidden("--check-for-updates"))
    .addOption(hidden("--no-check-for-updates"))
    .addOption(hidden("--disable-repository-format-cache"))
    .addOption(hidden("--repository-format-cache-duration <duration>").argParser(parseDuration))
    .addOption(hidden("--content-min-sweep-age <duration>").argParser(parseDuration))
    .addOption(hidden("--metadata-min-sweep-age <duration>").argParser(parseDuration))
    .addOption(hidden("--index-min-sweep-age <duration>").argParser(parseDuration))
    .addOption(hidden("--max-list-cache-duration <duration>").argParser(parseDuration));
}

async function connectTo(
  session: Session,
  connection: StorageConnection,
  options: ConnectOptions,
  tokenPassword?: string,
): Promise<void> {
  const password = tokenPassword ?? (await session.password({ stored: false }));
  const { opened, storage } = await findRepository(session, connection, password);
  await writeConnection(session, storage, opened, { ...options, password });
}

interface FoundRepository {
  readonly storage: StorageConnection;
  readonly opened: OpenedFormat;
}

/** Prefixes are often told without the slash in which they end; then the repository lies one character further. */
async function findRepository(
  session: Session,
  storage: StorageConnection,
  password: string,
): Promise<FoundRepository> {
  const notFound = (error: unknown): boolean => isDmError(error, "DM_REPOSITORY_NOT_FOUND");
  try {
    return { storage, opened: await formatAt(session, storage, password) };
  } catch (error) {
    const folder = withSlash(storage);
    if (!folder || !notFound(error)) throw error;
    const opened = await formatAt(session, folder, password).catch((second: unknown) => {
      throw notFound(second) ? error : second;
    });
    session.say(
      `NOTE: there is no repository at the prefix ${JSON.stringify(storage.config["prefix"])}, but one at ` +
        `${JSON.stringify(folder.config["prefix"])}: connecting to that one.`,
    );
    return { storage: folder, opened };
  }
}

async function formatAt(
  session: Session,
  storage: StorageConnection,
  password: string,
): Promise<OpenedFormat> {
  const store = await session.openStorage(storage);
  try {
    return await session.openFormat(store, { password });
  } finally {
    await store.close();
  }
}

/** Undefined where the prefix, if any, ends in a slash already. */
export function withSlash({ config, type }: StorageConnection): StorageConnection | undefined {
  const { prefix } = config;
  if (typeof prefix !== "string" || prefix === "" || prefix.endsWith("/")) return undefined;
  return { type, config: { ...config, prefix: `${prefix}/` } };
}

export type WrittenConfig = ClientConfig & { readonly hostname: string; readonly username: string };

export async function writeConnection(
  session: Session,
  storage: StorageConnection,
  opened: OpenedFormat,
  options: ConnectOptions & { readonly password: string },
): Promise<WrittenConfig> {
  const configPath = await session.configPath();
  const cacheMs = options.disableRepositoryFormatCache
    ? -1e-6
    : (options.repositoryFormatCacheDuration ?? 900_000);
  const config: WrittenConfig = {
    storage,
    caching: cachingOf(session, opened, configPath, options),
    hostname: options.overrideHostname || defaultHostname(),
    username: options.overrideUsername || defaultUsername(),
    ...(options.readonly ? { readonly: true } : {}),
    ...(options.permissiveCacheLoading ? { permissiveCacheLoading: true } : {}),
    description: options.description || (await describeStorage(storage)),
    enableActions: options.enableActions === true,
    formatBlobCacheDuration: Math.round(cacheMs * 1e6),
  };
  await writeClientConfig(configPath, config);
  if (session.globals.persistCredentials) await writePasswordFile(configPath, options.password);
  else await removePasswordFile(configPath);
  session.say("Connected to repository.");
  return config;
}

function cachingOf(
  session: Session,
  opened: OpenedFormat,
  configPath: string,
  options: ConnectOptions,
): CachingSettings {
  const directory = options.cacheDirectory ?? session.io.env["KOPIA_CACHE_DIRECTORY"];
  const bytes = (megabytes: number | undefined): number | undefined =>
    megabytes === undefined ? undefined : megabytes * 2 ** 20;
  const seconds = (ms: number | undefined): number | undefined =>
    ms === undefined ? undefined : ms / 1000;
  const settings = newCachingSettings({
    uniqueId: opened.uniqueId,
    configPath,
    env: session.io.env,
    cacheDirectory: directory ? resolve(directory) : undefined,
    contentCacheBytes: bytes(options.contentCacheSizeMb),
    metadataCacheBytes: bytes(options.metadataCacheSizeMb),
  });
  return {
    ...settings,
    ...defined({
      contentCacheSizeLimitBytes: bytes(options.contentCacheSizeLimitMb),
      metadataCacheSizeLimitBytes: bytes(options.metadataCacheSizeLimitMb),
      maxListCacheDuration: seconds(options.maxListCacheDuration),
      minMetadataSweepAge: seconds(options.metadataMinSweepAge),
      minContentSweepAge: seconds(options.contentMinSweepAge),
      minIndexSweepAge: seconds(options.indexMinSweepAge),
    }),
  };
}

function defined(values: Readonly<Record<string, number | undefined>>): Record<string, number> {
  const entries = Object.entries(values).filter((entry) => entry[1] !== undefined);
  return Object.fromEntries(entries) as Record<string, number>;
}

interface FromConfigOptions {
  readonly file?: string;
  readonly token?: string;
  readonly tokenFile?: string;
  readonly tokenStdin?: boolean;
}

async function storedConnection(
  session: Session,
  options: FromConfigOptions,
): Promise<{ readonly storage: StorageConnection; readonly password?: string | undefined }> {
  if (options.file) {
    const { storage } = await readClientConfig(options.file);
    if (storage) return { storage };
    throw new UsageError(`${options.file} leads to a kopia server, not to a storage`);
  }
  let token = options.token;
  if (options.tokenFile) token = await readFile(options.tokenFile, "utf8");
  else if (options.tokenStdin) token = await session.io.readStdin();
  if (!token) {
    throw new UsageError("one of --file, --token-file, --token-stdin or --token is needed");
  }
  session.messages.keepSecret(token);
  const decoded = decodeToken(token);
  session.messages.keepSecret(decoded.password);
  return decoded;
}
