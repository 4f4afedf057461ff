/**
 * The volume snapshot's way from the namespace of its volume into the operator's: a second VolumeSnapshot and content for the same
 * snapshot in the storage, named like the DataUpload, after which the first pair goes.
 *
 * The content that has `deletionPolicy: Delete` takes the storage's snapshot with it, so never do two have it: the first is set to
 * Retain before the second is made, and the second holds the handle before the first is deleted.
 * Proof: test/expose/csi-snapshot-exposer.test.ts, test/expose/crash.test.ts.
 * @module
 */
import { NotFoundError } from "@dm/core";
import {
  apiVersionOf,
  type CSISnapshotSpec,
  type DataUpload,
  labels,
  type VolumeSnapshot,
  type VolumeSnapshotContent,
  volumeSnapshotContents,
  volumeSnapshots,
} from "@dm/crds";
import type { KubeCallOptions } from "../runtime/kube-client.ts";
import type { Step } from "./exposer.ts";
import {
  assureGone,
  createOrTake,
  type Exposure,
  isDeleting,
  isEnd,
  isMarked,
  marks,
  textOf,
  waiting,
} from "./exposure.ts";

/** Ours, in the operator's namespace. */
export interface SnapshotCopy {
  readonly snapshot: VolumeSnapshot | undefined;
  readonly content: VolumeSnapshotContent | undefined;
}

/** Notes of others about the life of the first pair. */
const notCopied =
  /^(kubectl\.kubernetes\.io\/|snapshot\.storage\.kubernetes\.io\/volumesnapshot-being-)/;

export async function snapshotCopy(
  exposure: Exposure,
  options: KubeCallOptions,
): Promise<SnapshotCopy> {
  const { client } = exposure.context;
  const { name } = exposure.key;
  const [snapshot, content] = await Promise.all([
    client.get(volumeSnapshots, exposure.key, options),
    client.get(volumeSnapshotContents, { name }, options),
  ]);
  const ours = <T extends VolumeSnapshot | VolumeSnapshotContent>(found: T | undefined) =>
    found !== undefined && isMarked(found, exposure.owner) ? found : undefined;
  return { snapshot: ours(snapshot), content: ours(content) };
}

/** The first VolumeSnapshot, unless it is another one by now under the same name. */
export async function sourceSnapshot(
  exposure: Exposure,
  upload: DataUpload,
  copy: SnapshotCopy,
  options: KubeCallOptions,
): Promise<VolumeSnapshot | undefined> {
  const { client } = exposure.context;
  const name = upload.spec.csiSnapshot?.volumeSnapshot ?? "";
  const namespace = upload.spec.sourceNamespace;
  const found = await client.get(volumeSnapshots, { namespace, name }, options);
  const copiedFrom = copy.snapshot?.metadata.annotations?.[marks.sourceSnapshot];
  return copiedFrom === undefined || copiedFrom === found?.metadata.uid ? found : undefined;
}

/** The first content: by the first snapshot, or by what the copy remembers of it. */
export async function sourceContent(
  exposure: Exposure,
  source: VolumeSnapshot | undefined,
  copy: SnapshotCopy,
  options: KubeCallOptions,
): Promise<VolumeSnapshotContent | undefined> {
  const { client } = exposure.context;
  const name =
    copy.snapshot?.metadata.annotations?.[marks.sourceContent] ??
    source?.status?.boundVolumeSnapshotContentName;
  if (name === undefined || name === "") return undefined;
  const content = await client.get(volumeSnapshotContents, { name }, options);
  const sourceUid =
    copy.snapshot?.metadata.annotations?.[marks.sourceSnapshot] ?? source?.metadata.uid;
  return content?.spec.volumeSnapshotRef.uid === sourceUid ? content : undefined;
}

/**
 * Steps 1 to 7: waits until the first snapshot is ready, copies it, deletes it.
 * @throws {NotFoundError} `DM_EXPOSE_SNAPSHOT_NOT_FOUND`, `DM_EXPOSE_CONTENT_NOT_FOUND`
 */
