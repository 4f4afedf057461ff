// What the package costs a controller: the start, a check of each object that a watch brings, and the manifests.
import { spawnSync } from "node:child_process";
import {
  crdManifests,
  dataUploads,
  isDataUpload,
  isOfKind,
  labelValue,
  newDataUpload,
} from "@dm/crds";
import { suite } from "@dm/fixtures/bench";

const count = 10_000;
const uploads = Array.from({ length: count }, (_, number) => ({
  ...newDataUpload({
    namespace: "velero",
    backup: { name: `nightly-${number}`, uid: "4eb2286b-d246-464d-83b3-b83f77cd0d1a" },
    backupStorageLocation: "default",
    sourceNamespace: "apps",
    sourcePVC: `data-${number}`,
    sourcePVCUid: "59eed1ec-dab5-482e-bcd5-1f257320b0d6",
    csiSnapshot: { volumeSnapshot: `velero-data-${number}`, storageClass: "fast" },
  }),
  status: { phase: "InProgress", progress: { bytesDone: number, totalBytes: count } },
}));
const longNames = uploads.map(({ spec }) => `${spec.sourcePVC}.${"n".repeat(60)}`);
const start = (code: string): void => {
  const { status } = spawnSync(process.execPath, ["--input-type=module", "-e", code], {
    cwd: import.meta.dirname,
  });
  if (status !== 0) throw new Error(`${code} ended with ${status}`);
};

await suite("crds", {}, (measure) => {
  measure("start of Node alone", () => start(""));
  measure("start of Node with zod", () => start('import "zod"'));
  measure("start of Node with @dm/crds", () => start('import "@dm/crds"'));
  measure("isOfKind", () => uploads.every((it) => isOfKind(dataUploads, it)), {
    operations: count,
  });
  measure("isDataUpload", () => uploads.every(isDataUpload), { operations: count });
  measure("labelValue of a long name", () => longNames.map(labelValue), { operations: count });
  measure("crdManifests of all kinds", () => crdManifests());
});
