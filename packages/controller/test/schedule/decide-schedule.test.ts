// When a Schedule makes a Backup, and why not: each branch of the decision; and what that Backup is like.
import type { Backup, Schedule } from "@dm/crds";
import { expect, it } from "vitest";
import {
  decideSchedule,
  expectedIntervalSeconds,
  type SeenSchedule,
  scheduledBackup,
} from "../../src/schedule/decide-schedule.ts";

const nowMs = Date.parse("2026-11-25T12:00:30Z");
const schedule = (spec: object = {}, status: object = {}): Schedule =>
  ({
    metadata: {
      name: "s",
      namespace: "velero",
      uid: "u",
      creationTimestamp: "2026-11-25T11:30:00Z",
    },
    spec: { schedule: "@hourly", template: {}, ...spec },
    status: { phase: "Enabled", ...status },
  }) as Schedule;
const backup = (name: string, phase: string): Backup =>
  ({ metadata: { name }, status: { phase } }) as Backup;
const run = { do: "run", name: "s-20261125120030" };

it.each<[string, Partial<SeenSchedule>, object]>([
  ["due since it was made", {}, run],
  ["paused", { schedule: schedule({ paused: true }) }, { do: "wait", ms: undefined }],
  ["new", { schedule: schedule({}, { phase: "" }) }, { do: "enable" }],
  [
    "valid again",
    { schedule: schedule({}, { phase: "FailedValidation", validationErrors: ["x"] }) },
    { do: "enable" },
  ],
  [
    "not valid",
    { schedule: schedule({ schedule: "* * *" }) },
    { do: "refuse", errors: ["invalid schedule: expected exactly 5 fields, found 3: [* * *]"] },
  ],
  [
    "empty",
    { schedule: schedule({ schedule: "" }) },
    { do: "refuse", errors: ["Schedule must be a non-empty valid Cron expression"] },
  ],
  [
    "not valid, as told",
    {
      schedule: schedule(
        { schedule: "" },
        {
          phase: "FailedValidation",
          validationErrors: ["Schedule must be a non-empty valid Cron expression"],
        },
      ),
    },
    { do: "wait", ms: undefined },
  ],
  ["to be skipped", { schedule: schedule({ skipImmediately: true }) }, { do: "skip" }],
  [
    "new, on a server that skips",
    { schedule: schedule({}, { phase: "" }), skipImmediately: true },
    { do: "skip" },
  ],
  [
    "new, and says no to that",
    { schedule: schedule({ skipImmediately: false }, { phase: "" }), skipImmediately: true },
    { do: "enable" },
  ],
  [
    "skipped after the last run",
    { schedule: schedule({}, { lastSkipped: "2026-11-25T12:00:10Z" }) },
    { do: "wait", ms: 60_000 },
  ],
  [
    "ran just now",
    { schedule: schedule({}, { lastBackup: "2026-11-25T12:00:00Z" }) },
    { do: "wait", ms: 60_000 },
  ],
  [
    "due in a little while",
    { schedule: schedule({ schedule: "1 12 * * *" }) },
    { do: "wait", ms: 30_000 },
  ],
  ["never due", { schedule: schedule({ schedule: "0 0 30 2 *" }) }, { do: "wait", ms: undefined }],
  ["missed many times", { schedule: schedule({}, { lastBackup: "2026-11-01T12:00:00Z" }) }, run],
  ...["", "New", "Queued", "ReadyToStart", "InProgress"].map(
    (phase): [string, Partial<SeenSchedule>, object] => [
      `one that is ${phase || "not begun"} in the way`,
      { backups: [backup("s-20261125110000", phase)] },
      { do: "wait", ms: 60_000 },
    ],
  ),
  ...["WaitingForPluginOperations", "Finalizing", "Completed", "Failed"].map(
    (phase): [string, Partial<SeenSchedule>, object] => [
      `one that is ${phase} is not in the way`,
      { backups: [backup("s-20261125110000", phase)] },
      run,
    ],
  ),
  [
    "a run that nobody has noted",
    { backups: [backup("s-20261125120010", "InProgress")] },
    { do: "note", lastBackupMs: Date.parse("2026-11-25T12:00:10Z") },
  ],
  [
    "a Backup that was made by hand",
    { backups: [backup("s-by-hand", "Completed"), backup("s-99999999999999", "Completed")] },
    run,
  ],
])("%s", (_, seen, expected) => {
  const base = { schedule: schedule(), backups: [], skipImmediately: false, periodMs: 60_000 };
  expect(decideSchedule({ ...base, ...seen }, nowMs)).toEqual(expected);
});

it("the Backup has the template, the labels and annotations of the Schedule, and its name", () => {
  const made = schedule({
    template: { includedNamespaces: ["shop"], ttl: "24h" },
    useOwnerReferencesInBackup: true,
  });
  made.metadata.labels = { team: "web" };
  made.metadata.annotations = {
    note: "x",
    "kubectl.kubernetes.io/last-applied-configuration": "{}",
  };
  expect(scheduledBackup(made, "s-20261125120030")).toEqual({
    apiVersion: "velero.io/v1",
    kind: "Backup",
    metadata: {
      name: "s-20261125120030",
      namespace: "velero",
      labels: { team: "web", "velero.io/schedule-name": "s" },
      annotations: { note: "x" },
      ownerReferences: [
        { apiVersion: "velero.io/v1", kind: "Schedule", name: "s", uid: "u", controller: true },
      ],
    },
    spec: { includedNamespaces: ["shop"], ttl: "24h" },
  });
  const labelled = schedule({ template: { metadata: { labels: { own: "1" } } } });
  labelled.metadata.labels = { team: "web" };
  expect(scheduledBackup(labelled, "s-1").metadata).toEqual({
    name: "s-1",
    namespace: "velero",
    labels: { own: "1", "velero.io/schedule-name": "s" },
  });
});

it("the time between two runs", () => {
  expect(expectedIntervalSeconds(schedule(), nowMs)).toBe(3_600);
  expect(expectedIntervalSeconds(schedule({ schedule: "x" }), nowMs)).toBeUndefined();
});
