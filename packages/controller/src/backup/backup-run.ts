/**
 * What the parts of one run of a Backup share: whom to ask, what is covered, and where objects, errors and warnings go.
 * Proof: test/backup/run-backup.test.ts.
 * @module
 */
import { type Backup, type KubeObject, labels, type Resource } from "@dm/crds";
import type { HookCount } from "../hooks/run-hooks.ts";
import type { ApiResource } from "../runtime/api-discovery.ts";
import type { KubeCallOptions } from "../runtime/kube-client.ts";
import { isDeleting } from "../runtime/objects.ts";
import type { ResourceScope } from "../scope/resource-filter.ts";
import { type FindResource, resourceName } from "../scope/resource-names.ts";
import type { BackupArchive } from "./backup-archive.ts";
import type { BackupDeps } from "./backup-deps.ts";
import type { BackupLog } from "./backup-log.ts";
import type { Messages } from "./messages.ts";

export interface BackupRun {
  readonly deps: BackupDeps;
  /** InProgress. */
  readonly backup: Backup;
  readonly options: KubeCallOptions;
  readonly log: BackupLog;
  /** What the cluster serves. */
  readonly resources: readonly ApiResource[];
  readonly find: FindResource;
  readonly scope: ResourceScope;
  /** Names of the namespaces that are covered. */
  readonly namespaces: ReadonlySet<string>;
  readonly archive: BackupArchive;
  readonly errors: Messages;
  readonly warnings: Messages;
  readonly hooks: HookCount;
  /** Told after each object. */
  readonly onProgress: () => Promise<void>;
}

type Concerned = readonly [resource: Pick<Resource, "group" | "plural">, object: KubeObject];

/** Does not stop the run; the Backup will be PartiallyFailed. */
export function addError(run: BackupRun, concerned: Concerned, message: string): void {
  run.log.error("Error backing up item", { ...fieldsOf(concerned), error: message });
  run.errors.about(concerned[1].metadata.namespace ?? "", `${titleOf(concerned)}: ${message}`);
}

export function addWarning(run: BackupRun, concerned: Concerned, message: string): void {
  run.log.warn(message, fieldsOf(concerned));
  run.warnings.about(concerned[1].metadata.namespace ?? "", `${titleOf(concerned)}: ${message}`);
}

/** Marked by its owner, or on its way out. */
export const isLeftOut = (object: KubeObject): boolean =>
  isDeleting(object) || object.metadata.labels?.[labels.excludeFromBackup] === "true";

/** Puts an object into the backup; false when it is there already, or left out. */
export async function addItem(
  run: BackupRun,
  resource: Resource,
  object: KubeObject,
): Promise<boolean> {
  if (isLeftOut(object)) return false;
  const isNew = await run.archive.add(resource, object);
  if (isNew) await run.onProgress();
  return isNew;
}

const fieldsOf = ([resource, { metadata }]: Concerned) => ({
  resource: resourceName(resource),
  namespace: metadata.namespace,
  name: metadata.name,
});

const titleOf = ([resource, { metadata }]: Concerned): string =>
  `${resourceName(resource)}/${metadata.name}`;
