/**
 * Reads everything that the decision about an application needs.
 * Proof: test/oadp/reconcile-application.test.ts.
 * @module
 */
import {
  type ConfigMap,
  configMaps,
  type DataProtectionApplication,
  dataProtectionApplications,
  type KubeObject,
  type Resource,
  secrets,
} from "@dm/crds";
import type { KubeCallOptions, KubeClient } from "../runtime/kube-client.ts";
import type { SeenApplication } from "./application.ts";
import type { FindBucketRegion } from "./bucket-region.ts";
import { cloudStorages } from "./cloud-storage.ts";
import { providerName } from "./location-secret.ts";
import { secretNames } from "./plan-locations.ts";
import { nodeAgentArgumentsAnnotation, serverArgumentsAnnotation } from "./validate-application.ts";
import { needsRegion } from "./validate-backup-locations.ts";

export async function observeApplication(
  deps: { readonly client: KubeClient; readonly findBucketRegion: FindBucketRegion },
  application: DataProtectionApplication,
  { signal }: KubeCallOptions = {},
): Promise<SeenApplication> {
  const { client } = deps;
  const { annotations, namespace } = application.metadata;
  const all = async <T extends KubeObject>(
    resource: Resource<T>,
    names: readonly string[],
  ): Promise<Map<string, T>> => {
    const found = new Map<string, T>();
    for (const name of names) {
      const object = await client.get(resource, { namespace, name }, { signal });
      if (object) found.set(name, object);
    }
    return found;
  };
  const map = async (name: string | undefined): Promise<ConfigMap | undefined> =>
    name ? client.get(configMaps, { namespace, name }, { signal }) : undefined;
  const { items } = await client.list(dataProtectionApplications, { namespace, signal });
  const locations = application.spec?.backupLocations ?? [];
  const regions = new Map<string, string>();
  for (const { velero } of locations) {
    const bucket = velero?.objectStorage?.bucket;
    if (!bucket || providerName(velero.provider) !== "aws" || !needsRegion(velero.config ?? {}))
      continue;
    const region = await deps.findBucketRegion(bucket, signal);
    if (region) regions.set(bucket, region);
  }
  const storages = locations.map(({ bucket }) => bucket?.cloudStorageRef.name ?? "");
  return {
    application,
    applications: items.length,
    secrets: await all(secrets, secretNames(application)),
    cloudStorages: await all(cloudStorages, [...new Set(storages.filter((name) => name !== ""))]),
    regions,
    serverArguments: await map(annotations?.[serverArgumentsAnnotation]),
    nodeAgentArguments: await map(annotations?.[nodeAgentArgumentsAnnotation]),
  };
}
