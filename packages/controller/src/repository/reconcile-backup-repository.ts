/**
 * The BackupRepository controller: repositories are made, checked and maintained. Level-triggered: it reads the object and the
 * world, decides (`decide-repository.ts`), and does one thing; a crash anywhere is repaired by running again.
 * Proof: test/repository/reconcile-backup-repository.test.ts, test/repository/maintenance.test.ts.
 * @module
 */
import { isDmError, nsPerMs, parseGoDuration } from "@dm/core";
import {
  type BackupRepository,
  backupRepositories,
  configMaps,
  deployments,
  type Job,
  jobs,
  labels,
  type MaintenanceRecord,
  pods,
  repositoryLabelValue,
} from "@dm/crds";
import type { ReconcileResult } from "../runtime/controller.ts";
import type { KubeCallOptions, ObjectKey } from "../runtime/kube-client.ts";
import { kubeTime } from "../runtime/objects.ts";
import { connectRepository, formatVariableNames } from "./connect-repository.ts";
import { decideRepository, type RepositoryDecision } from "./decide-repository.ts";
import { maintenanceSettingsFor } from "./maintenance-config.ts";
import {
  jobResult,
  lastSuccess,
  type MaintenanceJobSettings,
  maintenanceContainer,
  maintenanceJob,
  maintenanceRecord,
  mergeRecords,
  outdatedJobs,
  timeOf,
} from "./maintenance-job.ts";
import { type RepositoryDeps, repositoryDefaults } from "./repository-deps.ts";
import {
  fingerprintOf,
  placeOf,
  type RepositoryMark,
  readMark,
  withMark,
} from "./repository-mark.ts";
import { ensureRepositoryPassword, type RepositoryPassword } from "./repository-password.ts";
import { scrubbed } from "./scrub.ts";
import { type ReadLocation, readStorageLocation } from "./storage-location.ts";

export type { RepositoryDeps };

/** What was found, for one decision. */
interface World {
  /** As the API server has it. */
  readonly stored: BackupRepository;
  /** With defaults. */
  readonly repository: BackupRepository;
  readonly read: ReadLocation | undefined;
  /** Why the location cannot be used, although it is there. */
  readonly problem?: string | undefined;
  readonly password: RepositoryPassword | undefined;
  readonly jobs: readonly Job[];
  readonly signal: AbortSignal;
}

/** How soon another creator is looked after. */
const unfinishedMs = 30_000;

/**
 * One step for one BackupRepository. Throws what asking again may help (conflicts, an API server that is away).
 * @example await reconcileBackupRepository(deps, { namespace: "velero", name: "shop-default-kopia" });
 */
export async function reconcileBackupRepository(
  deps: RepositoryDeps,
  key: ObjectKey,
  options: KubeCallOptions = {},
): Promise<ReconcileResult> {
  const { signal = new AbortController().signal } = options;
  const found = await deps.client.get(backupRepositories, key, { signal });
  if (found === undefined || found.metadata.deletionTimestamp) return {};
  if ((found.spec.repositoryType || "kopia") !== "kopia") return {};
  const repository = await withDefaults(deps, found, signal);
  const world = await observe(deps, { stored: found, repository, signal });
  const remembered = await rememberJobs(deps, world);
  return perform(deps, remembered, decide(deps, remembered));
}

/** With what its maker left out; stored when the repository is Ready. */
async function withDefaults(
  { client, configMap: name, maintenanceFrequency }: RepositoryDeps,
  repository: BackupRepository,
  signal: AbortSignal,
): Promise<BackupRepository> {
  const { metadata, spec, status } = repository;
  const { namespace } = metadata;
  const isOpen = !parseGoDuration(spec.maintenanceFrequency || "0s");
  if (status?.phase === "Ready" || (!isOpen && (!name || spec.repositoryConfig))) return repository;
  const map = name ? await client.get(configMaps, { namespace, name }, { signal }) : undefined;
  const repositoryConfig = configOf(map?.data?.["kopia"]);
  const filled = {
    ...repository,
    spec: {
      ...spec,
      ...(isOpen && {
        maintenanceFrequency: maintenanceFrequency ?? repositoryDefaults.maintenanceFrequency,
      }),
      ...(repositoryConfig && !spec.repositoryConfig && { repositoryConfig }),
    },
  };
  return filled;
}

