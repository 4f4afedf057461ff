/**
 * A DataProtectionApplication, made true: it is checked, then its objects are made or brought up to date in a fixed order, and what
 * it wants no more goes. The first step that fails ends the call and is the message of the condition `Reconciled`. What it owns
 * goes with it by owner references; labels on Secrets, which it does not own, are taken off by the next look at its name.
 *
 * Different on purpose: objects of other owners are left alone and named, where OADP takes over what has the right name.
 * Proof: test/oadp/reconcile-application.test.ts, test/oadp/conformance.test.ts.
 * @module
 */
import { type Clock, isDmError, type Logger, nsPerMs } from "@dm/core";
import {
  type BackupStorageLocation,
  backupStorageLocations,
  type ConfigMap,
  configMaps,
  type DataProtectionApplication,
  daemonSets,
  dataProtectionApplications,
  deployments,
  type KubeObject,
  labels,
  labelValue,
  type Resource,
  secrets,
  type VolumeSnapshotLocation,
  volumeSnapshotLocations,
} from "@dm/crds";
import type { EventRecorder } from "../runtime/event-recorder.ts";
import type { KubeCallOptions, KubeClient, ObjectKey } from "../runtime/kube-client.ts";
import { isAlreadyExists, isConflict, isUnavailable } from "../runtime/kube-errors.ts";
import { isDeleting, ownerReferenceTo, withCondition } from "../runtime/objects.ts";
import type { SeenApplication } from "./application.ts";
import {
  type ApplicationSettings,
  hasNodeAgent,
  locationLabels,
  nodeAgentName,
} from "./application.ts";
import { applicationWarnings } from "./application-warnings.ts";
import { type Applied, type ApplyOptions, applyObject } from "./apply-object.ts";
import type { FindBucketRegion } from "./bucket-region.ts";
import { observeApplication } from "./observe-application.ts";
import {
  maintenanceConfigName,
  nodeAgentConfigName,
  planMaintenanceConfig,
  planNodeAgentConfig,
  planRepositoryConfig,
  planVersionPriority,
  repositoryConfigName,
  restoreHelperConfigName,
  versionPriorityName,
} from "./plan-config-maps.ts";
import { planBackupLocations, planSnapshotLocations, secretNames } from "./plan-locations.ts";
import { planMetricsService, services } from "./plan-metrics-service.ts";
import { planNodeAgent, planServer } from "./plan-pods.ts";
import { validateApplication } from "./validate-application.ts";

export interface ApplicationDeps {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly events: Pick<EventRecorder, "record">;
  readonly settings: ApplicationSettings;
  readonly findBucketRegion: FindBucketRegion;
  /** Reasons of warnings by the application's uid: each is told once, and again after it was mended. */
  readonly told: Map<string, ReadonlySet<string>>;
  /** Until a refused application is looked at again: what it lacks may have come without a label. */
  readonly retryMs: number;
}

export const applicationRetryMs = 30_000;

export async function reconcileApplication(
  deps: ApplicationDeps,
  key: ObjectKey,
  { signal }: KubeCallOptions = {},
): Promise<{ readonly requeueAfterMs?: number }> {
  const application = await deps.client.get(dataProtectionApplications, key, { signal });
  if (application === undefined || isDeleting(application)) {
    if (application === undefined) await forgetSecrets(deps, key, signal);
    return {};
  }
  let problem: string | undefined;
  try {
    const seen = await observeApplication(deps, application, { signal });
    problem = validateApplication(seen);
    if (problem === undefined) await new Steps(deps, seen, signal).all();
  } catch (error) {
    // Somebody was faster, or nobody answers: that says nothing about the application.
    if (!isDmError(error) || isAlreadyExists(error) || isConflict(error) || isUnavailable(error))
      throw error;
    problem = error.message;
  }
  if (problem === undefined) warn(deps, application);
  await writeCondition(deps, application, problem, signal);
  if (problem === undefined) return {};
  deps.logger.warn("Refused a DataProtectionApplication", { name: key.name, problem });
  return { requeueAfterMs: deps.retryMs };
}

