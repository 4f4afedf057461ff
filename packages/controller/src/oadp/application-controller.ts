/**
 * The controller of DataProtectionApplications on a manager, with its caches.
 * Proof: test/oadp/application-controller.test.ts, test/oadp/cluster.test.ts.
 * @module
 */
import { type Clock, type Logger, silentLogger, systemClock } from "@dm/core";
import {
  backupStorageLocations,
  configMaps,
  daemonSets,
  dataProtectionApplications,
  deployments,
  labels,
  secrets,
  volumeSnapshotLocations,
} from "@dm/crds";
import {
  createEventRecorder,
  type EventRecorder,
  type KubeClient,
  keyOf,
  type Manager,
  ownerKeys,
  source,
} from "../runtime/index.ts";
import { type ApplicationSettings, applicationDefaults, oadpOperator } from "./application.ts";
import { type FindBucketRegion, findBucketRegion } from "./bucket-region.ts";
import { services } from "./plan-metrics-service.ts";
import { applicationRetryMs, reconcileApplication } from "./reconcile-application.ts";

export interface ApplicationControllerOptions {
  readonly client: KubeClient;
  /** Of the applications and of all that is made for them. */
  readonly namespace: string;
  readonly settings?: Partial<ApplicationSettings> | undefined;
  readonly events?: Pick<EventRecorder, "record"> | undefined;
  /** By default AWS is asked. */
  readonly findBucketRegion?: FindBucketRegion | undefined;
  readonly retryMs?: number | undefined;
  readonly clock?: Clock | undefined;
  readonly logger?: Logger | undefined;
}

/**
 * Call before the manager runs.
 * @example
 * addApplicationController(manager, { client, namespace: "openshift-adp", settings: { image: "example.com/dm:1.0" } });
 */
export function addApplicationController(
  manager: Manager,
  options: ApplicationControllerOptions,
): void {
  const { client, clock = systemClock, logger = silentLogger, namespace } = options;
  const deps = {
    client,
    clock,
    logger,
    events:
      options.events ?? createEventRecorder(client, { component: oadpOperator, clock, logger }),
    settings: { ...applicationDefaults, ...options.settings },
    findBucketRegion: remembered(options.findBucketRegion ?? findBucketRegion),
    told: new Map<string, ReadonlySet<string>>(),
    retryMs: options.retryMs ?? applicationRetryMs,
  };
  const applications = manager.cache(dataProtectionApplications, { namespace });
  const all = () => applications.list().map(keyOf);
  // Others have objects of these kinds in the namespace too, which are not kept.
  const ours = { namespace, labelSelector: labels.oadp };
  const owned = <T extends Parameters<typeof ownerKeys>[0]>(object: T) =>
    ownerKeys(object, dataProtectionApplications);
  manager.add({
    name: "DataProtectionApplication",
    sources: [
      // One more or one less concerns the others too.
      source(applications, (application) => [keyOf(application), ...all()]),
      source(manager.cache(deployments, ours), owned),
      source(manager.cache(daemonSets, ours), owned),
      source(manager.cache(backupStorageLocations, ours), owned),
      source(manager.cache(volumeSnapshotLocations, ours), owned),
      source(manager.cache(configMaps, ours), owned),
      source(manager.cache(services, ours), owned),
      // Only that they changed is of interest here, not what they hold.
      source(
        manager.cache(secrets, {
          ...ours,
          keep: ({ data: _, ...secret }) => secret,
        }),
        ({ metadata }) => {
          const name = metadata.labels?.[labels.dataProtectionApplicationName];
          return name ? [...all(), { namespace, name }] : all();
        },
      ),
    ],
    reconcile: (key, signal) => reconcileApplication(deps, key, { signal }),
  });
}

/** A bucket stays where it is; what is not known yet is asked again. */
function remembered(find: FindBucketRegion): FindBucketRegion {
  const known = new Map<string, string>();
  return async (bucket, signal) => {
    const region = known.get(bucket) ?? (await find(bucket, signal));
    if (region !== undefined) known.set(bucket, region);
    return region;
  };
}
