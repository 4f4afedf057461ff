/**
 * The storage system behind the CSI driver: volumes and volume snapshots as folders, each with a record beside its bytes. What
 * was half made when the process died is taken away at the next opening; all else survives.
 * Proof: test/csi/volume-store.test.ts.
 * @module
 */
import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ConflictError, NotFoundError, UnsupportedError } from "@dm/core";
import type { ContentKind, VolumeContent } from "./volume-content.ts";

export interface VolumeRecord {
  readonly handle: string;
  /** What the caller named it: the same name again gives the same volume. */
  readonly name: string;
  readonly kind: ContentKind;
  readonly sizeBytes: number;
  /** Handle of the volume snapshot or volume that it began as a copy of. */
  readonly source?: string | undefined;
  readonly createdAtMs: number;
  /** The volume is larger than its file system, which grows when it is staged next. */
  readonly growsWhenStaged?: boolean | undefined;
}

export interface VolumeSnapshotRecord {
  readonly handle: string;
  readonly name: string;
  readonly kind: ContentKind;
  readonly sizeBytes: number;
  readonly volumeHandle: string;
  readonly createdAtMs: number;
}

export interface NewVolume {
  readonly name: string;
  readonly kind: ContentKind;
  readonly sizeBytes: number;
  /** Handle of a volume snapshot or of another volume. */
  readonly source?: string | undefined;
  readonly createdAtMs: number;
}

type Place = "volumes" | "snapshots";

export class VolumeStore {
  readonly #root: string;
  readonly #contents: Readonly<Record<ContentKind, VolumeContent>>;
  readonly #volumes = new Map<string, VolumeRecord>();
  readonly #snapshots = new Map<string, VolumeSnapshotRecord>();

  private constructor(root: string, contents: Readonly<Record<ContentKind, VolumeContent>>) {
    this.#root = root;
    this.#contents = contents;
  }

  static async open(
    root: string,
    contents: Readonly<Record<ContentKind, VolumeContent>>,
  ): Promise<VolumeStore> {
    const store = new VolumeStore(root, contents);
    await store.#load("volumes", store.#volumes);
    await store.#load("snapshots", store.#snapshots);
    return store;
  }

