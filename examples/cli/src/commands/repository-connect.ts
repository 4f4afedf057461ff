/** `dm repository create|connect`: a new repository, or a configuration file that leads to one. */
import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { resolve } from "node:path";
import {
  defaultEncryptionAlgorithm,
  defaultKeyDerivationAlgorithm,
  encryptionAlgorithms,
  keyDerivationAlgorithms,
} from "@dm/encryption";
import { defaultHashAlgorithm, hashAlgorithms } from "@dm/hashing";
import {
  createRepositoryFormat,
  defaultMaintenanceParameters,
  type OpenedFormat,
  writeMaintenanceParameters,
} from "@dm/repo";
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
import { defaultSplitterAlgorithm, splitterAlgorithms } from "@dm/splitter";
import type { BlobStore, Retention } from "@dm/storage";
import type { Command } from "commander";
import { openStore } from "../connection.ts";
import { defaultPolicy, globalPolicyLabels } from "../default-policy.ts";
import { UsageError } from "../io.ts";
import { choice, hidden, secret } from "../options.ts";
import { describeStorage, type Session } from "../session.ts";
import { parseCount, parseDuration, parsePercent } from "../text.ts";

export function createCommand(repository: Command, session: Session): void {
  const create = withConnection(
    repository.command("create").description("Make a new repository and connect to it"),
  );
  create
    .addOption(
      choice(
        "--block-hash <algorithm>",
        `content hash, ${defaultHashAlgorithm} by default`,
        Object.keys(hashAlgorithms),
      ),
    )
    .addOption(
      choice(
        "--encryption <algorithm>",
        `content encryption, ${defaultEncryptionAlgorithm} by default`,
        Object.keys(encryptionAlgorithms),
      ),
    )
    .addOption(
      choice(
        "--object-splitter <splitter>",
        `splitter of new objects, ${defaultSplitterAlgorithm} by default`,
        Object.keys(splitterAlgorithms),
      ),
    )
    .addOption(choice("--ecc <algorithm>", "error correction", ["REED-SOLOMON-CRC32"]))
    .option(
      "--ecc-overhead-percent <percent>",
      "space for error correction; 0 for none",
      parsePercent,
    )
    .addOption(
      choice("--format-version <version>", "version of the format, 3 by default", ["1", "2", "3"]),
    )
    .addOption(
      choice(
        "--format-block-key-derivation-algorithm <algorithm>",
        `derivation of the key from the password, ${defaultKeyDerivationAlgorithm} by default`,
        Object.keys(keyDerivationAlgorithms),
      ),
    )
    .addOption(choice("--retention-mode <mode>", "object lock", ["GOVERNANCE", "COMPLIANCE"]))
    .option("--retention-period <duration>", "time for which new blobs are locked", parseDuration)
    .option("-c, --create-only", "do not connect");
  withFilesystem(
    create.command("filesystem").description("Make a repository in a directory"),
  ).action(async (_options: unknown, command: Command) => {
    const options = command.optsWithGlobals<CreateOptions & FilesystemOptions>();
    await createIn(session, filesystemConnection(options, true), options);
  });
}

