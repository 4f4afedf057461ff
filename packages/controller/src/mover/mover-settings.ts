/**
 * What a mover is told on its command line. Paths have flags of their own, so that a kubelet that runs pods as plain processes
 * can put its own in.
 * Proof: test/mover/mover-settings.test.ts.
 * @module
 */
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { parseGoDuration } from "@dm/core";
import { type DataPathKind, dataPathKinds, isBackup, nameFlags } from "./data-path-kind.ts";
import type { VolumeMode } from "./data-path-message.ts";

export interface MoverSettings {
  readonly kind: DataPathKind;
  /** Of the object that asks for it. */
  readonly name: string;
  /** Of the operator; that of the pod's service account by default. */
  readonly namespace?: string | undefined;
  readonly volumePath: string;
  readonly volumeMode: VolumeMode;
  readonly terminationLog: string;
  /** How long it waits for its repository. */
  readonly resourceTimeoutMs: number;
  readonly node: string;
  /** Threads that hash, encrypt, decrypt and write. */
  readonly workers: number;
  /** Packs under way to the store, about 20 MiB each. */
  readonly parallelUploads: number;
  /** Bytes of a restore that were read and not yet written. */
  readonly maxInFlightBytes: number;
  readonly checkpointIntervalMs: number;
  /** Time between two Events about progress. */
  readonly progressIntervalMs: number;
}

/**
 * What a mover takes unless it is told otherwise: four threads at most, and with them less than 512 MiB of memory whatever the
 * volume (README, "Memory and processors of a mover").
 */
export const moverDefaults = {
  terminationLog: "/dev/termination-log",
  resourceTimeoutMs: 10 * 60_000,
  maxWorkers: 4,
  parallelUploads: 2,
  maxInFlightBytes: 32 << 20,
  checkpointIntervalMs: 10 * 60_000,
  progressIntervalMs: 3_000,
} as const;

const flags = {
  "volume-path": { type: "string" },
  "volume-mode": { type: "string" },
  "data-upload": { type: "string" },
  "data-download": { type: "string" },
  "pod-volume-backup": { type: "string" },
  "pod-volume-restore": { type: "string" },
  namespace: { type: "string" },
  "termination-log": { type: "string" },
  "resource-timeout": { type: "string" },
  "node-name": { type: "string" },
  workers: { type: "string" },
  "parallel-uploads": { type: "string" },
  "max-in-flight-mib": { type: "string" },
  "checkpoint-interval": { type: "string" },
  "progress-interval": { type: "string" },
  // What node agents pass on, and a mover has no use for.
  "cache-volume-path": { type: "string" },
  "log-level": { type: "string" },
  "log-format": { type: "string" },
} as const;

/**
 * Reads `backup|restore --flag=value …`.
 * @throws {TypeError} for a command line that is none
 * @example moverSettings(["backup", "--data-upload=nightly-x7", "--volume-path=/6b1", "--volume-mode=Block"], process.env)
 */
export function moverSettings(
  args: readonly string[],
  environment: Readonly<Record<string, string | undefined>> = {},
): MoverSettings {
  const { positionals, values } = parseArgs({
    args: [...args],
    options: flags,
    allowPositionals: true,
    strict: true,
  });
  const [what, ...more] = positionals;
  if ((what !== "backup" && what !== "restore") || more.length > 0)
    throw new TypeError("a mover is told backup or restore, and nothing else beside flags");
  const named = dataPathKinds.filter((each) => values[nameFlags[each]] !== undefined);
  const [kind = what === "backup" ? "DataUpload" : "DataDownload"]: DataPathKind[] = named;
  if (named.length > 1 || isBackup(kind) !== (what === "backup"))
    throw new TypeError(`a ${what} is that of one object, and of its kind`);
  const required = (flag: keyof typeof flags): string => {
    const value = values[flag];
    if (!value) throw new TypeError(`--${flag} is missing`);
    return value;
  };
  const volumeMode = values["volume-mode"] ?? "Filesystem";
  if (volumeMode !== "Filesystem" && volumeMode !== "Block")
    throw new TypeError("--volume-mode must be Filesystem or Block");
  const duration = (flag: keyof typeof flags, standard: number): number => {
    const text = values[flag];
    if (text === undefined) return standard;
    const ms = parseGoDuration(text);
    if (ms === undefined || ms <= 0)
      throw new TypeError(`--${flag} must be a duration such as 10m0s`);
    return ms;
  };
  const count = (flag: keyof typeof flags, standard: number, least: number): number => {
    const text = values[flag];
    if (text === undefined) return standard;
    if (!/^\d{1,6}$/.test(text) || Number(text) < least)
      throw new TypeError(`--${flag} must be a number from ${least} on`);
    return Number(text);
  };
  const defaults = moverDefaults;
  return {
    kind,
    name: required(nameFlags[kind]),
    namespace: values.namespace ?? (environment["VELERO_NAMESPACE"] || undefined),
    volumePath: required("volume-path"),
    volumeMode,
    terminationLog: values["termination-log"] ?? defaults.terminationLog,
    resourceTimeoutMs: duration("resource-timeout", defaults.resourceTimeoutMs),
    node: values["node-name"] ?? environment["NODE_NAME"] ?? "",
    workers: count("workers", Math.min(availableParallelism(), defaults.maxWorkers), 0),
    parallelUploads: count("parallel-uploads", defaults.parallelUploads, 1),
    maxInFlightBytes: count("max-in-flight-mib", defaults.maxInFlightBytes >> 20, 1) * 2 ** 20,
    checkpointIntervalMs: duration("checkpoint-interval", defaults.checkpointIntervalMs),
    progressIntervalMs: duration("progress-interval", defaults.progressIntervalMs),
  };
}
