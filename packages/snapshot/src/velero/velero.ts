/**
 * What Velero puts around a snapshot: source, tags, description, pin, path policy, and the choice of the parent. With these a
 * program backs up in Velero's place, and Velero goes on from there.
 * Format: docs/format/velero.md. Proof: test/velero.test.ts.
 * @module
 */
import type { Repository, WriteSession } from "@dm/repo";
import type { CallOptions } from "@dm/storage";
import type { Snapshot, SnapshotSource } from "../snapshot-codec.ts";
import { listSnapshots } from "../snapshots.ts";

/** User and host of every snapshot, and owner of maintenance. */
export const veleroUser = "default";
export const veleroHost = "default";

/** Who asks for a snapshot. The last is what Velero up to 1.16 called file system backups of pods. */
export type VeleroRequester =
  | "snapshot-data-upload-download"
  | "snapshot-pod-volume"
  | "pod-volume-backup-restore";

const requesterTag = "snapshot-requester";
const uploaderTag = "snapshot-uploader";
const uploader = "kopia";

/** What Velero's snapshots have in common besides tags; the pin keeps retention away. */
export const veleroSnapshot: Readonly<{ description: string; pins: readonly string[] }> =
  Object.freeze({ description: "Kopia Uploader", pins: Object.freeze(["velero-pin"]) });

/**
 * The source of a volume's snapshots; its path is relative and must stay so.
 * @param volume namespace and claim for the data mover; namespace, pod and volume for pods
 * @throws {RangeError} for a part that is empty or has a slash in it
 * @example veleroSource("snapshot-data-upload-download", ["shop", "data-pvc"])
 */
export function veleroSource(
  requester: VeleroRequester,
  volume: readonly string[],
): SnapshotSource {
  for (const part of volume) {
    if (part === "" || part === "." || part === ".." || part.includes("/"))
      throw new RangeError(`${JSON.stringify(part)} is no name of a namespace, claim or pod`);
  }
  const path = [requester, uploader, ...volume].join("/");
  return { host: veleroHost, userName: veleroUser, path };
}

/** All tags of a snapshot: the caller's own, and the two by which the next one finds it. They are stored without `tag:`. */
export function veleroTags(
  requester: VeleroRequester,
  own: Readonly<Record<string, string>> = {},
): Record<string, string> {
  return { ...own, [requesterTag]: requester, [uploaderTag]: uploader };
}

/**
 * The snapshot that Velero would build on: the complete one with its two tags that began last. Others, also incomplete ones,
 * are not used.
 * @param snapshots of one source, as `listSnapshots` gives them
 */
export function chooseVeleroParent(
  snapshots: readonly Snapshot[],
  requester: VeleroRequester,
): Snapshot | undefined {
  let parent: Snapshot | undefined;
  for (const snapshot of snapshots) {
    const { incompleteReason, startedAtNs, tags } = snapshot;
    if (tags[requesterTag] !== requester || tags[uploaderTag] !== uploader) continue;
    if (incompleteReason !== undefined) continue;
    if (parent === undefined || startedAtNs > parent.startedAtNs) parent = snapshot;
  }
  return parent;
}

/** What Velero's uploader lets be chosen. */
export interface VeleroPolicyOptions {
  /** Files that are read at once: `ParallelFilesUpload`, or the number of processors. */
  readonly parallelFileReads: number;
  /** Longer files are stored in parts: 2 GiB since Velero 1.14 (default), never (`null`) before. */
  readonly parallelUploadAboveBytes?: number | null | undefined;
  /** Patterns that are left out; Velero has some on Windows only. */
  readonly ignoreRules?: readonly string[] | undefined;
}

/** Bytes above which Velero and Kopia store a file in parts. */
export const veleroPartBytes: number = 2 ** 31;
/** 2^63 - 1, which no JavaScript number is. */
const never = "9223372036854775807";
const keepAll = 2 ** 31 - 1;

/** The policy that Velero puts in force for a source before each upload: labels and JSON of its manifest. */
export function veleroPolicy(
  source: SnapshotSource,
  options: VeleroPolicyOptions,
): { readonly labels: Readonly<Record<string, string>>; readonly rawData: string } {
  const {
    ignoreRules = [],
    parallelFileReads,
    parallelUploadAboveBytes = veleroPartBytes,
  } = options;
  const keep = ["Latest", "Hourly", "Daily", "Weekly", "Monthly", "Annual"];
  const sections = [
    `"retention":{${keep.map((period) => `"keep${period}":${keepAll}`).join(",")}}`,
    `"files":${JSON.stringify(ignoreRules.length > 0 ? { ignore: ignoreRules } : {})}`,
    '"errorHandling":{"ignoreUnknownTypes":true}',
    '"scheduling":{"manual":true}',
    '"compression":{"compressorName":"none"}',
    '"metadataCompression":{}',
    '"splitter":{}',
    '"actions":{}',
    '"osSnapshots":{"volumeShadowCopy":{}}',
    '"logging":{"directories":{},"entries":{}}',
    `"upload":{"maxParallelFileReads":${parallelFileReads},"parallelUploadAboveSize":${parallelUploadAboveBytes ?? never}}`,
  ];
  const labels = {
    type: "policy",
    policyType: "path",
    hostname: source.host,
    username: source.userName,
    path: source.path,
  };
  return { labels, rawData: `{${sections.join(",")}}` };
}

/** Puts that policy in force for a source, unless it is already; durable after the session's next flush. */
export async function setVeleroPolicy(
  session: WriteSession,
  source: SnapshotSource,
  options: VeleroPolicyOptions & CallOptions,
): Promise<void> {
  const { labels, rawData } = veleroPolicy(source, options);
  const present = await session.findManifests(labels, options);
  if (present.length === 1 && present[0]!.data === rawData) return;
  for (const { id } of present) await session.deleteManifest(id, options);
  session.putManifest(labels, undefined, { rawData });
}

/** The source's latest snapshot that Velero would build on; undefined when the next one has to be full. */
export async function findVeleroParent(
  repository: Pick<Repository, "findManifests" | "readManifest">,
  source: SnapshotSource,
  requester: VeleroRequester,
  options: CallOptions = {},
): Promise<Snapshot | undefined> {
  const snapshots = await listSnapshots(repository, { ...options, source });
  return chooseVeleroParent(snapshots, requester);
}
