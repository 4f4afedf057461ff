/**
 * What Kopia's providers with directories have in common: blobs as files, spread over directories as `.shards` says. The
 * medium behind (a disk, SFTP, WebDAV) is a {@link FileTree}.
 * Format: docs/format/blobs.md. Proof: test/contract.test.ts, test/filesystem.test.ts, test/filesystem-calls.test.ts.
 * @module
 */
import { isDmError, type Logger } from "@dm/core";
import { checkBlobId, isBlobId } from "./blob-id.ts";
import type {
  BlobMetadata,
  BlobStore,
  BlobStoreFeatures,
  CallOptions,
  Capacity,
} from "./blob-store.ts";
import { raced } from "./raced.ts";
import { type Repeat, type RetryOptions, repeating, retrying } from "./retrying.ts";
import {
  blobSuffix,
  decodeSharding,
  encodeSharding,
  type Sharding,
  shardingFile,
  shardingFor,
  shardPath,
} from "./sharding.ts";
import {
  blobExists,
  blobNotFound,
  checkPutOptions,
  optionUnsupported,
  rangeInvalid,
} from "./store-errors.ts";

/** Names below the root: directories, then the file. Empty for the root itself. */
export type TreePath = readonly string[];

export interface FileFacts {
  readonly length: number;
  readonly timestampNs: bigint;
}

export interface TreeEntry {
  readonly name: string;
  readonly isDirectory: boolean;
  /** What the listing told about a file; where it tells nothing, {@link FileTree.stat} is asked. */
  readonly facts?: FileFacts | undefined;
}

export interface TreeReadOptions extends CallOptions {
  readonly offset: number;
  /** To the end by default; never 0. */
  readonly length: number | undefined;
  /** The error for a range that the file does not have; its length where it is known. */
  readonly rangeError: (offset: number, length: number, fileLength?: number) => Error;
}

export interface TreeWriteOptions extends CallOptions {
  readonly ifAbsent?: boolean | undefined;
  readonly timestampNs?: bigint | undefined;
}

/**
 * Files below one root. Failures are errors of this project, also `DM_STORE_NOT_FOUND` when the root itself is not
 * there: only while it is, is "no such file" an answer (undefined), and an unmounted volume no empty repository.
 */
export interface FileTree {
  /** Makes the root and what is missing above it. */
  makeRoot(call: CallOptions): Promise<void>;
  /** The bytes are the caller's. */
  read(path: TreePath, options: TreeReadOptions): Promise<Uint8Array | undefined>;
  /** Creates or replaces, whole or not at all, with the directories on the way. False when it is there, under `ifAbsent`. */
  write(path: TreePath, data: Uint8Array, options: TreeWriteOptions): Promise<boolean>;
  /** Nothing to remove is success. */
  remove(path: TreePath, call: CallOptions): Promise<void>;
  /** Undefined also for what is no file. */
  stat(path: TreePath, call: CallOptions): Promise<FileFacts | undefined>;
  /** Undefined for a directory that is not there; never for the root. */
  list(path: TreePath, call: CallOptions): Promise<readonly TreeEntry[] | undefined>;
  capacity(call: CallOptions): Promise<Capacity | undefined>;
  close(): Promise<void>;
}

/** The part of Kopia's connection JSON that all these types share. */
export interface ShardedConfig {
  /** Used when the root has no `.shards` yet; `[1, 3]` when creating and `[3, 3]` when connecting by default. */
  readonly dirShards?: readonly number[] | null | undefined;
  /** Directories that a list reads at once; the default is the type's. */
  readonly listParallelism?: number | undefined;
}

/** What the stores whose directory is on another machine have in common. */
export interface RemoteStoreOptions {
  /** Makes the root directory, and decides the default of `dirShards`. */
  readonly create?: boolean | undefined;
  /** Longest silence while an answer is due; 60,000 by default, with rclone, which waits for its backend meanwhile, 300,000. */
  readonly timeoutMs?: number | undefined;
  /** Longest blob that is read; 1 GiB by default. */
  readonly maxBlobBytes?: number | undefined;
  /** Ten calls in all by default; the store repeats by itself. */
  readonly retries?: RetryOptions | undefined;
  /** Hears at `debug` of what is tried again; silent by default. */
  readonly logger?: Logger | undefined;
}