async function writeCondition(
  { client, clock }: ApplicationDeps,
  application: DataProtectionApplication,
  problem: string | undefined,
  signal: AbortSignal | undefined,
): Promise<void> {
  const before = application.status?.conditions;
  const condition = {
    type: "Reconciled",
    status: problem === undefined ? ("True" as const) : ("False" as const),
    reason: problem === undefined ? "Complete" : "Error",
    message: problem ?? "Reconcile complete",
    lastTransitionTime: "",
  };
  const now = new Date(Number(clock.nowNs() / nsPerMs));
  const conditions = withCondition(before, condition, now);
  if (conditions === before) return;
  const next = { ...application, status: { ...application.status, conditions } };
  await client.replace(dataProtectionApplications, next, { subresource: "status", signal });
}

function warn({ events, told }: ApplicationDeps, application: DataProtectionApplication): void {
  const { uid = "" } = application.metadata;
  const known = told.get(uid) ?? new Set();
  const warnings = applicationWarnings(application);
  for (const { message, reason } of warnings)
    if (!known.has(reason))
      events.record(dataProtectionApplications, application, { type: "Warning", reason, message });
  told.set(uid, new Set(warnings.map(({ reason }) => reason)));
}

/** The steps of one look at an application that is valid, in OADP's order. */
class Steps {
  readonly #deps: ApplicationDeps;
  readonly #seen: SeenApplication;
  readonly #signal: AbortSignal | undefined;
  readonly #namespace: string;

  constructor(deps: ApplicationDeps, seen: SeenApplication, signal: AbortSignal | undefined) {
    this.#deps = deps;
    this.#seen = seen;
    this.#signal = signal;
    this.#namespace = seen.application.metadata.namespace ?? "";
  }