export function connectCommand(repository: Command, session: Session): void {
  const connect = withConnection(
    repository.command("connect").description("Connect to a repository"),
  );
  withFilesystem(connect.command("filesystem").description("A repository in a directory")).action(
    async (_options: unknown, command: Command) => {
      const options = command.optsWithGlobals<ConnectOptions & FilesystemOptions>();
      await connectTo(session, filesystemConnection(options, false), options);
    },
  );
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

interface ConnectOptions {
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

function withConnection(command: Command): Command {
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

interface FilesystemOptions {
  readonly path: string;
  readonly ownerUid?: number;
  readonly ownerGid?: number;
  readonly fileMode?: number;
  readonly dirMode?: number;
  readonly flat?: boolean;
  readonly formatVersion?: string;
  readonly maxDownloadSpeed?: number;
  readonly maxUploadSpeed?: number;
}

function withFilesystem(command: Command): Command {
  return command
    .requiredOption("--path <path>", "directory of the repository")
    .option("--owner-uid <user>", "user id of new files", parseCount)
    .option("--owner-gid <group>", "group id of new files", parseCount)
    .option("--file-mode <mode>", "mode of new files, octal (0600)", parseMode)
    .option("--dir-mode <mode>", "mode of new directories, octal (0700)", parseMode)
    .option("--flat", "no sub-directories")
    .option("--max-download-speed <bytes>", "limit per second", parseCount)
    .option("--max-upload-speed <bytes>", "limit per second", parseCount)
    .addOption(hidden("--list-parallelism <count>").argParser(parseCount));
}

function parseMode(text: string): number {
  if (!/^[0-7]{1,4}$/.test(text)) throw new UsageError(`not an octal mode: ${text}`);
  return Number.parseInt(text, 8);
}

function filesystemConnection(options: FilesystemOptions, isCreation: boolean): StorageConnection {
  const { fileMode = 0o600, dirMode = 0o700, ownerGid, ownerUid } = options;
  const path = options.path.replace(/^~(?=\/|$)/, homedir());
  let dirShards: number[] | null = null;
  if (options.flat) dirShards = [];
  // Clients of version 1 know no other sharding.
  else if (isCreation && options.formatVersion === "1") dirShards = [3, 3];
  return {
    type: "filesystem",
    config: {
      path: resolve(path),
      fileMode,
      dirMode,
      ...(ownerUid === undefined ? {} : { uid: ownerUid }),
      ...(ownerGid === undefined ? {} : { gid: ownerGid }),
      dirShards,
      ...(options.maxUploadSpeed ? { maxUploadSpeedBytesPerSecond: options.maxUploadSpeed } : {}),
      ...(options.maxDownloadSpeed
        ? { maxDownloadSpeedBytesPerSecond: options.maxDownloadSpeed }
        : {}),
    },
  };
}

interface CreateOptions extends ConnectOptions {
  readonly blockHash?: string;
  readonly encryption?: string;
  readonly objectSplitter?: string;
  readonly ecc?: string;
  readonly eccOverheadPercent?: number;
  readonly formatVersion?: string;
  readonly formatBlockKeyDerivationAlgorithm?: string;
  readonly retentionMode?: Retention["mode"];
  readonly retentionPeriod?: number;
  readonly createOnly?: boolean;
}

async function createIn(
  session: Session,
  connection: StorageConnection,
  options: CreateOptions,
): Promise<void> {
  const retention = retentionOf(options);
  const given = session.globals.password ?? session.io.env["KOPIA_PASSWORD"];
  const prompt = "Enter password to create new repository: ";
  const password = await session.newPassword(given, prompt, "set KOPIA_PASSWORD");
  const { clock, logger, signal } = session;
  const store = await openStore(connection, { create: true, logger });
  try {
    const opened = await createRepositoryFormat(store, {
      password,
      clock,
      signal,
      deriveKey: session.io.deriveKey,
      retention,
      keyAlgorithm: options.formatBlockKeyDerivationAlgorithm,
      format: {
        hash: options.blockHash,
        encryption: options.encryption,
        splitter: options.objectSplitter,
        ecc: options.ecc,
        eccOverheadPercent: options.eccOverheadPercent,
        version: options.formatVersion ? (Number(options.formatVersion) as 1 | 2 | 3) : undefined,
      },
    });
    sayFormat(session, opened);
    if (options.createOnly) return;
    const config = await writeConnection(session, connection, opened, { ...options, password });
    await populate(session, store, opened, config);
  } finally {
    await store.close();
  }
}

function retentionOf(options: CreateOptions): Retention | undefined {
  const { retentionMode: mode, retentionPeriod: periodMs } = options;
  if (mode === undefined && periodMs === undefined) return undefined;
  if (mode === undefined || periodMs === undefined) {
    throw new UsageError("--retention-mode and --retention-period go together");
  }
  return { mode, periodMs };
}

function sayFormat(session: Session, { format, keyAlgorithm }: OpenedFormat): void {
  session.say("Initialized repository with:");
  session.say(`  format version:      ${format.version}`);
  session.say(`  block hash:          ${format.hash}`);
  session.say(`  encryption:          ${format.encryption}`);
  session.say(`  key derivation:      ${keyAlgorithm}`);
  if (format.ecc) {
    session.say(`  ecc:                 ${format.ecc} with ${format.eccOverheadPercent}% overhead`);
  }
  session.say(`  splitter:            ${format.splitter}`);
}

/** What kopia writes into a new repository: the policy of all snapshots, and who runs maintenance. */
async function populate(
  session: Session,
  store: BlobStore,
  opened: OpenedFormat,
  config: WrittenConfig,
): Promise<void> {
  const { signal } = session;
  const repository = await session.repositoryOf(store, opened, { ...config, readonly: false });
  await using write = await repository.openWriteSession({ signal });
  write.putManifest(globalPolicyLabels, defaultPolicy);
  const owner = repository.clientName;
  await writeMaintenanceParameters(write, defaultMaintenanceParameters(owner), { signal });
  await write.commit({ signal });
  session.say(`Maintenance is due every hour (quick) and every day (full); ${owner} may run it:`);
  session.say("dm maintenance run [--full]");
}

async function connectTo(
  session: Session,
  connection: StorageConnection,
  options: ConnectOptions,
  tokenPassword?: string,
): Promise<void> {
  const { logger } = session;
  const password = tokenPassword ?? (await session.password({ stored: false }));
  const store = await openStore(connection, { logger });
  try {
    const opened = await session.openFormat(store, { password });
    await writeConnection(session, connection, opened, { ...options, password });
  } finally {
    await store.close();
  }
}

type WrittenConfig = ClientConfig & { readonly hostname: string; readonly username: string };

async function writeConnection(
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
    description: options.description || describeStorage(storage),
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
