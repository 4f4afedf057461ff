/**
 * The smallest repository that has a blob of every kind, and an examination that reads everything it holds. Damage is
 * tried on it bit by bit, so it must be quick to read.
 */
import { type ManualClock, manualClock, utf8Encode } from "@dm/core";
import { type BlobMetadata, type MemoryStore, memoryStore } from "@dm/storage";
import { ContentReader } from "../../src/content/content-reader.ts";
import { encodeSessionMarker } from "../../src/content/session-marker.ts";
import type { ContentId } from "../../src/content-id.ts";
import {
  createRepositoryFormat,
  EpochManager,
  type MaintenanceSchedule,
  openRepository,
  pauseMaintenance,
  Repository,
  readSchedule,
  sealBlob,
  V0Manager,
  verifyRepository,
} from "../../src/index.ts";
import { deleteOrphanPacks } from "../../src/maintenance/delete-orphans.ts";
import { mergeIndexBlobs } from "../../src/maintenance/merge-indexes.ts";
import { safetyParameters } from "../../src/maintenance/safety.ts";
import { readPackIndex } from "../../src/pack/pack-index.ts";
import { quickKey } from "../format-helpers.ts";
import { bytesOf, seededRandomBytes, startNs } from "../new-repository.ts";
import { memoisedDeriveKey } from "../open-golden.ts";

export interface SmallRepository {
  readonly store: MemoryStore;
  readonly clock: ManualClock;
  /** The repository undamaged, its index loaded. */
  readonly repository: Repository;
  readonly truth: Truth;
  /** Blobs that nothing reads any more, or whose bytes say nothing, and why. */
  readonly unread: ReadonlyMap<string, string>;
}

/** Everything that the repository says, in a form that can be compared. */
export interface Truth {
  readonly contents: ReadonlyMap<string, string>;
  readonly objects: ReadonlyMap<string, string>;
  readonly manifests: string;
  readonly schedule: string;
  readonly format: string;
}

export interface SmallRepositorySettings {
  readonly version: 1 | 2 | 3;
  readonly eccOverheadPercent?: number;
}

const password = "password";
const hourMs = 3_600_000;
const sessionId = `s${"5".repeat(16)}123`;
const orphanId = `p${"9".repeat(32)}-${sessionId}`;

/** Real derivation for the real salt; any other salt gives some other key, without the 0.3 s. */
function deriveKeyFor(uniqueId: () => Uint8Array | undefined): typeof memoisedDeriveKey {
  return (text, options) => {
    const real = uniqueId();
    const isReal = !real || Buffer.compare(real, options.salt) === 0;
    const isKnown = options.algorithm === "scrypt-65536-8-1" && options.salt.length >= 16;
    return isReal || !isKnown ? memoisedDeriveKey(text, options) : quickKey(text, options);
  };
}