  async all(): Promise<void> {
    await this.#removeRestoreHelper();
    await this.#labelSecrets();
    await this.#backupLocations();
    await this.#snapshotLocations();
    await this.#versionPriority();
    await this.#server();
    const { application } = this.#seen;
    const map = await this.#configMap(
      planNodeAgentConfig(application),
      nodeAgentConfigName(application),
      "NodeAgent",
    );
    await this.#configMap(
      planRepositoryConfig(application),
      repositoryConfigName(application),
      "BackupRepository",
    );
    await this.#configMap(
      planMaintenanceConfig(application),
      maintenanceConfigName(application),
      "RepositoryMaintenance",
    );
    await this.#nodeAgent(map?.metadata.resourceVersion);
    await this.#metricsService();
  }

  async #removeRestoreHelper(): Promise<void> {
    const key = { namespace: this.#namespace, name: restoreHelperConfigName };
    const map = await this.#deps.client.get(configMaps, key, { signal: this.#signal });
    // One that an administrator has made for Velero has the same name.
    if (!map || !(this.#owns(map) || map.metadata.labels?.[labels.oadp])) return;
    if (!(await this.#delete(configMaps, map))) return;
    this.#tell(
      configMaps,
      map,
      "DeletedFsRestoreHelperConfigMap",
      "FsRestoreHelper config map deleted",
    );
  }

  async #labelSecrets(): Promise<void> {
    const { application, secrets: known } = this.#seen;
    const { client } = this.#deps;
    const mark = labelValue(application.metadata.name ?? "");
    const wanted = { [labels.oadp]: "True", [labels.dataProtectionApplicationName]: mark };
    const names = new Set(secretNames(application));
    for (const name of names) {
      const secret = known.get(name);
      if (!secret || Object.entries(wanted).every(([k, v]) => secret.metadata.labels?.[k] === v))
        continue;
      const key = { namespace: this.#namespace, name };
      const patch = { metadata: { labels: wanted } };
      await client.patch(secrets, key, patch, { signal: this.#signal });
      this.#tell(secrets, secret, "SecretLabelled", `Secret ${name} has been labelled`);
    }
    await unlabelSecrets(this.#deps, this.#namespace, mark, names, this.#signal);
  }

  async #backupLocations(): Promise<void> {
    const wanted = planBackupLocations(this.#seen);
    for (const location of wanted) {
      const applied = await this.#apply(backupStorageLocations, location, { adopt: true });
      this.#tellApplied(
        backupStorageLocations,
        applied,
        "BackupStorageLocationReconciled",
        "backupstoragelocation",
      );
    }
    await this.#prune(backupStorageLocations, "bsl", wanted, "BackupStorageLocationDeleted");
  }

  async #snapshotLocations(): Promise<void> {
    const wanted = planSnapshotLocations(this.#seen);
    for (const location of wanted) {
      const applied = await this.#apply(volumeSnapshotLocations, location, { adopt: true });
      this.#tellApplied(
        volumeSnapshotLocations,
        applied,
        "VolumeSnapshotLocationReconciled",
        "volumesnapshotlocation",
      );
    }
    await this.#prune(volumeSnapshotLocations, "vsl", wanted, "VolumeSnapshotLocationDeleted");
  }

  async #versionPriority(): Promise<void> {
    const map = planVersionPriority(this.#seen.application);
    if (map) {
      const applied = await this.#apply(configMaps, map);
      const reason = "RestoreResourcesVersionPriorityReconciled";
      this.#tellApplied(configMaps, applied, reason, "RestoreResourcesVersionPriority");
      return;
    }
    const key = { namespace: this.#namespace, name: versionPriorityName };
    const old = await this.#deps.client.get(configMaps, key, { signal: this.#signal });
    if (old && this.#owns(old)) await this.#delete(configMaps, old);
  }

  async #server(): Promise<void> {
    const applied = await this.#apply(deployments, planServer(this.#seen, this.#deps.settings));
    this.#tellApplied(deployments, applied, "VeleroDeploymentReconciled", "velero deployment");
  }

  /** `called` as in the names of events. */
  async #configMap(
    wanted: ConfigMap | undefined,
    name: string,
    called: string,
  ): Promise<ConfigMap | undefined> {
    const told = (what: string): string => `${called} config map ${what}`;
    if (wanted) {
      const { done, object } = await this.#apply(configMaps, wanted);
      if (done === "created")
        this.#tell(configMaps, object, `Created${called}ConfigMap`, told("created"));
      if (done === "updated")
        this.#tell(configMaps, object, `Updated${called}ConfigMap`, told("updated"));
      return object;
    }
    const key = { namespace: this.#namespace, name };
    const old = await this.#deps.client.get(configMaps, key, { signal: this.#signal });
    if (old && this.#owns(old) && (await this.#delete(configMaps, old)))
      this.#tell(configMaps, old, `Deleted${called}ConfigMap`, told("deleted"));
    return undefined;
  }

  async #nodeAgent(configVersion: string | undefined): Promise<void> {
    if (hasNodeAgent(this.#seen.application)) {
      const wanted = planNodeAgent(this.#seen, this.#deps.settings, configVersion);
      const applied = await this.#apply(daemonSets, wanted);
      const reason = "NodeAgentDaemonsetReconciled";
      this.#tellApplied(daemonSets, applied, reason, "NodeAgent deployment");
      return;
    }
    const key = { namespace: this.#namespace, name: nodeAgentName };
    const old = await this.#deps.client.get(daemonSets, key, { signal: this.#signal });
    if (!old || !this.#owns(old) || isDeleting(old)) return;
    try {
      await this.#delete(daemonSets, old);
    } catch (error) {
      const why = isDmError(error) ? error.message : String(error);
      const message = `Got DaemonSet to delete but could not delete err:${why}`;
      this.#tell(daemonSets, old, "DeleteDaemonSetFailed", message);
      throw error;
    }
    this.#tell(daemonSets, old, "DeletedDaemonSet", "DaemonSet deleted");
  }

  async #metricsService(): Promise<void> {
    const service = planMetricsService(this.#seen.application);
    const applied = await this.#apply(services, service, { keepSpec: true });
    const reason = "VeleroMetricsServiceReconciled";
    this.#tellApplied(services, applied, reason, "dpa metrics service");
  }

  /** Locations that were made for an application and are in it no more. */
  async #prune<T extends BackupStorageLocation | VolumeSnapshotLocation>(
    resource: Resource<T>,
    component: "bsl" | "vsl",
    wanted: readonly T[],
    reason: string,
  ): Promise<void> {
    const { client } = this.#deps;
    const { [labels.appInstance]: _, [labels.oadp]: __, ...known } = locationLabels("", component);
    const labelSelector = Object.entries(known)
      .map(([key, value]) => `${key}=${value}`)
      .join(",");
    const names = new Set(wanted.map(({ metadata }) => metadata.name));
    const options = { namespace: this.#namespace, labelSelector, signal: this.#signal };
    const { items } = await client.list(resource, options);
    for (const one of items) {
      const { name = "", namespace } = one.metadata;
      if (names.has(name) || isDeleting(one) || !(await this.#delete(resource, one))) continue;
      const message = `${resource.kind} ${name} created by OADP in namespace ${namespace} was deleted as it was not in DPA spec.`;
      this.#tell(resource, one, reason, message);
    }
  }

  #apply<T extends KubeObject>(
    resource: Resource<T>,
    wanted: T,
    options: Pick<ApplyOptions, "adopt" | "keepSpec"> = {},
  ): Promise<Applied<T>> {
    const { application } = this.#seen;
    const owner = ownerReferenceTo(dataProtectionApplications, application);
    return applyObject(this.#deps.client, resource, wanted, {
      ...options,
      owner,
      signal: this.#signal,
    });
  }

  #owns({ metadata }: KubeObject): boolean {
    const { uid } = this.#seen.application.metadata;
    return metadata.ownerReferences?.some((owner) => owner.uid === uid) ?? false;
  }

  #delete<T extends KubeObject>(resource: Resource<T>, { metadata }: T): Promise<boolean> {
    const { name = "", namespace, uid } = metadata;
    return this.#deps.client.delete(resource, { namespace, name }, { uid, signal: this.#signal });
  }

  #tellApplied<T extends KubeObject>(
    resource: Resource<T>,
    { done, object }: Applied<T>,
    reason: string,
    called: string,
  ): void {
    if (done === "unchanged") return;
    const { name, namespace } = object.metadata;
    this.#tell(resource, object, reason, `performed ${done} on ${called} ${namespace}/${name}`);
  }

  #tell<T extends KubeObject>(
    resource: Resource<T>,
    object: T,
    reason: string,
    message: string,
  ): void {
    this.#deps.events.record(resource, object, { reason, message });
  }
}

/** An application that is gone has left its labels on Secrets. */
async function forgetSecrets(
  deps: ApplicationDeps,
  { name, namespace = "" }: ObjectKey,
  signal: AbortSignal | undefined,
): Promise<void> {
  const mark = labelValue(name);
  const { items } = await deps.client.list(dataProtectionApplications, { namespace, signal });
  if (items.some(({ metadata }) => labelValue(metadata.name ?? "") === mark)) return;
  await unlabelSecrets(deps, namespace, mark, new Set(), signal);
}

async function unlabelSecrets(
  { client }: ApplicationDeps,
  namespace: string,
  mark: string,
  kept: ReadonlySet<string>,
  signal: AbortSignal | undefined,
): Promise<void> {
  const labelSelector = `${labels.dataProtectionApplicationName}=${mark}`;
  const { items } = await client.list(secrets, { namespace, labelSelector, signal });
  const none = { [labels.oadp]: null, [labels.dataProtectionApplicationName]: null };
  for (const { metadata } of items) {
    const { name = "" } = metadata;
    if (kept.has(name)) continue;
    const key = { namespace, name };
    await client.patch(secrets, key, { metadata: { labels: none } }, { signal });
  }
}
