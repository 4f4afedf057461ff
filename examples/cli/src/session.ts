/**
 * One run of the program: the global options, the connection they lead to, and the repository, which is opened when a
 * command first asks for it and closed at the end.
 * @module
 */
import { type Clock, type Logger, systemClock } from "@dm/core";
import type { DeriveKey, OpenedFormat, Repository } from "@dm/repo";
import type { ClientConfig, Connection, MaintenanceLock } from "@dm/repo/client";
import type { BlobStore } from "@dm/storage";
import {
  describeStorage,
  type OpenStoreOptions,
  openStore,
  storageProvider,
} from "./connection.ts";
import { type Io, LossError, UsageError } from "./io.ts";
import type { LogLevel, Messages } from "./log.ts";

export interface GlobalOptions {
  readonly configFile?: string;
  readonly password?: string;
  readonly logLevel: LogLevel;
  readonly progress: boolean;
  readonly autoMaintenance: boolean;
  readonly persistCredentials: boolean;
  readonly ignoreDamagedIndexes?: boolean;
  readonly upgradeOwnerId?: string;
}

/** A connection's configuration with every default filled in. */
export interface ConnectedConfig extends ClientConfig {
  readonly storage: NonNullable<ClientConfig["storage"]>;
  readonly hostname: string;
  readonly username: string;
  readonly description: string;
  readonly formatBlobCacheDuration: number;
}

const defaultFormatCacheNs = 900_000_000_000;

export class Session implements AsyncDisposable {
  readonly io: Io;
  readonly clock: Clock;
  readonly messages: Messages;
  readonly #options: () => GlobalOptions;
  #repository: Promise<Repository> | undefined;

  constructor(io: Io, messages: Messages, options: () => GlobalOptions) {
    this.io = io;
    this.messages = messages;
    this.clock = io.clock ?? systemClock;
    this.#options = options;
  }

  get signal(): AbortSignal {
    return this.io.signal;
  }

  get globals(): GlobalOptions {
    return this.#options();
  }

  get showProgress(): boolean {
    return this.io.isTerminal && this.globals.progress;
  }

  get logger(): Logger {
    return this.messages.logger;
  }

  /** A message of its own line to stderr. */
  say(text: string): void {
    this.messages.say(text);
  }

  /** The configuration file of the connection. */
  async configPath(): Promise<string> {
    const { configPathOf } = await import("./config-path.ts");
    return configPathOf(this.globals.configFile, this.io.env);
  }

  /** @throws {NotFoundError} `DM_CONFIG_NOT_FOUND` when not connected */
  async config(): Promise<ConnectedConfig> {
    const { defaultHostname, defaultUsername, readClientConfig } = await import("@dm/repo/client");
    const config = await readClientConfig(await this.configPath());
    if (!config.storage) {
      throw new UsageError("the configuration names a kopia server; only storage can be opened");
    }
    const { storage } = config;
    return {
      ...config,
      storage,
      hostname: config.hostname || defaultHostname(),
      username: config.username || defaultUsername(),
      description: config.description || (await describeStorage(storage)),
      formatBlobCacheDuration: config.formatBlobCacheDuration || defaultFormatCacheNs,
    };
  }

  /** `--password`, `KOPIA_PASSWORD`, the stored password of this connection, or what a person types. */
  async password(options: { readonly stored: boolean } = { stored: true }): Promise<string> {
    const given = (this.globals.password ?? this.io.env["KOPIA_PASSWORD"] ?? "").trim();
    if (given) return this.#secret(given);
    if (options.stored) {
      const { readPasswordFile } = await import("@dm/repo/client");
      const stored = await readPasswordFile(await this.configPath());
      if (stored !== undefined) return this.#secret(stored);
    }
    return this.#asked("Enter password to open repository: ");
  }

  /** A password that does not exist yet; a person types it twice. */
  async newPassword(given: string | undefined, prompt: string, hint: string): Promise<string> {
    if (given?.trim()) return this.#secret(given.trim());
    const first = await this.#asked(prompt, hint);
    const second = await this.#asked("Re-enter password for verification: ", hint);
    if (first !== second) throw new UsageError("the passwords do not match");
    return first;
  }