/** Values become texts; what is no JSON counts as nothing. */
function configOf(json: string | undefined): Record<string, string> | undefined {
  try {
    const value: unknown = JSON.parse(json ?? "null");
    if (typeof value !== "object" || value === null) return undefined;
    return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, String(one)]));
  } catch {
    return undefined;
  }
}

async function observe(
  deps: RepositoryDeps,
  given: Pick<World, "repository" | "signal" | "stored">,
): Promise<World> {
  const { repository, signal } = given;
  const { client, missingPassword } = deps;
  const { namespace = "" } = repository.metadata;
  let read: ReadLocation | undefined;
  let problem: string | undefined;
  try {
    const key = { namespace, name: repository.spec.backupStorageLocation };
    read = await readStorageLocation(client, key, { signal });
  } catch (error) {
    if (isDmError(error, "DM_SECRET_NOT_FOUND")) problem = error.message;
    else if (!isDmError(error, "DM_LOCATION_NOT_FOUND")) throw error;
  }
  let password: RepositoryPassword | undefined;
  try {
    const missing = { missing: missingPassword, signal };
    password = await ensureRepositoryPassword(client, namespace, missing);
  } catch (error) {
    if (!isDmError(error, "DM_SECRET_NOT_FOUND")) throw error;
    problem ??= error.message;
  }
  const label = repositoryLabelValue(repository.metadata.name ?? "");
  const isSettled = repository.status?.phase === "Ready";
  const { items } = isSettled
    ? await client.list(jobs, { namespace, labelSelector: `${labels.repoName}=${label}`, signal })
    : { items: [] };
  return { ...given, read, problem, password, jobs: items };
}

/** Jobs that have ended become records, also those of a time when this process did not run; old ones go. */
async function rememberJobs(deps: RepositoryDeps, world: World): Promise<World> {
  const { jobs: all, password, read, repository, signal } = world;
  const { client, keepLatestMaintenanceJobs: keep = repositoryDefaults.keepLatestMaintenanceJobs } =
    deps;
  const { namespace = "" } = repository.metadata;
  const ended = all.filter((job) => jobResult(job) !== undefined);
  if (ended.length === 0) return world;
  const present: readonly MaintenanceRecord[] = repository.status?.recentMaintenance ?? [];
  const starts = new Set(present.map(({ startTimestamp }) => startTimestamp));
  const secrets = [password?.password ?? "", (await read?.credentials?.().catch(() => "")) ?? ""];
  const added: MaintenanceRecord[] = [];
  for (const job of ended) {
    const record = maintenanceRecord(job, undefined);
    if (starts.has(record.startTimestamp)) continue;
    const message = await terminationMessage(deps, job, signal);
    const told = maintenanceRecord(job, message && scrubbed(message, secrets));
    added.push(told);
    if (told.result === "Failed") {
      const reason = told.message ?? "";
      deps.events?.record(backupRepositories, repository, {
        type: "Warning",
        reason: "MaintenanceFailed",
        message: reason,
      });
    }
  }
  let stored = repository;
  if (added.length > 0) {
    const recentMaintenance = mergeRecords(present, added);
    const lastMaintenanceTime =
      lastSuccess(recentMaintenance) ?? repository.status?.lastMaintenanceTime ?? null;
    const status = { ...repository.status, recentMaintenance, lastMaintenanceTime };
    stored = await client.replace(backupRepositories, { ...repository, status }, { signal });
  }
  // Only what is remembered may go.
  for (const job of outdatedJobs(all, keep)) {
    const { name = "", uid } = job.metadata;
    const options = { uid, propagationPolicy: "Background", signal } as const;
    await client.delete(jobs, { namespace, name }, options);
  }
  return { ...world, stored, repository: stored };
}

