/**
 * From packs to the files of snapshots: every content is read once, manifests that cannot be read are left out, and what is
 * lost is told file by file, for each snapshot. Proof: test/doctor.test.ts, test/doctor-repair.test.ts.
 * @module
 */
import { type DmError, isDmError } from "@dm/core";
import {
  type ContentId,
  isDamage,
  type Repository,
  type VerifyFinding,
  verifyRepository,
} from "@dm/repo";
import type { CallOptions } from "@dm/storage";
import type { Snapshot } from "../snapshot-codec.ts";
import { listSnapshots, sourceText } from "../snapshots.ts";
import { verifySnapshots } from "../verify/verify-snapshots.ts";
import { damagedPaths } from "./damaged-paths.ts";
import { countOf, type Examination, textOf } from "./diagnosis.ts";
import { useOtherCopies } from "./other-copies.ts";

/** Contents that snapshots refer to and no index names. */
export async function missingContents(
  repository: Repository,
  { signal }: CallOptions,
): Promise<ReadonlySet<string>> {
  const missing = new Set<string>();
  let snapshots: readonly Snapshot[];
  try {
    snapshots = await listSnapshots(repository, { signal, onInvalid: () => {} });
  } catch (error) {
    // Told when manifests are looked at.
    if (isDamage(error)) return missing;
    throw error;
  }
  const { findings } = await verifySnapshots(repository, snapshots, { readFiles: 0, signal });
  for (const { error } of findings) {
    const contentId = textOf(error.details["contentId"]);
    if (error.code === "DM_CONTENT_NOT_FOUND" && contentId) missing.add(contentId);
  }
  return missing;
}

/**
 * One manifest content that cannot be read keeps Kopia and this program from all snapshots. It is marked as deleted, so that the
 * others can be used; its bytes stay in their pack. Answers which were.
 */
export async function examineManifests(
  examination: Examination,
  reader: Repository,
): Promise<ReadonlySet<string>> {
  examination.progress("manifests");
  const { signal } = examination.options;
  const tried = new Set<string>();
  for (;;) {
    try {
      await reader.findManifests({}, { signal });
      return tried;
    } catch (error) {
      const contentId = isDamage(error) ? textOf(error.details["contentId"]) : undefined;
      if (contentId === undefined || tried.has(contentId)) throw error;
      tried.add(contentId);
      examination.found(
        "manifests",
        "lost",
        `${(error as DmError).message}; snapshots and policies that only it names are lost, and their files with the next garbage`,
        error as DmError,
      );
      const writer = await examination.open({ forWriting: true });
      await using session = await writer.openWriteSession({ signal });
      await session.deleteContent(contentId as ContentId, { signal });
      await session.commit({ signal });
      examination.planned(
        "leaveOutManifests",
        `mark manifest content ${contentId}, which cannot be read, as deleted, so that the others can be used`,
      );
      await reader.refresh({ signal });
    }
  }
}

/** Reads all packs; contents that have a sound copy elsewhere are led there. Answers the damage that is left. */
export async function examinePacks(
  examination: Examination,
  reader: Repository,
): Promise<readonly VerifyFinding[]> {
  examination.progress("packs");
  const { readData = true, signal } = examination.options;
  const verify = async (): Promise<readonly VerifyFinding[]> =>
    (
      await verifyRepository(reader, {
        depth: readData ? "full" : "structure",
        signal,
        onProgress: ({ packsDone, totalPacks }) =>
          examination.progress("packs", packsDone, totalPacks),
      })
    ).findings;
  const findings = await verify();
  return (await useOtherCopies(examination, reader, findings)) ? verify() : findings;
}

