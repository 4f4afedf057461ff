/**
 * What is to be restored, as people write it: `<id>/<path>`, or a path of a machine, of which the newest version is taken that
 * a snapshot holds.
 * @module
 */
import { isDmError } from "@dm/core";
import { objectId, type Repository } from "@dm/repo";
import { type DirectoryEntry, findEntry, openPlace, snapshotsCovering } from "@dm/snapshot";
import { UsageError } from "./io.ts";
import type { Session } from "./session.ts";
import { parseSource, sourceText } from "./snapshot-text.ts";
import { formatTimestamp } from "./text.ts";

/** Which snapshots of a path count: the newest, the oldest, or the newest that began before a moment. */
export type SnapshotTime = "latest" | "oldest" | { readonly beforeNs: bigint };

/** @throws {UsageError} when it is no time */
export function parseSnapshotTime(text: string): SnapshotTime {
  if (text === "latest" || text === "oldest") return text;
  const ms = Date.parse(text);
  if (Number.isNaN(ms)) {
    throw new UsageError(
      `not a time: ${text} (latest, oldest, or as 2026-01-31 or 2026-01-31T12:00:00Z)`,
    );
  }
  return { beforeNs: BigInt(ms) * 1_000_000n };
}

/** Everything else is a path, as for kopia: also `photos/2025`. */
function beginsWithId(source: string): boolean {
  try {
    return objectId(source.split("/", 1)[0]!) !== "";
  } catch {
    return false;
  }
}

/** @throws {UsageError} when no snapshot holds the path; errors of ids as `openPlace` */
export async function entryToRestore(
  session: Session,
  repository: Repository,
  source: string,
  time: SnapshotTime,
): Promise<DirectoryEntry> {
  const { signal } = session;
  if (beginsWithId(source)) return (await openPlace(repository, source, { signal })).entry;
  const wanted = await parseSource(session, source);
  const covering = await snapshotsCovering(repository, wanted, { signal });
  const candidates =
    typeof time === "string"
      ? covering
      : covering.filter(({ snapshot }) => snapshot.startedAtNs < time.beforeNs);
  if (time !== "oldest") candidates.reverse();
  for (const { path, snapshot } of candidates) {
    if (!snapshot.rootEntry) continue;
    try {
      const entry = await findEntry(repository, snapshot.rootEntry, path, { signal });
      session.say(
        [
          "Restoring from",
          `   Snapshot source: ${sourceText(snapshot)}`,
          `   Snapshot time: ${formatTimestamp(snapshot.startedAtNs)}`,
          `   Relative path: ${path}`,
          `   Object ID: ${entry.objectId}`,
        ].join("\n"),
      );
      return entry;
    } catch (error) {
      // Not in this one: an older version is what there is.
      if (!isDmError(error, "DM_ENTRY_NOT_FOUND")) throw error;
    }
  }
  throw new UsageError(`no snapshot holds ${sourceText({ source: wanted })}`);
}
