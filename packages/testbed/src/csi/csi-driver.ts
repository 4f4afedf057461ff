/**
 * The CSI driver of the embedded cluster: what the provisioner and the snapshotter ask of storage, and, for kubelets, volumes
 * that appear under pods' directories. Mounts and loop devices that a killed process left are taken away when the driver opens.
 * Proof: test/csi/csi-driver.test.ts, test/csi/csi-driver.root.test.ts.
 * @module
 */
import { createHash } from "node:crypto";
import {
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  rmdir,
  statfs,
  symlink,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Clock, ConflictError, Semaphore, StorageError } from "@dm/core";
import { nowMs } from "../controllers/timestamp.ts";
import type {
  PublishedVolume,
  PublishRequest,
  VolumeDriver,
  VolumeTarget,
  VolumeWriters,
} from "../kubelet/volume-driver.ts";
import { abandonedRoots, noteOwner } from "./abandoned.ts";
import { command } from "./command.ts";
import { CsiFaults, PendingError, relabelError } from "./faults.ts";
import {
  detachLoopDevice,
  isDeviceOpen,
  isMounted,
  loopDevicesUnder,
  unmountAll,
} from "./loop-device.ts";
import { type ContentKind, contentKinds, createContents } from "./volume-content.ts";
import {
  type NewVolume,
  type VolumeRecord,
  type VolumeSnapshotRecord,
  VolumeStore,
} from "./volume-store.ts";

export interface CsiDriverOptions {
  readonly clock: Clock;
  /** Where volumes live, and live on. Default: a new folder that goes when the driver is closed. */
  readonly directory?: string | undefined;
  /** As StorageClasses name it in `provisioner`. Default `csi.testbed.dm`. */
  readonly name?: string | undefined;
  /** Whether to use mounts and loop devices. Default: when this is root on Linux. */
  readonly canMount?: boolean | undefined;
}

/** A fault was switched off, or a volume was put under a pod or taken away (it may have grown then). */
export type CsiChange = "faults" | "publications";

export const defaultDriverName = "csi.testbed.dm";

/** XFS gives out no block any more when a few are left (5 of 4 KiB, as measured): they are set aside for its trees. */
const fullXfsBlocks = 16;

/** A volume under one pod's directory, as noted before it is put there. */
interface Publication {
  readonly target: VolumeTarget;
  readonly handle: string;
  /** Of the claim, `namespace/name`. */
  readonly subject: string;
  readonly readOnly: boolean;
}

export class CsiDriver implements VolumeDriver, AsyncDisposable {
  readonly name: string;
  readonly canMount: boolean;
  readonly faults: CsiFaults;
  readonly #clock: Clock;
  readonly #root: string;
  readonly #isTemporary: boolean;
  readonly #store: VolumeStore;
  readonly #publications = new Map<string, Publication>();
  readonly #locks = new Map<string, { readonly places: Semaphore; users: number }>();
  readonly #listeners = new Set<(what: CsiChange) => void>();
  #writers: VolumeWriters | undefined;