export async function smallRepository(settings: SmallRepositorySettings): Promise<SmallRepository> {
  const { eccOverheadPercent = 0, version } = settings;
  const clock = manualClock(startNs);
  const store = memoryStore({ clock });
  let uniqueId: Uint8Array | undefined;
  const deriveKey = deriveKeyFor(() => uniqueId);
  const randomBytes = seededRandomBytes(version + eccOverheadPercent);
  const options = { password, clock, deriveKey, username: "u", hostname: "h", randomBytes };
  // Without the manifest that `createRepository` adds, which costs a pack.
  const opened = await createRepositoryFormat(store, {
    ...options,
    format: { version, eccOverheadPercent },
    retention: { mode: "GOVERNANCE", periodMs: 48 * hourMs },
  });
  ({ uniqueId } = opened);
  const repository = new Repository(store, opened, options);
  await using session = await repository.openWriteSession();
  const first = await session.writeObject(bytesOf(60, 1));
  const second = await session.writeObject(bytesOf(70, 2));
  const joined = await session.concatenateObjects([first, second]);
  const text = utf8Encode("a directory ".repeat(20));
  const compressor = version === 1 ? undefined : "zstd-fastest";
  const deleted = await session.writeContent(text, { prefix: "k", compressor });
  const alsoDeleted = await session.writeContent(bytesOf(50, 3));
  session.putManifest({ type: "snapshot", hostname: "h" }, { rootEntry: { obj: joined } });
  await session.flush();
  const unread = new Map<string, string>();
  const superseded = "a compaction stands for it";
  const later = async (change: () => Promise<void>): Promise<void> => {
    clock.advance(1000);
    await change();
    await session.flush();
  };
  const manager = repository.indexManager;
  if (manager instanceof EpochManager) {
    const merge = (blobIds: readonly string[]): Promise<Uint8Array[]> =>
      mergeIndexBlobs(repository, blobIds);
    await manager.advance(1);
    await manager.advance(2);
    await manager.compactOneEpoch(merge);
    await later(() => session.deleteContent(deleted));
    await manager.advance(3);
    await manager.advance(4);
    await manager.writeCompaction("xr0_1_", await merge(await manager.epochBlobs(0)));
    await manager.compactOneEpoch(merge);
    await later(() => session.deleteContent(alsoDeleted));
    await manager.setDeletionWatermark(1000);
    for (const id of store.blobs.keys()) {
      if (id.startsWith("xn0_") || id.startsWith("xn2_")) store.blobs.delete(id);
      if (id.startsWith("xs0_")) unread.set(id, superseded);
      if (/^x[ew]/.test(id)) unread.set(id, "its name says everything");
    }
  } else {
    await later(() => session.deleteContent(deleted));
    const merged = async (): Promise<[readonly BlobMetadata[], Uint8Array[]]> => {
      const inputs = await manager.activeBlobs();
      const ids = inputs.map(({ id }) => id);
      return [inputs, await mergeIndexBlobs(repository, ids, { unique: true })];
    };
    await manager.replace(...(await merged()));
    await later(() => session.deleteContent(alsoDeleted));
    clock.advance(2 * hourMs);
    // A second log moves the store's time on, so that clean-up removes the first one's input and notes that in an `l` blob.
    await manager.replace(...(await merged()));
    await manager.cleanUp();
    const active = new Set((await manager.activeBlobs()).map(({ id }) => id));
    for (const id of store.blobs.keys())
      if (id.startsWith("n") && !active.has(id)) unread.set(id, superseded);
  }
  const marker = encodeSessionMarker({
    id: sessionId,
    startedAtNs: clock.nowNs(),
    checkpointAtNs: clock.nowNs(),
    username: "u",
    hostname: "h",
  });
  const sealed = sealBlob(repository.crypter, marker, "s", sessionId);
  await store.put(sealed.blobId, sealed.data);
  await store.put(orphanId, bytesOf(8, 7));
  unread.set(orphanId, "no index names it");
  const log = "_log_20260101000000_abcd_1_2_0_00";
  await store.put(log, bytesOf(8, 8));
  unread.set(log, "logs are text for people");
  await pauseMaintenance(store, repository.openedFormat, {
    nowNs: clock.nowNs(),
    quickMs: hourMs,
    randomBytes: repository.randomBytes,
  });
  await session.commit();
  const clean = await open({ store, clock, deriveKey });
  const truth = await everything(clean);
  return { store, clock, repository: clean, truth, unread };
}

