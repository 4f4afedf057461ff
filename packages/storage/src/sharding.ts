/**
 * How Kopia's filesystem provider spreads blobs over directories: `<shard dirs>/<rest of id>.f`.
 * Format: docs/format/blobs.md. Proof: test/filesystem.test.ts.
 * @module
 */
import { FormatError } from "@dm/core";

export interface Sharding {
  readonly default: readonly number[];
  /** Ids up to this length lie in the root. */
  readonly maxNonShardedLength: number;
  readonly overrides?: ReadonlyArray<{
    readonly prefix: string;
    readonly shards: readonly number[];
  }>;
}

export const shardingFile = ".shards";
export const blobSuffix = ".f";

const maxNonShardedLength = 20;

/**
 * What `.shards` holds for given directory shards.
 * @throws {RangeError} for a length that is not a positive integer
 */
export function shardingFor(shards: readonly number[]): Sharding {
  const wrong = shards.find((length) => !isLength(length));
  if (wrong !== undefined) throw new RangeError(`directory names of ${wrong} characters`);
  return { default: shards, maxNonShardedLength };
}

/**
 * Directories and file name of a blob, relative to the root.
 * @throws {RangeError} when the cuts would make `.` or `..` a directory: such an id could lead out of the root
 */
export function shardPath(id: string, sharding: Sharding): string[] {
  if (id.length <= sharding.maxNonShardedLength) return [id + blobSuffix];
  const override = sharding.overrides?.find(({ prefix }) => id.startsWith(prefix));
  const parts: string[] = [];
  let rest = id;
  for (const length of override ? override.shards : sharding.default) {
    if (rest.length <= length) break;
    const part = rest.slice(0, length);
    if (part === "." || part === "..") {
      throw new RangeError(
        `not a blob id for this store: ${id} would lead through the directory ${part}`,
      );
    }
    parts.push(part);
    rest = rest.slice(length);
  }
  parts.push(rest + blobSuffix);
  return parts;
}

export function encodeSharding(sharding: Sharding): string {
  return `${JSON.stringify(sharding)}\n`;
}

const isLength = (value: unknown): value is number =>
  typeof value === "number" && Number.isInteger(value) && value > 0;

/** @throws {FormatError} `DM_SHARDS_INVALID` */
export function decodeSharding(text: string, path: string): Sharding {
  const invalid = (cause?: unknown): FormatError =>
    new FormatError(
      "DM_SHARDS_INVALID",
      `${path} does not describe how blobs are spread over directories`,
      { path },
      { cause },
    );
  let parsed: { default?: unknown; maxNonShardedLength?: unknown; overrides?: unknown } | null;
  try {
    parsed = JSON.parse(text);
  } catch (cause) {
    throw invalid(cause);
  }
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) throw invalid();
  const shards = parsed.default ?? [];
  const overrides = parsed.overrides ?? [];
  // A number that is absent is 0 for Kopia, and then even short ids are spread.
  const unsharded = parsed.maxNonShardedLength ?? 0;
  if (!Array.isArray(shards) || !shards.every(isLength) || !Array.isArray(overrides))
    throw invalid();
  if (!Number.isInteger(unsharded)) throw invalid();
  for (const override of overrides) {
    if (typeof override?.prefix !== "string") throw invalid();
    if (!Array.isArray(override.shards ?? []) || !(override.shards ?? []).every(isLength))
      throw invalid();
  }
  return {
    default: shards,
    maxNonShardedLength: unsharded as number,
    overrides: overrides.map(({ prefix, shards: own }) => ({ prefix, shards: own ?? [] })),
  };
}