/** Tells the damage of packs, and answers it by content. Of contents in `told` nothing is said again. */
export async function tellPacks(
  examination: Examination,
  reader: Repository,
  findings: readonly VerifyFinding[],
  told: ReadonlySet<string>,
): Promise<ReadonlyMap<ContentId, DmError>> {
  const { signal } = examination.options;
  const damaged = new Map<ContentId, DmError>();
  const index = await reader.contentReader.index.get({ signal });
  const lost: VerifyFinding[] = [];
  const deleted: VerifyFinding[] = [];
  const warnings: VerifyFinding[] = [];
  for (const finding of findings) {
    const { contentId, error, severity } = finding;
    if (contentId && told.has(contentId)) continue;
    if (severity === "warning") {
      warnings.push(finding);
      continue;
    }
    if (contentId && index.find(contentId)?.deleted) {
      deleted.push(finding);
      continue;
    }
    if (contentId && isDmError(error)) damaged.set(contentId, error);
    lost.push(finding);
  }
  const byPack = Map.groupBy(lost, packOf);
  for (const { blobId, contentCount, error } of warnings) {
    if (byPack.has(blobId)) continue;
    const rest = contentCount > 0 ? "all are marked as deleted" : "all its contents can be read";
    examination.found("packs", "note", `${error.message}; ${rest}`, error, { blobId });
  }
  // One line a pack: in one that was cut short there are thousands of contents.
  for (const [blobId, [first, ...others]] of Map.groupBy(deleted, packOf)) {
    const { contentId, error } = first!;
    const more = others.length > 0 ? `, and so are ${others.length} more of the same pack` : "";
    const text = `${error.message}; the content is marked as deleted${more}`;
    examination.found("packs", "note", text, error, { blobId, contentId });
  }
  for (const [blobId, [first, ...others]] of byPack) {
    const { contentId, error } = first!;
    const more =
      others.length > 0 ? `; and ${countOf(others.length, "other content")} of the same pack` : "";
    examination.found("packs", "lost", `${error.message}${more}`, error, { blobId, contentId });
  }
  return damaged;
}

const packOf = ({ blobId }: VerifyFinding): string => blobId;

/** Findings of paths in all snapshots together; of further ones each snapshot tells the number. */
const maxPathsTold = 10_000;

/** What snapshots miss, file by file. */
export async function examineSnapshots(
  examination: Examination,
  reader: Repository,
  damagedContents: ReadonlyMap<ContentId, DmError>,
): Promise<void> {
  examination.progress("snapshots");
  const { signal } = examination.options;
  const snapshots = await listSnapshots(reader, {
    signal,
    onInvalid: (snapshotId, error) =>
      examination.found("snapshots", "lost", error.message, error, { snapshotId }),
  });
  const { damagedSnapshots, findings } = await verifySnapshots(reader, snapshots, {
    readFiles: 0,
    damagedContents,
    signal,
    onProgress: ({ filesDone, totalFiles }) =>
      examination.progress("snapshots", filesDone, totalFiles),
  });
  examination.damagedSnapshots = damagedSnapshots;
  const errors = new Map(findings.map(({ error, objectId }) => [objectId, error]));
  const pathsOf = damagedPaths(reader, errors, { signal });
  let left = maxPathsTold;
  for (const snapshot of snapshots) {
    const { id: snapshotId, rootEntry, source } = snapshot;
    if (!damagedSnapshots.has(snapshotId)) continue;
    const name = `snapshot ${snapshotId} of ${sourceText(source)}`;
    if (!rootEntry) {
      const { error } = findings.find((finding) => finding.snapshotId === snapshotId)!;
      examination.found("snapshots", "lost", `${name}: ${error.message}`, error, { snapshotId });
      continue;
    }
    const { count, first } = await pathsOf(rootEntry);
    const told = first.slice(0, left);
    left -= told.length;
    for (const { error, path } of told) {
      const where = path === "" ? "its root" : JSON.stringify(path);
      const text = `${name}: ${where} is lost: ${error.message}`;
      examination.found("snapshots", "lost", text, error, { snapshotId, path });
    }
    const rest = count - told.length;
    if (rest === 0) continue;
    const text = `${name}: ${countOf(rest, told.length > 0 ? "more path" : "path")} that cannot be read`;
    examination.found("snapshots", "lost", text, undefined, { snapshotId });
  }
}
