/**
 * What a policy says, in the words of its stored JSON. A field that is absent is not defined here; `0` and `false` in an
 * optional field are definitions, while empty lists, texts and the numbers marked "0: unset" are not.
 * Format: docs/format/policies.md. Proof: test/policy-codec.test.ts.
 * @module
 */
import type { RawMember } from "../members.ts";

/** Members that are unknown here survive reading and writing. */
interface Section {
  readonly unknownMembers?: readonly RawMember[] | undefined;
}

/** How many snapshots to keep; without any number, or with all of them 0, every snapshot is kept. */
export interface RetentionPolicy extends Section {
  readonly keepLatest?: number | undefined;
  readonly keepHourly?: number | undefined;
  readonly keepDaily?: number | undefined;
  readonly keepWeekly?: number | undefined;
  readonly keepMonthly?: number | undefined;
  readonly keepAnnual?: number | undefined;
  /** Do not save a snapshot whose root object is the previous one's. */
  readonly ignoreIdenticalSnapshots?: boolean | undefined;
}

/** What is left out of a snapshot. */
export interface FilesPolicy extends Section {
  /** Rules for names below the directory of the policy. */
  readonly ignore?: readonly string[] | undefined;
  readonly noParentIgnore?: boolean | undefined;
  /** Names of files that hold further rules. */
  readonly ignoreDotFiles?: readonly string[] | undefined;
  readonly noParentDotFiles?: boolean | undefined;
  /** Store directories that have a cache directory tag as empty ones; true when unset. */
  readonly ignoreCacheDirs?: boolean | undefined;
  /** Bytes; 0: unset. */
  readonly maxFileSize?: number | undefined;
  readonly oneFileSystem?: boolean | undefined;
}

/** Which entries that cannot be read do not count as failures. */
export interface ErrorHandlingPolicy extends Section {
  readonly ignoreFileErrors?: boolean | undefined;
  readonly ignoreDirectoryErrors?: boolean | undefined;
  readonly ignoreUnknownTypes?: boolean | undefined;
}

/** A minute of the day, in local time. */
export interface TimeOfDay {
  readonly hour: number;
  readonly min: number;
}

/** Each once, by the clock: as they are stored. */
export function sortedTimesOfDay(times: readonly TimeOfDay[]): TimeOfDay[] {
  const minutes = new Set(times.map(({ hour, min }) => hour * 60 + min));
  return [...minutes]
    .sort((a, b) => a - b)
    .map((minute) => ({ hour: Math.floor(minute / 60), min: minute % 60 }));
}

/** Kept and shown; a scheduler acts on it, nothing here does. */
export interface SchedulingPolicy extends Section {
  /** 0: unset. */
  readonly intervalSeconds?: number | undefined;
  readonly timeOfDay?: readonly TimeOfDay[] | undefined;
  readonly noParentTimeOfDay?: boolean | undefined;
  /** Excludes all other fields of the section. */
  readonly manual?: boolean | undefined;
  readonly cron?: readonly string[] | undefined;
  readonly runMissed?: boolean | undefined;
}

/** Extensions include their dot. */
export interface CompressionPolicy extends Section {
  readonly compressorName?: string | undefined;
  /** Always compressed; others are, too, unless `neverCompress` names them. */
  readonly onlyCompress?: readonly string[] | undefined;
  readonly noParentOnlyCompress?: boolean | undefined;
  readonly neverCompress?: readonly string[] | undefined;
  readonly noParentNeverCompress?: boolean | undefined;
  /** Bytes; 0: unset. */
  readonly minSize?: number | undefined;
  /** Bytes; 0: unset. */
  readonly maxSize?: number | undefined;
}

/** Of directories, symlinks and index objects. */
export interface MetadataCompressionPolicy extends Section {
  readonly compressorName?: string | undefined;
}

/** How files are cut into contents. */
export interface SplitterPolicy extends Section {
  /** The repository's when unset. */
  readonly algorithm?: string | undefined;
}

/** A program to run. Kept and shown, never run by these libraries. */
export interface ActionCommand extends Section {
  readonly path?: string | undefined;
  readonly args?: readonly string[] | undefined;
  readonly script?: string | undefined;
  /** Seconds. */
  readonly timeout?: number | undefined;
  /** `essential`, `optional` or `async`. */
  readonly mode?: string | undefined;
}

