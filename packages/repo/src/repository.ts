/**
 * An open Kopia repository: contents, objects and manifests to read, and write sessions.
 * Proof: test/golden.test.ts, test/write-session.test.ts.
 * @module
 */
import {
  AccessError,
  type Clock,
  ConflictError,
  type Logger,
  NotFoundError,
  type RandomBytes,
  silentLogger,
  systemClock,
  systemRandomBytes,
} from "@dm/core";
import { type BlobStore, type CallOptions, isNearby, retaining } from "@dm/storage";
import type { ContentCache } from "./cache/content-cache.ts";
import { CommittedIndex, type DamagedIndexBlob } from "./content/committed-index.ts";
import { ContentReader } from "./content/content-reader.ts";
import { ContentWriter } from "./content/content-writer.ts";
import type { ContentId } from "./content-id.ts";
import { type Crypter, createCrypter } from "./crypto/crypter.ts";
import { encodeFormatCopy } from "./format/format-copy.ts";
import { FormatMonitor } from "./format/format-monitor.ts";
import {
  assertNotLocked,
  type DeriveKey,
  type OpenedFormat,
  openRepositoryFormat,
} from "./format/format-store.ts";
import { guarded } from "./format/guarded-store.ts";
import type { RepositoryFormat } from "./format/repository-format.ts";
import type { IndexEntry } from "./index-blob/entry.ts";
import { EpochManager } from "./index-manager/epoch-manager.ts";
import { V0Manager } from "./index-manager/v0-manager.ts";
import type { ManifestEntry } from "./manifest/manifest-codec.ts";
import { type LabelSelector, selectManifests } from "./manifest/manifest-set.ts";
import { ManifestStore } from "./manifest/manifest-store.ts";
import type { IndirectEntry } from "./object/indirect-codec.ts";
import {
  type ObjectReader,
  objectContents,
  objectParts,
  openObject,
} from "./object/object-reader.ts";
import { WriteSession } from "./write-session.ts";

/** Caches of stored, still encrypted bytes; without one every read goes to the store. Closed with the repository. */
export interface RepositoryCaches {
  /** Stored bytes of data contents. */
  readonly data?: ContentCache | undefined;
  /** Stored bytes of contents with a prefix. */
  readonly metadata?: ContentCache | undefined;
  /** Stored bytes of index blobs. */
  readonly indexes?: ContentCache | undefined;
}

/** How a client uses a repository, apart from the password that opens it. */
export interface RepositoryOptions {
  /** Refuses changes; off by default, on where the store refuses them. */
  readonly readOnly?: boolean | undefined;
  readonly clock?: Clock | undefined;
  readonly randomBytes?: RandomBytes | undefined;
  /** Silent by default. */
  readonly logger?: Logger | undefined;
  /** None by default. */
  readonly caches?: RepositoryCaches | undefined;
  /** Recorded in session markers, and compared with the owner of maintenance; `dm` by default. */
  readonly username?: string | undefined;
  /** The same; `localhost` by default. */
  readonly hostname?: string | undefined;
  /** Goes on without damaged index blobs; the repository is read-only then. Off by default. */
  readonly ignoreDamagedIndexes?: boolean | undefined;
  /** Age at which the list of index blobs is loaded again; 15 minutes by default. */
  readonly indexRefreshMs?: number | undefined;
  /** How long the format may be used without reading it again; 15 minutes by default and at most. */
  readonly formatBlobCacheDurationMs?: number | undefined;
  /** Owner of an upgrade that this client runs: its own lock does not stop it. */
  readonly upgradeOwnerId?: string | undefined;
}

export interface OpenRepositoryOptions extends RepositoryOptions, CallOptions {
  readonly password: string;
  /** Password to key, `derivePasswordKey` by default; for callers that keep derived keys. */
  readonly deriveKey?: DeriveKey | undefined;
}

export interface WriteSessionOptions extends CallOptions {
  /**
   * Packs that may be under way while the next is filled; 2 by default, 4 to a store across a network. Each takes about
   * `maxPackSizeBytes`.
   */
  readonly parallelUploads?: number | undefined;
  /** Contents after which the session flushes by itself, which bounds its memory; 262,144 by default. */
  readonly maxUnflushedEntries?: number | undefined;
  /** Decrypt and re-hash every content before its pack is stored; off by default. */
  readonly verifyBeforeUpload?: boolean | undefined;
}

export interface ListContentsOptions extends CallOptions {
  /** One letter, or the empty text for contents without a prefix; all by default. */
  readonly prefix?: string | undefined;
  /** Also contents that are marked as deleted; off by default. */
  readonly includeDeleted?: boolean | undefined;
}

const indexRefreshMs = 15 * 60_000;
const flushIntervalMs = 10 * 60_000;
/** About 100 MiB of entries. */
const maxUnflushedEntries = 2 ** 18;

/**
 * Opens a repository. Costs one or two reads and one key derivation (0.3 s); the index is loaded when first needed.
 * @throws {NotFoundError} `DM_REPOSITORY_NOT_FOUND`
 * @throws {AccessError} `DM_PASSWORD_INVALID`
 * @throws {FormatError} `DM_FORMAT_BLOB_INVALID`
 * @throws {UnsupportedError} a version, algorithm or required feature that is not known here
 * @example
 * const repository = await openRepository(store, { password });
 * for await (const content of repository.listContents()) console.log(content.contentId);
 */
