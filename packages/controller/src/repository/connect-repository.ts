/**
 * Connects to the repository of a BackupRepository, or makes it, and says why not in words for a status message.
 * Proof: test/repository/reconcile-backup-repository.test.ts.
 * @module
 */
import { DmError, isDmError, toBase64, UnsupportedError } from "@dm/core";
import type { BackupRepository } from "@dm/crds";
import { connectOrCreateVeleroRepository, openVeleroStore } from "@dm/snapshot/velero";
import type { RepositoryDeps } from "./repository-deps.ts";
import { scrubbed } from "./scrub.ts";
import type { ReadLocation } from "./storage-location.ts";

export interface ConnectInput {
  readonly repository: BackupRepository;
  readonly read: ReadLocation;
  readonly password: string;
  readonly mayCreate: boolean;
  /** The one that must be found. */
  readonly uniqueID?: string | undefined;
  readonly signal: AbortSignal;
}

export type Connected =
  | { readonly ok: true; readonly uniqueID: string; readonly isNew: boolean }
  /** Somebody is at it: nothing is decided yet. */
  | { readonly ok: false; readonly isUnfinished: true }
  | { readonly ok: false; readonly isUnfinished: false; readonly message: string };

const formatVariables = {
  hash: "KOPIA_HASHING_ALGORITHM",
  encryption: "KOPIA_ENCRYPTION_ALGORITHM",
  splitter: "KOPIA_SPLITTER_ALGORITHM",
} as const;

/** Names of the variables that decide how a new repository is made. */
export const formatVariableNames: readonly string[] = Object.values(formatVariables);

export async function connectRepository(
  deps: RepositoryDeps,
  input: ConnectInput,
): Promise<Connected> {
  const secrets = [input.password];
  try {
    const { credentials } = input.read;
    if (credentials) secrets.push(await credentials());
    return await connect(deps, input);
  } catch (error) {
    if (input.signal.aborted) throw error;
    if (isDmError(error, "DM_VELERO_REPOSITORY_UNFINISHED"))
      return { ok: false, isUnfinished: true };
    return { ok: false, isUnfinished: false, message: scrubbed(reasonOf(error, input), secrets) };
  }
}

async function connect(deps: RepositoryDeps, input: ConnectInput): Promise<Connected> {
  const { clock, environment, logger, openStore = openVeleroStore } = deps;
  const { mayCreate, read, repository, signal } = input;
  const create = mayCreate && !read.readOnly;
  const store = await openStore(read.location, repository.spec.volumeNamespace, {
    credentials: read.credentials,
    environment,
    readOnly: read.readOnly,
    create,
    clock,
    logger,
  });
  let isNew = create && !(await hasFormat(store, signal));
  await using opened = await connectOrCreateVeleroRepository(store, {
    password: input.password,
    create,
    format: create ? formatOf(environment) : {},
    fullMaintenanceInterval: intervalOf(repository),
    readOnly: read.readOnly,
    deriveKey: deps.deriveKey,
    clock,
    logger,
    signal,
  }).catch(async (error: unknown) => {
    await store.close();
    throw error;
  });
  const uniqueID = toBase64(opened.uniqueId);
  if (input.uniqueID !== undefined && input.uniqueID !== uniqueID) {
    isNew = false;
    const message =
      `another repository (unique ID ${uniqueID}) lies where the one of this object was (${input.uniqueID}): ` +
      "bring that one back, or delete this BackupRepository to use the other one";
    return { ok: false, isUnfinished: false, message };
  }
  return { ok: true, uniqueID, isNew };
}

async function hasFormat(
  store: Awaited<ReturnType<typeof openVeleroStore>>,
  signal: AbortSignal,
): Promise<boolean> {
  try {
    await store.stat("kopia.repository", { signal });
    return true;
  } catch (error) {
    if (isDmError(error, "DM_BLOB_NOT_FOUND") || isDmError(error, "DM_STORE_NOT_FOUND"))
      return false;
    throw error;
  }
}

type Format = { -readonly [member in keyof typeof formatVariables]?: string };

function formatOf(environment: RepositoryDeps["environment"]): Format {
  const format: Format = {};
  for (const [member, variable] of Object.entries(formatVariables)) {
    const value = environment[variable];
    if (value) format[member as keyof Format] = value;
  }
  return format;
}

const intervals = ["normalGC", "fastGC", "eagerGC"] as const;

/** @throws {UnsupportedError} `DM_MAINTENANCE_INTERVAL_UNKNOWN` */
function intervalOf({ spec }: BackupRepository): (typeof intervals)[number] | undefined {
  const text = spec.repositoryConfig?.["fullMaintenanceInterval"];
  if (!text) return undefined;
  const known = intervals.find((name) => name === text);
  if (known !== undefined) return known;
  throw new UnsupportedError(
    "DM_MAINTENANCE_INTERVAL_UNKNOWN",
    `fullMaintenanceInterval ${JSON.stringify(text)} is not supported: known are ${intervals.join(", ")}`,
  );
}

function reasonOf(error: unknown, { mayCreate, read, uniqueID }: ConnectInput): string {
  const text = error instanceof Error ? error.message : String(error);
  if (!(error instanceof DmError) && !isDmError(error)) return text;
  switch (error.code) {
    case "DM_PASSWORD_INVALID":
      return `invalid password: ${text}`;
    case "DM_STORE_NOT_EMPTY":
    case "DM_REPOSITORY_EXISTS":
      return `found existing data in storage location: ${text}`;
    case "DM_REPOSITORY_NOT_FOUND":
    case "DM_STORE_NOT_FOUND": {
      const { name, namespace } = read.object.metadata;
      if (mayCreate && read.readOnly) {
        return `cannot create new backup repo for read-only backup storage location ${namespace}/${name}`;
      }
      return (
        `the repository is gone from its storage location (unique ID ${uniqueID ?? "not known"}): nothing is created ` +
        `in its place. Bring it back, or delete this BackupRepository to begin a new one. ${text}`
      );
    }
    case "DM_FORMAT_UNSUPPORTED": {
      const variable = formatVariables[error.details["member"] as keyof typeof formatVariables];
      return mayCreate && variable !== undefined ? `${variable}: ${text}` : text;
    }
    default:
      return text;
  }
}
