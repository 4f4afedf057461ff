/**
 * The fields of a policy in the order in which they are written, each with its kind: what its text looks like, when it counts
 * as unset, and how it is inherited. Codec and inheritance follow this one table.
 * Format: docs/format/policies.md. Proof: test/policy-codec.test.ts, test/effective-policy.test.ts.
 * @module
 */
import type { ActionCommand, Policy } from "./policy.ts";

/**
 * `optional…`: unset only when absent. Others are unset when empty, too. `texts` are inherited as a whole, `union` lists are
 * united until a flag stops it, `ownCommand` is not inherited at all, `stop…` flags belong to the list before them.
 */
export type FieldKind =
  | "optionalInteger"
  | "optionalFlag"
  | "integer"
  | "flag"
  | "text"
  | "texts"
  | "union"
  | "stopUnion"
  | "times"
  | "stopTimes"
  | "command"
  | "ownCommand";

export type FieldTable = Readonly<Record<string, FieldKind>>;
export type SectionTable = Readonly<Record<string, FieldKind | FieldTable>>;

export const commandFields = {
  path: "text",
  args: "texts",
  script: "text",
  timeout: "integer",
  mode: "text",
} as const satisfies Record<Exclude<keyof ActionCommand, "unknownMembers">, FieldKind>;

type Names<T> = Exclude<keyof T, "unknownMembers">;
/** Sections in sections are always there, fields never need to be. */
type Table<T> = {
  readonly [Name in Names<T>]: undefined extends T[Name]
    ? FieldKind
    : Readonly<Record<Names<T[Name]>, FieldKind>>;
};

export const policySections = {
  retention: {
    keepLatest: "optionalInteger",
    keepHourly: "optionalInteger",
    keepDaily: "optionalInteger",
    keepWeekly: "optionalInteger",
    keepMonthly: "optionalInteger",
    keepAnnual: "optionalInteger",
    ignoreIdenticalSnapshots: "optionalFlag",
  },
  files: {
    ignore: "texts",
    noParentIgnore: "flag",
    ignoreDotFiles: "texts",
    noParentDotFiles: "flag",
    ignoreCacheDirs: "optionalFlag",
    maxFileSize: "integer",
    oneFileSystem: "optionalFlag",
  },
  errorHandling: {
    ignoreFileErrors: "optionalFlag",
    ignoreDirectoryErrors: "optionalFlag",
    ignoreUnknownTypes: "optionalFlag",
  },
  scheduling: {
    intervalSeconds: "integer",
    timeOfDay: "times",
    noParentTimeOfDay: "stopTimes",
    manual: "flag",
    cron: "texts",
    runMissed: "optionalFlag",
  },
  compression: {
    compressorName: "text",
    onlyCompress: "union",
    noParentOnlyCompress: "stopUnion",
    neverCompress: "union",
    noParentNeverCompress: "stopUnion",
    minSize: "integer",
    maxSize: "integer",
  },
  metadataCompression: { compressorName: "text" },
  splitter: { algorithm: "text" },
  actions: {
    beforeFolder: "ownCommand",
    afterFolder: "ownCommand",
    beforeSnapshotRoot: "command",
    afterSnapshotRoot: "command",
  },
  osSnapshots: { volumeShadowCopy: { enable: "optionalInteger" } },
  logging: {
    directories: { snapshotted: "optionalInteger", ignored: "optionalInteger" },
    entries: {
      snapshotted: "optionalInteger",
      ignored: "optionalInteger",
      cacheHit: "optionalInteger",
      cacheMiss: "optionalInteger",
    },
  },
  upload: {
    maxParallelSnapshots: "optionalInteger",
    maxParallelFileReads: "optionalInteger",
    parallelUploadAboveSize: "optionalInteger",
  },
} as const satisfies {
  readonly [Name in Exclude<keyof Policy, "unknownMembers" | "noParent">]: Table<Policy[Name]>;
};
