/**
 * The end of an exposed snapshot, in the order in which storage lets go: pod, claim and volume, then the snapshots. What is gone is
 * fine; what will not go within a minute is logged and passed over.
 * Proof: test/expose/csi-snapshot-exposer.test.ts, test/expose/crash.test.ts.
 * @module
 */
import {
  type DataUpload,
  type PersistentVolume,
  persistentVolumes,
  type VolumeSnapshot,
  type VolumeSnapshotContent,
  volumeSnapshotContents,
  volumeSnapshots,
} from "@dm/crds";
import type { KubeCallOptions } from "../runtime/kube-client.ts";
import type { Step } from "./exposer.ts";
import {
  cleanUpTimeoutMs,
  done,
  type Exposure,
  isDeleting,
  marks,
  nowMs,
  ownClaim,
  textOf,
  vanishOrGoOn,
  waiting,
} from "./exposure.ts";
import { claimVanished, dismissPod, reclaimOnRelease } from "./hosted-volume.ts";
import {
  type SnapshotCopy,
  setDeletionPolicy,
  snapshotCopy,
  sourceContent,
  sourceSnapshot,
} from "./snapshot-copy.ts";

export async function cleanUpBackup(
  exposure: Exposure,
  upload: DataUpload,
  options: KubeCallOptions,
): Promise<Step> {
  await dismissPod(exposure, options);
  const copy = await snapshotCopy(exposure, options);
  const volume = await releaseVolume(exposure, copy.snapshot, options);
  if (!volume.done) return volume;
  await removeSource(exposure, upload, copy, options);
  return removeCopy(exposure, copy, options);
}

async function releaseVolume(
  exposure: Exposure,
  copy: VolumeSnapshot | undefined,
  options: KubeCallOptions,
): Promise<Step> {
  const claim = await ownClaim(exposure, options);
  const noted = copy?.metadata.annotations ?? {};
  const name = claim?.spec.volumeName ?? noted[marks.volume] ?? "";
  const volume = await ownVolume(exposure, name, options);
  let releasedAt = noted[marks.releasedAt];
  if (claim !== undefined && volume !== undefined) {
    await reclaimOnRelease(exposure, volume, options);
    releasedAt ??= await noteVolume(exposure, copy, name, options);
  }
  if (!(await claimVanished(exposure, claim, options)))
    return waiting(`PVC ${textOf(exposure.key)} is being deleted`);
  // Only the snapshot's own end depends on that of the volume.
  if (copy === undefined || volume === undefined) return done;
  const left = claim === undefined ? volume : await ownVolume(exposure, name, options);
  const forMs = nowMs(exposure) - Date.parse(releasedAt ?? "");
  if (left === undefined || !(forMs < cleanUpTimeoutMs(exposure))) return done;
  return waiting(`PV ${name} is being deleted`);
}

/** The volume while it is, or was last, that of our claim. */
async function ownVolume(
  exposure: Exposure,
  name: string,
  options: KubeCallOptions,
): Promise<PersistentVolume | undefined> {
  if (name === "") return undefined;
  const volume = await exposure.context.client.get(persistentVolumes, { name }, options);
  const { namespace, name: claimName } = volume?.spec.claimRef ?? {};
  const ours = namespace === exposure.key.namespace && claimName === exposure.key.name;
  return ours ? volume : undefined;
}

/** The storage may refuse to delete a snapshot while a volume made of it is there, and after the claim nothing else names it. */
async function noteVolume(
  exposure: Exposure,
  copy: VolumeSnapshot | undefined,
  name: string,
  options: KubeCallOptions,
): Promise<string> {
  const releasedAt = new Date(nowMs(exposure)).toISOString();
  const annotations = { [marks.volume]: name, [marks.releasedAt]: releasedAt };
  if (copy !== undefined && !isDeleting(copy))
    await exposure.context.client.patch(
      volumeSnapshots,
      exposure.key,
      { metadata: { annotations } },
      options,
    );
  return releasedAt;
}

/** The first pair, if it is still there. */
async function removeSource(
  exposure: Exposure,
  upload: DataUpload,
  copy: SnapshotCopy,
  options: KubeCallOptions,
): Promise<void> {
  const { client } = exposure.context;
  const source = await sourceSnapshot(exposure, upload, copy, options);
  const original = await sourceContent(exposure, source, copy, options);
  const { name = "" } = original?.metadata ?? {};
  if (copy.content !== undefined) {
    // The copy's content takes the storage's snapshot with it; the first one was set to Retain before there was a copy.
    await deleteSnapshot(exposure, source, options);
    if (original !== undefined && !isDeleting(original))
      await client.delete(
        volumeSnapshotContents,
        { name },
        { ...options, uid: original.metadata.uid },
      );
    return;
  }
  // A later snapshot under the name is another's: a DataUpload is made for a snapshot that is there.
  if (source === undefined || isYounger(source, upload)) return;
  if (original !== undefined) await setDeletionPolicy(exposure, original, "Delete", options);
  await deleteSnapshot(exposure, source, options);
}

async function deleteSnapshot(
  exposure: Exposure,
  snapshot: VolumeSnapshot | undefined,
  options: KubeCallOptions,
): Promise<void> {
  if (snapshot === undefined || isDeleting(snapshot)) return;
  const { namespace, name = "", uid } = snapshot.metadata;
  await exposure.context.client.delete(volumeSnapshots, { namespace, name }, { ...options, uid });
}

/** Our snapshot, and its content in case nobody has bound the two: the controller then does not take one with the other. */
async function removeCopy(
  exposure: Exposure,
  copy: SnapshotCopy,
  options: KubeCallOptions,
): Promise<Step> {
  if (copy.content !== undefined && isUnseen(exposure, copy, copy.content))
    return waiting(`the snapshot controller has not seen VolumeSnapshot ${textOf(exposure.key)}`);
  if (!(await vanishOrGoOn(exposure, volumeSnapshots, copy.snapshot, options)))
    return waiting(`VolumeSnapshot ${textOf(exposure.key)} is being deleted`);
  if (copy.content === undefined || isDeleting(copy.content)) return done;
  const { client } = exposure.context;
  const { name = "", uid } = copy.content.metadata;
  await client.delete(volumeSnapshotContents, { name }, { ...options, uid });
  return done;
}

/**
 * Without the finalizers of the snapshot controller, our objects would go and leave the storage's snapshot behind. They get them
 * within moments of being made.
 */
function isUnseen(
  exposure: Exposure,
  { snapshot }: SnapshotCopy,
  content: VolumeSnapshotContent,
): boolean {
  const isFree = (object: VolumeSnapshot | VolumeSnapshotContent | undefined): boolean =>
    object !== undefined && !isDeleting(object) && (object.metadata.finalizers ?? []).length === 0;
  const ageMs = nowMs(exposure) - Date.parse(content.metadata.creationTimestamp ?? "");
  return (isFree(snapshot) || isFree(content)) && ageMs < cleanUpTimeoutMs(exposure);
}

function isYounger(snapshot: VolumeSnapshot, upload: DataUpload): boolean {
  const made = Date.parse(snapshot.metadata.creationTimestamp ?? "");
  return made > Date.parse(upload.metadata.creationTimestamp ?? "");
}