export async function openRepository(
  store: BlobStore,
  options: OpenRepositoryOptions,
): Promise<Repository> {
  const { clock = systemClock, deriveKey, password, signal } = options;
  const opened = await openRepositoryFormat(store, {
    password,
    clock,
    signal,
    deriveKey,
    logger: options.logger,
    upgradeOwnerId: options.upgradeOwnerId,
  });
  return new Repository(store, opened, options);
}

/**
 * One client's view of a repository: reads, and begins write sessions. `openRepository` makes it; the constructor is for
 * callers that hold an opened format already. Any number of calls may run at once. Closing it closes its store.
 */
export class Repository implements AsyncDisposable {
  readonly #options: RepositoryOptions;
  readonly #monitor: FormatMonitor;
  readonly #manager: EpochManager | V0Manager;
  readonly #index: CommittedIndex;
  readonly #reader: ContentReader;
  readonly #manifests: ManifestStore;
  /**
   * The blob store with the repository's retention rule applied. Each call first makes sure that the format was read in
   * the last 15 minutes and allows this client to go on.
   */
  readonly store: BlobStore;
  /** The same without that question: for changes of the format itself. */
  readonly unguardedStore: BlobStore;
  readonly crypter: Crypter;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly randomBytes: RandomBytes;
  readonly readOnly: boolean;
  /** `username@hostname` of this client. */
  readonly clientName: string;

