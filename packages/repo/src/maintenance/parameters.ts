/**
 * The `maintenance` manifest: who runs maintenance, and how often.
 * Format: docs/format/maintenance.md. Proof: test/maintenance.test.ts.
 * @module
 */
import { FormatError } from "@dm/core";
import type { CallOptions } from "@dm/storage";
import * as z from "zod";
import { once } from "../json/checked-json.ts";
import { parseJson } from "../json/raw-json.ts";
import { pickManifest } from "../manifest/manifest-set.ts";
import type { Repository } from "../repository.ts";
import type { WriteSession } from "../write-session.ts";

const cycleSchema = z.looseObject({ enabled: z.boolean(), interval: z.number() });

const logRetentionSchema = z.looseObject({
  maxTotalSize: z.number(),
  maxCount: z.number(),
  maxAge: z.number(),
});

/** Limits of the log blobs together; 0 is none. */
export type LogRetention = z.infer<typeof logRetentionSchema>;

/** Stored form; durations are nanoseconds. */
const storedParameters = z.looseObject({
  owner: z.string(),
  quick: cycleSchema,
  full: cycleSchema,
  /** Clients before 0.11 wrote none. */
  logRetention: logRetentionSchema.nullish(),
  extendObjectLocks: z.boolean().nullish(),
  listParallelism: z.number().nullish(),
});

export type MaintenanceParameters = z.infer<typeof storedParameters> & {
  readonly logRetention: LogRetention;
};

const hourNs = 3_600_000_000_000;

const defaultLogRetention: LogRetention = {
  maxTotalSize: 1 << 30,
  maxCount: 10_000,
  maxAge: 30 * 24 * hourNs,
};

/** The limits in force: all zero stands for the defaults. */
export function logRetentionOf({ logRetention }: MaintenanceParameters): LogRetention {
  const { maxAge, maxCount, maxTotalSize } = logRetention;
  return maxAge || maxCount || maxTotalSize ? logRetention : defaultLogRetention;
}

/** Those of a new repository: quick every hour, full every day, by `owner` (`username@hostname`) alone. */
export function defaultMaintenanceParameters(owner: string): MaintenanceParameters {
  return {
    owner,
    quick: { enabled: true, interval: hourNs },
    full: { enabled: true, interval: 24 * hourNs },
    logRetention: defaultLogRetention,
    extendObjectLocks: false,
    listParallelism: 0,
  };
}

export const maintenanceLabels: Readonly<Record<string, string>> = Object.freeze({
  type: "maintenance",
});

/**
 * The parameters in force; the defaults without an owner when there are none.
 * @throws {FormatError} `DM_MAINTENANCE_PARAMETERS_INVALID`
 */
export async function readMaintenanceParameters(
  repository: Repository,
  options: CallOptions = {},
): Promise<MaintenanceParameters> {
  const manifest = pickManifest(await repository.findManifests(maintenanceLabels, options));
  if (!manifest) return defaultMaintenanceParameters("");
  const result = storedParameters.safeParse(parseJson(manifest.data), once);
  if (result.success)
    return { ...result.data, logRetention: result.data.logRetention ?? defaultLogRetention };
  throw new FormatError(
    "DM_MAINTENANCE_PARAMETERS_INVALID",
    `manifest ${manifest.id} does not hold maintenance parameters: ${z.prettifyError(result.error)}`,
    { manifestId: manifest.id },
  );
}

/** Puts the parameters in the place of the present ones; durable after the session's next flush. */
export async function writeMaintenanceParameters(
  session: WriteSession,
  parameters: MaintenanceParameters,
  options: CallOptions = {},
): Promise<void> {
  await session.replaceManifests(maintenanceLabels, parameters, options);
}