export async function moveSnapshot(
  exposure: Exposure,
  upload: DataUpload,
  spec: CSISnapshotSpec,
  options: KubeCallOptions,
): Promise<{ readonly step: Step; readonly copy: SnapshotCopy }> {
  let copy = await snapshotCopy(exposure, options);
  for (const object of [copy.snapshot, copy.content])
    if (object !== undefined && isDeleting(object))
      return { step: waiting(`the snapshot copy ${exposure.key.name} is being deleted`), copy };
  const source = await sourceSnapshot(exposure, upload, copy, options);
  let original: VolumeSnapshotContent | undefined;
  if (copy.content === undefined || copy.snapshot === undefined) {
    const found = await readySource(exposure, upload, spec, source, copy, options).catch((error) =>
      copiedMeanwhile(exposure, error, options),
    );
    if ("step" in found) return { step: found.step, copy };
    original = found.content;
    copy = await makeCopy(exposure, found.snapshot, found.content, copy, options);
  } else {
    original = await sourceContent(exposure, source, copy, options);
    if (original !== undefined) await retain(exposure, original, options);
  }
  const kinds = { kind: "VolumeSnapshot", short: "VS" };
  const first = await assureGone(exposure, volumeSnapshots, source, kinds, options);
  if (!first.done) return { step: first, copy };
  const contentKinds = { kind: "VolumeSnapshotContent", short: "VSC" };
  const second = await assureGone(
    exposure,
    volumeSnapshotContents,
    original,
    contentKinds,
    options,
  );
  return { step: second, copy };
}

async function readySource(
  exposure: Exposure,
  upload: DataUpload,
  spec: CSISnapshotSpec,
  source: VolumeSnapshot | undefined,
  copy: SnapshotCopy,
  options: KubeCallOptions,
): Promise<
  | { readonly step: Step }
  | { readonly snapshot: VolumeSnapshot; readonly content: VolumeSnapshotContent }
> {
  const key = textOf({ namespace: upload.spec.sourceNamespace, name: spec.volumeSnapshot });
  if (source === undefined)
    throw new NotFoundError(
      "DM_EXPOSE_SNAPSHOT_NOT_FOUND",
      `error wait volume snapshot ready: volume snapshot ${key} is not there`,
      { snapshot: key },
    );
  if (source.status?.readyToUse !== true) {
    // An error here may pass: drivers report each failed attempt. The prepare timeout ends the wait, with these words.
    const errors = source.status?.error?.message ?? "";
    return {
      step: waiting(
        `wait volume snapshot ready: volume snapshot ${key} is not ready, errors: [${errors}]`,
      ),
    };
  }
  const content = await sourceContent(exposure, source, copy, options);
  if (content?.status?.snapshotHandle === undefined)
    throw new NotFoundError(
      "DM_EXPOSE_CONTENT_NOT_FOUND",
      `error to get volume snapshot content: volume snapshot ${key} is ready, but its content ${
        source.status.boundVolumeSnapshotContentName ?? ""
      } ${content === undefined ? "is not there or belongs to another" : "has no snapshot handle"}`,
      { snapshot: key },
    );
  return { snapshot: source, content };
}

/**
 * Nothing was copied when we looked, and then there was nothing to copy: another process may have done both in between. Only the
 * end of its work must not look like the end of everything, since what ends here is cleaned up.
 */
async function copiedMeanwhile(
  exposure: Exposure,
  error: unknown,
  options: KubeCallOptions,
): Promise<{ readonly step: Step }> {
  if (!isEnd(error)) throw error;
  const now = await snapshotCopy(exposure, options);
  if (now.snapshot === undefined || now.content === undefined) throw error;
  return { step: waiting(`the snapshot copy ${exposure.key.name} was made by another`) };
}