export interface ShardedStoreOptions extends ShardedConfig {
  readonly type: string;
  readonly displayName: string;
  readonly features: BlobStoreFeatures;
  /** Where errors say that `.shards` is. */
  readonly root: string;
  /** Makes the root directory, and decides the default of `dirShards`. */
  readonly create?: boolean | undefined;
  readonly retries: RetryOptions;
}

/**
 * Files of a listed directory that are asked for their length and time together. Whole directories and 16 at once: 10,000
 * blobs in 4096 directories take 0.2 to 0.6 s; entry by entry 0.9 to 4 s (Node 26, 2 busy cores).
 */
const statsAtOnce = 16;

/**
 * A blob store on a file tree. What passes by itself is tried again as `retries` says.
 * @throws {RangeError} when `dirShards` holds anything but positive integers
 */
export function shardedStore(tree: FileTree, options: ShardedStoreOptions): BlobStore {
  const repeat = repeating(options.retries);
  const store = plainStore(tree, options, repeat);
  // The list repeats by itself, one directory at a time: what it gave out need not be remembered.
  return { ...retrying(store, options.retries), list: store.list };
}

/** {@link shardedStore} as a connection and the options of its caller have it. */
export function remoteStore(
  tree: FileTree,
  store: Pick<ShardedStoreOptions, "type" | "displayName" | "features" | "root">,
  { dirShards, listParallelism }: ShardedConfig,
  { create, logger, retries }: RemoteStoreOptions,
): BlobStore {
  return shardedStore(tree, {
    ...store,
    create,
    dirShards,
    listParallelism: listParallelism || 8,
    retries: { attempts: 10, logger, ...retries },
  });
}

/** Of {@link RemoteStoreOptions}. */
export const defaultMaxBlobBytes = 1 << 30;

