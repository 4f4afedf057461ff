/**
 * The controller of BackupRepositories: makes or connects to the repository of a namespace, and says in its phase whether it can
 * be used. A repository that was there once is never made again: if it is gone, a person has to say so.
 * Proof: test/repository/reconcile-backup-repository.test.ts.
 * @module
 */
import {
  type Clock,
  ConflictError,
  isDmError,
  type Logger,
  nsPerMs,
  parseGoDuration,
  toHex,
} from "@dm/core";
import {
  type BackupRepository,
  type BackupStorageLocation,
  backupRepositories,
  backupStorageLocations,
  configMaps,
} from "@dm/crds";
import {
  connectOrCreateVeleroRepository,
  type OpenVeleroOptions,
  openVeleroRepository,
  openVeleroStore,
} from "@dm/snapshot/velero";
import type { KubeCallOptions, KubeClient, ObjectKey } from "../runtime/kube-client.ts";
import { kubeTime } from "../runtime/objects.ts";
import { retryOnConflict } from "../runtime/retry-on-conflict.ts";
import { ensureRepositoryPassword } from "./repository-password.ts";
import { readStorageLocation } from "./storage-location.ts";

export interface RepositoryDeps {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Where `KOPIA_HASHING_ALGORITHM` and its like are read for new repositories. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** ConfigMap whose key `kopia` has the repositories' settings. */
  readonly configMap?: string | undefined;
  /** For repositories that name none; one hour by default. */
  readonly maintenanceFrequency?: string | undefined;
  /** What a missing password Secret gets; a random one by default. */
  readonly missingPassword?: "random" | "common" | undefined;
  /** Of the password; the real one costs a quarter of a second. */
  readonly deriveKey?: OpenVeleroOptions["deriveKey"];
}

export const repositoryAnnotations = {
  /** Unique id of the repository that was found or made, in hex. */
  id: "dm.velero.io/repository-id",
  /** Where that was. */
  location: "dm.velero.io/repository-location",
} as const;

export const reestablishMessage = "re-establish on BSL change, create or delete";
const retryMs = 5 * 60_000;

/** What to do about a repository, given its location. Pure. */
export type RepositoryDecision =
  | { readonly do: "nothing" }
  | { readonly do: "invalidate" }
  /** `knownId`: it was there before, at this place. */
  | { readonly do: "establish"; readonly knownId: string | undefined };

export function decideRepository(
  repository: BackupRepository,
  location: BackupStorageLocation | undefined,
): RepositoryDecision {
  const { annotations = {}, deletionTimestamp } = repository.metadata;
  if (deletionTimestamp || !location) return { do: "nothing" };
  if ((repository.spec.repositoryType || "kopia") !== "kopia") return { do: "nothing" };
  const known = annotations[repositoryAnnotations.location];
  const isHere = known === undefined || known === locationFingerprint(location);
  if (repository.status?.phase === "Ready") return { do: isHere ? "nothing" : "invalidate" };
  return { do: "establish", knownId: isHere ? annotations[repositoryAnnotations.id] : undefined };
}

export async function reconcileBackupRepository(
  deps: RepositoryDeps,
  key: ObjectKey,
  options: KubeCallOptions = {},
): Promise<{ readonly requeueAfterMs?: number }> {
  const { client, logger } = deps;
  const repository = await client.get(backupRepositories, key, options);
  if (!repository) return {};
  const name = repository.spec.backupStorageLocation;
  const { namespace } = key;
  const location = await client.get(backupStorageLocations, { namespace, name }, options);
  const decision = decideRepository(repository, location);
  switch (decision.do) {
    case "nothing":
      return {};
    case "invalidate":
      logger.warn("The location of a repository changed", { repository: key.name });
      await write(deps, key, { phase: "NotReady", message: reestablishMessage }, options);
      return { requeueAfterMs: 0 };
    case "establish":
      return establish(deps, key, { repository, location, knownId: decision.knownId }, options);
  }
}

