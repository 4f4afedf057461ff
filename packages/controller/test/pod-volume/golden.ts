/** The PodVolumeBackups in the recorded bucket of a real Velero server. */
import { gunzipSync } from "node:zlib";
import type { PodVolumeBackup } from "@dm/crds";

export function decodePodVolumeBackups(
  objects: ReadonlyMap<string, Uint8Array>,
): PodVolumeBackup[] {
  const bytes = objects.get("velero/backups/fsb/fsb-podvolumebackups.json.gz");
  if (bytes === undefined) throw new Error("the bucket has no PodVolumeBackups");
  return JSON.parse(gunzipSync(bytes).toString("utf8"));
}
