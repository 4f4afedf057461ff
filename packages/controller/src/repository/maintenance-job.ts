/**
 * Maintenance Jobs and what is remembered of them: the Job after the server's Deployment, the records in
 * `status.recentMaintenance`, and which Jobs may go. Pure.
 * Proof: test/repository/maintenance-job.test.ts.
 * @module
 */
import { FormatError } from "@dm/core";
import {
  type Affinity,
  type BackupRepository,
  type Deployment,
  type Job,
  labels,
  type MaintenanceRecord,
  maintenanceJobName,
  type ResourceRequirements,
  repositoryLabelValue,
} from "@dm/crds";

/** Velero's name of the container, by which others find its result. */
export const maintenanceContainer = "velero-repo-maintenance-container";
/** Before the reason, in the termination message of a run that failed. */
export const maintenanceErrorPrefix = "Repo maintenance error: ";
/** Role of the process on its command line. */
export const maintenanceRole = "maintenance";

const serverRole = "server";
const maxRecords = 25;
const terminationLog = "/dev/termination-log";

export interface MaintenanceJobInput {
  readonly repository: BackupRepository;
  readonly server: Deployment;
  /** When it was due: a second Job for the same time has the same name and is refused. */
  readonly dueMs: number;
  /** A run that takes longer is killed. */
  readonly timeoutMs: number;
  readonly settings?: MaintenanceJobSettings | undefined;
}

/** What an administrator may want of the pods of maintenance Jobs. */
export interface MaintenanceJobSettings {
  readonly resources?: ResourceRequirements | undefined;
  readonly affinity?: Affinity | undefined;
  readonly podLabels?: Readonly<Record<string, string>> | undefined;
  readonly podAnnotations?: Readonly<Record<string, string>> | undefined;
  readonly priorityClassName?: string | undefined;
}

/**
 * The Job: image, environment, mounts and account of the server, which could do the work itself.
 * @throws {FormatError} `DM_SERVER_TEMPLATE` when the Deployment has no container with an image
 */
export function maintenanceJob(input: MaintenanceJobInput): Job {
  const { dueMs, repository, server, settings = {}, timeoutMs } = input;
  const { affinity = server.spec.template.spec.affinity, resources } = settings;
  const { metadata, spec } = server.spec.template;
  const container =
    spec.containers.find(({ name }) => name === "server" || name === "velero") ??
    spec.containers[0];
  if (container?.image === undefined) {
    throw new FormatError(
      "DM_SERVER_TEMPLATE",
      `the Deployment ${server.metadata.name} has no container with an image: maintenance Jobs are made after it`,
    );
  }
  const name = repository.metadata.name ?? "";
  const { backupStorageLocation, volumeNamespace } = repository.spec;
  const own = { [labels.repoName]: repositoryLabelValue(name) };
  const program = untilRole(container.command ?? []);
  const logArgs = [...(container.command ?? []), ...(container.args ?? [])].filter((arg) =>
    /^--log-(level|format)=/.test(arg),
  );
  return {
    apiVersion: "batch/v1",
    kind: "Job",
    metadata: {
      name: maintenanceJobName(name, dueMs),
      namespace: repository.metadata.namespace ?? "",
      labels: own,
    },
    spec: {
      // A run that failed waits until the next one is due.
      backoffLimit: 0,
      activeDeadlineSeconds: Math.ceil(timeoutMs / 1_000),
      template: {
        metadata: {
          labels: { ...passed(metadata?.labels), ...settings.podLabels, ...own },
          ...(settings.podAnnotations && { annotations: { ...settings.podAnnotations } }),
        },
        spec: {
          restartPolicy: "Never",
          ...(spec.serviceAccountName && { serviceAccountName: spec.serviceAccountName }),
          ...(spec.imagePullSecrets && { imagePullSecrets: spec.imagePullSecrets }),
          ...(spec.securityContext && { securityContext: spec.securityContext }),
          ...(spec.tolerations && { tolerations: spec.tolerations }),
          ...(spec.nodeSelector && { nodeSelector: spec.nodeSelector }),
          ...(affinity && { affinity }),
          ...(settings.priorityClassName && { priorityClassName: settings.priorityClassName }),
          containers: [
            {
              name: maintenanceContainer,
              image: container.image,
              ...(container.imagePullPolicy && { imagePullPolicy: container.imagePullPolicy }),
              ...(program.length > 0 && { command: [...program] }),
              args: [
                maintenanceRole,
                `--repo-name=${volumeNamespace}`,
                "--repo-type=kopia",
                `--backup-storage-location=${backupStorageLocation}`,
                `--termination-log=${terminationLog}`,
                ...logArgs,
              ],
              ...(container.env && { env: container.env }),
              ...(container.envFrom && { envFrom: container.envFrom }),
              ...(container.volumeMounts && { volumeMounts: container.volumeMounts }),
              ...(container.securityContext && { securityContext: container.securityContext }),
              ...(resources && { resources }),
              terminationMessagePath: terminationLog,
              terminationMessagePolicy: "FallbackToLogsOnError",
            },
          ],
          ...(spec.volumes && { volumes: spec.volumes }),
        },
      },
    },
  };
}

