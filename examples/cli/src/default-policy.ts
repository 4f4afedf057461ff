/**
 * The policy that kopia writes for all snapshots of a new repository, every default spelled out.
 * Proof: test/interop.kopia.test.ts compares it with what kopia writes.
 * @module
 */
export const globalPolicyLabels = { type: "policy", policyType: "global" } as const;

export const defaultPolicy = {
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