async function terminationMessage(
  { client }: RepositoryDeps,
  job: Job,
  signal: AbortSignal,
): Promise<string | undefined> {
  const { namespace } = job.metadata;
  const labelSelector = `job-name=${job.metadata.name}`;
  const { items } = await client.list(pods, { namespace, labelSelector, signal });
  const statuses = items.flatMap(({ status }) => status?.containerStatuses ?? []);
  const ended = statuses.find(
    ({ name, state }) => name === maintenanceContainer && state?.terminated !== undefined,
  );
  return ended?.state?.terminated?.message;
}

function decide(deps: RepositoryDeps, world: World): RepositoryDecision {
  const { password, problem, read, repository } = world;
  const { clock } = deps;
  const { recentMaintenance, lastMaintenanceTime, phase } = repository.status ?? {};
  if (problem !== undefined && phase !== "Ready") return { do: "refuse", message: problem };
  const tried = (recentMaintenance ?? []).map(({ startTimestamp }) => timeOf(startTimestamp));
  return decideRepository(
    {
      phase: phase ?? "New",
      mark: readMark(repository),
      location: read && {
        place: placeOf(read.object),
        fingerprint: fingerprintOf(read.object),
        readOnly: read.readOnly,
      },
      passwordVersion: password?.version,
      inputs: inputsOf(deps, world),
      maintenance: {
        frequencyMs: parseGoDuration(repository.spec.maintenanceFrequency) ?? 0,
        lastAtMs: timeOf(lastMaintenanceTime) || undefined,
        triedAtMs: Math.max(0, ...tried) || undefined,
        unfinished: world.jobs.filter((job) => jobResult(job) === undefined).length,
      },
      retryMs: retryMsOf(deps),
    },
    Number(clock.nowNs() / nsPerMs),
  );
}

/** What a try depends on, as a text. */
function inputsOf({ environment }: RepositoryDeps, { password, read, repository }: World): string {
  return JSON.stringify([
    read && fingerprintOf(read.object),
    read?.readOnly,
    read?.object.spec.credential ?? null,
    password?.version,
    repository.spec.repositoryConfig ?? null,
    formatVariableNames.map((name) => environment[name] ?? ""),
  ]);
}

async function perform(
  deps: RepositoryDeps,
  world: World,
  decision: RepositoryDecision,
): Promise<ReconcileResult> {
  switch (decision.do) {
    case "wait":
      return { requeueAfterMs: decision.ms };
    case "refuse":
      await setNotReady(deps, world, decision.message, readMark(world.repository));
      return { requeueAfterMs: retryMsOf(deps) };
    case "invalidate":
      await setNotReady(
        deps,
        world,
        "re-establish on BSL change, create or delete",
        readMark(world.repository),
      );
      // The write of the status is a change, which calls again.
      return { requeueAfterMs: 0 };
    case "connect":
      return connect(deps, world, decision);
    case "maintain":
      return maintain(deps, world, decision.dueMs);
  }
}

