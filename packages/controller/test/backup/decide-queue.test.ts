/** The queue of Backups: who may run, who waits for whom, and where. */
import type { Backup, BackupPhase } from "@dm/crds";
import { expect, it } from "vitest";
import { decideQueue } from "../../src/backup/decide-queue.ts";

const namespaces = ["a", "b", "c"];
const backup = (
  name: string,
  phase: BackupPhase,
  includedNamespaces: string[],
  queuePosition?: number,
): Backup => ({
  metadata: { name, creationTimestamp: "2026-11-22T10:00:00Z" },
  spec: { includedNamespaces },
  status: { phase, ...(queuePosition && { queuePosition }) },
});
const decide = (backups: Backup[], concurrent = 1): string[] =>
  decideQueue(backups, namespaces, concurrent).map(
    ({ backup: one, phase, queuePosition }) => `${one.metadata.name} ${phase} ${queuePosition}`,
  );

it("new ones are queued, in the order in which they came", () => {
  const later = backup("first", "New", ["a"]);
  later.metadata.creationTimestamp = "2026-11-22T11:00:00Z";
  expect(
    decide([later, backup("second", "New", ["b"]), backup("q", "Queued", ["*"], 1)], 0),
  ).toEqual(["second Queued 2", "first Queued 3"]);
});

it("as many run as may, and the others move up", () => {
  const waiting = [
    backup("x", "Queued", ["a"], 1),
    backup("y", "Queued", ["b"], 2),
    backup("z", "Queued", ["c"], 3),
  ];
  expect(decide(waiting)).toEqual(["x ReadyToStart 0", "y Queued 1", "z Queued 2"]);
  expect(decide(waiting, 2)).toEqual(["x ReadyToStart 0", "y ReadyToStart 0", "z Queued 1"]);
  expect(decide([backup("r", "InProgress", ["c"]), ...waiting])).toEqual([]);
  expect(decide([backup("r", "ReadyToStart", ["c"]), ...waiting])).toEqual([]);
  const waitingForData = backup("w", "WaitingForPluginOperations", ["*"]);
  expect(decide([waitingForData, ...waiting])[0]).toBe("x ReadyToStart 0");
});

it("none runs beside one that has a namespace in common", () => {
  const running = backup("r", "InProgress", ["a"]);
  expect(
    decide([running, backup("x", "Queued", ["*"], 1), backup("y", "Queued", ["b"], 2)], 3),
  ).toEqual([]);
  expect(
    decide([running, backup("x", "Queued", ["a"], 1), backup("y", "Queued", ["b"], 2)], 3),
  ).toEqual(["y ReadyToStart 0"]);
});