  volumes(): VolumeRecord[] {
    return [...this.#volumes.values()];
  }

  snapshots(): VolumeSnapshotRecord[] {
    return [...this.#snapshots.values()];
  }

  /** @throws {NotFoundError} `DM_CSI_VOLUME_NOT_FOUND` */
  volume(handle: string): VolumeRecord {
    const record = this.#volumes.get(handle);
    if (record) return record;
    throw new NotFoundError("DM_CSI_VOLUME_NOT_FOUND", `volume ${handle} does not exist`, {
      handle,
    });
  }

  /** @throws {NotFoundError} `DM_CSI_SNAPSHOT_NOT_FOUND` */
  snapshot(handle: string): VolumeSnapshotRecord {
    const record = this.#snapshots.get(handle);
    if (record) return record;
    throw new NotFoundError(
      "DM_CSI_SNAPSHOT_NOT_FOUND",
      `volume snapshot ${handle} does not exist`,
      {
        handle,
      },
    );
  }

  content(record: { readonly kind: ContentKind }): VolumeContent {
    return this.#contents[record.kind];
  }

  folderOf(volume: VolumeRecord): string {
    return join(this.#root, "volumes", volume.handle);
  }

  /**
   * Answers with the volume of that name when there is one.
   * @throws {UnsupportedError} `DM_CSI_SOURCE_UNSUITABLE` when the source is larger, or of another kind
   */
  async createVolume(wanted: NewVolume): Promise<VolumeRecord> {
    const handle = handleOf("vol", wanted.name);
    const existing = this.#volumes.get(handle);
    if (existing) return existing;
    const { source, ...rest } = wanted;
    const content = this.#contents[wanted.kind];
    const sizeBytes = Math.max(wanted.sizeBytes, content.leastBytes);
    const record: VolumeRecord = { handle, ...rest, sizeBytes };
    if (source === undefined) {
      await this.#make("volumes", record, (folder) => content.create(folder, sizeBytes));
    } else {
      const { from, sourceRecord } = this.#source(source);
      if (sourceRecord.kind !== wanted.kind || sourceRecord.sizeBytes > sizeBytes)
        throw new UnsupportedError(
          "DM_CSI_SOURCE_UNSUITABLE",
          `a volume of ${sizeBytes} bytes (${wanted.kind}) cannot be made from ${source} of ${sourceRecord.sizeBytes} bytes (${sourceRecord.kind})`,
          { source },
        );
      const isLarger = sizeBytes > sourceRecord.sizeBytes;
      const copied = { ...record, source, ...(isLarger ? { growsWhenStaged: true } : {}) };
      await this.#make("volumes", copied, async (folder) => {
        await content.copy(from, folder);
        if (isLarger) await content.expand(folder, sizeBytes);
      });
    }
    return this.volume(handle);
  }

  /** Does nothing when there is none. It must not be staged. */
  async deleteVolume(handle: string): Promise<void> {
    await this.#remove("volumes", handle);
    this.#volumes.delete(handle);
  }

  /** @throws {NotFoundError} `DM_CSI_VOLUME_NOT_FOUND` */
  async expandVolume(handle: string, sizeBytes: number): Promise<VolumeRecord> {
    const volume = this.volume(handle);
    if (volume.sizeBytes >= sizeBytes) return volume;
    const isDone = await this.content(volume).expand(this.folderOf(volume), sizeBytes);
    return this.#replace({ ...volume, sizeBytes, growsWhenStaged: !isDone });
  }

  /** Makes the volume usable, and notes that its file system fills it. */
  async stage(handle: string): Promise<string> {
    const volume = this.volume(handle);
    const path = await this.content(volume).stage(this.folderOf(volume));
    if (volume.growsWhenStaged) await this.#replace({ ...volume, growsWhenStaged: false });
    return path;
  }

  /** False when somebody has it open. */
  async unstage(handle: string): Promise<boolean> {
    const volume = this.#volumes.get(handle);
    return !volume || (await this.content(volume).unstage(this.folderOf(volume)));
  }

  /** Copies a volume that nobody writes to. Answers with the snapshot of that name when there is one. */
  async createSnapshot(wanted: {
    readonly name: string;
    readonly volumeHandle: string;
    readonly createdAtMs: number;
  }): Promise<VolumeSnapshotRecord> {
    const handle = handleOf("snap", wanted.name);
    const existing = this.#snapshots.get(handle);
    if (existing) {
      if (existing.volumeHandle === wanted.volumeHandle) return existing;
      throw new ConflictError(
        "DM_CSI_SNAPSHOT_EXISTS",
        `volume snapshot ${wanted.name} is one of ${existing.volumeHandle}, not of ${wanted.volumeHandle}`,
      );
    }
    const volume = this.volume(wanted.volumeHandle);
    const { kind, sizeBytes } = volume;
    const content = this.content(volume);
    await this.#make("snapshots", { handle, ...wanted, kind, sizeBytes }, async (folder) => {
      const release = await content.quiesce(this.folderOf(volume));
      try {
        await content.copy(this.folderOf(volume), folder);
      } finally {
        await release();
      }
    });
    return this.snapshot(handle);
  }

  /** Does nothing when there is none. */
  async deleteSnapshot(handle: string): Promise<void> {
    await this.#remove("snapshots", handle);
    this.#snapshots.delete(handle);
  }

  #source(handle: string): { from: string; sourceRecord: VolumeRecord | VolumeSnapshotRecord } {
    const snapshot = this.#snapshots.get(handle);
    if (snapshot) return { from: join(this.#root, "snapshots", handle), sourceRecord: snapshot };
    const volume = this.#volumes.get(handle);
    if (volume) return { from: this.folderOf(volume), sourceRecord: volume };
    throw new NotFoundError("DM_CSI_SNAPSHOT_NOT_FOUND", `${handle} does not exist`, { handle });
  }

  /** Under another name until it is whole: a folder with its final name is complete. */
  async #make(
    place: Place,
    record: VolumeRecord | VolumeSnapshotRecord,
    fill: (folder: string) => Promise<void>,
  ): Promise<void> {
    const draft = join(this.#root, place, `draft-${record.handle}`);
    await rm(draft, { recursive: true, force: true });
    await mkdir(draft, { recursive: true });
    try {
      await fill(draft);
      await writeFile(join(draft, "record.json"), JSON.stringify(record));
      await rename(draft, join(this.#root, place, record.handle));
    } catch (error) {
      await rm(draft, { recursive: true, force: true });
      throw error;
    }
    if (place === "volumes") this.#volumes.set(record.handle, record as VolumeRecord);
    else this.#snapshots.set(record.handle, record as VolumeSnapshotRecord);
  }

  async #replace(volume: VolumeRecord): Promise<VolumeRecord> {
    const path = join(this.folderOf(volume), "record.json");
    await writeFile(`${path}.new`, JSON.stringify(volume));
    await rename(`${path}.new`, path);
    this.#volumes.set(volume.handle, volume);
    return volume;
  }

  async #remove(place: Place, handle: string): Promise<void> {
    const draft = join(this.#root, place, `draft-${handle}`);
    try {
      // One step, so that half a volume never looks like one.
      await rename(join(this.#root, place, handle), draft);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    }
    await rm(draft, { recursive: true, force: true });
  }

  async #load<Value extends { readonly handle: string }>(
    place: Place,
    records: Map<string, Value>,
  ): Promise<void> {
    const folder = join(this.#root, place);
    await mkdir(folder, { recursive: true });
    for (const name of await readdir(folder)) {
      if (name.startsWith("draft-")) await rm(join(folder, name), { recursive: true, force: true });
      else {
        const record: Value = JSON.parse(await readFile(join(folder, name, "record.json"), "utf8"));
        records.set(record.handle, record);
      }
    }
  }
}

/** Told by the name alone, so that a call that is repeated after a crash finds what the first one made. */
function handleOf(prefix: string, name: string): string {
  return `${prefix}-${createHash("sha256").update(name).digest("hex").slice(0, 24)}`;
}