/** What some clouds need on a pod so that it gets credentials. */
function passed(all: Record<string, string> | undefined): Record<string, string> {
  const use = all?.["azure.workload.identity/use"];
  return use === undefined ? {} : { "azure.workload.identity/use": use };
}

function untilRole(command: readonly string[]): readonly string[] {
  const end = command.indexOf(serverRole);
  return end === -1 ? command : command.slice(0, end);
}

/** Undefined while it has not ended. */
export function jobResult({ status }: Job): "Succeeded" | "Failed" | undefined {
  const isTrue = (type: string): boolean =>
    status?.conditions?.some((one) => one.type === type && one.status === "True") ?? false;
  if (isTrue("Complete") || (status?.succeeded ?? 0) > 0) return "Succeeded";
  if (isTrue("Failed") || (status?.failed ?? 0) > 0) return "Failed";
  return undefined;
}

/** A Job that ended, as it is remembered. `message` is the termination message of its container. */
export function maintenanceRecord(job: Job, message: string | undefined): MaintenanceRecord {
  const { metadata, status } = job;
  const result = jobResult(job) ?? "Failed";
  const ended = status?.conditions?.find(({ type }) => type === "Complete" || type === "Failed");
  return {
    startTimestamp: status?.startTime ?? metadata.creationTimestamp ?? null,
    completeTimestamp:
      status?.completionTime ?? ended?.lastTransitionTime ?? metadata.creationTimestamp ?? null,
    result,
    ...(result === "Failed" && { message: reasonOf(message) ?? ended?.["message"] ?? "unknown" }),
  };
}

function reasonOf(message: string | undefined): string | undefined {
  const at = message?.lastIndexOf(maintenanceErrorPrefix) ?? -1;
  const text = (at < 0 ? message : message?.slice(at + maintenanceErrorPrefix.length))?.trim();
  return text === "" ? undefined : text;
}

/** Adds records that are not there yet, by their start; the oldest go. */
export function mergeRecords(
  present: readonly MaintenanceRecord[],
  added: readonly MaintenanceRecord[],
): MaintenanceRecord[] {
  const starts = new Set(present.map(({ startTimestamp }) => startTimestamp));
  const fresh = added.filter(({ startTimestamp }) => !starts.has(startTimestamp));
  return [...present, ...fresh]
    .sort((a, b) => timeOf(a.startTimestamp) - timeOf(b.startTimestamp))
    .slice(-maxRecords);
}

/** The newest success, as the text in its record. */
export function lastSuccess(records: readonly MaintenanceRecord[]): string | undefined {
  const succeeded = records.filter(({ result }) => result === "Succeeded");
  const times = succeeded.map(({ completeTimestamp }) => completeTimestamp ?? "");
  return times.sort((a, b) => timeOf(a) - timeOf(b)).at(-1) || undefined;
}

/** Jobs that ended and are not among the newest `keep`. */
export function outdatedJobs(all: readonly Job[], keep: number): Job[] {
  const ended = all
    .filter((job) => jobResult(job) !== undefined)
    .sort((a, b) => timeOf(a.metadata.creationTimestamp) - timeOf(b.metadata.creationTimestamp));
  return ended.slice(0, Math.max(0, ended.length - keep));
}

export function timeOf(text: string | null | undefined): number {
  return Date.parse(text ?? "") || 0;
}
