/**
 * Kopia's connection JSON of type `rclone`.
 * Format: docs/format/blobs.md. Proof: test/store-configs.test.ts, test/stores.kopia.test.ts.
 * @module
 */
import { parseGoDuration } from "@dm/core";
import { connectionMembers } from "../connection-members.ts";
import type { ShardedConfig } from "../sharded-store.ts";

/** The members that Kopia writes, by its names. Others (throttling limits, newer ones) are kept as they are. */
export interface RcloneConfig extends ShardedConfig {
  /** `remote:path`, as rclone knows it. */
  readonly remotePath: string;
  /** `rclone` by default. */
  readonly rcloneExe?: string | undefined;
  /** Further arguments of rclone; other users of the machine can see them. */
  readonly rcloneArgs?: readonly string[] | null | undefined;
  /** `NAME=value`, beside the environment of this process. */
  readonly rcloneEnv?: readonly string[] | null | undefined;
  /** How long rclone may take to start, as Go spells durations; `15s` by default. */
  readonly startupTimeout?: string | undefined;
  /** Whether the logger hears at `debug` what rclone says. */
  readonly debug?: boolean | undefined;
  /** Kept; nothing is left to wait for, as no write is put off. */
  readonly noWaitForTransfers?: boolean | undefined;
  /** The text of an `rclone.conf`, which takes the place of the user's. */
  readonly embeddedConfig?: string | undefined;
  /** Whether a write of the backend that breaks leaves what was there. */
  readonly atomicWrites?: boolean | undefined;
  readonly [other: string]: unknown;
}

const members = connectionMembers("rclone", [
  ["remotePath", "string", "always"],
  ["rcloneExe", "string"],
  ["rcloneArgs", "strings"],
  ["rcloneEnv", "strings"],
  ["startupTimeout", "string", "always"],
  ["debug", "boolean"],
  ["noWaitForTransfers", "boolean"],
  ["embeddedConfig", "string"],
  ["atomicWrites", "boolean", "always"],
  ["dirShards", "lengths", "always"],
  ["listParallelism", "number"],
]);

/** Members that are never shown to people. */
export const sensitiveRcloneMembers: readonly string[] = Object.freeze([
  "rcloneEnv",
  "embeddedConfig",
]);

/**
 * Checks the `config` of a connection.
 * @throws {FormatError} `DM_STORE_CONFIG_INVALID`, without the value that is wrong
 */
export function decodeRcloneConfig(value: unknown): RcloneConfig {
  const config = members.decode(value) as RcloneConfig;
  members.require(config, "remotePath");
  if (config.remotePath.startsWith("-")) throw members.invalid("remotePath begins with a dash");
  if (config.rcloneEnv?.some((entry) => !entry.includes("="))) {
    throw members.invalid("rcloneEnv has an entry that is no NAME=value");
  }
  startupTimeoutMs(config);
  return config;
}

/** The `config` as Kopia writes it: its order, and its empty members. */
export function encodeRcloneConfig(config: RcloneConfig): Record<string, unknown> {
  const decoded = decodeRcloneConfig(config);
  return members.encode({ ...decoded, startupTimeout: decoded.startupTimeout || "0s" });
}

/** @throws {FormatError} `DM_STORE_CONFIG_INVALID` */
export function startupTimeoutMs({ startupTimeout }: RcloneConfig): number {
  const ms = parseGoDuration(startupTimeout || "0");
  if (ms === undefined) throw members.invalid("startupTimeout is no duration such as 15s");
  return ms || 15_000;
}