function plainStore(tree: FileTree, options: ShardedStoreOptions, repeat: Repeat): BlobStore {
  const { create = false, features, listParallelism, type } = options;
  const chosen = shardingFor(options.dirShards ?? (create ? [1, 3] : [3, 3]));
  const directoriesAtOnce = Math.max(1, listParallelism || 1);

  // Shared by calls that may be aborted one by one, so they carry no signal of any of them.
  let found: Promise<Sharding | undefined> | undefined;
  let written: Promise<Sharding> | undefined;
  /** What `.shards` says. That there is none is not remembered: another client may write it at any time. */
  const findSharding = (): Promise<Sharding | undefined> => {
    const forget = (): undefined => {
      found = undefined;
    };
    found ??= readSharding().then(
      (sharding) => sharding ?? forget(),
      (error: unknown) => {
        forget();
        throw error;
      },
    );
    return found;
  };
  /** Only a put writes `.shards`: who looks at a place leaves nothing there. */
  const shardingForPut = async (): Promise<Sharding> => {
    const sharding = await findSharding();
    if (sharding) return sharding;
    written ??= writeSharding().finally(() => {
      written = undefined;
    });
    const now = await written;
    found ??= Promise.resolve(now);
    return now;
  };
  const shardingForReading = async (): Promise<Sharding> => (await findSharding()) ?? chosen;

  async function readShardsFile(): Promise<Sharding | undefined> {
    const path = `${options.root.replace(/\/$/, "")}/${shardingFile}`;
    const rangeError = (): Error => blobNotFound(shardingFile);
    const bytes = await tree.read([shardingFile], { offset: 0, length: undefined, rangeError });
    return bytes && decodeSharding(new TextDecoder().decode(bytes), path);
  }

  async function readSharding(): Promise<Sharding | undefined> {
    if (create) await tree.makeRoot({});
    return readShardsFile();
  }

  async function writeSharding(): Promise<Sharding> {
    const text = new TextEncoder().encode(encodeSharding(chosen));
    try {
      // Two clients that start together must not spread blobs in two ways.
      const ifAbsent = features.ifAbsent;
      if (await tree.write([shardingFile], text, { ifAbsent })) return chosen;
      return (await readShardsFile()) ?? chosen;
    } catch (error) {
      if (isDmError(error, "DM_STORE_OPTION_UNSUPPORTED"))
        await tree.write([shardingFile], text, {});
      // Kopia's defaults hold without the file; a medium that refuses it takes no blobs either.
      else if (!isDmError(error, "DM_STORE_ACCESS_DENIED")) throw error;
    }
    return chosen;
  }

  function checkCall(id: string, signal: AbortSignal | undefined): void {
    signal?.throwIfAborted();
    checkBlobId(id);
  }

  async function pathOf(id: string, signal: AbortSignal | undefined): Promise<TreePath> {
    checkCall(id, signal);
    return shardPath(id, await raced(shardingForReading(), signal));
  }

  interface Directory {
    readonly path: TreePath;
    /** The beginning that all ids in it have in common. */
    readonly idPrefix: string;
  }

  async function* walk(
    wanted: string,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<BlobMetadata> {
    const read = (directory: Directory) => ({
      directory,
      entries: repeat(signal, () => tree.list(directory.path, { signal })),
    });
    // A stack, so that what waits is the siblings along one path and not a whole level.
    const waiting: Directory[] = [{ path: [], idPrefix: "" }];
    const reading: Array<ReturnType<typeof read>> = [];
    for (;;) {
      while (reading.length < directoriesAtOnce && waiting.length > 0) {
        const started = read(waiting.pop()!);
        // Its failure counts when its turn comes; when the list is left before, it does not.
        started.entries.catch(() => undefined);
        reading.push(started);
      }
      const next = reading.shift();
      if (!next) return;
      const { idPrefix, path } = next.directory;
      // A shard directory that vanished while its parent was read held nothing.
      const entries = (await next.entries) ?? [];
      for (const { isDirectory, name } of entries) {
        const below = idPrefix + name;
        // Not lost+found, .snapshot or @eaDir, which may not even be readable: nothing below them can be a blob.
        if (!isDirectory || !isBlobId(below)) continue;
        if (below.startsWith(wanted) || wanted.startsWith(below)) {
          waiting.push({ path: [...path, name], idPrefix: below });
        }
      }
      const describe = async ({
        facts,
        isDirectory,
        name,
      }: TreeEntry): Promise<BlobMetadata | undefined> => {
        if (isDirectory || !name.endsWith(blobSuffix)) return undefined;
        const id = idPrefix + name.slice(0, -blobSuffix.length);
        if (!id.startsWith(wanted) || !isBlobId(id)) return undefined;
        const found = facts ?? (await tree.stat([...path, name], { signal }));
        return found && { id, length: found.length, timestampNs: found.timestampNs };
      };
      for (let at = 0; at < entries.length; at += statsAtOnce) {
        const group = entries.slice(at, at + statsAtOnce);
        for (const blob of await repeat(signal, () => Promise.all(group.map(describe)))) {
          signal?.throwIfAborted();
          if (blob) yield blob;
        }
      }
    }
  }

  return {
    type,
    displayName: options.displayName,
    features,
    readOnly: false,

    async get(id, { offset = 0, length, signal } = {}) {
      const path = await pathOf(id, signal);
      const rangeError = (from: number, wanted: number, has?: number): Error =>
        rangeInvalid(id, from, wanted, has);
      if (!isCount(offset) || (length !== undefined && !isCount(length))) {
        throw rangeError(offset, length ?? 0);
      }
      if (length === 0) {
        if (await tree.stat(path, { signal })) return new Uint8Array(0);
        throw blobNotFound(id);
      }
      const bytes = await tree.read(path, { offset, length, rangeError, signal });
      if (!bytes) throw blobNotFound(id);
      return bytes;
    },

    async put(id, data, call = {}) {
      checkCall(id, call.signal);
      checkPutOptions(type, features, call);
      const path = shardPath(id, await raced(shardingForPut(), call.signal));
      const { ifAbsent, signal, timestampNs } = call;
      if (!(await tree.write(path, data, { ifAbsent, signal, timestampNs }))) throw blobExists(id);
    },

    async delete(id, { signal } = {}) {
      await tree.remove(await pathOf(id, signal), { signal });
    },

    async *list(prefix, { signal } = {}) {
      signal?.throwIfAborted();
      await repeat(signal, () => raced(shardingForReading(), signal));
      yield* walk(prefix, signal);
    },

    async stat(id, { signal } = {}) {
      const facts = await tree.stat(await pathOf(id, signal), { signal });
      if (!facts) throw blobNotFound(id);
      return { id, length: facts.length, timestampNs: facts.timestampNs };
    },

    async extendRetention(_id, _retention, { signal } = {}) {
      signal?.throwIfAborted();
      throw optionUnsupported(type, "retention");
    },

    async capacity({ signal } = {}) {
      signal?.throwIfAborted();
      // The root must be there.
      if (create) await findSharding();
      return tree.capacity({ signal });
    },

    close: () => tree.close(),
  };
}

const isCount = (value: number): boolean => Number.isSafeInteger(value) && value >= 0;