  constructor(store: BlobStore, opened: OpenedFormat, options: RepositoryOptions = {}) {
    const { clock = systemClock, logger = silentLogger, randomBytes = systemRandomBytes } = options;
    this.#options = options;
    this.#monitor = new FormatMonitor(store, opened, {
      clock,
      logger,
      upgradeOwnerId: options.upgradeOwnerId,
      formatBlobCacheDurationMs: options.formatBlobCacheDurationMs,
    });
    this.clock = clock;
    this.logger = logger;
    this.randomBytes = randomBytes;
    this.readOnly =
      options.readOnly === true || options.ignoreDamagedIndexes === true || store.readOnly;
    this.clientName = `${options.username ?? "dm"}@${options.hostname ?? "localhost"}`;
    const monitor = this.#monitor;
    this.unguardedStore = retaining(store, () => monitor.latest.blobConfig.retention);
    this.store = guarded(this.unguardedStore, (call) => this.#assertUnchanged(call));
    this.crypter = createCrypter(opened.format, { randomBytes });
    this.#manager = opened.format.epochParameters.enabled
      ? new EpochManager({
          store: this.store,
          crypter: this.crypter,
          clock,
          randomBytes,
          get parameters() {
            return monitor.latest.format.epochParameters;
          },
        })
      : new V0Manager({ store: this.store, crypter: this.crypter });
    this.#index = new CommittedIndex({
      store: this.store,
      crypter: this.crypter,
      clock,
      logger,
      manager: this.#manager,
      cache: options.caches?.indexes,
      ignoreDamagedIndexes: options.ignoreDamagedIndexes ?? false,
      refreshMs: options.indexRefreshMs ?? indexRefreshMs,
    });
    this.#reader = new ContentReader({
      store: this.store,
      crypter: this.crypter,
      index: this.#index,
      dataCache: options.caches?.data,
      metadataCache: options.caches?.metadata,
    });
    this.#manifests = new ManifestStore(this.#reader);
  }

  /** Algorithms and parameters, as last read. Holds secrets: never log it. */
  get format(): RepositoryFormat {
    return this.openedFormat.format;
  }

  /** The format blob as it was last read, with the keys derived from the password. Never log it. */
  get openedFormat(): OpenedFormat {
    return this.#monitor.latest;
  }

  /** Goes on with a format that this client has changed itself: a new password, other parameters. */
  replaceFormat(opened: OpenedFormat): void {
    this.#monitor.replace(opened);
  }

  /** 32 bytes, fixed for the repository's life. */
  get uniqueId(): Uint8Array {
    return this.openedFormat.uniqueId;
  }

  /** The index manager: epochs, or the older log of compactions. For maintenance and inspection. */
  get indexManager(): EpochManager | V0Manager {
    return this.#manager;
  }

  /** Reading of contents at the level of index entries. For verification and maintenance. */
  get contentReader(): ContentReader {
    return this.#reader;
  }

  /** Index blobs that were left out, with `ignoreDamagedIndexes`; known once the index was loaded. */
  get damagedIndexBlobs(): readonly DamagedIndexBlob[] {
    return this.#index.damaged;
  }

  /** Loads the index now, whatever its age. */
  async refresh(options: CallOptions = {}): Promise<void> {
    await this.#index.get({ ...options, fresh: true });
  }

  /** The index entry of a content, also of a deleted one; undefined when no index names it. */
  async contentInfo(id: ContentId, options: CallOptions = {}): Promise<IndexEntry | undefined> {
    return this.#reader.info(id, options);
  }

  /**
   * Reads one content. Costs one ranged read unless cached; the authentication tag is verified before it returns.
   * The bytes are the caller's.
   * @throws {NotFoundError} `DM_CONTENT_NOT_FOUND` when no index names it, `DM_PACK_NOT_FOUND` when its pack is gone
   * @throws {IntegrityError} `DM_CONTENT_ALTERED` when the tag does not match
   * @throws {FormatError} when the stored bytes are not what the index promises
   */
  async readContent(id: ContentId, options: CallOptions = {}): Promise<Uint8Array> {
    return this.#reader.read(id, options);
  }

  /** Index entries in the order of their ids, straight from the index; no further I/O. */
  async *listContents(options: ListContentsOptions = {}): AsyncGenerator<IndexEntry> {
    const { includeDeleted = false, prefix, signal } = options;
    const index = await this.#index.get({ signal });
    for (const entry of index.entries(prefix === undefined ? {} : { prefix })) {
      if (includeDeleted || !entry.deleted) yield entry;
    }
  }

  /** Opens an object. Errors as `readContent`, and `DM_OBJECT_ID_INVALID`, `DM_INDIRECT_INVALID`. */
  async openObject(id: string, options: CallOptions = {}): Promise<ObjectReader> {
    return openObject(this.#reader, id, options);
  }

  /** Ids of all contents of an object, those of its indexes included. */
  objectContents(id: string, options: CallOptions = {}): AsyncGenerator<ContentId> {
    return objectContents(this.#reader, id, options);
  }

  /**
   * The parts of an object, in order: what its index lists, or the object itself as the only one. Their data is not read.
   * A part may be an index of its own. Errors as `openObject`.
   */
  async objectParts(id: string, options: CallOptions = {}): Promise<readonly IndirectEntry[]> {
    return objectParts(this.#reader, id, options);
  }

  /** Live manifests with all these labels, oldest first. */
  async findManifests(
    labels: LabelSelector = {},
    options: CallOptions = {},
  ): Promise<ManifestEntry[]> {
    return selectManifests((await this.#manifests.load(options)).entries.values(), labels);
  }

  /** @throws {NotFoundError} `DM_MANIFEST_NOT_FOUND` */
  async readManifest(id: string, options: CallOptions = {}): Promise<ManifestEntry> {
    const entry = (await this.#manifests.load(options)).entries.get(id);
    if (!entry || entry.deleted)
      throw new NotFoundError("DM_MANIFEST_NOT_FOUND", `manifest ${id} does not exist`, {
        manifestId: id,
      });
    return entry;
  }

  /**
   * Begins a write session.
   * @throws {AccessError} `DM_REPOSITORY_READ_ONLY`
   * @example
   * await using session = await repository.openWriteSession();
   * const id = await session.writeObject(bytes);
   * await session.commit();
   */
  async openWriteSession(options: WriteSessionOptions = {}): Promise<WriteSession> {
    this.#assertWritable();
    await this.#index.get({ signal: options.signal });
    const { format, formatBlob } = this.openedFormat;
    const contents = new ContentWriter({
      store: this.store,
      crypter: this.crypter,
      clock: this.clock,
      randomBytes: this.randomBytes,
      logger: this.logger,
      reader: this.#reader,
      manager: this.#manager,
      formatVersion: format.version,
      indexVersion: format.indexVersion,
      maxPackSizeBytes: format.maxPackSizeBytes,
      formatCopy: format.enablePasswordChange ? new Uint8Array(0) : encodeFormatCopy(formatBlob),
      username: this.#options.username ?? "dm",
      hostname: this.#options.hostname ?? "localhost",
      parallelUploads: options.parallelUploads ?? (isNearby(this.store) ? 2 : 4),
      verifyBeforeUpload: options.verifyBeforeUpload ?? false,
      flushIntervalMs,
      maxUnflushedEntries: options.maxUnflushedEntries ?? maxUnflushedEntries,
      assertWritable: () => this.#assertWritable(),
    });
    return new WriteSession({
      contents,
      manifests: this.#manifests,
      objectFormat: { splitter: format.splitter, indexVersion: format.indexVersion },
      format,
      clock: this.clock,
      randomBytes: this.randomBytes,
    });
  }

  #assertWritable(): void {
    if (this.readOnly) {
      throw new AccessError("DM_REPOSITORY_READ_ONLY", "the repository is open for reading only");
    }
    assertNotLocked(this.format, this.clock.nowNs(), this.#options.upgradeOwnerId);
  }

  async #assertUnchanged(options: CallOptions): Promise<void> {
    const { format } = await this.#monitor.current(options);
    // What is written by the rules of one index manager, clients of the other do not find.
    if (format.epochParameters.enabled === this.#manager instanceof EpochManager) return;
    throw new ConflictError(
      "DM_FORMAT_CHANGED",
      "the repository was upgraded by another client: open it again",
    );
  }

  /** Closes caches and the store. Flushes nothing: commit sessions before. */
  async close(): Promise<void> {
    const { caches } = this.#options;
    for (const cache of [caches?.data, caches?.metadata, caches?.indexes]) await cache?.close();
    await this.store.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
