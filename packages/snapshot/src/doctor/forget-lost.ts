/**
 * Contents that cannot be read and that no snapshot refers to: while the index names them, a backup of the same data refers to
 * them instead of storing it, and is damaged from the first day. Marked as deleted they are stored again.
 * Proof: test/doctor-repair.test.ts, test/doctor.test.ts.
 * @module
 */
import type { Repository, VerifyFinding } from "@dm/repo";
import { countOf, type Examination } from "./diagnosis.ts";
import { lostContents } from "./other-copies.ts";

/** Plans marks of deletion, once nothing is lost by them: not while a snapshot misses something. */
export async function forgetLostContents(
  examination: Examination,
  reader: Repository,
  damage: readonly VerifyFinding[],
): Promise<void> {
  const { findings, options } = examination;
  const { signal } = options;
  if (findings.some(({ part, severity }) => part === "snapshots" && severity === "lost")) return;
  const lost = await lostContents(reader, damage);
  // Those of manifests are left out before, and what that costs is told there.
  for (const contentId of lost.keys()) if (contentId.startsWith("m")) lost.delete(contentId);
  if (lost.size === 0) return;
  const writer = await examination.open({ forWriting: true });
  await using session = await writer.openWriteSession({ signal });
  for (const contentId of lost.keys()) await session.deleteContent(contentId, { signal });
  await session.commit({ signal });
  for (const [at, finding] of findings.entries())
    if (finding.part === "packs" && finding.severity === "lost")
      findings[at] = { ...finding, severity: "note" };
  const byPack = new Map<string, number>();
  for (const { packBlobId } of lost.values())
    byPack.set(packBlobId, (byPack.get(packBlobId) ?? 0) + 1);
  for (const [blobId, count] of byPack) {
    const text =
      `no snapshot refers to ${countOf(count, "content")} of pack ${blobId} that cannot be read; a backup of the same data ` +
      "would, instead of storing it again";
    examination.found("packs", "repairable", text, undefined, { blobId });
  }
  examination.planned(
    "forgetContents",
    `mark ${countOf(lost.size, "content")} that cannot be read as deleted, so that backups store that data again`,
  );
}