async function makeCopy(
  exposure: Exposure,
  source: VolumeSnapshot,
  original: VolumeSnapshotContent,
  found: SnapshotCopy,
  options: KubeCallOptions,
): Promise<SnapshotCopy> {
  const { owner } = exposure;
  const snapshot =
    found.snapshot ??
    (await createOrTake(
      exposure,
      volumeSnapshots,
      copyOfSnapshot(exposure, source, original),
      (taken) => isMarked(taken, owner),
      options,
    ));
  await retain(exposure, original, options);
  const content = await createOrTake(
    exposure,
    volumeSnapshotContents,
    copyOfContent(exposure, original, snapshot),
    (taken) => isMarked(taken, owner) && taken.spec.volumeSnapshotRef.uid === snapshot.metadata.uid,
    options,
  );
  return { snapshot, content };
}

function copyOfSnapshot(
  { key, owner }: Exposure,
  source: VolumeSnapshot,
  original: VolumeSnapshotContent,
): VolumeSnapshot {
  const { volumeSnapshotClassName } = source.spec;
  const size = source.status?.restoreSize;
  return {
    apiVersion: apiVersionOf(volumeSnapshots),
    kind: volumeSnapshots.kind,
    metadata: {
      ...key,
      // No owner reference: it has to outlive the claim that is made of it.
      annotations: {
        ...copiedAnnotations(source),
        [marks.owner]: owner.uid,
        [marks.sourceSnapshot]: source.metadata.uid ?? "",
        [marks.sourceContent]: original.metadata.name ?? "",
        ...(size !== undefined && { [marks.restoreSize]: size }),
      },
    },
    spec: {
      source: { volumeSnapshotContentName: key.name },
      ...(volumeSnapshotClassName !== undefined && { volumeSnapshotClassName }),
    },
  };
}

function copyOfContent(
  { key, owner }: Exposure,
  original: VolumeSnapshotContent,
  snapshot: VolumeSnapshot,
): VolumeSnapshotContent {
  const { driver, volumeSnapshotClassName, sourceVolumeMode } = original.spec;
  const managedBy = original.metadata.labels?.[labels.snapshotManagedBy];
  const { uid = "", resourceVersion = "" } = snapshot.metadata;
  return {
    apiVersion: apiVersionOf(volumeSnapshotContents),
    kind: volumeSnapshotContents.kind,
    metadata: {
      name: key.name,
      annotations: { ...copiedAnnotations(original), [marks.owner]: owner.uid },
      ...(managedBy !== undefined && { labels: { [labels.snapshotManagedBy]: managedBy } }),
    },
    spec: {
      deletionPolicy: "Delete",
      driver,
      source: { snapshotHandle: original.status?.snapshotHandle ?? "" },
      ...(volumeSnapshotClassName !== undefined && { volumeSnapshotClassName }),
      ...(sourceVolumeMode !== undefined && { sourceVolumeMode }),
      volumeSnapshotRef: {
        apiVersion: apiVersionOf(volumeSnapshots),
        kind: volumeSnapshots.kind,
        ...key,
        uid,
        resourceVersion,
      },
    },
  };
}

export async function setDeletionPolicy(
  exposure: Exposure,
  content: VolumeSnapshotContent,
  deletionPolicy: "Delete" | "Retain",
  options: KubeCallOptions,
): Promise<void> {
  if (content.spec.deletionPolicy === deletionPolicy) return;
  const { name = "" } = content.metadata;
  const { client } = exposure.context;
  await client.patch(volumeSnapshotContents, { name }, { spec: { deletionPolicy } }, options);
}

function retain(
  exposure: Exposure,
  content: VolumeSnapshotContent,
  options: KubeCallOptions,
): Promise<void> {
  return setDeletionPolicy(exposure, content, "Retain", options);
}

function copiedAnnotations(of: VolumeSnapshot | VolumeSnapshotContent): Record<string, string> {
  const all = Object.entries(of.metadata.annotations ?? {});
  return Object.fromEntries(all.filter(([key]) => !notCopied.test(key)));
}
