// When an expired backup is asked to be deleted, and why not: each branch of the decision.
import type { Backup, BackupStorageLocation, DeleteBackupRequest } from "@dm/crds";
import { expect, it } from "vitest";
import { decideGc, type SeenExpiry } from "../../src/retention/decide-gc.ts";

const nowMs = Date.parse("2026-11-25T12:00:00Z");
const hourMs = 3_600_000;
const available = {
  metadata: {},
  spec: {},
  status: { phase: "Available" },
} as BackupStorageLocation;
const backup = (expiration: string | undefined, labels = {}): Backup =>
  ({ metadata: { labels }, status: { expiration } }) as Backup;
const requests = (...phases: string[]) =>
  phases.map(
    (phase) => ({ metadata: {}, spec: {}, status: { phase } }) as unknown as DeleteBackupRequest,
  );
const over = backup("2026-11-25T12:00:00Z");

it.each<[string, Partial<SeenExpiry>, object]>([
  ["no end", { backup: backup(undefined) }, { do: "wait", ms: undefined }],
  ["tomorrow", { backup: backup("2026-11-26T12:00:00Z") }, { do: "wait", ms: hourMs }],
  ["in a minute", { backup: backup("2026-11-25T12:01:00Z") }, { do: "wait", ms: 60_000 }],
  ["now", {}, { do: "request", hasFailed: false }],
  ["a location that is gone", { location: undefined }, { do: "fail", reason: "BSLNotFound" }],
  [
    "a location that cannot be read",
    { location: "unknown" },
    { do: "fail", reason: "BSLCannotGet" },
  ],
  [
    "a location to read only",
    { location: { ...available, spec: { accessMode: "ReadOnly" } } as BackupStorageLocation },
    { do: "fail", reason: "BSLReadOnly" },
  ],
  [
    "a location that is Unavailable",
    { location: { ...available, status: { phase: "Unavailable" } } },
    { do: "fail", reason: "BSLUnavailable" },
  ],
  ["a request that is New", { requests: requests("") }, { do: "leave", hasFailed: false }],
  [
    "a request under way",
    { requests: requests("Processed", "InProgress") },
    { do: "leave", hasFailed: false },
  ],
  [
    "a request that failed",
    { requests: requests("Processed") },
    { do: "request", hasFailed: false },
  ],
  [
    "a reason that does not hold any more",
    { backup: backup("2026-11-25T12:00:00Z", { "velero.io/gc-failure": "BSLReadOnly" }) },
    { do: "request", hasFailed: true },
  ],
])("%s", (_, seen, expected) => {
  expect(
    decideGc({ backup: over, location: available, requests: [], ...seen }, nowMs, hourMs),
  ).toEqual(expected);
});