/** Programs to run before and after; kept and shown, never run here. */
export interface ActionsPolicy extends Section {
  readonly beforeFolder?: ActionCommand | undefined;
  readonly afterFolder?: ActionCommand | undefined;
  readonly beforeSnapshotRoot?: ActionCommand | undefined;
  readonly afterSnapshotRoot?: ActionCommand | undefined;
}

/** Shadow copies of Windows; kept and shown. */
export interface VolumeShadowCopyPolicy extends Section {
  /** 0 never, 1 always, 2 when available. */
  readonly enable?: number | undefined;
}

/** Snapshots of a file system made by Windows. */
export interface OsSnapshotsPolicy extends Section {
  readonly volumeShadowCopy: VolumeShadowCopyPolicy;
}

/** Details from 0 (none) over 5 (normal) to 10. */
export interface DirectoryLoggingPolicy extends Section {
  readonly snapshotted?: number | undefined;
  readonly ignored?: number | undefined;
}

/** Details from 0 (none) over 5 (normal) to 10. */
export interface EntryLoggingPolicy extends Section {
  readonly snapshotted?: number | undefined;
  readonly ignored?: number | undefined;
  readonly cacheHit?: number | undefined;
  readonly cacheMiss?: number | undefined;
}

/** How much is logged about what; kept and shown. */
export interface LoggingPolicy extends Section {
  readonly directories: DirectoryLoggingPolicy;
  readonly entries: EntryLoggingPolicy;
}

/** How much is under way at once. */
export interface UploadPolicy extends Section {
  /** Not for a path. */
  readonly maxParallelSnapshots?: number | undefined;
  readonly maxParallelFileReads?: number | undefined;
  /** Bytes above which a file is stored in parts of this length; negative: never. */
  readonly parallelUploadAboveSize?: number | undefined;
}

/** Everything that can be defined for a target. Fields that are undefined are inherited. */
export interface Policy extends Section {
  readonly retention: RetentionPolicy;
  readonly files: FilesPolicy;
  readonly errorHandling: ErrorHandlingPolicy;
  readonly scheduling: SchedulingPolicy;
  readonly compression: CompressionPolicy;
  readonly metadataCompression: MetadataCompressionPolicy;
  readonly splitter: SplitterPolicy;
  readonly actions: ActionsPolicy;
  readonly osSnapshots: OsSnapshotsPolicy;
  readonly logging: LoggingPolicy;
  readonly upload: UploadPolicy;
  /** Nothing is inherited beyond this policy, not even the built-in defaults. */
  readonly noParent?: boolean | undefined;
}

/** Nothing defined. */
export const emptyPolicy: Policy = {
  retention: {},
  files: {},
  errorHandling: {},
  scheduling: {},
  compression: {},
  metadataCompression: {},
  splitter: {},
  actions: {},
  osSnapshots: { volumeShadowCopy: {} },
  logging: { directories: {}, entries: {} },
  upload: {},
};

/** What holds where no policy says otherwise. A new repository's global policy spells all of it out. */
export const defaultPolicy: Policy = {
  retention: {
    keepLatest: 10,
    keepHourly: 48,
    keepDaily: 7,
    keepWeekly: 4,
    keepMonthly: 24,
    keepAnnual: 3,
    ignoreIdenticalSnapshots: false,
  },
  files: { ignoreDotFiles: [".kopiaignore"] },
  errorHandling: {
    ignoreFileErrors: false,
    ignoreDirectoryErrors: false,
    ignoreUnknownTypes: true,
  },
  scheduling: { runMissed: true },
  compression: { compressorName: "none" },
  metadataCompression: { compressorName: "zstd-fastest" },
  splitter: {},
  actions: {},
  osSnapshots: { volumeShadowCopy: { enable: 0 } },
  logging: {
    directories: { snapshotted: 5, ignored: 5 },
    entries: { snapshotted: 0, ignored: 5, cacheHit: 0, cacheMiss: 0 },
  },
  upload: { maxParallelSnapshots: 1, parallelUploadAboveSize: 2_147_483_648 },
};