interface Known {
  readonly repository: BackupRepository;
  readonly location: BackupStorageLocation | undefined;
  readonly knownId: string | undefined;
}

async function establish(
  deps: RepositoryDeps,
  key: ObjectKey,
  known: Known,
  options: KubeCallOptions,
): Promise<{ readonly requeueAfterMs?: number }> {
  let password = "";
  try {
    const missing = deps.missingPassword;
    const secret = { missing, signal: options.signal };
    const found = await ensureRepositoryPassword(deps.client, key.namespace ?? "", secret);
    password = found.password;
    if (found.isCommon)
      deps.logger.warn("The password of repositories is the one that everybody knows");
    const spec = await settingsOf(deps, known.repository, options);
    const id = await connect(deps, known, { password, spec }, options);
    await write(deps, key, { phase: "Ready", spec, id, location: known.location }, options);
    return {};
  } catch (error) {
    options.signal?.throwIfAborted();
    if (isDmError(error) && error.code.startsWith("DM_KUBE_")) throw error;
    const text = error instanceof Error ? error.message : String(error);
    const message = scrubbed(text, password);
    deps.logger.warn("A repository is not ready", { repository: key.name, message });
    await write(deps, key, { phase: "NotReady", message }, options);
    return { requeueAfterMs: retryMs };
  }
}

async function connect(
  { client, clock, deriveKey, environment, logger }: RepositoryDeps,
  { knownId, repository }: Known,
  { password, spec }: { readonly password: string; readonly spec: BackupRepository["spec"] },
  { signal }: KubeCallOptions,
): Promise<string> {
  const { namespace } = repository.metadata;
  const place = { namespace, name: spec.backupStorageLocation };
  const { credentials, location, readOnly } = await readStorageLocation(client, place, { signal });
  const mayCreate = knownId === undefined && !readOnly;
  const store = await openVeleroStore(location, spec.volumeNamespace, {
    credentials,
    environment,
    readOnly,
    create: mayCreate,
    clock,
    logger,
  });
  try {
    const open = { password, clock, deriveKey, logger, signal };
    const opened = mayCreate
      ? await connectOrCreateVeleroRepository(store, {
          ...open,
          format: formatOf(environment),
          fullMaintenanceInterval: fullMaintenanceIntervalOf(spec.repositoryConfig ?? {}),
        })
      : await openVeleroRepository(store, { ...open, readOnly });
    const id = toHex(opened.uniqueId);
    if (knownId !== undefined && knownId !== id)
      throw new ConflictError(
        "DM_BACKUP_REPOSITORY_REPLACED",
        `another repository lies where ${knownId} was; it is not touched`,
      );
    return id;
  } catch (error) {
    throw explained(error, readOnly, knownId);
  } finally {
    await store.close();
  }
}

/** In Velero's words where it has some. */
function explained(error: unknown, isReadOnly: boolean, knownId: string | undefined): unknown {
  const cause = { cause: error };
  if (isDmError(error, "DM_STORE_NOT_EMPTY"))
    return unusable("found existing data in storage location", cause);
  if (!isDmError(error, "DM_REPOSITORY_NOT_FOUND") && !isDmError(error, "DM_STORE_NOT_FOUND"))
    return error;
  if (isReadOnly && knownId === undefined)
    return unusable("cannot create new backup repo for read-only backup storage location", cause);
  return unusable(
    `the repository ${knownId} that was here is gone; it is not made again, so that nothing covers up the loss: delete this BackupRepository to begin anew`,
    cause,
  );
}

function unusable(message: string, cause?: { readonly cause: unknown }): ConflictError {
  return new ConflictError("DM_BACKUP_REPOSITORY_UNUSABLE", message, {}, cause);
}

