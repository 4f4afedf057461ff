/**
 * What garbage there is, in which packs it lies, and when its space comes back by the schedule of maintenance. Reads only.
 * Proof: test/collect-garbage.test.ts.
 * @module
 */
import {
  type CollectionFigures,
  type Forecast,
  forecastMaintenance,
  type Repository,
  readMaintenanceParameters,
  readSchedule,
  safetyParameters,
  shortPackShare,
} from "@dm/repo";
import type { CallOptions } from "@dm/storage";
import { collectGarbage } from "./collect-garbage.ts";

/** Under which limits space comes back. */
export interface ForecastSpaceOptions extends CallOptions {
  /** As of `runMaintenance`; `full` by default. */
  readonly safety?: "full" | "none" | undefined;
  /** The first full run is now, and not when it is due. */
  readonly runNow?: boolean | undefined;
}

/** Contents, counted and added up. */
export interface Amount {
  readonly count: number;
  readonly bytes: number;
}

/** What is garbage, and when its space comes back. */
export interface SpaceForecast {
  /** What a collection now would find; it marks `unreferenced…` less what is marked already. */
  readonly collection: CollectionFigures;
  /** Garbage that earlier collections have marked, which waits to be dropped. */
  readonly marked: Amount;
  /** Packs that hold garbage only, whole: they are deleted once it is dropped. */
  readonly garbagePacks: Amount;
  /** Garbage in packs that are short without it: rewritten after the drop, their space comes back later. */
  readonly inShortPacks: Amount;
  /** Garbage in packs that hold more than 60 % of other things: its space does not come back while they do. */
  readonly inSharedPacks: Amount;
  readonly forecast: Forecast;
}

/**
 * Foretells what coming full maintenance gives back. As costly as a collection of garbage.
 * Errors as `collectGarbage`.
 * @example const { garbagePacks, forecast } = await forecastSpace(repository);
 */
export async function forecastSpace(
  repository: Repository,
  options: ForecastSpaceOptions = {},
): Promise<SpaceForecast> {
  const { runNow, signal } = options;
  const safety = safetyParameters[options.safety ?? "full"];
  const nowNs = repository.clock.nowNs();
  const parameters = await readMaintenanceParameters(repository, { signal });
  const schedule = await readSchedule(repository.store, repository.openedFormat, { signal });
  const marked = { count: 0, bytes: 0 };
  const garbageOfPack = new Map<string, number>();
  const collection = await collectGarbage(repository, {
    startedAtNs: nowNs,
    minAgeMs: safety.garbageMinAgeMs,
    dryRun: true,
    signal,
    onGarbage: ({ deleted, packBlobId, packedLength }) => {
      garbageOfPack.set(packBlobId, (garbageOfPack.get(packBlobId) ?? 0) + packedLength);
      if (deleted) add(marked, packedLength);
    },
  });
  const index = await repository.contentReader.index.get({ signal });
  const bytesOfPack = new Map<string, number>();
  for (const { packBlobId, packedLength } of index.entries()) {
    if (!garbageOfPack.has(packBlobId)) continue;
    bytesOfPack.set(packBlobId, (bytesOfPack.get(packBlobId) ?? 0) + packedLength);
  }
  const garbagePacks = { count: 0, bytes: 0 };
  const inShortPacks = { count: 0, bytes: 0 };
  const inSharedPacks = { count: 0, bytes: 0 };
  const limit = Math.floor(repository.format.maxPackSizeBytes * shortPackShare);
  for (const [packBlobId, garbage] of garbageOfPack) {
    const rest = (bytesOfPack.get(packBlobId) ?? garbage) - garbage;
    add(rest === 0 ? garbagePacks : rest < limit ? inShortPacks : inSharedPacks, garbage);
  }
  const forecast = forecastMaintenance(schedule, parameters, { nowNs, runNow, safety });
  return { collection, marked, garbagePacks, inShortPacks, inSharedPacks, forecast };
}

function add(amount: { count: number; bytes: number }, bytes: number): void {
  amount.count += 1;
  amount.bytes += bytes;
}
