/**
 * The exposer of each kind of object.
 * Proof: test/node-agent/lifecycle.test.ts.
 * @module
 */
import {
  type DataDownload,
  type DataUpload,
  type KubeObject,
  type PodVolumeBackup,
  type PodVolumeRestore,
  podVolumeBackups,
  podVolumeRestores,
} from "@dm/crds";
import type { DataPathKind } from "../mover/data-path-kind.ts";
import { csiSnapshotExposer } from "./csi-snapshot-exposer.ts";
import type { Exposer, RestoreExposer } from "./exposer.ts";
import type { ExposerContext } from "./exposer-context.ts";
import { genericRestoreExposer } from "./generic-restore-exposer.ts";
import { podVolumeExposer } from "./pod-volume-exposer.ts";

/** @example exposerFor(context, "DataUpload", upload) */
export function exposerFor(
  context: ExposerContext,
  kind: DataPathKind,
  object: KubeObject,
): Exposer | RestoreExposer {
  switch (kind) {
    case "DataUpload":
      return csiSnapshotExposer(context, object as DataUpload);
    case "DataDownload":
      return genericRestoreExposer(context, object as DataDownload);
    case "PodVolumeBackup":
      return podVolumeExposer(context, podVolumeBackups, object as PodVolumeBackup);
    case "PodVolumeRestore":
      return podVolumeExposer(context, podVolumeRestores, object as PodVolumeRestore);
  }
}
