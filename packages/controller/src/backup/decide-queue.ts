/**
 * Which Backups may run now, and where the others stand in the queue: as many at once as the server allows, and none that has a
 * namespace in common with one that runs or stands before it. Pure.
 * Proof: test/backup/decide-queue.test.ts.
 * @module
 */
import { type Backup, type BackupPhase, phaseOf } from "@dm/crds";
import { admits } from "../scope/scope.ts";

export interface QueueChange {
  readonly backup: Backup;
  readonly phase: "Queued" | "ReadyToStart";
  /** From 1; 0 when it does not wait any more. */
  readonly queuePosition: number;
}

/** What is to be written. New Backups are queued first, in the order in which they came. */
export function decideQueue(
  backups: readonly Backup[],
  namespaces: readonly string[],
  concurrentBackups: number,
): QueueChange[] {
  const covered = (backup: Backup): string[] =>
    namespaces.filter((name) =>
      admits(backup.spec?.includedNamespaces, backup.spec?.excludedNamespaces, name),
    );
  const inPhase = (...phases: BackupPhase[]): Backup[] =>
    backups.filter((backup) => phases.includes(phaseOf<BackupPhase>(backup)));
  const running = inPhase("ReadyToStart", "InProgress");
  const queued = inPhase("Queued").sort((a, b) => positionOf(a) - positionOf(b) || byAge(a, b));
  const taken = new Set(running.flatMap(covered));
  let free = concurrentBackups - running.length;
  const changes: QueueChange[] = [];
  let position = 0;
  for (const backup of [...queued, ...inPhase("New").sort(byAge)]) {
    const own = covered(backup);
    const isQueued = phaseOf(backup) === "Queued";
    const mayRun = isQueued && free > 0 && !own.some((name) => taken.has(name));
    for (const name of own) taken.add(name);
    if (mayRun) {
      free--;
      changes.push({ backup, phase: "ReadyToStart", queuePosition: 0 });
      continue;
    }
    position++;
    if (!isQueued || positionOf(backup) !== position)
      changes.push({ backup, phase: "Queued", queuePosition: position });
  }
  return changes;
}

const positionOf = ({ status }: Backup): number => status?.queuePosition ?? 0;

function byAge({ metadata: a }: Backup, { metadata: b }: Backup): number {
  const [first, second] = [a, b].map(
    ({ creationTimestamp, name }) => `${creationTimestamp ?? ""} ${name}`,
  );
  return (first ?? "") < (second ?? "") ? -1 : 1;
}
