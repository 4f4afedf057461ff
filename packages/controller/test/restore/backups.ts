/**
 * Backups made by hand: a Backup that is Completed, and its files in the bucket of a world.
 */
import type { PodVolumeBackup } from "@dm/crds";
import { decodeGzipJson, encodeGzipJson, encodeItems } from "../../src/bucket/backup-files.ts";
import type { AnyObject } from "../../src/restore/actions/action.ts";
import { kinds, operator, type World } from "../backup/world.ts";
import { itemOf } from "./objects.ts";

export interface HandMade {
  readonly spec?: object;
  readonly volumes?: readonly object[];
  readonly podVolumeBackups?: readonly PodVolumeBackup[];
}

export function putBackup(
  world: World,
  name: string,
  objects: readonly AnyObject[],
  { podVolumeBackups, spec, volumes = [] }: HandMade = {},
): void {
  const backup = {
    apiVersion: "velero.io/v1",
    kind: "Backup",
    metadata: { name, namespace: operator },
    spec: { storageLocation: "default", csiSnapshotTimeout: "10m0s", ...spec },
    status: { phase: "Completed", startTimestamp: "2026-11-22T09:00:00Z" },
  };
  world.api.create(kinds.backups, backup as never);
  const folder = `default/backups/${name}`;
  const put = (file: string, bytes: Uint8Array): void => {
    world.blobs.set(`${folder}/${file}`, bytes);
  };
  put("velero-backup.json", new TextEncoder().encode(JSON.stringify(backup)));
  put(`${name}.tar.gz`, encodeItems(objects.map(itemOf), new Date(0)));
  put(`${name}-volumeinfo.json.gz`, encodeGzipJson(volumes));
  if (podVolumeBackups) put(`${name}-podvolumebackups.json.gz`, encodeGzipJson(podVolumeBackups));
}

/** A file of a Restore. */
export function restoreFile(world: World, restore: string, file: string): unknown {
  const bytes = world.blobs.get(`default/restores/${restore}/${file}`);
  return decodeGzipJson(bytes ?? new Uint8Array(), file);
}
