// Every branch of the decision about a BackupRepository, as a table.
import { describe, expect, it } from "vitest";
import {
  decideRepository,
  type RepositoryDecision,
  type SeenRepository,
} from "../../src/repository/decide-repository.ts";

const hour = 3_600_000;
const now = 1_800_000_000_000;
const location = { place: "here", fingerprint: "f1", readOnly: false };
const mark = { uniqueID: "id", place: "here", fingerprint: "f1", password: "p1" };
const seen: SeenRepository = {
  phase: "Ready",
  mark,
  location,
  passwordVersion: "p1",
  inputs: "i1",
  maintenance: { frequencyMs: hour, lastAtMs: now - 10 * 60_000, unfinished: 0 },
  retryMs: 300_000,
};
const notReady = {
  ...seen,
  phase: "NotReady",
  mark: { ...mark, attempt: { atMs: now - 60_000, inputs: "i1" } },
} as const;

describe.each<[string, SeenRepository, RepositoryDecision]>([
  ["New", { ...seen, phase: "New", mark: {} }, { do: "connect", mayCreate: true }],
  [
    "New, and known here: made New by somebody",
    { ...seen, phase: "New" },
    { do: "connect", mayCreate: false, uniqueID: "id" },
  ],
  [
    "New without a location",
    { ...seen, phase: "New", mark: {}, location: undefined },
    { do: "refuse", message: "its backup storage location does not exist" },
  ],
  ["Ready, the location deleted", { ...seen, location: undefined }, { do: "wait", ms: 300_000 }],
  ["Ready by Velero's doing", { ...seen, mark: {} }, { do: "connect", mayCreate: false }],
  [
    "row 69: Ready, the location changed",
    { ...seen, location: { ...location, fingerprint: "f2" } },
    { do: "invalidate" },
  ],
  [
    "row 69: NotReady, the location elsewhere",
    { ...notReady, inputs: "i2", location: { ...location, place: "there", fingerprint: "f2" } },
    { do: "connect", mayCreate: true },
  ],
  [
    "row 67: Ready, the password changed",
    { ...seen, passwordVersion: "p2" },
    { do: "connect", mayCreate: false, uniqueID: "id" },
  ],
  ["NotReady, tried a minute ago", notReady, { do: "wait", ms: 240_000 }],
  [
    "NotReady, tried five minutes ago",
    { ...notReady, mark: { ...mark, attempt: { atMs: now - 300_000, inputs: "i1" } } },
    { do: "connect", mayCreate: false, uniqueID: "id" },
  ],
  [
    "NotReady, with something else to try",
    { ...notReady, inputs: "i2" },
    { do: "connect", mayCreate: false, uniqueID: "id" },
  ],
  [
    "row 60: NotReady, the clock set back by an hour",
    { ...notReady, mark: { ...mark, attempt: { atMs: now + hour, inputs: "i1" } } },
    { do: "wait", ms: 300_000 },
  ],
  ["Ready, nothing due", seen, { do: "wait", ms: 300_000 }],
  [
    "Ready, due in a minute",
    { ...seen, maintenance: { ...seen.maintenance, lastAtMs: now - hour + 60_000 } },
    { do: "wait", ms: 60_000 },
  ],
  [
    "Ready, maintenance due",
    { ...seen, maintenance: { ...seen.maintenance, lastAtMs: now - hour - 5 } },
    { do: "maintain", dueMs: now - 5 },
  ],
  [
    "Ready, never maintained",
    { ...seen, maintenance: { frequencyMs: hour, unfinished: 0 } },
    { do: "maintain", dueMs: now },
  ],
  [
    "one at a time: due, and a Job is unfinished",
    { ...seen, maintenance: { frequencyMs: hour, lastAtMs: now - 2 * hour, unfinished: 1 } },
    { do: "wait", ms: 30_000 },
  ],
  [
    "row 74: due, and failed ten minutes ago",
    {
      ...seen,
      maintenance: {
        frequencyMs: hour,
        lastAtMs: now - 2 * hour,
        triedAtMs: now - 600_000,
        unfinished: 0,
      },
    },
    { do: "wait", ms: 300_000 },
  ],
  [
    "row 70: due, in a read-only location",
    {
      ...seen,
      location: { ...location, readOnly: true },
      maintenance: { frequencyMs: hour, lastAtMs: now - 2 * hour, unfinished: 0 },
    },
    { do: "wait", ms: 300_000 },
  ],
  [
    "a frequency of nothing",
    { ...seen, maintenance: { frequencyMs: 0, lastAtMs: 1, unfinished: 0 } },
    { do: "wait", ms: 300_000 },
  ],
])("%s", (_, world, decision) => {
  it(decision.do, () => {
    expect(decideRepository(world, now)).toEqual(decision);
  });
});