  async #asked(prompt: string, hint = "set KOPIA_PASSWORD"): Promise<string> {
    const typed = await this.io.askSecret(prompt);
    if (!typed) throw new UsageError(`a password is needed: ${hint}, or run dm on a terminal`);
    return this.#secret(typed);
  }

  #secret(password: string): string {
    this.messages.keepSecret(password);
    return password;
  }

  /** Opens the store of the connection. The caller closes it. */
  async openStore(config: ConnectedConfig): Promise<BlobStore> {
    return this.openStorage(config.storage, {
      readOnly: config.readonly,
      limits: config.throttlingLimits,
    });
  }

  /** What stores get from the program. */
  get openContext(): Pick<OpenStoreOptions, "env" | "logger"> {
    return { env: this.io.env, logger: this.logger };
  }

  /** Opens a store by its storage configuration alone. The caller closes it. */
  async openStorage(
    storage: ConnectedConfig["storage"],
    options: Pick<OpenStoreOptions, "create" | "limits" | "readOnly"> = {},
  ): Promise<BlobStore> {
    const { secrets } = await storageProvider(storage.type);
    for (const name of secrets) {
      const secret = storage.config[name];
      if (typeof secret === "string") this.messages.keepSecret(secret);
    }
    const trace = this.messages.level === "debug";
    return openStore(storage, { ...options, ...this.openContext, trace });
  }

  /** The format of the connected repository, without opening the repository around it. */
  async openFormat(
    store: BlobStore,
    options: {
      readonly password?: string | undefined;
      readonly upgradeOwnerId?: string | undefined;
    } = {},
  ): Promise<OpenedFormat> {
    const { openRepositoryFormat } = await import("@dm/repo");
    return openRepositoryFormat(store, {
      password: options.password ?? (await this.password()),
      clock: this.clock,
      signal: this.signal,
      logger: this.logger,
      deriveKey: this.#deriveKey,
      upgradeOwnerId: options.upgradeOwnerId ?? this.upgradeOwnerId,
    });
  }

  readonly #deriveKey: DeriveKey = async (password, options) => {
    const key = await this.io.earlyKey?.(password, options);
    if (key) return Uint8Array.from(key);
    const { derivePasswordKey } = await import("@dm/encryption");
    return (this.io.deriveKey ?? derivePasswordKey)(password, options);
  };

  get upgradeOwnerId(): string | undefined {
    return this.globals.upgradeOwnerId ?? (this.io.env["KOPIA_REPO_UPGRADE_OWNER_ID"] || undefined);
  }

  /** The connected repository; the same one each time. */
  repository(): Promise<Repository> {
    this.#repository ??= this.#open();
    return this.#repository;
  }

  /**
   * Begins to open the repository for a command that will ask for it: the key takes longer than all of the command's code to
   * load. Nobody is asked for a password yet, and what goes wrong is for whoever asks for the repository.
   */
  openEarly(): void {
    const begin = async (): Promise<void> => {
      const { readPasswordFile } = await import("@dm/repo/client");
      const given = (this.globals.password ?? this.io.env["KOPIA_PASSWORD"] ?? "").trim();
      if (given || (await readPasswordFile(await this.configPath())) !== undefined)
        await this.repository();
    };
    begin().catch(() => {});
  }

  async #open(): Promise<Repository> {
    const config = await this.config();
    const store = await this.openStore(config);
    return this.repositoryOf(store, await this.openFormat(store), config);
  }

  /** A repository around a format that is open already. The caller closes it. */
  async repositoryOf(
    store: BlobStore,
    opened: OpenedFormat,
    config: ClientConfig & { readonly hostname: string; readonly username: string },
    upgradeOwnerId: string | undefined = this.upgradeOwnerId,
  ): Promise<Repository> {
    const [{ Repository }, { connectionCaches, formatBlobCacheDurationMs }] = await Promise.all([
      import("@dm/repo"),
      import("@dm/repo/client"),
    ]);
    const { clock, logger } = this;
    const connection = await this.#connection(config);
    return new Repository(store, opened, {
      clock,
      logger,
      username: config.username,
      hostname: config.hostname,
      readOnly: config.readonly,
      ignoreDamagedIndexes: this.globals.ignoreDamagedIndexes,
      upgradeOwnerId,
      formatBlobCacheDurationMs: formatBlobCacheDurationMs(config),
      caches: connectionCaches(opened, { ...connection, clock, logger }),
    });
  }

  /** Kopia keeps the format for 15 minutes; on this connection it must not, after a change of ours. */
  async forgetCachedFormat(): Promise<void> {
    const { forgetCachedFormat } = await import("@dm/repo/client");
    await forgetCachedFormat(await this.#connection(await this.config()));
  }

  async #connection(config: ClientConfig): Promise<Connection> {
    return { config, configPath: await this.configPath(), env: this.io.env };
  }

  async maintenanceLock(): Promise<MaintenanceLock> {
    const { maintenanceLock } = await import("@dm/repo/client");
    return maintenanceLock(await this.configPath());
  }

  /** @throws {LossError} when index blobs were left out, so that nobody takes the output for everything */
  async assertComplete(): Promise<void> {
    const damaged = (await this.#repository)?.damagedIndexBlobs ?? [];
    for (const { blobId, error } of damaged) {
      this.messages.say(`left out index blob ${blobId}: ${error.message}`, "warning");
    }
    if (damaged.length > 0) {
      throw new LossError(
        `${damaged.length} damaged index blobs were left out; contents may be missing`,
      );
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // An error of opening has been reported by whoever asked.
    const repository = await this.#repository?.catch(() => undefined);
    await repository?.close();
  }
}
