/**
 * What an administrator has set up for all restores: ConfigMaps in the operator's namespace, labelled with the plugin of Velero that
 * they configure, and the VolumeSnapshotClasses of the cluster.
 * Proof: test/restore/restore-objects.test.ts.
 * @module
 */
import { FormatError, isDmError } from "@dm/core";
import { type ConfigMap, configMaps, storageClasses, volumeSnapshotClasses } from "@dm/crds";
import { listAll } from "../backup/list-all.ts";
import type { KubeCallOptions, KubeClient } from "../runtime/kube-client.ts";
import type { RestoreConfig } from "./actions/action.ts";

const plugin = "velero.io/plugin-config";
const kind = "RestoreItemAction";

/** @throws {FormatError} `DM_PLUGIN_CONFIG_AMBIGUOUS` */
export async function readRestoreConfig(
  client: KubeClient,
  namespace: string,
  options: KubeCallOptions,
): Promise<RestoreConfig> {
  const configOf = async (name: string): Promise<Readonly<Record<string, string>>> => {
    const labelSelector = `${plugin},${name}=${kind}`;
    const found = await listAll(client, configMaps, { namespace, labelSelector, ...options });
    if (found.length > 1) throw ambiguous(labelSelector, found);
    return found[0]?.data ?? {};
  };
  const classes = new Map(Object.entries(await configOf("velero.io/change-storage-class")));
  const missing = new Set<string>();
  for (const name of new Set(classes.values()))
    if (!(await client.get(storageClasses, { name }, options))) missing.add(name);
  const images = Object.values(await configOf("velero.io/change-image-name")).flatMap(
    (row): [string, string][] => {
      const [from = "", ...rest] = row.split(",");
      const to = rest.join(",").trim();
      return from.trim() && to ? [[from.trim(), to]] : [];
    },
  );
  return {
    storageClasses: classes,
    missingStorageClasses: missing,
    images,
    snapshotClasses: await snapshotClasses(client, options),
    podVolumeWait: await configOf("velero.io/pod-volume-restore"),
  };
}

/** None in clusters that take no snapshots. */
async function snapshotClasses(client: KubeClient, options: KubeCallOptions) {
  try {
    return await listAll(client, volumeSnapshotClasses, options);
  } catch (error) {
    if (isDmError(error, "DM_KUBE_NOT_FOUND")) return [];
    throw error;
  }
}

function ambiguous(selector: string, found: readonly ConfigMap[]): FormatError {
  const names = found.map(({ metadata }) => metadata.name).join(", ");
  return new FormatError(
    "DM_PLUGIN_CONFIG_AMBIGUOUS",
    `found more than one ConfigMap matching label selector "${selector}": ${names}`,
  );
}
