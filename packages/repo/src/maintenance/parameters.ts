/**
 * The `maintenance` manifest: who runs maintenance, and how often.
 * Format: docs/format/maintenance.md. Proof: test/maintenance.test.ts.
 * @module
 */
import { FormatError } from "@dm/core";
import type { CallOptions } from "@dm/storage";
import { z } from "zod";
import { parseJson } from "../json/raw-json.ts";
import { pickManifest } from "../manifest/manifest-set.ts";
import type { Repository } from "../repository.ts";
import type { WriteSession } from "../write-session.ts";

const cycleSchema = z.looseObject({ enabled: z.boolean(), interval: z.number() });

/** Stored form; durations are nanoseconds. */
export const maintenanceParametersSchema = z.looseObject({
  owner: z.string(),
  quick: cycleSchema,
  full: cycleSchema,
  logRetention: z.looseObject({
    maxTotalSize: z.number(),
    maxCount: z.number(),
    maxAge: z.number(),
  }),
  extendObjectLocks: z.boolean().nullish(),
  listParallelism: z.number().nullish(),
});

export type MaintenanceParameters = z.infer<typeof maintenanceParametersSchema>;

const hourNs = 3_600_000_000_000;

export function defaultMaintenanceParameters(owner: string): MaintenanceParameters {
  return {
    owner,
    quick: { enabled: true, interval: hourNs },
    full: { enabled: true, interval: 24 * hourNs },
    logRetention: { maxTotalSize: 1 << 30, maxCount: 10_000, maxAge: 30 * 24 * hourNs },
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
  const result = maintenanceParametersSchema.safeParse(parseJson(manifest.data));
  if (result.success) return result.data;
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
