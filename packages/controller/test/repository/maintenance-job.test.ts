// Jobs of maintenance and their records, as pure functions: what is read from a Job that ended, what stays, what goes.
import type { BackupRepository, Deployment, Job, MaintenanceRecord } from "@dm/crds";
import { describe, expect, it } from "vitest";
import {
  jobResult,
  lastSuccess,
  maintenanceJob,
  maintenanceRecord,
  mergeRecords,
  outdatedJobs,
} from "../../src/repository/maintenance-job.ts";

const repository = {
  metadata: { name: "shop-default-kopia", namespace: "velero" },
  spec: { volumeNamespace: "shop", backupStorageLocation: "default" },
} as BackupRepository;
const server = (container: object): Deployment =>
  ({
    metadata: { name: "velero" },
    spec: { template: { spec: { containers: [container] } } },
  }) as unknown as Deployment;
const common = { repository, dueMs: 1_800_000_000_000, timeoutMs: 60_000 };

describe("maintenanceJob", () => {
  it("puts its role in the place of the server's on the command line", () => {
    const container = {
      name: "velero",
      image: "i",
      command: ["/velero", "server"],
      args: ["--log-level=debug"],
    };
    const [made] = maintenanceJob({ ...common, server: server(container) }).spec.template.spec
      .containers;
    expect(made!.command).toEqual(["/velero"]);
    expect(made!.args![0]).toBe("maintenance");
    expect(made!.args!.at(-1)).toBe("--log-level=debug");
  });

  it("has a short name for a repository with a long one", () => {
    const name = "n".repeat(60);
    const long = { ...repository, metadata: { ...repository.metadata, name } };
    const { metadata } = maintenanceJob({
      ...common,
      repository: long,
      server: server({ name: "s", image: "i" }),
    });
    expect(metadata.name).toBe("repo-maintain-job-1800000000000");
    expect(metadata.labels?.["velero.io/repo-name"]).toBe(name);
  });

  it("needs an image", () => {
    expect(() => maintenanceJob({ ...common, server: server({ name: "velero" }) })).toThrow(
      expect.objectContaining({ code: "DM_SERVER_TEMPLATE" }),
    );
  });
});

const job = (status: object, name = "j", creationTimestamp = "2026-01-01T00:00:00Z"): Job =>
  ({ metadata: { name, creationTimestamp }, spec: {}, status }) as unknown as Job;
const condition = (type: string, message?: string) => ({
  type,
  status: "True",
  lastTransitionTime: "2026-01-01T01:00:00Z",
  ...(message && { message }),
});

describe("maintenanceRecord", () => {
  it("of a success", () => {
    const done = job({
      startTime: "2026-01-01T00:00:01Z",
      completionTime: "2026-01-01T00:00:02Z",
      succeeded: 1,
    });
    expect(maintenanceRecord(done, "")).toEqual({
      result: "Succeeded",
      startTimestamp: "2026-01-01T00:00:01Z",
      completeTimestamp: "2026-01-01T00:00:02Z",
    });
  });

  it.each([
    ["Repo maintenance error: no key", "no key"],
    ["a\nRepo maintenance error: b", "b"],
    ["killed", "killed"],
    [undefined, "Job was active longer than specified deadline"],
    ["", "Job was active longer than specified deadline"],
  ])("of a failure with the message %j", (message, expected) => {
    const conditions = [condition("Failed", "Job was active longer than specified deadline")];
    expect(maintenanceRecord(job({ conditions }), message)).toEqual({
      result: "Failed",
      startTimestamp: "2026-01-01T00:00:00Z",
      completeTimestamp: "2026-01-01T01:00:00Z",
      message: expected,
    });
  });
});

it("jobResult is undefined while it runs", () => {
  expect(jobResult(job({}))).toBeUndefined();
  expect(
    jobResult(job({ active: 1, conditions: [{ type: "Failed", status: "False" }] })),
  ).toBeUndefined();
  expect(jobResult(job({ conditions: [condition("Complete")] }))).toBe("Succeeded");
  expect(jobResult(job({ failed: 1 }))).toBe("Failed");
});

const record = (hour: number, result: "Failed" | "Succeeded" = "Succeeded"): MaintenanceRecord => {
  const time = new Date(Date.UTC(2026, 0, 1, hour)).toISOString();
  return { startTimestamp: time, completeTimestamp: time, result };
};

it("records are merged by start, oldest first, and the oldest go", () => {
  expect(mergeRecords([record(2)], [record(1), record(2), record(3)])).toEqual([
    record(1),
    record(2),
    record(3),
  ]);
  const many = Array.from({ length: 30 }, (_, hour) => record(hour));
  expect(mergeRecords(many.slice(0, 20), many.slice(20))).toEqual(many.slice(5));
});

it("the last success is the newest, whatever failed since", () => {
  expect(lastSuccess([record(2), record(1), record(3, "Failed")])).toBe(
    record(2).completeTimestamp,
  );
  expect(lastSuccess([record(3, "Failed")])).toBeUndefined();
});

it("of Jobs that ended the newest stay; those that run stay anyhow", () => {
  const at = (hour: number, status: object): Job =>
    job(status, `j${hour}`, record(hour).startTimestamp!);
  const all = [at(1, {}), at(4, { succeeded: 1 }), at(2, { failed: 1 }), at(3, { succeeded: 1 })];
  expect(outdatedJobs(all, 2).map(({ metadata }) => metadata.name)).toEqual(["j2"]);
  expect(outdatedJobs(all, 5)).toEqual([]);
});
