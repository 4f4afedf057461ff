// The command line of a maintenance Job.
import { expect, it } from "vitest";
import { maintenanceSettings } from "../../src/repository/run-maintenance.ts";

it("names whose volumes and which location", () => {
  const args = ["--repo-name=shop", "--repo-type=kopia", "--backup-storage-location=default"];
  const more = ["--termination-log=/dev/termination-log", "--log-level=debug"];
  expect(maintenanceSettings([...args, ...more], { VELERO_NAMESPACE: "velero" })).toEqual({
    volumeNamespace: "shop",
    backupStorageLocation: "default",
    namespace: "velero",
    terminationLog: "/dev/termination-log",
  });
});

it.each([
  [[]],
  [["--repo-name=x"]],
  [["--repo-name=x", "--backup-storage-location=d", "--repo-type=restic"]],
  [["--x"]],
])("refuses %j", (args) => {
  expect(() => maintenanceSettings(args)).toThrow(TypeError);
});