function formatOf(environment: RepositoryDeps["environment"]): {
  hash?: string;
  encryption?: string;
  splitter?: string;
} {
  const hash = environment["KOPIA_HASHING_ALGORITHM"];
  const encryption = environment["KOPIA_ENCRYPTION_ALGORITHM"];
  const splitter = environment["KOPIA_SPLITTER_ALGORITHM"];
  return {
    ...(hash ? { hash } : {}),
    ...(encryption ? { encryption } : {}),
    ...(splitter ? { splitter } : {}),
  };
}

const intervals = ["normalGC", "fastGC", "eagerGC"] as const;

function fullMaintenanceIntervalOf(
  config: Readonly<Record<string, string>>,
): (typeof intervals)[number] {
  const wanted = config["fullMaintenanceInterval"] || "normalGC";
  const found = intervals.find((name) => name === wanted);
  if (!found)
    throw unusable(`fullMaintenanceInterval ${wanted} is none of ${intervals.join(", ")}`);
  return found;
}

/** The spec with what its creator left open. */
async function settingsOf(
  { client, configMap, maintenanceFrequency = "1h0m0s" }: RepositoryDeps,
  { metadata, spec }: BackupRepository,
  options: KubeCallOptions,
): Promise<BackupRepository["spec"]> {
  const filled = { ...spec };
  if (parseGoDuration(spec.maintenanceFrequency || "0s") === 0)
    filled.maintenanceFrequency = maintenanceFrequency;
  if (configMap && !spec.repositoryConfig) {
    const key = { namespace: metadata.namespace, name: configMap };
    const text = (await client.get(configMaps, key, options))?.data?.["kopia"];
    if (text) filled.repositoryConfig = asTexts(text, configMap);
  }
  return filled;
}

function asTexts(json: string, configMap: string): Record<string, string> {
  try {
    const members = Object.entries(JSON.parse(json) as Record<string, unknown>);
    return Object.fromEntries(members.map(([name, value]) => [name, String(value)]));
  } catch {
    throw unusable(`key kopia of ConfigMap ${configMap} is no JSON object`);
  }
}

interface Written {
  readonly phase: "Ready" | "NotReady";
  readonly message?: string;
  readonly spec?: BackupRepository["spec"];
  readonly id?: string;
  readonly location?: BackupStorageLocation | undefined;
}

async function write(
  { client, clock }: RepositoryDeps,
  key: ObjectKey,
  { id, location, message, phase, spec }: Written,
  options: KubeCallOptions,
): Promise<void> {
  const change = (repository: BackupRepository): BackupRepository => {
    if (spec) repository.spec = { ...repository.spec, ...spec };
    if (id && location) {
      const annotations = repository.metadata.annotations ?? {};
      annotations[repositoryAnnotations.id] = id;
      annotations[repositoryAnnotations.location] = locationFingerprint(location);
      repository.metadata.annotations = annotations;
    }
    const { message: _old, ...status } = repository.status ?? {};
    repository.status = { ...status, phase, ...(message === undefined ? {} : { message }) };
    if (phase === "Ready" && !status.lastMaintenanceTime)
      repository.status.lastMaintenanceTime = kubeTime(new Date(Number(clock.nowNs() / nsPerMs)));
    return repository;
  };
  await retryOnConflict(client, backupRepositories, key, change, options);
}

/** What decides where the repository lies: when it changes, it is another one. */
export function locationFingerprint({ spec }: BackupStorageLocation): string {
  const { config, objectStorage, provider } = spec;
  const { bucket, caCert, caCertRef, prefix } = objectStorage;
  const sorted = Object.entries(config ?? {}).sort(([a], [b]) => (a < b ? -1 : 1));
  return JSON.stringify([provider, bucket, prefix ?? "", caCert ?? "", caCertRef ?? null, sorted]);
}

const signatures = /([?&](?:sig|X-Amz-(?:Signature|Credential|Security-Token))=)[^&\s"']+/gi;

/** An error's text for a status that everybody reads. */
export function scrubbed(text: string, password: string): string {
  const clean = text.replace(signatures, "$1***");
  return password === "" ? clean : clean.replaceAll(password, "***");
}
