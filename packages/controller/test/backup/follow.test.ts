/** DataUploads and DataDownloads that are followed: which count as done, failed, running or late. */
import type { DataUpload } from "@dm/crds";
import { expect, it } from "vitest";
import { follow, timedOutText } from "../../src/backup/follow.ts";

const now = new Date("2026-11-22T10:00:00Z");
const upload = (
  name: string,
  status: DataUpload["status"],
  { createdAt = "2026-11-22T09:59:00Z", cancel = false } = {},
): DataUpload => ({
  metadata: { name, creationTimestamp: createdAt },
  spec: {
    backupStorageLocation: "default",
    operationTimeout: "10m0s",
    snapshotType: "CSI",
    sourceNamespace: "shop",
    sourcePVC: name,
    ...(cancel && { cancel }),
  },
  ...(status && { status }),
});
const followed = (objects: DataUpload[], made = objects.length) => {
  const all = follow(objects, { kind: "DataUpload", made, timeoutMs: 3_600_000, now });
  const names = (list: readonly DataUpload[]) => list.map(({ metadata }) => metadata.name);
  return {
    completed: names(all.completed),
    running: names(all.running),
    overdue: names(all.overdue),
    failed: all.failed.map(({ message, object }) => [object?.metadata.name, message]),
  };
};

it("sorts them by what they are", () => {
  const old = { createdAt: "2026-11-22T08:00:00Z" };
  const all = [
    upload("done", { phase: "Completed" }, old),
    upload("new", undefined),
    upload("runs", { phase: "InProgress" }),
    upload("failed", { phase: "Failed", message: "cannot read" }),
    upload("silent", { phase: "Failed" }),
    upload("canceled", { phase: "Canceled" }),
    upload("explained", { phase: "Canceled", message: "the pod cannot start" }),
    upload("late", { phase: "Prepared" }, old),
    upload("stopped", { phase: "Canceled", message: timedOutText }, { ...old, cancel: true }),
    upload("stopping", { phase: "Canceling", message: timedOutText }, { ...old, cancel: true }),
    upload("timeless", { phase: "New" }, { createdAt: "" }),
  ];
  expect(followed(all)).toEqual({
    completed: ["done"],
    running: ["new", "runs"],
    overdue: ["late", "timeless"],
    failed: [
      ["failed", "cannot read"],
      ["silent", "DataUpload is Failed"],
      ["canceled", "DataUpload is canceled"],
      ["explained", "DataUpload is canceled: the pod cannot start"],
      ["late", timedOutText],
      ["stopped", timedOutText],
      ["stopping", timedOutText],
      ["timeless", timedOutText],
    ],
  });
});

it("counts those that are gone as failed", () => {
  expect(followed([upload("done", { phase: "Completed" })], 3).failed).toEqual([
    [undefined, "a DataUpload is gone that was not ended"],
    [undefined, "a DataUpload is gone that was not ended"],
  ]);
});
