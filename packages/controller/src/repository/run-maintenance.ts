/**
 * What the process of a maintenance Job does: the maintenance of one repository, alone, under a lease on the repository's
 * identity: two objects, or two clusters' restarts, may lead to the same repository.
 * Proof: test/repository/maintenance.test.ts.
 * @module
 */
import { createHash, randomUUID } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { parseArgs } from "node:util";
import { AccessError, type Clock, type Logger, silentLogger, systemClock } from "@dm/core";
import {
  maintainVeleroRepository,
  openVeleroRepository,
  openVeleroStore,
} from "@dm/snapshot/velero";
import { causeOf } from "../mover/cause.ts";
import { podConnection } from "../mover/pod-connection.ts";
import type { KubeClient } from "../runtime/kube-client.ts";
import { withLease } from "../runtime/lease.ts";
import { type NodeKubeClient, nodeKubeClient } from "../runtime/node-client.ts";
import { maintenanceErrorPrefix } from "./maintenance-job.ts";
import { readRepositoryPassword } from "./repository-password.ts";
import { scrubbed } from "./scrub.ts";
import { readStorageLocation } from "./storage-location.ts";

export interface MaintenanceSettings {
  /** Of the operator; that of the pod's service account by default. */
  readonly namespace?: string | undefined;
  /** Whose volumes are in the repository. */
  readonly volumeNamespace: string;
  readonly backupStorageLocation: string;
  readonly terminationLog?: string | undefined;
}

export interface RunMaintenanceOptions {
  readonly client?: KubeClient | undefined;
  readonly environment?: Readonly<Record<string, string | undefined>> | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly clock?: Clock | undefined;
  readonly logger?: Logger | undefined;
}

export interface MaintenanceEnd {
  /** For the process: 0 done, or left to another process; 1 failed. */
  readonly exitCode: number;
  /** As in the termination log: empty when it is done, or why not. */
  readonly message: string;
}

/**
 * Reads `--repo-name=… --backup-storage-location=…`.
 * @throws {TypeError} for a command line that is none
 */
export function maintenanceSettings(
  args: readonly string[],
  environment: Readonly<Record<string, string | undefined>> = {},
): MaintenanceSettings {
  const text = { type: "string" } as const;
  const { values } = parseArgs({
    args: [...args],
    options: {
      "repo-name": text,
      "repo-type": text,
      "backup-storage-location": text,
      namespace: text,
      "termination-log": text,
      "log-level": text,
      "log-format": text,
    },
  });
  const volumeNamespace = values["repo-name"];
  const backupStorageLocation = values["backup-storage-location"];
  if (!volumeNamespace) throw new TypeError("--repo-name is missing");
  if (!backupStorageLocation) throw new TypeError("--backup-storage-location is missing");
  if ((values["repo-type"] ?? "kopia") !== "kopia")
    throw new TypeError("--repo-type must be kopia");
  return {
    volumeNamespace,
    backupStorageLocation,
    namespace: values.namespace ?? (environment["VELERO_NAMESPACE"] || undefined),
    terminationLog: values["termination-log"],
  };
}

/** Runs to the end; what goes wrong is told by the result and the termination log, never thrown. */
export async function runMaintenance(
  settings: MaintenanceSettings,
  options: RunMaintenanceOptions = {},
): Promise<MaintenanceEnd> {
  const { clock = systemClock, environment = process.env, logger = silentLogger } = options;
  let own: NodeKubeClient | undefined;
  if (options.client === undefined) {
    const connection = podConnection({ environment, clock });
    own = nodeKubeClient({ connection, userAgent: "dm-maintenance", clock });
  }
  const secrets: string[] = [];
  let end: MaintenanceEnd = { exitCode: 0, message: "" };
  try {
    const client = options.client ?? (own as NodeKubeClient);
    const namespace = settings.namespace ?? (await own?.describe())?.namespace ?? "";
    await maintain(
      client,
      namespace,
      settings,
      { ...options, clock, environment, logger },
      secrets,
    );
  } catch (error) {
    const reason = scrubbed(causeOf(error), secrets);
    logger.error("Maintenance failed", { reason });
    end = { exitCode: 1, message: `${maintenanceErrorPrefix}${reason}` };
  } finally {
    own?.close();
  }
  if (settings.terminationLog !== undefined)
    await writeFile(settings.terminationLog, end.message).catch((error: unknown) => {
      logger.error("Could not write the termination log", { error: String(error) });
    });
  return end;
}

async function maintain(
  client: KubeClient,
  namespace: string,
  { backupStorageLocation, volumeNamespace }: MaintenanceSettings,
  { clock, environment, logger, signal }: RunMaintenanceOptions,
  secrets: string[],
): Promise<void> {
  const key = { namespace, name: backupStorageLocation };
  const { credentials, location, readOnly } = await readStorageLocation(client, key, { signal });
  if (credentials) secrets.push(await credentials());
  const password = await readRepositoryPassword(client, namespace, { signal });
  secrets.push(password);
  if (readOnly) {
    throw new AccessError(
      "DM_LOCATION_READ_ONLY",
      `backup storage location ${namespace}/${backupStorageLocation} is read-only`,
    );
  }
  const store = await openVeleroStore(location, volumeNamespace, {
    credentials,
    environment,
    clock,
    logger,
  });
  await using repository = await openVeleroRepository(store, { password, clock, logger, signal });
  const result = await withLease(
    {
      client,
      namespace,
      name: maintenanceLeaseName(repository.uniqueId),
      identity: `${hostname()}_${randomUUID()}`,
      clock,
      logger,
    },
    (leased) => maintainVeleroRepository(repository, { signal: leased }),
    { wait: false, signal },
  );
  if (!result.held) {
    logger?.info("Left maintenance to another process", { holder: result.holder });
    return;
  }
  const { value } = result;
  if (value.outcome === "notOwner")
    throw new AccessError("DM_MAINTENANCE_NOT_OWNER", value.message);
  logger?.info("Maintained repository", {
    mode: value.report.mode,
    tasks: value.report.tasks.map(({ task, skipped }) => (skipped ? `${task} (${skipped})` : task)),
  });
}

/** By which repository it is, however it is reached. */
export function maintenanceLeaseName(uniqueId: Uint8Array): string {
  const digest = createHash("sha256").update(uniqueId).digest("hex");
  return `dm-maintenance-${digest.slice(0, 32)}`;
}