async function open(options: {
  readonly store: MemoryStore;
  readonly clock: ManualClock;
  readonly deriveKey: typeof memoisedDeriveKey;
}): Promise<Repository> {
  const { store, ...rest } = options;
  return openRepository(store, { password, username: "u", hostname: "h", ...rest });
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

function plain(value: unknown): string {
  return JSON.stringify(value, (_, member: unknown) =>
    typeof member === "bigint"
      ? `${member}n`
      : member instanceof Uint8Array
        ? hex(member)
        : member instanceof Map
          ? [...member]
          : member,
  );
}

export const formatText = (repository: Repository): string => {
  const { blobConfig, format, uniqueId } = repository.openedFormat;
  return plain({ format, blobConfig, uniqueId });
};

export const scheduleText = (schedule: MaintenanceSchedule): string => plain(schedule);

async function everything(repository: Repository): Promise<Truth> {
  const contents = new Map<string, string>();
  const objects = new Map<string, string>();
  for await (const { contentId } of repository.listContents({ includeDeleted: true })) {
    contents.set(contentId, hex(await repository.readContent(contentId)));
    const prefix = contentId.length % 2 === 1 ? contentId[0] : "";
    if (prefix === "x") objects.set(`I${contentId}`, "");
  }
  for (const id of objects.keys()) {
    const object = await repository.openObject(id);
    objects.set(id, hex(await object.read()));
  }
  const report = await verifyRepository(repository);
  if (report.findings.length > 0) throw report.findings[0]!.error;
  return {
    contents,
    objects,
    manifests: plain(await repository.findManifests()),
    schedule: scheduleText(await readSchedule(repository.store, repository.openedFormat)),
    format: formatText(repository),
  };
}

export interface Examination {
  /** Every error and warning that the program gave. */
  readonly complaints: readonly unknown[];
  /** What was read without a complaint and is not what was written. */
  readonly wrong: readonly string[];
}

/** Opens and reads everything there is, going on after each complaint. */
export async function examine(small: SmallRepository, store: MemoryStore): Promise<Examination> {
  const { truth } = small;
  const complaints: unknown[] = [];
  const wrong: string[] = [];
  const attempt = async (what: string, expected: string, read: () => Promise<string>) => {
    try {
      if ((await read()) !== expected) wrong.push(what);
    } catch (error) {
      complaints.push(error);
    }
  };
  const uniqueId = small.repository.uniqueId;
  let repository: Repository;
  try {
    repository = await openRepository(store, {
      password,
      clock: small.clock,
      deriveKey: deriveKeyFor(() => uniqueId),
      username: "u",
      hostname: "h",
      logger: {
        debug: () => {},
        info: () => {},
        error: () => {},
        warn: (_, fields) => {
          complaints.push({ warning: fields });
        },
      },
    });
  } catch (error) {
    return { complaints: [error], wrong };
  }
  if (formatText(repository) !== truth.format) wrong.push("format");
  await attempt("schedule", truth.schedule, async () =>
    scheduleText(await readSchedule(store, repository.openedFormat)),
  );
  try {
    const report = await verifyRepository(repository);
    for (const { error } of report.findings) complaints.push(error);
  } catch (error) {
    // The index does not load: nothing of the rest can be read either.
    return { complaints: [...complaints, error], wrong };
  }
  const listed: string[] = [];
  for await (const { contentId } of repository.listContents({ includeDeleted: true }))
    listed.push(contentId);
  if (listed.join() !== [...truth.contents.keys()].join()) wrong.push("list of contents");
  for (const [id, expected] of truth.contents)
    await attempt(`content ${id}`, expected, async () =>
      hex(await repository.readContent(id as ContentId)),
    );
  for (const [id, expected] of truth.objects)
    await attempt(`object ${id}`, expected, async () => {
      const object = await repository.openObject(id);
      return hex(await object.read());
    });
  await attempt("manifests", truth.manifests, async () => plain(await repository.findManifests()));
  await keepsOrphan(repository, store, wrong);
  if (repository.indexManager instanceof V0Manager) {
    try {
      await repository.indexManager.cleanUp();
    } catch (error) {
      complaints.push(error);
    }
  }
  return { complaints, wrong };
}

/** What one blob can influence, and only that: a tenth of the time of {@link examine}. The blob is put back afterwards. */
export async function examineBlob(
  small: SmallRepository,
  blobId: string,
  bytes: Uint8Array,
): Promise<Examination> {
  const { store } = small;
  const original = store.blobs.get(blobId)!;
  store.blobs.set(blobId, bytes);
  const complaints: unknown[] = [];
  const wrong: string[] = [];
  try {
    if (/^kopia\.(?:repository|blobcfg)/.test(blobId)) await examineFormat(small, wrong);
    else if (blobId === "kopia.maintenance") await examineSchedule(small, wrong);
    else if (blobId.startsWith("s")) return await examine(small, store);
    else if (/^[pq]/.test(blobId) && !small.unread.has(blobId))
      await examinePack(small, blobId, complaints, wrong);
    else await examineIndexes(small, blobId, wrong);
  } catch (error) {
    complaints.push(error);
  } finally {
    store.blobs.set(blobId, original);
  }
  return { complaints, wrong };
}

async function examineFormat(small: SmallRepository, wrong: string[]): Promise<void> {
  const { clock, repository, store, truth } = small;
  const deriveKey = deriveKeyFor(() => repository.uniqueId);
  const opened = await open({ store, clock, deriveKey });
  if (formatText(opened) !== truth.format) wrong.push("format");
}

async function examineSchedule(small: SmallRepository, wrong: string[]): Promise<void> {
  const { repository, store, truth } = small;
  const schedule = await readSchedule(store, repository.openedFormat);
  if (scheduleText(schedule) !== truth.schedule) wrong.push("schedule");
}

async function examinePack(
  small: SmallRepository,
  blobId: string,
  complaints: unknown[],
  wrong: string[],
): Promise<void> {
  const { repository, store, truth } = small;
  const { index } = repository.contentReader;
  // A reader of its own: what another one has in memory says nothing of the store.
  const reader = new ContentReader({ store, crypter: repository.crypter, index });
  for (const [contentId, expected] of truth.contents) {
    const entry = index.current!.find(contentId as ContentId)!;
    if (entry.packBlobId !== blobId) continue;
    try {
      if (hex(await reader.readEntry(entry)) !== expected) wrong.push(contentId);
    } catch (error) {
      complaints.push(error);
    }
  }
  await readPackIndex(store, repository.crypter, blobId);
}

async function examineIndexes(
  small: SmallRepository,
  blobId: string,
  wrong: string[],
): Promise<void> {
  const { clock, repository, store } = small;
  const fresh = new Repository(store, repository.openedFormat, { clock });
  const entriesOf = async (from: Repository): Promise<string> => {
    const entries: unknown[] = [];
    for await (const entry of from.listContents({ includeDeleted: true })) entries.push(entry);
    return plain(entries);
  };
  if ((await entriesOf(fresh)) !== (await entriesOf(repository))) wrong.push("index entries");
  if (blobId.startsWith("l") && fresh.indexManager instanceof V0Manager)
    await fresh.indexManager.cleanUp();
}

/** The marker of its session protects a pack; damage to the marker must not end that. */
async function keepsOrphan(
  repository: Repository,
  store: MemoryStore,
  wrong: string[],
): Promise<void> {
  const startedAtNs = repository.clock.nowNs() + 30n * 3_600_000_000_000n;
  const { full } = safetyParameters;
  await deleteOrphanPacks(repository, { prefixes: ["p"], startedAtNs, safety: full });
  if (!store.blobs.has(orphanId)) wrong.push("a pack of a session under way was deleted");
}
