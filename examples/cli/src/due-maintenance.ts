/**
 * Maintenance as commands run it: with garbage collection, under the lock of the connection, told line by line.
 * @module
 */
import { isDmError } from "@dm/core";
import type { CollectionFigures, MaintenanceOptions, MaintenanceReport } from "@dm/repo";
import type { Session } from "./session.ts";
import { formatBytes } from "./text.ts";

/** Runs maintenance and says what it did. */
export async function runMaintenanceAloud(
  session: Session,
  options: Pick<MaintenanceOptions, "force" | "mode" | "safety">,
): Promise<MaintenanceReport> {
  const [{ runMaintenance }, { collectGarbage }] = await Promise.all([
    import("@dm/repo"),
    import("@dm/snapshot"),
  ]);
  const report = await runMaintenance(await session.repository(), {
    ...options,
    collectGarbage: async (repository, call) => {
      const figures = await collectGarbage(repository, call);
      for (const line of collectionLines(session, figures)) session.say(line);
      return figures;
    },
    onBegin: (mode) => session.say(`Running ${mode} maintenance...`),
    signal: session.signal,
  });
  for (const { figures, skipped, task } of report.tasks) {
    if (task === "snapshot-gc") continue;
    const numbers = Object.entries(figures).map(figureText);
    const text = skipped ? `skipped, ${skipped}` : numbers.join(", ") || "done";
    session.say(`  ${task}: ${text}`);
  }
  if (report.mode !== "none") session.say(`Finished ${report.mode} maintenance.`);
  return report;
}

/** `contentsRewritten: 3` as `3 contents rewritten`. */
const figureText = ([name, value]: [string, number]): string =>
  `${value} ${name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`)}`;

/** Kopia's lines. */
function collectionLines(session: Session, figures: CollectionFigures): string[] {
  const line = (what: string, count: number, bytes: number): string =>
    `GC ${what.replace("#", String(count))} (${formatBytes(session.io, bytes)})`;
  const f = figures;
  return [
    line("found # unused contents", f.unreferencedContentCount, f.unreferencedContentSize),
    line(
      "found # unused contents that are too recent to delete",
      f.unreferencedRecentContentCount,
      f.unreferencedRecentContentSize,
    ),
    line("found # in-use contents", f.inUseContentCount, f.inUseContentSize),
    line("found # in-use system-contents", f.inUseSystemContentCount, f.inUseSystemContentSize),
    line("undeleted # contents", f.recoveredContentCount, f.recoveredContentSize),
  ];
}

/**
 * What kopia does after it has made, deleted or expired snapshots: the maintenance that is due, when this client is the owner. Somebody
 * else at it is no error. A failure is told and stays with the maintenance: what the command has done is done.
 */
export async function runDueMaintenance(session: Session): Promise<void> {
  if (!session.globals.autoMaintenance) return;
  const { signal } = session;
  const { dueMaintenance } = await import("@dm/repo");
  const repository = await session.repository();
  try {
    const mode = await dueMaintenance(repository, { signal });
    if (mode === "none") return;
    await using lock = await session.maintenanceLock();
    void lock;
    await runMaintenanceAloud(session, { mode });
  } catch (error) {
    if (signal.aborted) throw error;
    if (isDmError(error, "DM_MAINTENANCE_RUNNING")) return;
    const text = error instanceof Error ? error.message : String(error);
    session.messages.say(`maintenance failed: ${text}`, "warning");
  }
}

/**
 * Makes this client the owner of maintenance where nobody ever was, as kopia does with the first snapshot in a
 * repository that came without maintenance parameters.
 */
export async function adoptMaintenance(session: Session): Promise<void> {
  const { defaultMaintenanceParameters, maintenanceLabels, writeMaintenanceParameters } =
    await import("@dm/repo");
  const { signal } = session;
  const repository = await session.repository();
  if ((await repository.findManifests(maintenanceLabels, { signal })).length > 0) return;
  const owner = repository.clientName;
  await using writer = await repository.openWriteSession({ signal });
  await writeMaintenanceParameters(writer, defaultMaintenanceParameters(owner), { signal });
  await writer.commit({ signal });
  session.say(
    `NOTE: maintenance of the repository runs by itself when commands of ${owner} write: a quick one every hour, a full ` +
      "one every day. `dm maintenance set` changes that.",
  );
}
