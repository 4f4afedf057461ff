/** A repository in memory to write made-up trees into: quick to open. */
import { createRepository, openRepository, type Repository, type WriteSession } from "@dm/repo";
import { type MemoryStore, memoryStore } from "@dm/storage";
import {
  type DirectoryEntry,
  encodeSnapshotManifest,
  type Snapshot,
  snapshotLabels,
} from "../src/index.ts";
import { directoryBytes, entryOf } from "./made-up.ts";

export const deriveKey = async (): Promise<Uint8Array> => new Uint8Array(32).fill(9);

export async function newRepository(): Promise<{ store: MemoryStore; repository: Repository }> {
  const store = memoryStore();
  await createRepository(store, { password: "p", deriveKey });
  return { store, repository: await openRepository(store, { password: "p", deriveKey }) };
}

export async function fileIn(
  session: WriteSession,
  name: string,
  bytes: Uint8Array,
): Promise<DirectoryEntry> {
  const objectId = await session.writeObject(bytes);
  return entryOf({ name, sizeBytes: bytes.length, objectId });
}

export async function directoryIn(
  session: WriteSession,
  name: string,
  entries: readonly DirectoryEntry[],
): Promise<DirectoryEntry> {
  const objectId = await session.writeObject(directoryBytes(entries), { prefix: "k" });
  return entryOf({ name, type: "d", mode: 0o755, objectId });
}

export async function snapshotIn(
  session: WriteSession,
  rootEntry: DirectoryEntry | undefined,
  change: Partial<Snapshot> = {},
): Promise<Snapshot> {
  const snapshot: Snapshot = {
    id: "",
    source: { host: "h", userName: "u", path: "/p" },
    description: "",
    startedAtNs: 1_700_000_000_000_000_000n,
    endedAtNs: 1_700_000_001_000_000_000n,
    stats: {
      totalSize: 0,
      excludedTotalSize: 0,
      fileCount: 0,
      cachedFiles: 0,
      nonCachedFiles: 0,
      dirCount: 0,
      excludedFileCount: 0,
      excludedDirCount: 0,
      ignoredErrorCount: 0,
      errorCount: 0,
    },
    ...(rootEntry && { rootEntry }),
    tags: {},
    pins: [],
    ...change,
  };
  const id = await session.putManifest(
    snapshotLabels(snapshot.source, snapshot.tags),
    JSON.parse(encodeSnapshotManifest(snapshot)),
  );
  return { ...snapshot, id };
}