async function connect(
  deps: RepositoryDeps,
  world: World,
  decision: Extract<RepositoryDecision, { do: "connect" }>,
): Promise<ReconcileResult> {
  const { client, clock, events } = deps;
  const { password, read, repository, signal } = world;
  if (read === undefined || password === undefined) return { requeueAfterMs: retryMsOf(deps) };
  const { mayCreate, uniqueID } = decision;
  const connected = await connectRepository(deps, {
    repository,
    read,
    password: password.password,
    mayCreate,
    uniqueID,
    signal,
  });
  const nowMs = Number(clock.nowNs() / nsPerMs);
  const attempt = { atMs: nowMs, inputs: inputsOf(deps, world) };
  const mark = readMark(repository);
  if (!connected.ok) {
    if (connected.isUnfinished) return { requeueAfterMs: unfinishedMs };
    await setNotReady(deps, world, connected.message, { ...mark, attempt });
    return { requeueAfterMs: retryMsOf(deps) };
  }
  const known: RepositoryMark = {
    uniqueID: connected.uniqueID,
    place: placeOf(read.object),
    fingerprint: fingerprintOf(read.object),
    password: password.version,
    attempt,
  };
  const { lastMaintenanceTime } = repository.status ?? {};
  const ready = withMark(
    {
      ...repository,
      status: {
        ...repository.status,
        phase: "Ready",
        message: "",
        lastMaintenanceTime: lastMaintenanceTime ?? kubeTime(new Date(nowMs)),
      },
    },
    known,
  );
  await client.replace(backupRepositories, ready, { signal });
  if (connected.isNew) {
    events?.record(backupRepositories, repository, {
      reason: "Created",
      message: `created repository ${connected.uniqueID}`,
    });
  }
  if (password.isCommon && mark.password !== password.version) {
    events?.record(backupRepositories, repository, {
      type: "Warning",
      reason: "CommonPassword",
      message:
        "the repository has the password that every Velero uses by default: whoever reads the bucket can read the backups",
    });
  }
  return { requeueAfterMs: 0 };
}

async function setNotReady(
  deps: RepositoryDeps,
  { stored: repository, signal }: World,
  message: string,
  mark: RepositoryMark,
): Promise<void> {
  const { client, events, logger } = deps;
  const { phase, message: told } = repository.status ?? {};
  const isTold = phase === "NotReady" && told === message;
  const status = { ...repository.status, phase: "NotReady" as const, message };
  const next = withMark({ ...repository, status }, mark);
  const isSame = JSON.stringify(mark) === JSON.stringify(readMark(repository));
  if (!isTold || !isSame) await client.replace(backupRepositories, next, { signal });
  if (isTold) return;
  logger.warn("Backup repository is not ready", {
    name: repository.metadata.name,
    reason: message,
  });
  events?.record(backupRepositories, repository, { type: "Warning", reason: "NotReady", message });
}

/** One Job; another controller that decides the same meets its name. */
async function maintain(
  deps: RepositoryDeps,
  { repository, signal }: World,
  dueMs: number,
): Promise<ReconcileResult> {
  const { client, events, serverDeployment } = deps;
  if (serverDeployment === undefined) return { requeueAfterMs: retryMsOf(deps) };
  const key = { namespace: repository.metadata.namespace, name: serverDeployment };
  const server = await client.get(deployments, key, { signal });
  if (server === undefined) {
    events?.record(backupRepositories, repository, {
      type: "Warning",
      reason: "MaintenanceFailed",
      message: `there is no Deployment ${key.name} to make a maintenance Job after`,
    });
    return { requeueAfterMs: retryMsOf(deps) };
  }
  const job = maintenanceJob({
    repository,
    server,
    dueMs,
    timeoutMs: deps.maintenanceTimeoutMs ?? repositoryDefaults.maintenanceTimeoutMs,
    settings: await readSettings(deps, repository, signal),
  });
  try {
    await client.create(jobs, job, { signal });
  } catch (error) {
    if (!isDmError(error, "DM_KUBE_ALREADY_EXISTS")) throw error;
  }
  return { requeueAfterMs: unfinishedMs };
}

/** What cannot be read is told, and maintenance goes on without it. */
async function readSettings(
  { client, logger, maintenanceConfigMap: name }: RepositoryDeps,
  { metadata, spec }: BackupRepository,
  signal: AbortSignal,
): Promise<MaintenanceJobSettings> {
  if (!name) return {};
  const { namespace } = metadata;
  const map = await client.get(configMaps, { namespace, name }, { signal });
  const { settings, warnings } = map
    ? maintenanceSettingsFor(map, spec)
    : { settings: {}, warnings: ["there is none"] };
  if (warnings.length > 0)
    logger.warn("Left out settings of maintenance", { configMap: name, warnings });
  return settings;
}

function retryMsOf({ retryMs = repositoryDefaults.retryMs }: RepositoryDeps): number {
  return retryMs;
}