  private constructor(
    options: CsiDriverOptions,
    facts: { root: string; isTemporary: boolean; canMount: boolean; store: VolumeStore },
  ) {
    this.name = options.name ?? defaultDriverName;
    this.#clock = options.clock;
    this.canMount = facts.canMount;
    this.#root = facts.root;
    this.#isTemporary = facts.isTemporary;
    this.#store = facts.store;
    this.faults = new CsiFaults(options.clock, () => this.#tell("faults"));
  }

  static async open(options: CsiDriverOptions): Promise<CsiDriver> {
    const isTemporary = options.directory === undefined;
    const root = options.directory ?? (await mkdtemp(join(tmpdir(), "dm-csi-")));
    await mkdir(join(root, "published"), { recursive: true });
    const canMount = options.canMount ?? (process.platform === "linux" && process.getuid?.() === 0);
    const store = await VolumeStore.open(root, createContents({ canMount }));
    const driver = new CsiDriver(options, { root, isTemporary, canMount, store });
    if (canMount) {
      await noteOwner(root);
      await clearAbandoned(options.clock);
    }
    await driver.#loadPublications();
    await driver.#takeAllAway();
    return driver;
  }

  /** Whom to ask to hold still those who write to a volume while it is copied: the kubelets. */
  useWriters(writers: VolumeWriters): void {
    this.#writers = writers;
  }

  /** Every volume that the storage has, for tests that nothing is left behind. */
  volumes(): VolumeRecord[] {
    return this.#store.volumes();
  }

  /** Every volume snapshot that the storage has. */
  snapshots(): VolumeSnapshotRecord[] {
    return this.#store.snapshots();
  }

  /** Volumes under pods' directories now. */
  publications(): VolumeTarget[] {
    return [...this.#publications.values()].map(({ target }) => target);
  }

  /** Calls when something may go on that waited. Returns the end. */
  onChange(listener: (what: CsiChange) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** What each kind of volume promises, for people. */
  describe(): string {
    const usable = contentKinds.filter((kind) => this.#isUsable(kind));
    const lines = usable.map((kind) => `${kind}: ${this.#store.content({ kind }).description}.`);
    const missing = contentKinds.filter((kind) => !this.#isUsable(kind));
    if (missing.length > 0) lines.push(`${missing.join(", ")}: need root on Linux.`);
    return lines.join("\n");
  }

  /** The bytes of a Filesystem or Block volume of a StorageClass. */
  kindFor(volumeMode: string, parameters: Readonly<Record<string, string>>): ContentKind {
    if (volumeMode === "Block") return "raw";
    const wanted = parameters["backing"] ?? parameters["csi.storage.k8s.io/fstype"] ?? "directory";
    const kind = contentKinds.find((each) => each === wanted && each !== "raw");
    if (kind !== undefined && this.#isUsable(kind)) return kind;
    throw new StorageError(
      "DM_CSI_FILE_SYSTEM_UNSUPPORTED",
      `rpc error: code = InvalidArgument desc = no ${wanted} volumes here; there are: ` +
        contentKinds.filter((each) => each !== "raw" && this.#isUsable(each)).join(", "),
    );
  }

  /** @param subject the claim, `namespace/name` */
  async createVolume(
    subject: string,
    wanted: Omit<NewVolume, "createdAtMs">,
  ): Promise<VolumeRecord> {
    this.faults.check("createVolume", subject);
    const create = (): Promise<VolumeRecord> =>
      this.#locked(wanted.name, () =>
        this.#store.createVolume({ ...wanted, createdAtMs: nowMs(this.#clock) }),
      );
    const { source } = wanted;
    if (source === undefined) return create();
    // A clone's origin is held still as for a volume snapshot; nobody writes to volume snapshots.
    return this.#locked(source, () => this.#frozen(source, create));
  }

  /** @throws {ConflictError} `DM_CSI_VOLUME_IN_USE` while a pod has it */
  async deleteVolume(subject: string, handle: string): Promise<void> {
    this.faults.check("deleteVolume", subject);
    await this.#locked(handle, async () => {
      const isPublished = this.#publicationsOf(handle).length > 0;
      if (isPublished || !(await this.#store.unstage(handle)))
        throw new ConflictError(
          "DM_CSI_VOLUME_IN_USE",
          `rpc error: code = FailedPrecondition desc = volume ${handle} is in use`,
          { handle },
        );
      await this.#store.deleteVolume(handle);
    });
  }

  async expandVolume(subject: string, handle: string, sizeBytes: number): Promise<VolumeRecord> {
    this.faults.check("expandVolume", subject);
    return this.#locked(handle, () => this.#store.expandVolume(handle, sizeBytes));
  }

  /** @param subject the VolumeSnapshot, `namespace/name` */
  async createSnapshot(
    subject: string,
    wanted: { readonly name: string; readonly volumeHandle: string },
  ): Promise<VolumeSnapshotRecord> {
    this.faults.check("createSnapshot", subject);
    const { volumeHandle } = wanted;
    return this.#locked(volumeHandle, () =>
      this.#frozen(volumeHandle, () =>
        this.#store.createSnapshot({ ...wanted, createdAtMs: nowMs(this.#clock) }),
      ),
    );
  }

  /** @throws {NotFoundError} `DM_CSI_SNAPSHOT_NOT_FOUND` */
  snapshot(handle: string): VolumeSnapshotRecord {
    return this.#store.snapshot(handle);
  }

  async deleteSnapshot(subject: string, handle: string): Promise<void> {
    this.faults.check("deleteSnapshot", subject);
    await this.#locked(handle, () => this.#store.deleteSnapshot(handle));
  }

  async publish(
    request: PublishRequest,
    options: { readonly signal?: AbortSignal | undefined } = {},
  ): Promise<PublishedVolume> {
    const { claim, pod, volume, targetPath, volumeName, podUid, nodeName, volumeMode } = request;
    const subject = `${claim.metadata.namespace}/${claim.metadata.name}`;
    const handle: string = volume.spec.csi.volumeHandle;
    if (this.faults.isOn("attach", subject))
      throw new StorageError(
        "DM_CSI_FAULT",
        `volume attachment of ${volumeName} to ${nodeName} is not attached`,
        { operation: "attach", subject },
        { retryable: true },
      );
    await this.#passGate("publish", subject, options.signal);
    return this.#locked(handle, async () => {
      options.signal?.throwIfAborted();
      this.#refuseSecondNode(request, handle);
      const target: VolumeTarget = { volumeName, podUid, nodeName, volumeMode, targetPath };
      const { readOnly } = request;
      const publication: Publication = { target, handle, subject, readOnly };
      const isNew = !this.#publications.has(targetPath);
      await this.#note(publication);
      try {
        const staged = await this.#store.stage(handle);
        this.#tell("publications");
        const isLabelled = pod.spec.securityContext?.seLinuxOptions?.type !== "spc_t";
        if (volumeMode === "Filesystem" && isLabelled)
          await this.#refuseFullVolume(publication, staged, subject);
        return { path: await this.#putAt(publication, staged) };
      } catch (error) {
        if (isNew) await this.#takeAway(publication);
        throw error;
      }
    });
  }

  async unpublish(target: VolumeTarget): Promise<void> {
    const publication = this.#publications.get(target.targetPath);
    await this.#passGate("unpublish", publication?.subject ?? target.volumeName);
    if (!publication) {
      await clearTarget(target.targetPath);
      return;
    }
    await this.#locked(publication.handle, async () => {
      if (!(await this.#takeAway(publication)))
        throw new ConflictError(
          "DM_CSI_VOLUME_IN_USE",
          `volume ${target.volumeName} is in use and stays at ${target.targetPath}`,
          { volumeName: target.volumeName },
        );
    });
    this.#tell("publications");
  }

  /** Takes every volume from every pod's directory. Volumes stay when the driver was given a directory. */
  async close(): Promise<void> {
    await this.#takeAllAway();
    if (!this.#isTemporary) return;
    if (this.canMount && (await loopDevicesUnder(this.#root)).length > 0)
      throw new ConflictError("DM_CSI_VOLUME_IN_USE", `volumes under ${this.#root} are in use`);
    await rm(this.#root, { recursive: true, force: true });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #isUsable(kind: ContentKind): boolean {
    return this.canMount || kind === "directory" || kind === "raw";
  }

  #tell(what: CsiChange): void {
    for (const listener of this.#listeners) listener(what);
  }

  #publicationsOf(handle: string): Publication[] {
    return [...this.#publications.values()].filter((each) => each.handle === handle);
  }

  async #passGate(
    operation: "publish" | "unpublish",
    subject: string,
    signal?: AbortSignal,
  ): Promise<void> {
    for (;;) {
      try {
        this.faults.check(operation, subject);
        return;
      } catch (error) {
        if (!(error instanceof PendingError) || error.remainingMs === undefined) throw error;
        await this.#clock.sleep(error.remainingMs, { signal });
      }
    }
  }

  /** ReadWriteOnce is one node at a time, ReadWriteOncePod one pod. */
  #refuseSecondNode({ volume, nodeName, podUid }: PublishRequest, handle: string): void {
    const modes: string[] = volume.spec.accessModes ?? [];
    if (modes.some((mode) => mode.endsWith("Many"))) return;
    const others = this.#publicationsOf(handle).map(({ target }) => target);
    if (others.some((other) => other.nodeName !== nodeName))
      throw new ConflictError(
        "DM_CSI_VOLUME_ELSEWHERE",
        `Multi-Attach error for volume "${volume.metadata.name}" Volume is already exclusively attached to one node and can't be attached to another`,
      );
    if (modes.includes("ReadWriteOncePod") && others.some((other) => other.podUid !== podUid))
      throw new ConflictError(
        "DM_CSI_VOLUME_ELSEWHERE",
        `volume "${volume.metadata.name}" uses the ReadWriteOncePod access mode and is already in use by another pod`,
      );
  }

  /** The container runtime labels every file, for which XFS needs room; other file systems keep room in the inode. */
  async #refuseFullVolume(
    { handle, target }: Publication,
    staged: string,
    subject: string,
  ): Promise<void> {
    const isFullXfs = async (): Promise<boolean> =>
      this.#store.volume(handle).kind === "xfs" && (await statfs(staged)).bavail < fullXfsBlocks;
    if (this.faults.failsToRelabel(subject) || (await isFullXfs()))
      throw relabelError(target.targetPath);
  }

  async #frozen<Result>(handle: string, copy: () => Promise<Result>): Promise<Result> {
    const names = new Set(this.#publicationsOf(handle).map(({ target }) => target.volumeName));
    const thaws: (() => void)[] = [];
    try {
      for (const name of names) thaws.push((await this.#writers?.freeze(name)) ?? (() => {}));
      return await copy();
    } finally {
      for (const thaw of thaws.reverse()) thaw();
    }
  }

  async #locked<Result>(key: string, run: () => Promise<Result>): Promise<Result> {
    const lock = this.#locks.get(key) ?? { places: new Semaphore(1), users: 0 };
    this.#locks.set(key, lock);
    lock.users += 1;
    const release = await lock.places.acquire();
    try {
      return await run();
    } finally {
      release();
      lock.users -= 1;
      if (lock.users === 0) this.#locks.delete(key);
    }
  }

  /** Puts a staged volume where the kubelet wants it. A read-only block volume is its writable device: nothing else exists. */
  async #putAt({ target, readOnly }: Publication, staged: string): Promise<string> {
    const { targetPath, volumeMode } = target;
    if (readOnly && this.canMount && volumeMode === "Filesystem") {
      if (await isMounted(targetPath)) return targetPath;
      await clearTarget(targetPath);
      await mkdir(targetPath);
      await command("mount", "--bind", staged, targetPath);
      await command("mount", "-o", "remount,bind,ro", targetPath);
      return targetPath;
    }
    if ((await readlink(targetPath).catch(() => "")) === staged) return staged;
    await clearTarget(targetPath);
    await symlink(staged, targetPath);
    return staged;
  }

  /** False when somebody has it open; then it stays. */
  async #takeAway({ target, handle }: Publication): Promise<boolean> {
    if (!(await clearTarget(target.targetPath))) return false;
    const others = this.#publicationsOf(handle).filter((each) => each.target !== target);
    if (others.length === 0 && !(await this.#store.unstage(handle))) return false;
    await rm(this.#notePath(target.targetPath), { force: true });
    this.#publications.delete(target.targetPath);
    return true;
  }

  /** At the start, what a killed process left, and at the end. What is in use stays, with its note. */
  async #takeAllAway(): Promise<void> {
    for (const publication of [...this.#publications.values()])
      await this.#locked(publication.handle, () => this.#takeAway(publication));
    for (const { handle } of this.#store.volumes())
      if (this.#publicationsOf(handle).length === 0) await this.#store.unstage(handle);
    if (!this.canMount) return;
    // Of volumes that were being made or deleted.
    for (const { device, image } of await loopDevicesUnder(this.#root)) {
      const isKnown = this.#store
        .volumes()
        .some((each) => image.startsWith(`${this.#store.folderOf(each)}/`));
      if (!isKnown && !(await isDeviceOpen(device))) await detachLoopDevice(device);
    }
  }

  /** Before anything is put anywhere, so that it can be found after a crash. */
  async #note(publication: Publication): Promise<void> {
    const path = this.#notePath(publication.target.targetPath);
    await writeFile(`${path}.new`, JSON.stringify(publication));
    await rename(`${path}.new`, path);
    this.#publications.set(publication.target.targetPath, publication);
  }

  #notePath(targetPath: string): string {
    const name = createHash("sha256").update(targetPath).digest("hex").slice(0, 32);
    return join(this.#root, "published", `${name}.json`);
  }

  async #loadPublications(): Promise<void> {
    const folder = join(this.#root, "published");
    for (const name of await readdir(folder)) {
      if (!name.endsWith(".json")) await rm(join(folder, name));
      else {
        const note: Publication = JSON.parse(await readFile(join(folder, name), "utf8"));
        this.#publications.set(note.target.targetPath, note);
      }
    }
  }
}

/** Opening a driver takes away what its folder's killed process left. */
async function clearAbandoned(clock: Clock): Promise<void> {
  for (const directory of await abandonedRoots()) {
    try {
      await (await CsiDriver.open({ clock, directory })).close();
    } catch {
      // Another process may be doing the same; and ours goes on without.
    }
  }
}

/** False when somebody has it open. */
async function clearTarget(path: string): Promise<boolean> {
  const found = await lstat(path).catch(() => undefined);
  if (!found) return true;
  if (found.isSymbolicLink()) {
    await rm(path);
    return true;
  }
  if (!(await unmountAll(path))) return false;
  // Never recursively: if anything is in it, it is not ours.
  await rmdir(path);
  return true;
}
